// Owns the reading of types, variables and roots. Never decides whether a token is of a type (value.h).
#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

#include "inline_text.h"
#include "language.h"
#include "pattern.h"
#include "policy_loader.h"

namespace safe_exec {
namespace {

constexpr std::array<Name, 5> kAccessNames{"stat", "read", "write", "create", "replace"};
constexpr std::array<Name, 3> kKindNames{"file", "dir", "any"};
constexpr std::array<Name, 9> kLanguageNames{"pathspec",    "git-rev",       "find",     "sed-print", "jq",
                                             "go-template", "journal-match", "sql-read", "command"};
constexpr std::string_view kStartDir = "start_dir";
constexpr std::int64_t kMaxInteger = std::int64_t{1} << 53;
constexpr std::int64_t kDefaultListMax = 100;

std::string read_pattern(PolicyContext& context, const Item& item) {
  std::string pattern = read_non_empty(item);
  if (pattern.size() > kMaxPattern) {
    refuse(item, {"this pattern is too long", "at most 4096 bytes", std::to_string(pattern.size()) + " bytes", ""});
  }
  if (!context.everything) return pattern;  // compiled when it is first needed
  if (std::string problem = pattern_problem(pattern); !problem.empty()) {
    refuse(item, {"this pattern does not compile: " + problem, "an RE2 pattern", describe_value(item), ""});
  }
  return pattern;
}

bool is_dot_component(std::string_view component) {
  return component == "." || component == "..";
}

// a/b/c: no empty component, no "." and no "..".
bool is_plain_path(std::string_view path) {
  while (true) {
    const std::size_t slash = path.find('/');
    const std::string_view component = path.substr(0, slash);
    if (component.empty() || is_dot_component(component)) return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

// Takes "${name}" or "${name}/" off the front of text; variable stays empty when there is none.
std::string_view take_variable(PolicyContext& context, const Item& item, std::string_view text, std::string& variable) {
  if (!text.starts_with("${")) {
    if (text.find("${") == std::string_view::npos) return text;
    refuse(item, {"a variable expands only as the first component", "\"${name}/…\"", describe_value(item), ""});
  }
  const std::size_t end = text.find('}');
  const std::string_view name = text.substr(2, end == std::string_view::npos ? end : end - 2);
  const std::string_view rest = end == std::string_view::npos ? "" : text.substr(end + 1);
  const bool component = end != std::string_view::npos && (rest.empty() || (rest.size() > 1 && rest[0] == '/'));
  if (!component || !is_identifier(name) || rest.find("${") != std::string_view::npos) {
    refuse(item,
           {"this is not a variable as the first component", "\"${name}\" or \"${name}/…\"", describe_value(item), ""});
  }
  if (name != kStartDir && context.find(Named::variable, name) == nullptr) {
    std::vector<std::string_view> known = context.known(Named::variable);
    known.push_back(kStartDir);
    refuse_unknown(item, "variable", name, known, At::value);
  }
  variable = name;
  return rest.empty() ? rest : rest.substr(1);
}

void refuse_path(const Item& item, std::string_view expected) {
  refuse(item, {"this is not an absolute path of plain components", std::string(expected), describe_value(item), ""});
}

void only_with(const Item& item, std::string_view key, std::string_view owner) {
  const std::optional<Item> extra = item.member(key);
  if (!extra) return;
  refuse(*extra,
         {"\"" + std::string(key) + "\" belongs to " + std::string(owner) + " types", "no such key",
          "\"" + std::string(key) + "\"", ""},
         At::key);
}

void read_path_type(PolicyContext& /*context*/, const Item& item, Type& type) {
  PathType& path = type.path;
  path.access = read_enum<PathAccess>(item, kAccessNames);
  const bool looks = path.access == PathAccess::stat || path.access == PathAccess::read;
  path.kind = looks ? PathKind::any : PathKind::file;
  path.missing = looks || path.access == PathAccess::create || path.access == PathAccess::replace;
  type.kind = Type::Kind::path;
}

void read_list_type(PolicyContext& context, const Item& item, Type& type) {
  type.kind = Type::Kind::list;
  type.text = ",";
  type.max = kDefaultListMax;
  static constexpr std::array<Field<Type, PolicyContext>, 3> kFields{{
      {"of",
       [](PolicyContext& c, const Item& value, Type& out) {
         out.of = read_single_type(c, value);
         if (out.of->kind != Type::Kind::list && out.of->kind != Type::Kind::language) return;
         refuse(value, {"a list cannot hold this type", "a type of one plain token", describe_value(value), ""});
       }},
      {"sep", [](PolicyContext&, const Item& value, Type& out) { out.text = read_non_empty(value); }},
      {"max", [](PolicyContext&, const Item& value, Type& out) { out.max = read_integer(value, 1, kMaxTokens); }},
  }};
  read_members(context, item, type, kFields);
  if (!type.of) refuse(item, {"\"of\" is missing", "\"of\": TYPE", "no \"of\"", ""});
}

bool is_scheme(std::string_view text) {
  return !text.empty() && text[0] >= 'a' && text[0] <= 'z' &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789+.-") == std::string_view::npos;
}

bool is_host_pattern(std::string_view text) {
  if (text.starts_with("*.")) text.remove_prefix(2);
  return !text.empty() && text.find_first_of("*/@?# ") == std::string_view::npos;
}

std::vector<std::string> read_checked(const Item& item, bool (*accepts)(std::string_view), std::string_view expected) {
  std::vector<std::string> out;
  for (const Item& element : elements(item, 1)) {
    out.push_back(read_string(element));
    if (!accepts(out.back())) {
      refuse(element, {"this is not " + std::string(expected), std::string(expected), describe_value(element), ""});
    }
  }
  refuse_repeats(item, out);
  return out;
}

void read_url_type(PolicyContext& context, const Item& item, Type& type) {
  type.kind = Type::Kind::url;
  static constexpr std::array<Field<UrlType, PolicyContext>, 4> kFields{{
      {"schemes", [](PolicyContext&, const Item& value,
                     UrlType& out) { out.schemes = read_checked(value, is_scheme, "a lower-case URL scheme"); }},
      {"hosts",
       [](PolicyContext&, const Item& value, UrlType& out) {
         out.hosts = read_checked(value, is_host_pattern, "a host name or \"*.\" and a host name");
       }},
      {"ports",
       [](PolicyContext&, const Item& value, UrlType& out) {
         for (const Item& port : elements(value, 1)) out.ports.push_back(read_integer(port, 1, 65535));
       }},
      {"path", [](PolicyContext& c, const Item& value, UrlType& out) { out.path = read_pattern(c, value); }},
  }};
  read_members(context, item, type.url, kFields);
  if (type.url.schemes.empty())
    refuse(item, {"\"schemes\" is missing", "\"schemes\": [\"https\"]", "no \"schemes\"", ""});
  if (type.url.hosts.empty()) refuse(item, {"\"hosts\" is missing", "\"hosts\": [HOST, …]", "no \"hosts\"", ""});
}

void read_enum_type(PolicyContext&, const Item& item, Type& type) {
  type.kind = Type::Kind::enumeration;
  for (const Item& element : elements(item, 1)) type.choices.push_back(read_non_empty(element));
  refuse_repeats(item, type.choices);
}

void read_true(const Item& item) {
  if (!read_bool(item)) refuse(item, {"this key says nothing when it is false", "true", "false", ""});
}

using TypeField = Field<Type, PolicyContext>;

// The key that says which type it is.
constexpr std::array<TypeField, 11> kTypeKinds{{
    {"literal", [](PolicyContext&, const Item& value, Type& out) { out.text = read_string(value); }},
    {"enum", read_enum_type},
    {"int",
     [](PolicyContext&, const Item& value, Type& out) {
       out.kind = Type::Kind::integer;
       std::tie(out.low, out.high) = read_range(value, 0, kMaxInteger);
     }},
    {"regex",
     [](PolicyContext& c, const Item& value, Type& out) {
       out.kind = Type::Kind::regex;
       out.text = read_pattern(c, value);
     }},
    {"text",
     [](PolicyContext&, const Item& value, Type& out) {
       out.kind = Type::Kind::text;
       std::tie(out.low, out.high) = read_range(value, 0, kMaxArgument);
     }},
    {"path", read_path_type},
    {"list", read_list_type},
    {"url", read_url_type},
    {"host",
     [](PolicyContext&, const Item& value, Type& out) {
       read_true(value);
       out.kind = Type::Kind::host;
     }},
    {"port",
     [](PolicyContext&, const Item& value, Type& out) {
       read_true(value);
       out.kind = Type::Kind::port;
       out.low = 1;
       out.high = 65535;
     }},
    {"language",
     [](PolicyContext&, const Item& value, Type& out) {
       out.kind = Type::Kind::language;
       out.language = read_enum<Language>(value, kLanguageNames);
     }},
}};

constexpr std::array<TypeField, 7> kTypeDetails{{
    {"max_len",
     [](PolicyContext&, const Item& value, Type& out) { out.max_len = read_integer(value, 1, kMaxArgument); }},
    {"multiline", [](PolicyContext&, const Item& value, Type& out) { out.multiline = read_bool(value); }},
    {"kind",
     [](PolicyContext&, const Item& value, Type& out) { out.path.kind = read_enum<PathKind>(value, kKindNames); }},
    {"within", [](PolicyContext& c, const Item& value, Type& out) { out.path.within = read_roots(c, value, 1); }},
    {"match", [](PolicyContext& c, const Item& value, Type& out) { out.path.match = read_pattern(c, value); }},
    {"missing", [](PolicyContext&, const Item& value, Type& out) { out.path.missing = read_bool(value); }},
    {"rest", [](PolicyContext&, const Item& value, Type& out) { out.rest = read_bool(value); }},
}};

void check_type_details(const Item& item, const Type& type) {
  const bool path = type.kind == Type::Kind::path;
  const bool language = type.kind == Type::Kind::language;
  const bool spec = language && type.language == Language::pathspec;
  if (type.kind != Type::Kind::regex) only_with(item, "max_len", "regex");
  if (type.kind != Type::Kind::text) only_with(item, "multiline", "text");
  if (type.kind != Type::Kind::language) only_with(item, "rest", "language");
  if (!path) {
    for (const std::string_view key : {"kind", "match", "missing"}) only_with(item, key, "path");
  }
  if (!path && !(language && holds_paths(type.language))) only_with(item, "within", "path, pathspec and find");
  if (language && takes_many_words(type.language) && !type.rest) {
    refuse(item,
           {"\"rest\" is missing: this language reads all words that remain", "\"rest\": true", "no \"rest\"", ""});
  }
  if ((path || spec) && type.path.within.empty()) {
    refuse(item, {"\"within\" is missing", "\"within\": [ROOT, …]", "no \"within\"", ""});
  }
  if (path && type.path.access != PathAccess::stat && type.path.access != PathAccess::read &&
      type.path.kind == PathKind::any) {
    refuse(*item.member("kind"),
           {"what is written must be a file or a directory", "\"file\" or \"dir\"", "\"any\"", ""});
  }
}

TypeRef decode_type(PolicyContext& context, const Item& item, std::string_view name) {
  auto type = std::make_shared<Type>();
  type->name = name;
  type->place = item.place();
  std::vector<std::string_view> known;
  append_keys(known, kTypeKinds);
  // The deciding key first, because it sets what the others default to.
  std::string_view decided;
  for (const Item& value : members(item)) {
    const bool decides =
        std::any_of(known.begin(), known.end(), [&](std::string_view key) { return key == value.key(); });
    if (!decides) continue;
    if (!decided.empty()) {
      refuse(value,
             {"a type is one thing", "only \"" + std::string(decided) + "\"",
              "\"" + std::string(value.key()) + "\" too", ""},
             At::key);
    }
    decided = value.key();
    read_field(context, value, *type, kTypeKinds);
  }
  for (const Item& value : members(item)) {
    if (value.key() == decided || read_field(context, value, *type, kTypeDetails)) continue;
    append_keys(known, kTypeDetails);
    refuse_unknown(value, "key", value.key(), known, At::key);
  }
  if (decided.empty()) refuse(item, {"this is not a type", "one of " + join_names(known), describe_value(item), ""});
  check_type_details(item, *type);
  return type;
}

}  // namespace

bool is_identifier(std::string_view text) noexcept {
  const auto fits = [](char c, bool first) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || (!first && c >= '0' && c <= '9');
  };
  if (text.empty()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!fits(text[i], i == 0)) return false;
  }
  return true;
}

void refuse_repeats(const Item& array, const std::vector<std::string>& values) {
  std::unordered_set<std::string_view> seen;
  const std::vector<Item> items = elements(array);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (seen.insert(values[i]).second) continue;
    refuse(items[i], {"this stands in the list twice", "each element once", describe_value(items[i]), ""});
  }
}

