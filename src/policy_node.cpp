// Owns the reading of commands and subcommands. Never inherits anything but names: that is evaluation's.
#include <algorithm>
#include <array>
#include <utility>

#include "grammar.h"
#include "inline_text.h"
#include "language.h"
#include "policy_loader.h"

namespace safe_exec {
namespace {

constexpr std::array<Name, 7> kSyntaxNames{"gnu", "posix", "git", "pflag", "clap", "find", "raw"};
constexpr std::array<Name, 2> kSpellingNames{"joined", "separate"};
constexpr std::array<Name, 3> kVerdictNames{"allow", "ask", "deny"};
constexpr std::array<Name, 2> kSubcommandNames{"required", "optional"};
constexpr std::array<Name, 2> kTrustNames{"root", "caller"};
constexpr std::array<Name, 2> kExecByNames{"fd", "path"};
constexpr std::array<Name, 4> kEffectNames{"reads", "writes", "network", "executes"};

using SlotField = Field<Slot, PolicyContext>;
constexpr std::array<Name, 2> kRoleNames{"timeout", "env"};
constexpr std::array<SlotField, 10> kSlotFields{{
    {"name", [](PolicyContext&, const Item& value, Slot& out) { out.name = read_non_empty(value); }},
    {"type",
     [](PolicyContext& c, const Item& value, Slot& out) {
       if (!value.is(json::Kind::array)) {
         out.types.push_back(read_type(c, value));
         return;
       }
       for (const Item& type : elements(value, 1)) out.types.push_back(read_type(c, type));
     }},
    {"count",
     [](PolicyContext&, const Item& value, Slot& out) {
       const auto [low, high] = read_range(value, 0, kMaxTokens);
       if (high == 0) refuse(value, {"this operand could never stand anywhere", "a maximum of 1 or more", "0", ""});
       out.min = static_cast<std::uint32_t>(low);
       out.max = static_cast<std::uint32_t>(high);
     }},
    {"default",
     [](PolicyContext&, const Item& value, Slot& out) {
       if (value.is(json::Kind::array))
         out.defaults = read_strings(value, 1);
       else
         out.defaults.push_back(read_string(value));
     }},
    {"implied", [](PolicyContext&, const Item& value, Slot& out) { out.implied = read_bool(value); }},
    {"requires", [](PolicyContext&, const Item& value, Slot& out) { out.requires_options = read_strings(value, 1); }},
    {"excludes", [](PolicyContext&, const Item& value, Slot& out) { out.excludes = read_strings(value, 1); }},
    {"replaced_by", [](PolicyContext&, const Item& value, Slot& out) { out.replaced_by = read_strings(value, 1); }},
    {"dash", [](PolicyContext&, const Item& value, Slot& out) { out.dash = read_bool(value); }},
    {"as", [](PolicyContext&, const Item& value,
              Slot& out) { out.as = read_choice(value, kRoleNames) == 0 ? WrapperRole::timeout : WrapperRole::env; }},
}};

// A type that takes all that remains is the slot's only one. Unless "count" says so, it may be given no word at all; a
// wrapper needs its command.
void check_rest_slot(const Item& item, Slot& slot) {
  const bool rest = std::any_of(slot.types.begin(), slot.types.end(), [](const TypeRef& type) { return type->rest; });
  if (!rest) return;
  if (slot.types.size() > 1) {
    refuse(*item.member("type"), {"a type that takes all remaining words stands alone", "one type", "several", ""});
  }
  if (!slot.defaults.empty()) {
    refuse(*item.member("default"), {"what takes all remaining words has no default", "no such key", "\"default\"", ""},
           At::key);
  }
  if (item.member("count")) return;
  slot.min =
      slot.types.front()->kind == Type::Kind::language && slot.types.front()->language == Language::command ? 1 : 0;
  slot.max = static_cast<std::uint32_t>(kMaxTokens);
}

Slot read_slot(PolicyContext& context, const Item& item) {
  Slot slot;
  slot.place = item.place();
  if (item.is(json::Kind::string)) {
    if (item.node->text != "--")
      refuse(item, {"this is not an operand", "\"--\" or an object", describe_value(item), ""});
    slot.separator = true;
    return slot;
  }
  read_members(context, item, slot, kSlotFields);
  if (slot.name.empty()) refuse(item, {"\"name\" is missing", "\"name\": TEXT", "no \"name\"", ""});
  if (slot.types.empty()) refuse(item, {"\"type\" is missing", "\"type\": TYPE", "no \"type\"", ""});
  const std::size_t defaults = slot.defaults.size();
  if (defaults > 0 && (defaults < slot.min || defaults > slot.max)) {
    refuse(*item.member("default"), {"the default does not fit \"count\"",
                                     "from " + std::to_string(slot.min) + " to " + std::to_string(slot.max) + " tokens",
                                     std::to_string(defaults), ""});
  }
  if (slot.implied && (defaults == 0 || slot.min > 0)) {
    refuse(*item.member("implied"),
           {"only a default that the program has itself can be left out", "\"default\" and a \"count\" from 0",
            "no default, or an operand that must stand", ""},
           At::key);
  }
  check_rest_slot(item, slot);
  bool path = false;
  for (const TypeRef& type : slot.types) path = path || type->kind == Type::Kind::path;
  if (slot.dash && !path) {
    refuse(*item.member("dash"), {"\"dash\" makes no sense here", "a path type", "none", ""}, At::key);
  }
  return slot;
}

std::vector<Slot> read_operands(PolicyContext& context, const Item& item) {
  std::vector<Slot> slots;
  std::unordered_set<std::string> names;
  bool separated = false;
  for (const Item& element : elements(item)) {
    slots.push_back(read_slot(context, element));
    if (slots.back().separator && std::exchange(separated, true)) {
      refuse(element, {"\"--\" stands twice", "at most one \"--\"", "a second one", ""});
    }
    if (!slots.back().separator && !names.insert(slots.back().name).second) {
      refuse(element, {"two operands have one name", "a name of its own", "\"" + slots.back().name + "\"", ""});
    }
    if (slots.size() > 1 && rest_type(slots[slots.size() - 2]) != nullptr) {
      refuse(element, {"nothing can stand behind what takes all remaining words",
                       "the slot of \"" + slots[slots.size() - 2].name + "\" last", describe_value(element), ""});
    }
  }
  return slots;
}

std::vector<std::string> read_argv(const Item& item) {
  return read_strings(item, 1);
}

void read_hints(PolicyContext& context, const Item& item, Node& out) {
  static constexpr std::array<Field<Hint, PolicyContext>, 2> kFields{{
      {"reason", [](PolicyContext&, const Item& value, Hint& h) { h.reason = read_non_empty(value); }},
      {"instead", [](PolicyContext&, const Item& value, Hint& h) { h.instead = read_argv(value); }},
  }};
  for (const Item& member : members(item)) {
    Hint hint;
    hint.token = member.key();
    hint.place = member.place();
    if (hint.token.empty()) refuse(member, {"a hint needs a token", "a token or a subcommand", "\"\"", ""}, At::key);
    read_members(context, member, hint, kFields);
    if (hint.reason.empty()) refuse(member, {"\"reason\" is missing", "\"reason\": TEXT", "no \"reason\"", ""});
    out.hints.push_back(std::move(hint));
  }
}

void read_denied_examples(PolicyContext& /*context*/, const Item& item, Examples& out) {
  for (const Item& element : elements(item)) {
    const std::vector<Item> pair = elements(element);
    if (pair.size() != 2)
      refuse(element, {"this is not a denied example", "[ARGV, CODE]", describe_value(element), ""});
    Examples::Deny example{read_argv(pair[0]), DenialCode::command_not_allowed, element.place()};
    const std::string name = read_string(pair[1]);
    const std::optional<DenialCode> code = denial_code(name);
    if (!code) {
      std::vector<std::string_view> known;
      for (int i = 0; i < kDenialCodeCount; ++i) known.push_back(code_name(static_cast<DenialCode>(i)));
      refuse_unknown(pair[1], "denial code", name, known, At::value);
    }
    example.code = *code;
    out.deny.push_back(std::move(example));
  }
}

void read_examples(PolicyContext& context, const Item& item, Node& out) {
  if (!context.everything) return;  // nobody decides them now, and they are often the larger part of a file
  static constexpr std::array<Field<Examples, PolicyContext>, 3> kFields{{
      {"allow",
       [](PolicyContext&, const Item& value, Examples& e) {
         for (const Item& argv : elements(value)) e.allow.push_back({read_argv(argv), argv.place()});
       }},
      {"ask",
       [](PolicyContext&, const Item& value, Examples& e) {
         for (const Item& argv : elements(value)) e.ask.push_back({read_argv(argv), argv.place()});
       }},
      {"deny", read_denied_examples},
  }};
  read_members(context, item, out.examples, kFields);
}

void read_lint(PolicyContext& context, const Item& item, Node& out) {
  static constexpr std::array<Field<Node, PolicyContext>, 1> kFields{{
      {"ignore",
       [](PolicyContext&, const Item& value, Node& n) {
         for (const Item& rule : members(value)) {
           n.lint_ignore.push_back({std::string(rule.key()), read_non_empty(rule), rule.place()});
         }
       }},
  }};
  read_members(context, item, out, kFields);
}

void read_exit_ok(PolicyContext& /*context*/, const Item& item, Node& out) {
  std::vector<int> codes;
  for (const Item& element : elements(item, 1)) codes.push_back(static_cast<int>(read_integer(element, 0, 255)));
  out.exit_ok = std::move(codes);
}

// Subcommands are read last, because what they see of this node must be known.
void postpone(PolicyContext& /*context*/, const Item& item, Node& /*out*/) {
  if (members(item).empty()) refuse(item, {"this must not be empty", "one subcommand or more", "{}", ""});
}

using NodeField = Field<Node, PolicyContext>;
constexpr std::array<NodeField, 28> kNodeFields{{
    {"syntax", [](PolicyContext&, const Item& v, Node& out) { out.syntax = read_enum<SyntaxName>(v, kSyntaxNames); }},
    {"permute", [](PolicyContext&, const Item& v, Node& out) { out.permute = read_bool(v); }},
    {"end_of_options", [](PolicyContext&, const Item& v, Node& out) { out.end_of_options = read_bool(v); }},
    {"spelling",
     [](PolicyContext&, const Item& v, Node& out) { out.spelling = read_enum<Spelling>(v, kSpellingNames); }},
    {"short_equals", [](PolicyContext&, const Item& v, Node& out) { out.short_equals = read_bool(v); }},
    {"negative_numbers", [](PolicyContext&, const Item& v, Node& out) { out.negative_numbers = read_bool(v); }},
    {"options", [](PolicyContext& c, const Item& v, Node& out) { read_options(c, v, out.options); }},
    {"use", [](PolicyContext& c, const Item& v, Node& out) { use_option_sets(c, v, out.options); }},
    {"operands", [](PolicyContext& c, const Item& v, Node& out) { out.operands = read_operands(c, v); }},
    {"max_args", [](PolicyContext&, const Item& v, Node& out) { out.max_args = read_integer(v, 0, kMaxTokens); }},
    {"subcommands", postpone},
    {"subcommand",
     [](PolicyContext&, const Item& v, Node& out) { out.subcommand_optional = read_choice(v, kSubcommandNames) == 1; }},
    {"inject", [](PolicyContext&, const Item& v, Node& out) { out.inject = read_strings(v, 0); }},
    {"decision", [](PolicyContext&, const Item& v, Node& out) { out.decision = read_enum<Verdict>(v, kVerdictNames); }},
    {"hints", read_hints},
    {"env", [](PolicyContext& c, const Item& v, Node& out) { read_env(c, v, out.env); }},
    {"unsafe_env", [](PolicyContext&, const Item& v, Node& out) { read_unsafe_env(v, out.unsafe_env.emplace()); }},
    {"stdin", [](PolicyContext& c, const Item& v, Node& out) { out.stdin_rule = read_stdin_rule(c, v); }},
    {"cwd", [](PolicyContext& c, const Item& v, Node& out) { out.cwd = read_roots(c, v, 1); }},
    {"timeout_ms", [](PolicyContext&, const Item& v, Node& out) { out.timeout_ms = read_timeout(v); }},
    {"stdout_bytes", [](PolicyContext&, const Item& v, Node& out) { out.stdout_bytes = read_capture(v); }},
    {"stderr_bytes", [](PolicyContext&, const Item& v, Node& out) { out.stderr_bytes = read_capture(v); }},
    {"limits", [](PolicyContext& c, const Item& v, Node& out) { out.limits = read_limits(c, v); }},
    {"sandbox", [](PolicyContext& c, const Item& v, Node& out) { out.sandbox = read_sandbox(c, v); }},
    {"exit_ok", read_exit_ok},
    {"repeatable", [](PolicyContext&, const Item& v, Node& out) { out.repeatable = read_bool(v); }},
    {"examples", read_examples},
    {"lint", read_lint},
}};

// Only a subcommand has other names: a command is looked up by its name, in a directory even by its file's.
constexpr std::array<NodeField, 1> kSubcommandFields{{
    {"aliases",
     [](PolicyContext&, const Item& v, Node& out) {
       out.aliases = read_strings(v, 1);
       refuse_repeats(v, out.aliases);
     }},
}};

void read_path(PolicyContext& /*context*/, const Item& item, Command& out) {
  if (!item.is(json::Kind::array)) {
    out.paths.push_back(read_absolute_path(item));
    return;
  }
  for (const Item& element : elements(item, 1)) out.paths.push_back(read_absolute_path(element));
  refuse_repeats(item, out.paths);
}

std::string read_digest(const Item& item) {
  std::string digest = read_string(item);
  const bool hex = digest.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
  if (!hex || digest.size() != 64)
    refuse(item, {"this is not a SHA-256", "64 hexadecimal digits", describe_value(item), ""});
  for (char& c : digest) c = c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
  return digest;
}

void read_digests(PolicyContext& /*context*/, const Item& item, Command& out) {
  if (!item.is(json::Kind::array)) {
    out.sha256.push_back(read_digest(item));
    return;
  }
  for (const Item& element : elements(item, 1)) out.sha256.push_back(read_digest(element));
}

void read_effects(PolicyContext& /*context*/, const Item& item, Command& out) {
  for (const Item& member : members(item)) {
    bool known = false;
    for (const std::string_view name : kEffectNames) known = known || name == member.key();
    if (!known) refuse_unknown(member, "effect", member.key(), kEffectNames, At::key);
    out.effects.emplace(std::string(member.key()), read_strings(member, 0));
  }
}

void nothing(PolicyContext& /*context*/, const Item& /*item*/, Command& /*out*/) {}  // LocalNames reads it before

constexpr std::array<Field<Command, PolicyContext>, 9> kCommandFields{{
    {"path", read_path},
    {"trust", [](PolicyContext&, const Item& v, Command& out) { out.trust = read_enum<Trust>(v, kTrustNames); }},
    {"sha256", read_digests},
    {"exec_by", [](PolicyContext&, const Item& v, Command& out) { out.exec_by = read_enum<ExecBy>(v, kExecByNames); }},
    {"description", [](PolicyContext&, const Item& v, Command& out) { out.node.description = read_string(v); }},
    {"effects", read_effects},
    {"traditional_options",
     [](PolicyContext&, const Item& v, Command& out) { out.node.traditional_options = read_bool(v); }},
    {"types", nothing},
    {"option_sets", nothing},
}};

// The command's own types and option sets: names of the policy for as long as the command is read.
class LocalNames {
 public:
  LocalNames(PolicyContext& context, const Item& command) : context_(context) {
    add(Named::type, command.member("types"));
    add(Named::option_set, command.member("option_sets"));
    // Read even if nothing uses them: an error in one is an error.
    for (const auto& [kind, definition] : added_) {
      if (kind == Named::type) {
        static_cast<void>(define_type(context_, definition));
      } else {
        define_option_set(context_, definition);
      }
    }
  }
  ~LocalNames() {
    for (const auto& [kind, definition] : added_) {
      context_.names[static_cast<std::size_t>(kind)].erase(definition.key());
      context_.types.erase(kind == Named::type ? definition.key() : std::string_view());
      context_.option_sets.erase(kind == Named::option_set ? definition.key() : std::string_view());
    }
  }
  LocalNames(const LocalNames&) = delete;
  LocalNames& operator=(const LocalNames&) = delete;

