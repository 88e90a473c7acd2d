// Owns the reading of what nodes and defaults share: environment, stdin, limits, sandbox. Never decides.
#include <algorithm>
#include <array>
#include <utility>

#include "inline_text.h"
#include "language.h"
#include "policy_loader.h"
#include "value.h"

namespace safe_exec {
namespace {

constexpr std::array<Name, 3> kRequirementNames{"require", "prefer", "off"};
constexpr std::array<Name, 3> kProcNames{"none", "own", "all"};
constexpr std::array<Name, 2> kTmpNames{"none", "private"};
constexpr std::array<Name, 2> kSyscallProfiles{"default", "jit"};
constexpr std::array<Name, 7> kBundleNames{"base", "nss", "dns", "tls", "tz", "term", "locale"};
constexpr std::int64_t kMaxLimit = 2147483647;   // what poll(2) and int can hold
constexpr std::int64_t kMaxCapture = 256 << 20;  // captured output is held in memory

void check_env_name(const Item& item, std::string_view name, At at) {
  if (!is_identifier(name)) {
    refuse(item, {"this is not the name of a variable", "[A-Za-z_][A-Za-z0-9_]*", "\"" + std::string(name) + "\"", ""},
           at);
  }
  if (name.starts_with("LD_")) {
    refuse(item,
           {"the dynamic loader's variables are never set", "a name that does not begin with \"LD_\"",
            "\"" + std::string(name) + "\"", ""},
           at);
  }
}

// Named like that because an enum cannot be iterated: the layers in the order of the model.
std::vector<std::string_view> layer_names() {
  std::vector<std::string_view> names;
  for (int i = 0; i < kLayerCount; ++i) names.push_back(layer_name(static_cast<Layer>(i)));
  return names;
}

bool is_indispensable(Layer layer) {
  switch (layer) {
    case Layer::no_new_privs:
    case Layer::capabilities:
    case Layer::descriptors:
    case Layer::environment:
    case Layer::tree_kill:
      return true;
    case Layer::landlock:
    case Layer::seccomp:
    case Layer::user_namespace:
    case Layer::pid_namespace:
    case Layer::mount_namespace:
    case Layer::ipc_namespace:
    case Layer::uts_namespace:
    case Layer::limits:
    case Layer::deny_paths:
      return false;
  }
  return true;
}

void read_layers(PolicyContext& /*context*/, const Item& item, Sandbox& out) {
  for (const Item& member : members(item)) {
    const std::optional<Layer> layer = layer_of(member.key());
    if (!layer) refuse_unknown(member, "layer", member.key(), layer_names(), At::key);
    const auto requirement = read_enum<Requirement>(member, kRequirementNames);
    if (requirement == Requirement::off && is_indispensable(*layer)) {
      refuse(member, {"this layer cannot be switched off", "\"require\" or \"prefer\"", "\"off\"", ""});
    }
    out.layers[*layer] = requirement;
  }
}

void read_exec(PolicyContext& context, const Item& item, Sandbox& out) {
  std::vector<Root> roots;
  for (const Item& element : elements(item)) {
    if (element.is(json::Kind::string) && element.node->text == "self")
      out.exec_self = true;
    else
      roots.push_back(read_root(context, element));
  }
  out.exec = std::move(roots);
}

void read_network(PolicyContext& context, const Item& item, Sandbox& out) {
  static constexpr std::array<Name, 4> kNames{"none", "connect_tcp", "loopback", "host"};
  Network network;
  if (item.is(json::Kind::object)) {
    static constexpr std::array<Field<Network, PolicyContext>, 1> kFields{{
        {"connect_tcp",
         [](PolicyContext&, const Item& value, Network& n) {
           n.kind = Network::Kind::connect_tcp;
           for (const Item& port : elements(value, 1)) n.ports.push_back(read_integer(port, 1, 65535));
         }},
    }};
    read_members(context, item, network, kFields);
  } else if (item.is(json::Kind::string)) {
    network.kind = read_enum<Network::Kind>(item, kNames);
  }
  const bool bare = item.is(json::Kind::string) == (network.kind == Network::Kind::connect_tcp);
  if (bare) {
    refuse(item, {"this is not a network rule", "\"none\", \"loopback\", \"host\" or {\"connect_tcp\": [PORT, …]}",
                  describe_value(item), ""});
  }
  out.network = std::move(network);
}

void read_bundles(PolicyContext& /*context*/, const Item& item, Sandbox& out) {
  refuse_repeats(item, read_strings(item, 0));
  std::vector<Bundle> bundles;
  for (const Item& element : elements(item)) bundles.push_back(read_enum<Bundle>(element, kBundleNames));
  out.bundles = std::move(bundles);
}

using SandboxField = Field<Sandbox, PolicyContext>;
constexpr std::array<SandboxField, 11> kSandboxFields{{
    {"read", [](PolicyContext& c, const Item& value, Sandbox& out) { out.read = read_roots(c, value, 0); }},
    {"write", [](PolicyContext& c, const Item& value, Sandbox& out) { out.write = read_roots(c, value, 0); }},
    {"read_only", [](PolicyContext& c, const Item& value, Sandbox& out) { out.read_only = read_roots(c, value, 0); }},
    {"exec", read_exec},
    {"unix_sockets",
     [](PolicyContext& c, const Item& value, Sandbox& out) { out.unix_sockets = read_roots(c, value, 0); }},
    {"network", read_network},
    {"proc", [](PolicyContext&, const Item& value, Sandbox& out) { out.proc = read_enum<Proc>(value, kProcNames); }},
    {"tmp", [](PolicyContext&, const Item& value, Sandbox& out) { out.tmp = read_enum<Tmp>(value, kTmpNames); }},
    {"syscalls",
     [](PolicyContext&, const Item& value, Sandbox& out) { out.syscalls = read_enum<Syscalls>(value, kSyscallProfiles); }},
    {"bundles", read_bundles},
    {"layers", read_layers},
}};

template <std::optional<std::int64_t> Limits::*kMember>
constexpr void (*limit())(PolicyContext&, const Item&, Limits&) {
  return [](PolicyContext&, const Item& value, Limits& out) { out.*kMember = read_integer(value, 0, kMaxLimit); };
}

}  // namespace

void read_env(PolicyContext& context, const Item& item, std::vector<EnvRule>& out) {
  for (const Item& member : members(item)) {
    check_env_name(member, member.key(), At::key);
    EnvRule rule;
    rule.name = member.key();
    rule.place = member.place();
    if (member.is(json::Kind::object)) {
      static constexpr std::array<Field<EnvRule, PolicyContext>, 2> kFields{{
          {"caller",
           [](PolicyContext& c, const Item& value, EnvRule& r) {
             r.caller = read_single_type(c, value);
             const Type& type = r.caller->kind == Type::Kind::list ? *r.caller->of : *r.caller;
             const bool spec = type.kind == Type::Kind::language && type.language == Language::pathspec;
             if (type.kind != Type::Kind::path && !spec) return;
             refuse(value, {"a path in the environment would be granted to nobody", "a type other than path",
                            "a path type", ""});
           }},
          {"default",
           [](PolicyContext&, const Item& value, EnvRule& r) {
             r.value = read_string(value);
             r.has_default = true;
           }},
      }};
      read_members(context, member, rule, kFields);
      if (!rule.caller) refuse(member, {"\"caller\" is missing", "{\"caller\": TYPE}", "{}", ""});
    } else {
      rule.value = read_string(member);
    }
    out.push_back(std::move(rule));
  }
}

void read_unsafe_env(const Item& item, std::vector<std::string>& out) {
  out = read_strings(item, 0);
  refuse_repeats(item, out);
  for (const Item& element : elements(item)) check_env_name(element, element.node->text, At::value);
}

void check_env(const PolicyContext& context, const std::vector<EnvRule>& env,
               const std::vector<std::string>& unsafe_env) {
  const std::unordered_set<std::string_view> listed(unsafe_env.begin(), unsafe_env.end());
  for (const EnvRule& rule : env) {
    if (!rule.caller || listed.contains(rule.name) || !is_channel_variable(rule.name)) continue;
    refuse(context.item(rule.place),
           {"callers cannot set this variable: it can carry options or code",
            "a fixed value, or the name in \"unsafe_env\"", "\"" + rule.name + "\"", ""},
           At::key);
  }
}

StdinRule read_stdin_rule(PolicyContext& context, const Item& item) {
  if (item.is(json::Kind::string) && item.node->text == "none") return {StdinRule::Kind::none, nullptr};
  if (item.is(json::Kind::string) && item.node->text == "text") return {StdinRule::Kind::text, nullptr};
  TypeRef type = read_single_type(context, item);
  if (type->kind != Type::Kind::path || type->path.access != PathAccess::read) {
    refuse(item, {"this is not a rule for standard input", "\"none\", \"text\" or a path type for reading",
                  describe_value(item), ""});
  }
  return {StdinRule::Kind::path, std::move(type)};
}

Limits read_limits(PolicyContext& context, const Item& item) {
  static constexpr std::array<Field<Limits, PolicyContext>, 7> kFields{{
      {"cpu_s", limit<&Limits::cpu_s>()},
      {"memory_mib", limit<&Limits::memory_mib>()},
      {"data_mib", limit<&Limits::data_mib>()},
      {"processes", limit<&Limits::processes>()},
      {"file_mib", limit<&Limits::file_mib>()},
      {"tmp_mib", limit<&Limits::tmp_mib>()},
      {"open_files", limit<&Limits::open_files>()},
  }};
  Limits limits;
  read_members(context, item, limits, kFields);
  return limits;
}

Sandbox read_sandbox(PolicyContext& context, const Item& item) {
  Sandbox sandbox;
  read_members(context, item, sandbox, kSandboxFields);
  return sandbox;
}

std::int64_t read_timeout(const Item& item) {
  return read_integer(item, 1, kMaxLimit);
}
std::int64_t read_capture(const Item& item) {
  return read_integer(item, 0, kMaxCapture);
}

void read_deny_walk(PolicyContext& context, const Item& item, DenyWalk& out) {
  static constexpr std::array<Field<DenyWalk, PolicyContext>, 3> kFields{{
      {"entries",
       [](PolicyContext&, const Item& value, DenyWalk& d) { d.entries = read_integer(value, 1, kMaxLimit); }},
      {"ms", [](PolicyContext&, const Item& value, DenyWalk& d) { d.ms = read_integer(value, 1, kMaxLimit); }},
      {"leave_out",
       [](PolicyContext&, const Item& value, DenyWalk& d) {
         for (const Item& name : elements(value)) {
           d.leave_out.push_back(read_non_empty(name));
           const std::string& text = d.leave_out.back();
           if (text.front() == '/') (void)read_absolute_path(name);
           else if (text.find('/') != std::string::npos || text == "." || text == "..") {
             refuse(name, {"this is not the name of a directory", "one component, or an absolute path", describe_value(name), ""});
           }
         }
       }},
  }};
  read_members(context, item, out, kFields);
}

}  // namespace safe_exec