std::string read_absolute_path(const Item& item) {
  std::string path = read_string(item);
  if (path.size() < 2 || path[0] != '/' || !is_plain_path(std::string_view(path).substr(1))) {
    refuse_path(item, "\"/dir/name\", without \".\", \"..\" and empty components");
  }
  return path;
}

Root read_root(PolicyContext& context, const Item& item) {
  expect_kind(item, json::Kind::string);
  Root root;
  root.place = item.place();
  const std::string_view rest = take_variable(context, item, item.node->text, root.variable);
  constexpr std::string_view kExpected = "\"/dir\", \"${name}\" or \"${name}/dir\"";
  if (root.variable.empty()) {
    const bool plain = rest == "/" || (rest.starts_with('/') && is_plain_path(rest.substr(1)));
    if (!plain) refuse_path(item, kExpected);
  } else if (!rest.empty() && !is_plain_path(rest)) {
    refuse_path(item, kExpected);
  }
  root.path = rest;
  return root;
}

std::vector<Root> read_roots(PolicyContext& context, const Item& item, std::size_t least) {
  std::vector<Root> roots;
  for (const Item& element : elements(item, least)) roots.push_back(read_root(context, element));
  return roots;
}

Root read_glob(PolicyContext& context, const Item& item) {
  expect_kind(item, json::Kind::string);
  Root root;
  root.place = item.place();
  root.path = take_variable(context, item, item.node->text, root.variable);
  std::string_view glob = root.path;
  if (root.variable.empty() && glob.starts_with('/')) glob.remove_prefix(1);
  const bool whole_variable = !root.variable.empty() && glob.empty();
  if (!whole_variable && !is_plain_path(glob)) {
    refuse(item, {"this is not a pattern for paths", "components without \".\" and \"..\", none empty",
                  describe_value(item), ""});
  }
  // As names they would protect nothing that their author meant: no file is called "*.{pem,key}" or "~".
  if (glob.find_first_of("{}[]\\") != std::string_view::npos || std::string_view(root.path).find_first_of("!~$") == 0) {
    refuse(item, {"only *, ? and ** have a meaning in a pattern for paths",
                  "a pattern without {} [] \\ and without ! ~ $ in front (? stands for any character)",
                  describe_value(item), ""});
  }
  return root;
}

