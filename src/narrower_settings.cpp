// Owns the comparison of what is in force for a node: environment, limits, confinement. Smaller, stricter or less is
// narrower; what the base fixes must be fixed the same way.
#include <algorithm>
#include <utility>

#include "narrower_rules.h"
#include "value.h"

namespace safe_exec {
namespace {

using Settings = std::vector<WiderSetting>;

std::string amounts(std::int64_t candidate, std::int64_t base) {
  return std::to_string(candidate) + ", and " + std::to_string(base) + " in the base";
}

void more(Settings& out, std::vector<std::string_view> keys, std::int64_t candidate, std::int64_t base) {
  if (candidate <= base) return;
  std::string reason = std::string(keys.back()) + " is " + amounts(candidate, base);
  out.push_back({std::move(keys), std::move(reason)});
}

// 0 is no limit.
void more_limit(Settings& out, std::string_view key, std::int64_t candidate, std::int64_t base) {
  if (base == 0 || (candidate != 0 && candidate <= base)) return;
  out.push_back({{"limits", key}, std::string(key) + " is " + amounts(candidate, base) + " (0 is no limit)"});
}

void compare_limits(Settings& out, const Effective& own, const Effective& base) {
  more(out, {"timeout_ms"}, own.timeout_ms, base.timeout_ms);
  more(out, {"stdout_bytes"}, own.stdout_bytes, base.stdout_bytes);
  more(out, {"stderr_bytes"}, own.stderr_bytes, base.stderr_bytes);
  if (base.max_args && (!own.max_args || *own.max_args > *base.max_args)) {
    out.push_back({{"max_args"}, "the base takes at most " + std::to_string(*base.max_args) + " arguments"});
  }
  more_limit(out, "cpu_s", own.limits.cpu_s, base.limits.cpu_s);
  more_limit(out, "memory_mib", own.limits.memory_mib, base.limits.memory_mib);
  if (own.limits.data_mib || base.limits.data_mib) more_limit(out, "data_mib", own.limits.data(), base.limits.data());
  more_limit(out, "processes", own.limits.processes, base.limits.processes);
  more_limit(out, "file_mib", own.limits.file_mib, base.limits.file_mib);
  more_limit(out, "tmp_mib", own.limits.tmp_mib, base.limits.tmp_mib);
  more_limit(out, "open_files", own.limits.open_files, base.limits.open_files);
}

const EnvRule* find_rule(const std::vector<const EnvRule*>& rules, std::string_view name) {
  const auto found = std::find_if(rules.begin(), rules.end(), [&](const EnvRule* rule) { return rule->name == name; });
  return found == rules.end() ? nullptr : *found;
}

std::string wider_env(const EnvRule& own, const EnvRule* base, const Sides& sides) {
  if (base == nullptr) return "the base does not set " + own.name;
  if (own.caller == nullptr && base->caller == nullptr) {
    return own.value == base->value ? std::string() : own.name + " has another value in the base";
  }
  if (base->caller == nullptr) return own.name + " is the caller's to set, and fixed in the base";
  if (own.caller != nullptr && !own.has_default && base->has_default) return own.name + " has a default in the base";
  std::string reason;
  if (own.caller != nullptr) reason = wider_type(*own.caller, *base->caller, sides);
  const bool own_value = own.caller == nullptr || own.has_default;
  if (reason.empty() && own_value && !(base->has_default && own.value == base->value)) {
    Type value;
    value.text = own.value;
    reason = wider_type(value, *base->caller, sides);
    if (!is_safe_locale_value(own.name, own.value)) reason = "the base's caller could not set this";
  }
  return reason.empty() ? reason : own.name + ": " + reason;
}

void compare_env(Settings& out, const Effective& own, const Effective& base, const Sides& sides) {
  for (const EnvRule* rule : own.env) {
    std::string reason = wider_env(*rule, find_rule(base.env, rule->name), sides);
    if (!reason.empty()) out.push_back({{"env", rule->name}, std::move(reason)});
  }
  for (const EnvRule* rule : base.env) {
    if ((rule->caller != nullptr && !rule->has_default) || find_rule(own.env, rule->name) != nullptr) continue;
    out.push_back({{"env"}, "the base sets " + rule->name});
  }
}

void compare_stdin(Settings& out, const Effective& own, const Effective& base, const Sides& sides) {
  const StdinRule &rule = own.stdin_rule, &other = base.stdin_rule;
  if (rule.kind == StdinRule::Kind::none) return;
  if (rule.kind != other.kind) {
    out.push_back({{"stdin"}, "the base takes no such standard input"});
  } else if (rule.kind == StdinRule::Kind::path && rule.path && other.path) {
    std::string reason = wider_type(*rule.path, *other.path, sides);
    if (!reason.empty()) out.push_back({{"stdin"}, std::move(reason)});
  }
}

std::vector<Root> cwd_roots(const Effective& settings, const Policy& policy) {
  if (settings.cwd != nullptr) return *settings.cwd;
  const bool workspace = std::any_of(policy.variables.begin(), policy.variables.end(),
                                     [](const Variable& variable) { return variable.name == "workspace"; });
  return {{workspace ? "workspace" : "start_dir", "", {}}};
}

void compare_roots(Settings& out, std::string_view key, const std::vector<Root>* own, const std::vector<Root>* base,
                   const Sides& sides) {
  if (own == nullptr) return;
  std::string reason = wider_roots(*own, base == nullptr ? std::vector<Root>() : *base, sides);
  if (!reason.empty()) out.push_back({{"sandbox", key}, std::string(key) + ": " + reason});
}

bool is_wider(const Network& own, const Network& base) {
  if (own.kind == Network::Kind::none || base.kind == Network::Kind::host) return false;
  if (own.kind == Network::Kind::host || base.kind == Network::Kind::none) return true;
  // Each has what the other has not: the host's ports, or sockets that are bound and of any protocol.
  if (own.kind != base.kind) return true;
  return std::any_of(own.ports.begin(), own.ports.end(), [&](std::int64_t port) {
    return std::find(base.ports.begin(), base.ports.end(), port) == base.ports.end();
  });
}

void compare_sandbox(Settings& out, const Effective& own, const Effective& base, const Sides& sides) {
  compare_roots(out, "read", own.read, base.read, sides);
  compare_roots(out, "write", own.write, base.write, sides);
  const std::vector<Root> none;
  std::vector<Root> named = own.read_only == nullptr ? none : *own.read_only;
  std::string reason = missing_read_only(named, base.read_only == nullptr ? none : *base.read_only, sides);
  if (own.kept != nullptr) named.insert(named.end(), own.kept->begin(), own.kept->end());
  if (reason.empty()) reason = missing_read_only(named, base.kept == nullptr ? none : *base.kept, sides);
  if (!reason.empty()) out.push_back({{"sandbox", "read_only"}, "read_only: " + reason});
  compare_roots(out, "exec", own.exec, base.exec, sides);
  compare_roots(out, "unix_sockets", own.unix_sockets, base.unix_sockets, sides);
  if (own.exec_self && !base.exec_self) out.push_back({{"sandbox", "exec"}, "exec: the base does not list \"self\""});
  if (is_wider(own.network, base.network)) {
    out.push_back({{"sandbox", "network"}, "network: the base reaches less of it"});
  }
  if (own.proc > base.proc) out.push_back({{"sandbox", "proc"}, "proc: the base shows less of it"});
  if (own.syscalls > base.syscalls) out.push_back({{"sandbox", "syscalls"}, "syscalls: the base allows fewer"});
  if (own.bundles != nullptr && std::any_of(own.bundles->begin(), own.bundles->end(), [&](Bundle bundle) {
        return base.bundles == nullptr || std::find(base.bundles->begin(), base.bundles->end(), bundle) == base.bundles->end();
      })) {
    out.push_back({{"sandbox", "bundles"}, "bundles: the base lists fewer"});
  }
  if (own.tmp > base.tmp) out.push_back({{"sandbox", "tmp"}, "tmp: the base has none"});
  for (const auto& [layer, requirement] : own.layers) {
    const auto other = base.layers.find(layer);
    const Requirement wanted = other == base.layers.end() ? Requirement::require : other->second;
    if (requirement <= wanted) continue;
    out.push_back({{"sandbox", "layers"}, "layers: " + std::string(layer_name(layer)) + " is demanded less than in the base"});
  }
  // Of what a policy demands itself, a part is not enough; of what is demanded by default it is.
  for (const Layer layer : base.demanded) {
    if (own.demanded.contains(layer)) continue;
    out.push_back({{"sandbox", "layers"}, "layers: the base demands the whole of " + std::string(layer_name(layer))});
  }
}

}  // namespace

Settings wider_settings(const Effective& candidate, const Effective& base, const Sides& sides) {
  Settings out;
  compare_limits(out, candidate, base);
  compare_env(out, candidate, base, sides);
  compare_stdin(out, candidate, base, sides);
  const std::vector<Root> own_cwd = cwd_roots(candidate, sides.candidate.policy);
  std::string reason = wider_roots(own_cwd, cwd_roots(base, sides.base.policy), sides);
  if (!reason.empty()) out.push_back({{"cwd"}, "cwd: " + reason});
  compare_sandbox(out, candidate, base, sides);
  // exit_ok says what counts as success, repeatable what may be asked twice, and unsafe_env what its author has been told: neither grants anything.
  return out;
}

}  // namespace safe_exec