 private:
  void add(Named kind, const std::optional<Item>& named) {
    if (!named) return;
    for (const Item& definition : members(*named)) {
      const bool fits = is_command_name(definition.key());
      if (fits && context_.names[static_cast<std::size_t>(kind)].emplace(definition.key(), definition).second) {
        added_.emplace_back(kind, definition);
        continue;
      }
      refuse(definition,
             {fits ? "the policy has this name already" : "this is not the name of a type or option set",
              fits ? "a name that only this command has" : "[A-Za-z0-9_][A-Za-z0-9._+-]{0,63}",
              "\"" + std::string(definition.key()) + "\"", ""},
             At::key);
    }
  }

  PolicyContext& context_;
  std::vector<std::pair<Named, Item>> added_;
};

void name_reason(Node& node, const Scope& above) {
  if (node.decision == Verdict::allow) return;
  const auto named = above.hints.find(node.name);
  if (named != above.hints.end()) node.reason = named->second->reason;
  for (const Hint& hint : node.hints) {
    if (hint.token == node.name) node.reason = hint.reason;
  }
}

void read_subcommands(PolicyContext& context, const Item& item, Node& node, const Scope& scope);

// What an operand means for the command inside, where there is one.
void check_roles(const Item& item, const Node& node) {
  const Type* rest = rest_type(node);
  const bool wraps = rest != nullptr && rest->language == Language::command;
  for (std::size_t i = 0; node.operands && i < node.operands->size(); ++i) {
    if (wraps || (*node.operands)[i].as == WrapperRole::none) continue;
    refuse(*elements(*item.member("operands"))[i].member("as"),
           {"this means something only to a command that is wrapped", "a last operand of the language \"command\"",
            "none", ""},
           At::key);
  }
}

// Only with find's syntax does the grammar know where an expression begins.
void check_expression(const Item& item, const Node& node, SyntaxName syntax) {
  const Type* rest = rest_type(node);
  if (rest == nullptr || rest->language != Language::find || syntax == SyntaxName::find) return;
  refuse(elements(*item.member("operands")).back(),
         {"an expression of find needs find's syntax", "\"syntax\": \"find\"", "another syntax", ""});
}

// An expression has no "--": a line that holds one could not be read back, so no request would ever be allowed.
void check_no_separator(const Item& item, const Node& node, std::string_view syntax) {
  std::optional<Item> at;
  if (node.end_of_options.value_or(false)) at = item.member("end_of_options");
  for (std::size_t i = 0; node.operands && i < node.operands->size(); ++i) {
    if ((*node.operands)[i].separator) at = elements(*item.member("operands"))[i];
  }
  if (!at) return;
  refuse(*at, {std::string(syntax) + " has no \"--\"", "no \"--\" with \"syntax\": \"" + std::string(syntax) + "\"",
               describe_value(*at), ""});
}

// Where no word is read there is nothing to list, and nothing that could be switched on or off.
void check_raw(const Item& item) {
  for (const std::string_view key :
       {"options", "use", "inject", "subcommands", "permute", "end_of_options", "spelling", "short_equals",
        "traditional_options", "negative_numbers"}) {
    const std::optional<Item> at = item.member(key);
    if (!at) continue;
    refuse(*at,
           {"\"" + std::string(key) + "\" makes no sense here", "\"operands\" alone with \"syntax\": \"raw\"",
            describe_value(*at), ""},
           At::key);
  }
}

// What needs the whole node; then what is below it.
void finish_node(PolicyContext& context, const Item& item, Node& node, const Scope& above) {
  node.place = item.place();
  const SyntaxName syntax = node.syntax.value_or(above.syntax);
  const std::vector<std::string> unsafe_env = node.unsafe_env.value_or(above.unsafe_env);
  check_env(context, node.env, unsafe_env);
  check_options(context, item, node, above.persistent, syntax);
  if (syntax == SyntaxName::find) check_no_separator(item, node, "find");
  if (syntax == SyntaxName::raw) {
    check_no_separator(item, node, "raw");
    check_raw(item);
  }
  check_expression(item, node, syntax);
  check_roles(item, node);
  name_reason(node, above);
  const std::optional<Item> subcommands = item.member("subcommands");
  if (!subcommands) {
    const std::optional<Item> key = item.member("subcommand");
    if (key) refuse(*key, {"\"subcommand\" makes no sense here", "\"subcommands\" beside it", "none", ""}, At::key);
    return;
  }
  Scope below{syntax, above.persistent, unsafe_env, {}};
  for (const Option& option : node.options) {
    if (option.persistent) below.persistent.push_back(&option);
  }
  for (const Hint& hint : node.hints) below.hints.emplace(hint.token, &hint);
  read_subcommands(context, *subcommands, node, below);
}

void check_subcommand_name(const Item& item, std::string_view name, At at) {
  const bool control = std::any_of(name.begin(), name.end(), [](char c) { return c > '\0' && c <= ' '; });
  const bool variable = name.find("${") != std::string_view::npos;
  if (!name.empty() && name[0] != '-' && !control && !variable) return;
  refuse(item,
         {"this cannot be a subcommand", "a word that does not begin with \"-\"", "\"" + std::string(name) + "\"", ""},
         at);
}

void read_subcommands(PolicyContext& context, const Item& item, Node& node, const Scope& scope) {
  std::unordered_set<std::string> names;
  for (const Item& member : members(item)) names.insert(std::string(member.key()));
  for (const Item& member : members(item)) {
    check_subcommand_name(member, member.key(), At::key);
    Node child;
    child.name = member.key();
    for (const Item& value : members(member)) {
      if (read_field(context, value, child, kNodeFields) || read_field(context, value, child, kSubcommandFields))
        continue;
      std::vector<std::string_view> known;
      append_keys(known, kNodeFields);
      append_keys(known, kSubcommandFields);
      refuse_unknown(value, "key", value.key(), known, At::key);
    }
    for (std::size_t i = 0; i < child.aliases.size(); ++i) {
      const Item alias = elements(*member.member("aliases"))[i];
      check_subcommand_name(alias, child.aliases[i], At::value);
      if (names.insert(child.aliases[i]).second) continue;
      refuse(alias, {"another subcommand has this name", "each name and alias once", describe_value(alias), ""});
    }
    finish_node(context, member, child, scope);
    node.subcommands.push_back(std::move(child));
  }
}

}  // namespace

Command read_command(PolicyContext& context, const Item& item, std::string_view name,
                     const std::shared_ptr<const Defaults>& defaults) {
  Command command;
  command.node.name = name;
  command.defaults = defaults;
  const LocalNames local(context, item);
  const bool file = item.node->parent == json::kNone;  // commands/NAME.json
  for (const Item& value : members(item)) {
    if (file && value.key() == "$schema") continue;
    if (read_field(context, value, command, kCommandFields)) continue;
    if (read_field(context, value, command.node, kNodeFields)) continue;
    std::vector<std::string_view> known;
    append_keys(known, kCommandFields);
    append_keys(known, kNodeFields);
    refuse_unknown(value, "key", value.key(), known, At::key);
  }
  if (command.paths.empty()) refuse(item, {"\"path\" is missing", "\"path\": \"/dir/program\"", "no \"path\"", ""});
  Scope scope;
  scope.unsafe_env = defaults->unsafe_env.value_or(std::vector<std::string>());
  finish_node(context, item, command.node, scope);
  return command;
}

}  // namespace safe_exec