TypeRef define_type(PolicyContext& context, const Item& item) {
  const std::string_view name = item.key();
  if (!context.is_current(Named::type, item)) return decode_type(context, item, name);
  if (const auto known = context.types.find(name); known != context.types.end()) {
    if (known->second) return known->second;
    refuse(item, {"this type contains itself", "a type that ends", "\"" + std::string(name) + "\"", ""}, At::key);
  }
  context.types.emplace(name, nullptr);
  TypeRef type = decode_type(context, item, name);
  context.types[name] = type;
  return type;
}

TypeRef read_type(PolicyContext& context, const Item& item) {
  if (item.is(json::Kind::object)) return decode_type(context, item, "");
  if (!item.is(json::Kind::string)) {
    refuse(item, {"this is not a type", "the name of a type, or an object that is one", describe_value(item), ""});
  }
  const std::string name = read_string(item);
  const Item* definition = context.find(Named::type, name);
  if (definition == nullptr) {
    refuse_unknown(item, "type", name, context.known(Named::type), At::value, R"(; or an object that is a type, as {"regex": "[a-z]+"})");
  }
  return define_type(context, *definition);
}

TypeRef read_single_type(PolicyContext& context, const Item& item) {
  TypeRef type = read_type(context, item);
  if (type->rest)
    refuse(item, {"only an operand can take all remaining tokens", "a type of one token", "\"rest\": true", ""});
  return type;
}

