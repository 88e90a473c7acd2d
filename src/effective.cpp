// Owns inheritance. Never decides what a setting means.
#include "effective.h"

#include <algorithm>
#include <string>

namespace safe_exec {
namespace {

template <class T>
void replace(T& value, const std::optional<T>& nearer) {
  if (nearer) value = *nearer;
}

template <class T>
void replace(const T*& value, const std::optional<T>& nearer) {
  if (nearer) value = &*nearer;
}

void replace_env(std::vector<const EnvRule*>& env, const std::vector<EnvRule>& nearer) {
  for (const EnvRule& rule : nearer) {
    const auto same = std::find_if(env.begin(), env.end(), [&](const EnvRule* set) { return set->name == rule.name; });
    if (same == env.end()) {
      env.push_back(&rule);
    } else {
      *same = &rule;
    }
  }
}

void replace_limits(EffectiveLimits& limits, const Limits& nearer) {
  replace(limits.cpu_s, nearer.cpu_s);
  replace(limits.memory_mib, nearer.memory_mib);
  if (nearer.data_mib) limits.data_mib = nearer.data_mib;
  replace(limits.processes, nearer.processes);
  replace(limits.file_mib, nearer.file_mib);
  replace(limits.tmp_mib, nearer.tmp_mib);
  replace(limits.open_files, nearer.open_files);
}

void replace_sandbox(Effective& settings, const Sandbox& nearer) {
  replace(settings.read, nearer.read);
  replace(settings.write, nearer.write);
  replace(settings.read_only, nearer.read_only);
  replace(settings.exec, nearer.exec);
  if (nearer.exec || nearer.exec_self) settings.exec_self = nearer.exec_self;
  replace(settings.unix_sockets, nearer.unix_sockets);
  replace(settings.network, nearer.network);
  replace(settings.proc, nearer.proc);
  replace(settings.tmp, nearer.tmp);
  replace(settings.syscalls, nearer.syscalls);
  replace(settings.bundles, nearer.bundles);
  for (const auto& [layer, requirement] : nearer.layers) {
    settings.layers[layer] = requirement;
    if (requirement == Requirement::require) settings.demanded.insert(layer);
    else settings.demanded.erase(layer);
  }
}

// The keys that Defaults and Node share.
template <class Source>
void replace_shared(Effective& settings, const Source& nearer) {
  replace(settings.timeout_ms, nearer.timeout_ms);
  replace(settings.stdout_bytes, nearer.stdout_bytes);
  replace(settings.stderr_bytes, nearer.stderr_bytes);
  replace(settings.stdin_rule, nearer.stdin_rule);
  replace(settings.unsafe_env, nearer.unsafe_env);
  replace_env(settings.env, nearer.env);
  replace_limits(settings.limits, nearer.limits);
  replace_sandbox(settings, nearer.sandbox);
  replace(settings.repeatable, nearer.repeatable);
}

}  // namespace

Effective effective_settings(const Command& command, const std::vector<const Node*>& nodes) {
  Effective settings;
  for (int i = 0; i < kLayerCount; ++i) {
    const auto layer = static_cast<Layer>(i);
    settings.layers[layer] = default_requirement(layer);
  }
  if (command.defaults) replace_shared(settings, *command.defaults);
  settings.kept = settings.read_only;
  for (const Node* node : nodes) {
    replace_shared(settings, *node);
    replace(settings.cwd, node->cwd);
    replace(settings.exit_ok, node->exit_ok);
    if (node->max_args) settings.max_args = node->max_args;
  }
  return settings;
}

DenyWalk deny_walk_of(const Policy& policy, const Command& command) {
  const std::optional<DenyWalk>& asked = policy.deny_walk;
  if (!command.defaults || !command.defaults->deny_walk) return asked.value_or(DenyWalk());
  DenyWalk walk = *command.defaults->deny_walk;
  if (!asked) return walk;
  walk.entries = std::max(walk.entries, asked->entries);
  walk.ms = std::max(walk.ms, asked->ms);
  std::erase_if(walk.leave_out, [&](const std::string& place) { return std::ranges::find(asked->leave_out, place) == asked->leave_out.end(); });
  return walk;
}

}  // namespace safe_exec
