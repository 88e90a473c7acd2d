// Owns what an addition is and how it is written down. Never decides which addition is made.
#include "draft.h"

#define JSON_NO_IO 1
#include <nlohmann/json.hpp>

#include <algorithm>
#include <utility>

#include "examples.h"
#include "language.h"

namespace safe_exec {
namespace {

using Json = nlohmann::ordered_json;

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json root_json(const Root& root) {
  if (root.variable.empty()) return root.path;
  return "${" + root.variable + (root.path.empty() ? "}" : "}/" + root.path);
}

// The kinds that guess() makes.
Json type_json(const Type& type) {
  if (type.kind == Type::Kind::integer) return {{"int", {type.low, type.high}}};
  if (type.kind != Type::Kind::path) return {{"enum", type.choices}};
  Json within = Json::array();
  for (const Root& root : type.path.within) within.push_back(root_json(root));
  return {{"path", "read"}, {"within", within}};
}

Json option_json(const Option& option) {
  Json out = Json::object();
  if (!option.values.empty()) out["value"] = type_json(*option.values.front());
  if (option.max > 1) out["max"] = option.max;
  return out;
}

Json slot_json(const Slot& slot) {
  return {{"name", slot.name}, {"type", type_json(*slot.types.front())}, {"count", {slot.min, slot.max}}};
}

Json node_json(const Node& node) {
  Json out = Json::object();
  if (!node.options.empty()) {
    Json& options = out["options"] = Json::object();
    for (const Option& option : node.options) options[option.name] = option_json(option);
  }
  if (node.operands) {
    Json& operands = out["operands"] = Json::array();
    for (const Slot& slot : *node.operands) operands.push_back(slot_json(slot));
  }
  if (!node.subcommands.empty()) {
    Json& subcommands = out["subcommands"] = Json::object();
    for (const Node& sub : node.subcommands) subcommands[sub.name] = node_json(sub);
  }
  return out;
}

Json command_json(const Command& command) {
  Json out{{"path", command.paths.front()}, {"description", command.node.description}};
  out.update(node_json(command.node));
  if (command.node.examples.allow.empty()) return out;
  Json allow = Json::array();
  for (const Examples::Allow& example : command.node.examples.allow) allow.push_back(example.argv);
  out["examples"] = {{"allow", std::move(allow)}};
  return out;
}

std::string program_of(const Argv& argv) { return argv.front().substr(argv.front().rfind('/') + 1); }

bool is_file_like(std::string_view text) {
  if (text.find("://") != std::string_view::npos) return false;
  if (text.find('/') != std::string_view::npos || text == "." || text == "..") return true;
  const std::size_t dot = text.rfind('.');
  return dot != std::string_view::npos && dot + 1 < text.size() && text.size() - dot <= 6 && !read_integer(text.substr(dot + 1));
}

}  // namespace

bool is_new(Place place) noexcept { return place.source == kNewPlace.source; }

std::string option_text(const Option& option) { return dump(option_json(option)); }
std::string slot_text(const Slot& slot) { return dump(slot_json(slot)); }
std::string quoted(std::string_view text) { return dump(Json(text)); }

std::string escaped(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c == '~') out += "~0";
    if (c == '/') out += "~1";
    if (c != '~' && c != '/') out += c;
  }
  return out;
}

Draft::Draft(const Policy& policy) : policy_(policy), resolver_(make_fixture_resolver(policy_)) {}

Expected<std::optional<Denial>> Draft::decide(const Argv& argv) {
  Request request;
  request.argv = argv;
  EvaluateOptions options;
  options.assume_installed = true;
  Expected<Decision> decision = evaluate(policy_, request, *resolver_, patterns_, options);
  if (!decision) return tl::unexpected(std::move(decision.error()));
  auto* denial = std::get_if<Denial>(&*decision);
  if (denial == nullptr || denial->code == DenialCode::needs_approval) return std::optional<Denial>();
  return std::optional<Denial>(std::move(*denial));
}

Command* Draft::command(std::string_view name) {
  for (Command& command : policy_.commands) {
    if (command.node.name == name) return &command;
  }
  return nullptr;
}

void Draft::add_command(std::string name, std::string path) {
  Command command;
  command.node.name = std::move(name);
  command.node.place = kNewPlace;
  command.paths.push_back(std::move(path));
  command.defaults = std::make_shared<Defaults>();
  policy_.commands.push_back(std::move(command));
}

