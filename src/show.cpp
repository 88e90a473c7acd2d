#include "show.h"

#include <utility>

#define JSON_NO_IO 1
#include <nlohmann/json.hpp>

#include "policy.h"
#include "value.h"

namespace safe_exec {
namespace {

using Json = nlohmann::ordered_json;

std::string_view verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::allow: return "allow";
    case Verdict::ask: return "ask";
    case Verdict::deny: return "deny";
  }
  return "deny";
}

std::string types_text(const std::vector<TypeRef>& types) {
  std::string out;
  for (const TypeRef& type : types) out += (out.empty() ? "" : " or ") + describe(*type);
  return out;
}

// "[--unified=<an integer from 0 to 100>]"
std::string option_text(const Option& option) {
  std::string out = option.name;
  for (const std::string& alias : option.aliases) out += "|" + alias;
  for (const TypeRef& type : option.values) {
    out += option.optional ? "[=" : (option.name.starts_with("--") ? "=" : " ");
    out += "<" + describe(*type) + ">";
    if (option.optional) out += "]";
  }
  return option.required ? out : "[" + out + "]";
}

std::string slot_text(const Slot& slot) {
  if (slot.separator) return "[--]";
  std::string out = slot.name + ":<" + types_text(slot.types) + ">";
  if (slot.max > 1) out += "... (" + std::to_string(slot.min) + " to " + std::to_string(slot.max) + ")";
  return slot.min == 0 ? "[" + out + "]" : out;
}

// One line a node that can be run; the way down stands in front.
void node_text(const Node& node, const std::string& words, std::string& out) {
  std::string line = words + node.name;
  if (node.subcommands.empty() || node.subcommand_optional || node.decision != Verdict::allow) {
    out += "  " + line;
    if (node.decision != Verdict::allow) out += "  -> " + std::string(verdict_name(node.decision)) + (node.reason.empty() ? "" : ": " + node.reason);
    for (const Option& option : node.options) {
      if (!option.always) out += " " + option_text(option);
    }
    if (node.operands) {
      for (const Slot& slot : *node.operands) out += " " + slot_text(slot);
    }
    out += "\n";
  } else {
    for (const Option& option : node.options) {
      if (!option.always) line += " " + option_text(option);
    }
  }
  for (const Node& child : node.subcommands) node_text(child, line + " ", out);
}

Json options_json(const Node& node) {
  Json out = Json::array();
  for (const Option& option : node.options) {
    if (option.always) continue;  // emitted whatever the caller writes
    Json entry{{"name", option.name}};
    if (!option.aliases.empty()) entry["aliases"] = option.aliases;
    if (!option.values.empty()) entry["value"] = types_text(option.values);
    if (option.optional) entry["value_optional"] = true;
    if (option.required) entry["required"] = true;
    if (option.max > 1) entry["max"] = option.max;
    out.push_back(std::move(entry));
  }
  return out;
}

Json operands_json(const Node& node) {
  Json out = Json::array();
  if (!node.operands) return out;
  for (const Slot& slot : *node.operands) {
    if (slot.separator) {
      out.push_back("--");
    } else {
      out.push_back({{"name", slot.name}, {"type", types_text(slot.types)}, {"count", {slot.min, slot.max}}});
    }
  }
  return out;
}

Json node_json(const Node& node) {
  Json out{{"name", node.name}};
  if (!node.description.empty()) out["description"] = node.description;
  if (!node.aliases.empty()) out["aliases"] = node.aliases;
  if (node.decision != Verdict::allow) out["decision"] = verdict_name(node.decision);
  out["options"] = options_json(node);
  out["operands"] = operands_json(node);
  if (!node.subcommands.empty()) {
    out["subcommand"] = node.subcommand_optional ? "optional" : "required";
    Json children = Json::array();
    for (const Node& child : node.subcommands) children.push_back(node_json(child));
    out["subcommands"] = std::move(children);
  }
  if (!node.hints.empty()) {
    Json refused = Json::object();
    for (const Hint& hint : node.hints) refused[hint.token] = hint.reason;
    out["refused"] = std::move(refused);
  }
  return out;
}

}  // namespace

std::string show_text(const Policy& policy, std::string_view command_name) {
  std::string out = "policy " + policy.name;
  if (!policy.description.empty()) out += ": " + policy.description;
  out += "\n";
  for (const Command& command : policy.commands) {
    if (!command_name.empty() && command.node.name != command_name) continue;
    out += "\n" + command.node.name;
    if (!command.node.description.empty()) out += ": " + command.node.description;
    out += "\n";
    node_text(command.node, "", out);
  }
  return out;
}

std::string show_json(const Policy& policy, std::string_view command_name) {
  Json commands = Json::array();
  for (const Command& command : policy.commands) {
    if (!command_name.empty() && command.node.name != command_name) continue;
    Json entry = node_json(command.node);
    entry["path"] = command.paths;
    if (!command.effects.empty()) entry["effects"] = command.effects;
    commands.push_back(std::move(entry));
  }
  const Json json{{"schema", "safe-exec/policy-show/v1"},
                  {"policy", {{"name", policy.name}, {"description", policy.description}, {"sha256", policy_digest(policy.sources)}}},
                  {"commands", std::move(commands)}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace safe_exec
