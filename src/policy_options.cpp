// Owns the reading of options and option sets, and what makes a set of names unambiguous (POLICY.md sections 3 and
// 6). Never reads tokens of a request (grammar).
#include <algorithm>
#include <array>
#include <utility>

#include "inline_text.h"
#include "policy_loader.h"

namespace safe_exec {
namespace {

constexpr std::array<Name, 2> kSpellingNames{"joined", "separate"};
constexpr std::int64_t kMaxRepeats = kMaxTokens;

bool is_alphanumeric(char c) noexcept {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool is_long(std::string_view name) {
  return name.starts_with("--");
}
bool is_short(std::string_view name) {
  return name.size() == 2;
}

// "--long", "-x" or "-word" (find). A short option is any visible ASCII character but "-" and "=".
bool is_option_name(std::string_view name) {
  if (name.size() < 2 || name[0] != '-') return false;
  if (is_short(name)) return name[1] > ' ' && name[1] < 0x7F && name[1] != '-' && name[1] != '=';
  const std::string_view word = name.substr(is_long(name) ? 2 : 1);
  if (!is_alphanumeric(word[0])) return false;
  return std::all_of(word.begin(), word.end(), [](char c) {
    return is_alphanumeric(c) || c == '-' || c == '_' || c == '.' || c == '+' || c == ':';
  });
}

void check_name(const Item& item, std::string_view name, At at) {
  if (is_option_name(name)) return;
  refuse(item, {"this is not the name of an option", "\"--name\" or \"-x\"", "\"" + std::string(name) + "\"", ""}, at);
}

using OptionField = Field<Option, PolicyContext>;

template <bool Option::*kMember>
constexpr void (*flag())(PolicyContext&, const Item&, Option&) {
  return [](PolicyContext&, const Item& value, Option& out) { out.*kMember = read_bool(value); };
}

constexpr std::array<OptionField, 15> kOptionFields{{
    {"aliases",
     [](PolicyContext&, const Item& value, Option& out) {
       for (const Item& alias : elements(value, 1)) {
         out.aliases.push_back(read_string(alias));
         check_name(alias, out.aliases.back(), At::value);
       }
     }},
    {"value",
     [](PolicyContext& c, const Item& value, Option& out) {
       if (!out.values.empty())
         refuse(value, {"\"value\" and \"values\" exclude each other", "one of them", "both", ""}, At::key);
       out.values.push_back(read_single_type(c, value));
     }},
    {"values",
     [](PolicyContext& c, const Item& value, Option& out) {
       if (!out.values.empty())
         refuse(value, {"\"value\" and \"values\" exclude each other", "one of them", "both", ""}, At::key);
       for (const Item& type : elements(value, 2)) out.values.push_back(read_single_type(c, type));
     }},
    {"optional", flag<&Option::optional>()},
    {"separate", flag<&Option::separate>()},
    {"spelling",
     [](PolicyContext&, const Item& value, Option& out) { out.spelling = read_enum<Spelling>(value, kSpellingNames); }},
    {"dash_value", flag<&Option::dash_value>()},
    {"dash", flag<&Option::dash>()},
    {"numeric", flag<&Option::numeric>()},
    {"max", [](PolicyContext&, const Item& value,
               Option& out) { out.max = static_cast<std::uint32_t>(read_integer(value, 1, kMaxRepeats)); }},
    {"required", flag<&Option::required>()},
    {"terminal", flag<&Option::terminal>()},
    {"persistent", flag<&Option::persistent>()},
    {"always",
     [](PolicyContext&, const Item& value, Option& out) {
       out.always = read_bool(value);
       if (!out.always) refuse(value, {"this key says nothing when it is false", "true", "false", ""});
     }},
    {"chdir", flag<&Option::chdir>()},
}};

// Combinations that make no sense.
void check_combination(const Item& item, const Option& option) {
  const bool flag = option.values.empty();
  const bool single = option.values.size() == 1;
  const Type* type = single ? option.values[0].get() : nullptr;
  const bool separate = option.spelling == Spelling::separate;
  const bool joined = option.spelling == Spelling::joined;
  const bool counts = type != nullptr && (type->kind == Type::Kind::integer || type->kind == Type::Kind::regex);
  struct Rule {
    std::string_view key;
    bool broken;
    std::string_view needs;
  };
  const bool last_words = option.always || option.chdir || option.required;
  const std::array<Rule, 14> rules{{
      {"optional", option.optional && !single, "one \"value\""},
      {"separate", option.separate && !option.optional, "\"optional\": true"},
      {"dash_value", option.dash_value && flag, "a \"value\""},
      {"dash", option.dash && (type == nullptr || type->kind != Type::Kind::path), "a \"value\" of a path type"},
      {"spelling", option.spelling.has_value() && flag, "a \"value\""},
      {"spelling", joined && option.values.size() > 1, "one \"value\", because several are always separate tokens"},
      {"spelling", separate && option.optional && !option.separate,
       "\"separate\": true, or a value that is not optional"},
      {"numeric", option.numeric && (!counts || option.optional),
       "a \"value\" of type int or regex that is not optional"},
      {"terminal", option.terminal && last_words, "no \"always\", \"chdir\" or \"required\""},
      {"always", option.always && (option.chdir || option.required || option.optional || option.numeric),
       "no \"chdir\", \"required\", \"optional\" or \"numeric\""},
      {"always", option.always && !flag && (type == nullptr || type->kind != Type::Kind::literal),
       "no value, or a literal one"},
      {"chdir", option.chdir && (type == nullptr || type->kind != Type::Kind::path), "a \"value\" of a path type"},
      {"chdir", option.chdir && type != nullptr && type->path.kind == PathKind::file, "a path type for directories"},
      {"chdir", option.chdir && (option.optional || option.persistent), "no \"optional\" and no \"persistent\""},
  }};
  for (const Rule& rule : rules) {
    if (!rule.broken) continue;
    const std::optional<Item> at = item.member(rule.key);
    refuse(at.value_or(item),
           {"\"" + std::string(rule.key) + "\" makes no sense here", std::string(rule.needs),
            "option " + std::string(item.key()), ""},
           At::key);
  }
}

Option read_option(PolicyContext& context, const Item& item) {
  Option option;
  option.name = item.key();
  option.place = item.place();
  check_name(item, option.name, At::key);
  read_members(context, item, option, kOptionFields);
  check_combination(item, option);
  return option;
}

// Everything that a name can mean at one node.
class NameTable {
 public:
  NameTable(const PolicyContext& context, const std::vector<const Option*>& persistent, SyntaxName syntax)
      : context_(context), find_(syntax == SyntaxName::find) {
    for (const Option* option : persistent) add(*option);
  }

  void add(const Option& option) {
    if (option.numeric && std::exchange(has_numeric_, true)) {
      refuse(context_.item(option.place),
             {"two options are numeric", "one \"numeric\" option at a node", option.name, ""}, At::key);
    }
    insert(option, option.name);
    for (const std::string& alias : option.aliases) insert(option, alias);
  }

  [[nodiscard]] const Option* find(std::string_view name) const {
    const auto known = names_.find(name);
    return known == names_.end() ? nullptr : known->second;
  }

  // Rule 3: "-word" is a name only where nothing reads letter by letter; "-5" only where no option is numeric.
  void check_readings() const {
    const Option* first = nullptr;  // in the file
    std::string_view first_name;
    for (const auto& [name, option] : names_) {
      const bool digits = has_numeric_ && name[1] >= '0' && name[1] <= '9';
      const bool word = !find_ && !is_long(name) && !is_short(name);
      if (!digits && !word) continue;
      if (first != nullptr && !precedes(*option, *first)) continue;
      first = option;
      first_name = name;
    }
    if (first == nullptr) return;
    const bool word = !is_short(first_name);
    const std::string why = !word                    ? "the numeric option reads it as a number"
                            : is_cluster(first_name) ? "it reads as a cluster of one-letter options too"
                                                     : "a single dash is read letter by letter";
    refuse(context_.item(first->place),
           {"this name has a second reading: " + why,
            word ? "\"--name\" or \"-x\" (\"-name\" only with \"syntax\": \"find\")"
                 : "no name that is a digit beside a numeric option",
            "\"" + std::string(first_name) + "\"", ""},
           At::key);
  }

  // What is always emitted stands first, so a caller's counterpart behind it would undo it.
  void check_always(const Option& option) const {
    if (!option.always) return;
    const Option* undoes = counterpart(option.name);
    for (const std::string& alias : option.aliases) undoes = undoes == nullptr ? counterpart(alias) : undoes;
    if (undoes == nullptr) return;
    const Item item = context_.item(option.place);
    refuse(item.member("always").value_or(item),
           {"the listed option " + undoes->name + " undoes what is always emitted", "no counterpart among the options",
            option.name, ""},
           At::key);
  }

  void check_inject(const Item& token) const {
    const std::string_view text = token.node->text;
    if (text.size() < 2 || text[0] != '-') return;
    const std::string_view name = is_long(text) ? text.substr(0, text.find('=')) : text;
    std::string why;
    if (text == "--")
      why = "\"--\" would end the options";
    else if (find(name) != nullptr)
      why = "it is a listed option";
    else if (counterpart(name) != nullptr)
      why = "it is the counterpart of the listed option " + counterpart(name)->name;
    else if (glues(text))
      why = letter(text[1]) == nullptr ? "the numeric option reads it as a number"
                                       : "it begins with the listed option " + std::string(text.substr(0, 2));
    if (why.empty()) return;
    refuse(token, {"this cannot be injected: " + why,
                   "an option that callers cannot give (or \"always\" on the option)", describe_value(token), ""});
  }

  void canonical(const Item& slot, std::string_view key, std::vector<std::string>& names) const {
    if (names.empty()) return;
    const std::vector<Item> items = elements(*slot.member(key));
    for (std::size_t i = 0; i < names.size(); ++i) {
      const Option* option = find(names[i]);
      if (option == nullptr) {
        std::vector<std::string_view> known;
        for (const auto& [name, unused] : names_) known.push_back(name);
        std::sort(known.begin(), known.end());
        refuse_unknown(items[i], "option", names[i], known, At::value);
      }
      names[i] = option->name;
    }
  }

 private:
  void insert(const Option& option, std::string_view name) {
    const auto [known, inserted] = names_.emplace(name, &option);
    if (inserted) return;
    const std::string owner = known->second == &option ? "this option itself" : "option " + known->second->name;
    refuse(context_.item(option.place),
           {"the name \"" + std::string(name) + "\" is taken by " + owner,
            "each name and alias once at a node, persistent options from above included",
            "\"" + std::string(name) + "\"", ""},
           At::key);
  }

  static bool precedes(const Option& a, const Option& b) {
    return std::pair(a.place.source, a.place.node) < std::pair(b.place.source, b.place.node);
  }

  [[nodiscard]] const Option* letter(char c) const {
    const std::array<char, 2> name{'-', c};
    return find(std::string_view(name.data(), name.size()));
  }

  [[nodiscard]] bool is_cluster(std::string_view name) const {
    for (const char c : name.substr(1)) {
      const Option* option = letter(c);
      if (option == nullptr) return false;
      if (!option->values.empty()) return true;  // takes the rest
    }
    return true;
  }

  [[nodiscard]] bool glues(std::string_view text) const {
    if (find_ || is_long(text)) return false;
    return letter(text[1]) != nullptr || (has_numeric_ && text[1] >= '0' && text[1] <= '9');
  }

  [[nodiscard]] const Option* counterpart(std::string_view name) const {
    if (name.starts_with("--no-")) return find("--" + std::string(name.substr(5)));
    return is_long(name) ? find("--no-" + std::string(name.substr(2))) : nullptr;
  }

  const PolicyContext& context_;
  bool find_ = false;
  bool has_numeric_ = false;
  std::unordered_map<std::string_view, const Option*> names_;
};

}  // namespace

void read_options(PolicyContext& context, const Item& item, std::vector<Option>& out) {
  for (const Item& option : members(item)) out.push_back(read_option(context, option));
}

void define_option_set(PolicyContext& context, const Item& item) {
  if (!context.is_current(Named::option_set, item)) {
    std::vector<Option> overridden;
    read_options(context, item, overridden);  // for its errors only
    return;
  }
  if (context.option_sets.contains(item.key())) return;
  std::vector<Option> options;
  read_options(context, item, options);
  context.option_sets.emplace(item.key(), std::move(options));
}

void use_option_sets(PolicyContext& context, const Item& item, std::vector<Option>& out) {
  const std::vector<std::string> names = read_strings(item, 1);
  refuse_repeats(item, names);
  for (const Item& element : elements(item)) {
    const Item* definition = context.find(Named::option_set, element.node->text);
    if (definition == nullptr) {
      refuse_unknown(element, "option set", element.node->text, context.known(Named::option_set), At::value);
    }
    define_option_set(context, *definition);
    const std::vector<Option>& options = context.option_sets.at(definition->key());
    out.insert(out.end(), options.begin(), options.end());
  }
}

void check_options(const PolicyContext& context, const Item& item, Node& node,
                   const std::vector<const Option*>& persistent, SyntaxName syntax) {
  NameTable names(context, persistent, syntax);
  for (const Option& option : node.options) names.add(option);
  names.check_readings();
  for (const Option* option : persistent) names.check_always(*option);
  for (const Option& option : node.options) names.check_always(option);
  if (const std::optional<Item> inject = item.member("inject")) {
    for (const Item& token : elements(*inject)) names.check_inject(token);
  }
  if (!node.operands) return;
  const std::vector<Item> slots = elements(*item.member("operands"));
  for (std::size_t i = 0; i < slots.size(); ++i) {
    Slot& slot = (*node.operands)[i];
    if (slot.separator) continue;
    names.canonical(slots[i], "requires", slot.requires_options);
    names.canonical(slots[i], "excludes", slot.excludes);
    names.canonical(slots[i], "replaced_by", slot.replaced_by);
  }
}

}  // namespace safe_exec