Draft::Spot Draft::find(const Argv& argv, std::size_t index) {
  Spot spot;
  spot.command = command(program_of(argv));
  if (spot.command == nullptr) return spot;
  const auto enter = [&](Node& node, const std::string& above) {
    spot.node = &node;
    spot.pointer = is_new(node.place) ? above + escaped(node.name) : policy_.pointer(node.place);
    if (!is_new(node.place) || spot.top_node != nullptr) return;
    spot.top = spot.pointer;
    spot.top_node = &node;
  };
  enter(spot.command->node, "/commands/");
  for (std::size_t i = 1; i < std::min(index, argv.size()); ++i) {
    for (Node& sub : spot.node->subcommands) {
      const bool named = sub.name == argv[i] || std::find(sub.aliases.begin(), sub.aliases.end(), argv[i]) != sub.aliases.end();
      if (!named) continue;
      enter(sub, spot.pointer + "/subcommands/");
      break;
    }
  }
  return spot;
}

Draft::Snapshot Draft::snapshot(std::string_view command_name) const {
  Snapshot taken;
  taken.proposals = proposals_;
  if (const Command* known = policy_.find(command_name)) taken.commands.push_back(*known);
  return taken;
}

void Draft::restore(std::string_view command_name, Snapshot snapshot) {
  proposals_ = std::move(snapshot.proposals);
  Command* known = command(command_name);
  if (known == nullptr) return;
  if (!snapshot.commands.empty()) {
    *known = std::move(snapshot.commands.front());
  } else {
    policy_.commands.erase(policy_.commands.begin() + (known - policy_.commands.data()));
  }
}

void Draft::record(const Spot& spot, const std::string& below, const std::string& value, const Argv& argv, std::string note) {
  Proposal proposal{spot.pointer + below, value, argv, std::move(note)};
  if (spot.top_node != nullptr) {
    proposal.path = spot.top;
    proposal.value = spot.top_node == &spot.command->node ? dump(command_json(*spot.command)) : dump(node_json(*spot.top_node));
  }
  // "-" appends: each of those is one of its own, any other is said once, as it is in the end.
  const bool appends = proposal.path.ends_with("/-");
  const auto known = std::find_if(proposals_.begin(), proposals_.end(), [&](const Proposal& other) {
    return other.path == proposal.path && (!appends || other.value == proposal.value);
  });
  if (known == proposals_.end()) {
    proposals_.push_back(std::move(proposal));
    return;
  }
  known->value = std::move(proposal.value);
  if (known->note.find(proposal.note) == std::string::npos) known->note += (known->note.empty() ? "" : "; ") + proposal.note;
}

std::vector<Proposal> Draft::proposals() const { return proposals_; }

void Draft::keep_example(const Argv& argv) {
  Command* known = command(program_of(argv));
  if (known == nullptr || !is_new(known->node.place)) return;
  known->node.examples.allow.push_back({argv, kNewPlace});
  record(find(argv, 0), "", "", argv, "");
}

TypeRef Draft::guess(std::string_view text) const {
  auto type = std::make_shared<Type>();
  type->place = kNewPlace;
  if (read_integer(text)) {
    type->kind = Type::Kind::integer;
    type->high = 9;
    while (type->high < *read_integer(text)) type->high = type->high * 10 + 9;
  } else if (is_file_like(text)) {
    type->kind = Type::Kind::path;
    const bool workspace = std::any_of(policy_.variables.begin(), policy_.variables.end(),
                                       [](const Variable& variable) { return variable.name == "workspace"; });
    type->path.within.push_back({workspace ? "workspace" : "start_dir", "", kNewPlace});
  } else {
    type->kind = Type::Kind::enumeration;
    type->choices.emplace_back(text);
  }
  return type;
}

TypeRef Draft::extended(const Type& type, std::string_view text) {
  auto out = std::make_shared<Type>(type);
  const std::optional<std::int64_t> number = read_integer(text);
  if (type.kind == Type::Kind::enumeration && !text.empty()) {
    out->choices.emplace_back(text);
  } else if (type.kind == Type::Kind::integer && number) {
    out->low = std::min(type.low, *number);
    out->high = std::max(type.high, *number);
  } else {
    return nullptr;
  }
  return out;
}

}  // namespace safe_exec