void read_variable(PolicyContext& context, const Item& item) {
  Variable variable;
  variable.name = item.key();
  variable.place = item.place();
  if (!is_identifier(variable.name) || variable.name == kStartDir) {
    refuse(item,
           {"this cannot be the name of a variable", "letters, digits and \"_\", not \"start_dir\"",
            "\"" + variable.name + "\"", ""},
           At::key);
  }
  static constexpr std::array<Name, 1> kDir{"dir"};
  static constexpr std::array<Field<Variable, PolicyContext>, 4> kFields{{
      {"type",
       [](PolicyContext&, const Item& value, Variable& out) { out.kind = read_enum<Variable::Kind>(value, kDir); }},
      {"default",
       [](PolicyContext& c, const Item& value, Variable& out) {
         static_cast<void>(read_root(c, value));
         out.default_value = value.node->text;
       }},
      {"settable", [](PolicyContext&, const Item& value, Variable& out) { out.settable = read_bool(value); }},
      {"within", [](PolicyContext& c, const Item& value, Variable& out) { out.within = read_roots(c, value, 1); }},
  }};
  read_members(context, item, variable, kFields);
  if (!item.member("type")) refuse(item, {"\"type\" is missing", "\"type\": \"dir\"", "no \"type\"", ""});
  if (variable.settable && variable.within.empty()) {
    refuse(item, {"a settable variable must say where it may lie", "\"within\": [ROOT, …]", "no \"within\"", ""});
  }
  if (!variable.settable && !variable.default_value) {
    refuse(item, {"this variable can never have a value", "\"default\", or \"settable\": true", "neither", ""});
  }
  if (context.is_current(Named::variable, item)) context.policy.variables.push_back(std::move(variable));
}

void check_variable_cycles(const PolicyContext& context) {
  std::unordered_map<std::string_view, std::string_view> next;  // a variable -> the one that its default begins with
  for (const Variable& variable : context.policy.variables) {
    const std::string_view text = variable.default_value ? std::string_view(*variable.default_value) : "";
    next[variable.name] = text.starts_with("${") ? text.substr(2, text.find('}') - 2) : "";
  }
  std::unordered_map<std::string_view, std::size_t> visited;  // by which walk
  std::size_t walk = 0;
  for (const Variable& variable : context.policy.variables) {
    ++walk;
    for (std::string_view name = variable.name; !name.empty() && name != kStartDir; name = next[name]) {
      const auto [seen, first] = visited.emplace(name, walk);
      if (first) continue;
      if (seen->second != walk) break;
      const Item* item = context.find(Named::variable, name);
      refuse(
          *item,
          {"this variable's default leads back to itself", "a default that ends", "\"" + std::string(name) + "\"", ""},
          At::key);
    }
  }
}

}  // namespace safe_exec
