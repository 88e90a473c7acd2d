#include "layers.h"

#include <errno.h>
#include <linux/capability.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "beneath.h"
#include "confine/failure.h"
#include "confine/seccomp.h"
#include "resolve.h"
#include "watch.h"

namespace safe_exec {
namespace {

Requirement requirement_of(const Plan& plan, Layer layer) {
  const auto found = plan.layers.find(layer);
  return found == plan.layers.end() ? default_requirement(layer) : found->second;
}

constexpr Layer kMountLayer[] = {Layer::mount_namespace};
constexpr Layer kSeccompLayer[] = {Layer::seccomp};
constexpr Layer kLimitsLayer[] = {Layer::limits};

// Once a root of its own could be mounted, what is in it fails by what is granted and by who changes that meanwhile, too: no
// request and no other process takes a layer away.
bool is_refusal_of_mounts(int error) { return error == EPERM || error == ENOSYS || error == EOPNOTSUPP || error == ENODEV; }

// What read_only names and the command could make all the same; empty: nothing.
std::string unkept(const Plan& plan, const Launch& launch) {
  const std::string& name = launch.root.creatable;
  const bool kept = !launch.ruleset.fixed.empty() && !in_own_tmp(plan, name);
  return name.empty() || kept ? "" : name + " (read_only) does not exist and could be created";
}

// What the loss of the layer costs, after why it is lost; either may be empty.
std::string with_losses(std::string why, const Launch& launch, Layer layer) {
  for (const Withheld& one : launch.withheld) {
    if (one.layer == layer) why += (why.empty() ? "" : "; ") + one.what;
  }
  return why;
}

LayerStatus namespace_status(const Layers& layers, const Launch& launch, const Plan& plan, Layer layer) {
  if (layer == Layer::mount_namespace && !unkept(plan, launch).empty()) return {layer, LayerState::partial, unkept(plan, launch), 0};
  if (layers.holds(layer)) return {layer, LayerState::enforced, "", 0};
  const bool signals = layer == Layer::pid_namespace && launch.fallback.signals;
  const std::string refused = signals ? "signals to other processes are refused, the command's own among them" : "";
  if (requirement_of(plan, layer) == Requirement::off) return {layer, LayerState::off, with_losses(refused, launch, layer), 0};
  if (layer == Layer::user_namespace && layers.privileged() && layers.reason(layer).empty()) {
    return {layer, LayerState::off, "not needed: the caller is privileged, and drops it", 0};
  }
  std::string why = layers.reason(layer);
  // Without a user namespace an ordinary user has none of the others, and the policy chose that.
  const bool given_up = why.empty() && requirement_of(plan, Layer::user_namespace) == Requirement::off;
  if (given_up && launch.withheld.empty()) {
    return {layer, LayerState::off, "needs a user namespace, which the policy switches off" + (signals ? "; " + refused : ""), 0};
  }
  if (why.empty()) why = "needs a user namespace";
  why = with_losses(std::move(why), launch, layer);
  if (signals) why += "; " + refused;
  return {layer, LayerState::not_enforced, why, 0};
}

std::string fixed_detail(const std::set<std::string>& directories) {
  constexpr std::size_t kMost = 3;  // there may be thousands
  std::string text;
  std::size_t count = 0;
  for (const std::string& directory : directories) {
    if (count++ == kMost) break;
    text += (text.empty() ? "" : ", ") + directory;
  }
  if (directories.size() > kMost) text += " and " + std::to_string(directories.size() - kMost) + " more";
  if (directories.empty()) return text;
  const bool one = directories.size() == 1;
  return text + (one ? " holds" : " hold") + " what deny_paths match: nothing in " + (one ? "it" : "them") + " can be created, removed or renamed";
}

LayerStatus landlock_status(const Layers& layers, const Launch& launch, const Plan& plan) {
  const auto state = requirement_of(plan, Layer::landlock) == Requirement::off ? LayerState::off : LayerState::not_enforced;
  if (!layers.holds(Layer::landlock)) return {Layer::landlock, state, with_losses(layers.reason(Layer::landlock), launch, Layer::landlock), 0};
  std::string detail = landlock::missing_in(launch.ruleset.abi);
  if (!launch.ruleset.unfixed.empty()) detail += (detail.empty() ? "" : "; ") + launch.ruleset.unfixed;
  for (const std::string& directory : launch.ruleset.fixed) {
    if (in_own_tmp(plan, directory)) continue;
    detail += (detail.empty() ? "" : "; ") + directory + " holds what is read_only: nothing in it can be created, removed or renamed";
  }
  if (!layers.holds(Layer::mount_namespace)) {
    if (const std::string fixed = fixed_detail(fixed_by_denied(plan)); !fixed.empty()) detail += (detail.empty() ? "" : "; ") + fixed;
  }
  return {Layer::landlock, LayerState::enforced, std::move(detail), launch.ruleset.abi};
}

LayerStatus limits_status(const Layers& layers, const Launch& launch, const Watched& watched) {
  if (!layers.holds(Layer::limits)) {
    const std::string why = layers.reason(Layer::limits);
    return {Layer::limits, why.empty() ? LayerState::off : LayerState::not_enforced, why, 0};
  }
  for (const Message& note : watched.notes) {
    if (note.step != Step::process_limit) continue;
    return {Layer::limits, LayerState::partial, unbound_processes(launch.limits), 0};
  }
  const LimitPlan& limits = launch.limits;
  if (watched.uncounted != 0) {
    return {Layer::limits, LayerState::partial, "memory and processes of all together were not always counted: " + errno_text(watched.uncounted), 0};
  }
  return {Layer::limits, limits.partial ? LayerState::partial : LayerState::enforced, limits.detail, 0};
}

LayerStatus tree_status(const Launch& launch, const Watched& watched) {
  if (watched.lingering) {
    return {Layer::tree_kill, LayerState::partial, launch.wanted.namespaces.pid ? "a process in uninterruptible sleep is still ending"
                                         : "the sweep did not end in time, and goes on: some may still run",
            0};
  }
  const char* const detail = watched.ending ? "all were killed, and were still being taken down when this was written" : "";
  if (launch.wanted.namespaces.pid) return {Layer::tree_kill, LayerState::enforced, detail, 0};
  const std::string also = *detail == '\0' ? "" : std::string("; ") + detail;
  if (killed_by_cgroup(launch)) return {Layer::tree_kill, LayerState::enforced, "by a cgroup" + also, 0};
  return {Layer::tree_kill, LayerState::partial, "subreaper sweep" + also, 0};
}

std::string filter_detail(const Plan& plan, const Layers& layers, const Launch& launch) {
  std::string detail = plan.syscalls == Syscalls::jit ? "jit: generated code is allowed" : "";
  if (launch.unreached.empty() && !plan.sockets_in_reach.empty() && launch.wanted.namespaces.mount) {
    detail += (detail.empty() ? "" : "; ") + std::string("other Unix sockets in granted directories may be in reach too: ") + plan.sockets_in_reach;
  }
  if (launch.unreached.empty()) return detail;
  detail += (detail.empty() ? "" : "; ") + launch.unreached;
  if (!layers.no_network().empty()) detail += " (" + layers.no_network() + ")";
  return detail;
}

}  // namespace

bool is_refusal(int error) {
  constexpr int kRefusals[] = {EPERM, EACCES, ENOSYS, EINVAL, EOPNOTSUPP, ENODEV, ENOSPC, EUSERS, E2BIG, EBUSY};
  return std::ranges::find(kRefusals, error) != std::end(kRefusals);
}

std::span<const Layer> layers_of(Step step, int error, const Namespaces& namespaces) {
  switch (step) {
    case Step::fork:
    case Step::unshare: return kNamespaceLayers;
    case Step::uid_map: return namespaces.user ? std::span<const Layer>(kNamespaceLayers) : std::span<const Layer>();
    case Step::capabilities:  // AppArmor strips a new user namespace of its capabilities
      return namespaces.user ? std::span<const Layer>(kNamespaceLayers) : std::span<const Layer>();
    case Step::mount_root: return is_refusal(error) ? std::span<const Layer>(kMountLayer) : std::span<const Layer>();
    case Step::mount_entry:
    case Step::mount_bind:
    case Step::mount_read_only:
    case Step::mount_tmp:
    case Step::mount_proc:
    case Step::mount_enter: return is_refusal_of_mounts(error) ? std::span<const Layer>(kMountLayer) : std::span<const Layer>();
    case Step::landlock: return is_refusal(error) ? std::span<const Layer>(kLandlockLayer) : std::span<const Layer>();
    case Step::seccomp: return kSeccompLayer;
    case Step::process_limit:
    case Step::limits: return kLimitsLayer;
    case Step::signals:
    case Step::parent_check:
    case Step::subreaper:
    case Step::command_fork:
    case Step::cgroup:    // Attempts::without_cgroup
    case Step::loopback:  // Attempts::without_network
    case Step::session:
    case Step::stdio:
    case Step::cwd:
    case Step::no_new_privs:
    case Step::observe:
    case Step::descriptors:
    case Step::exec:
    case Step::watch: break;
  }
  return {};
}

Layers::Layers(const Plan& plan) : plan_(plan) {
  privileged_ = has_capability(CAP_SYS_ADMIN);
  wanted_.namespaces = wanted_namespaces(plan, privileged_);
  wanted_.landlock = requirement_of(plan, Layer::landlock) != Requirement::off;
  wanted_.seccomp = requirement_of(plan, Layer::seccomp) != Requirement::off;
  wanted_.limits = requirement_of(plan, Layer::limits) != Requirement::off;
  // Before anything is started for it; where it is required, whoever makes the ruleset says why there is none.
  if (requirement_of(plan, Layer::landlock) == Requirement::prefer) {
    if (auto error = landlock::missing(); error && is_refusal(error->sys_errno)) (void)without(kLandlockLayer, std::move(*error));
  }
  shut_abstract_names();
}

std::string Layers::reason(Layer layer) const {
  const auto found = lost_.find(layer);
  return found == lost_.end() ? "" : found->second.step + ": " + found->second.message;
}

bool Layers::holds(Layer layer) const {
  switch (layer) {
    case Layer::user_namespace: return wanted_.namespaces.user;
    case Layer::pid_namespace: return wanted_.namespaces.pid;
    case Layer::mount_namespace: return wanted_.namespaces.mount;
    case Layer::ipc_namespace: return wanted_.namespaces.ipc;
    case Layer::uts_namespace: return wanted_.namespaces.uts;
    case Layer::landlock: return wanted_.landlock;
    case Layer::seccomp: return wanted_.seccomp;
    case Layer::limits: return wanted_.limits;
    case Layer::no_new_privs:
    case Layer::capabilities:
    case Layer::descriptors:
    case Layer::environment:
    case Layer::tree_kill:
    case Layer::deny_paths: return true;
  }
  return false;
}

Expected<void> Layers::without(std::span<const Layer> layers, Error error) {
  const auto required = std::ranges::find_if(layers, [&](Layer layer) { return requirement_of(plan_, layer) == Requirement::require; });
  if (required != layers.end() && plan_.demanded.contains(*required)) return tl::unexpected(demanded(*required, std::move(error)));
  if (layers.empty() || required != layers.end()) return tl::unexpected(std::move(error));
  for (const Layer layer : layers) {
    lost_.emplace(layer, error);  // the first reason is the cause
    drop(layer);
  }
  return {};
}

bool Layers::clone_instead() { return std::exchange(wanted_.unshare, false); }

bool Layers::without_cgroup() { return std::exchange(wanted_.cgroup, false); }

bool Layers::without_network(std::string why) {
  if (!wanted_.namespaces.net) return false;
  no_network_ = std::move(why);
  wanted_.namespaces.net = false;
  return true;
}

Expected<void> Layers::enough() const {
  if (!wanted_.landlock && !wanted_.namespaces.mount) return tl::unexpected(neither());
  if (plan_.network.kind == Network::Kind::loopback && !wanted_.namespaces.net && !wanted_.seccomp) {
    Error error = launch_error(ErrorCode::sandbox_unavailable,
                               "a loopback of its own cannot be had, and without seccomp nothing refuses the host's", "layers", 0);
    if (!no_network_.empty()) error.message += "; " + no_network_;
    error.hint = "do not switch seccomp off in the policy, or allow network namespaces here";
    return tl::unexpected(std::move(error));
  }
  for (const Layer layer : kNamespaceLayers) {
    if (requirement_of(plan_, layer) == Requirement::require && !holds(layer)) {
      return tl::unexpected(demanded(layer, launch_error(ErrorCode::sandbox_unavailable, "it needs a user namespace, which the policy switches off", "layers", 0)));
    }
  }
  return {};
}

// The error tells why the host does not give it; what the policy says about it is the other half.
Error Layers::demanded(Layer layer, Error error) const {
  const std::string name(layer_name(layer));
  error.message = name + " is required by the policy and cannot be had: " + error.message;
  error.hint += (error.hint.empty() ? "" : "; or: ") + std::string("let the policy say \"prefer\" for ") + name;
  return error;
}

// Both causes and both remedies: one of them is enough.
Error Layers::neither() const {
  Error error = launch_error(ErrorCode::sandbox_unavailable, "neither Landlock nor a mount namespace can be had", "layers", 0);
  for (const Layer layer : {Layer::landlock, Layer::mount_namespace}) {
    const auto found = lost_.find(layer);
    if (found == lost_.end()) {  // never tried
      const bool off = requirement_of(plan_, layer) == Requirement::off;
      const std::string name(layer_name(off ? layer : Layer::user_namespace));
      error.message += "; the policy switches " + name + " off";
      error.hint += (error.hint.empty() ? "" : "; or: ") + std::string("let the policy not switch ") + name + " off";
      continue;
    }
    const Error& cause = found->second;
    if (error.sys_errno == 0) {
      error.step = cause.step;
      error.sys_errno = cause.sys_errno;
    }
    error.message += "; " + reason(layer);
    error.hint += (error.hint.empty() ? "" : "; or: ") + cause.hint;
  }
  return error;
}

void Layers::drop(Layer layer) {
  if (layer == Layer::user_namespace) wanted_.namespaces.user = false;
  if (layer == Layer::pid_namespace) wanted_.namespaces.pid = false;
  if (layer == Layer::mount_namespace) wanted_.namespaces.mount = false;
  if (layer == Layer::ipc_namespace) wanted_.namespaces.ipc = false;
  if (layer == Layer::uts_namespace) wanted_.namespaces.uts = false;
  if (layer == Layer::landlock) wanted_.landlock = false;
  if (layer == Layer::seccomp) wanted_.seccomp = false;
  if (layer == Layer::limits) wanted_.limits = false;
  shut_abstract_names();
}

// Of Unix sockets they belong to the network namespace, and only Landlock could else tell them from names of files.
void Layers::shut_abstract_names() {
  if (plan_.unix_sockets.empty() || plan_.network.kind != Network::Kind::none || !no_network_.empty()) return;
  const bool open = !wanted_.landlock || landlock::abi_in_use() < landlock::kScopes;
  wanted_.namespaces.net = wanted_.namespaces.mount && open;
}

Expected<void> demands_met(const Plan& plan, const Launch& launch) {
  const auto part = [](Layer layer, const std::string& why) -> Expected<void> {
    Error error = launch_error(ErrorCode::sandbox_unavailable,
                               std::string(layer_name(layer)) + " is required and can be had in part only: " + why,
                               "layers", 0);
    error.hint = "give it a delegated cgroup or a pid namespace (Linux 6.14 or newer where root calls), call as an ordinary user, or let the "
                 "policy say \"prefer\"";
    return tl::unexpected(std::move(error));
  };
  if (plan.demanded.contains(Layer::limits) && launch.limits.partial) return part(Layer::limits, launch.limits.detail);
  if (plan.demanded.contains(Layer::mount_namespace) && !unkept(plan, launch).empty()) {
    return part(Layer::mount_namespace, unkept(plan, launch));
  }
  if (plan.demanded.contains(Layer::tree_kill) && !launch.wanted.namespaces.pid && !killed_by_cgroup(launch)) {
    return part(Layer::tree_kill, "without a pid namespace it is a sweep");
  }
  return {};
}

bool killed_by_cgroup(const Launch& launch) { return launch.limits.cgroup && launch.limits.cgroup->kills(); }

LayerStatus status_of(Layer layer, const Layers& layers, const Launch& launch, const Watched& watched,
                      const Plan& plan) {
  switch (layer) {
    case Layer::user_namespace:
    case Layer::pid_namespace:
    case Layer::mount_namespace:
    case Layer::ipc_namespace:
    case Layer::uts_namespace: return namespace_status(layers, launch, plan, layer);
    case Layer::landlock: return landlock_status(layers, launch, plan);
    case Layer::seccomp: {
      const auto state = layers.reason(layer).empty() ? LayerState::off : LayerState::not_enforced;
      if (!layers.holds(layer)) return {layer, state, layers.reason(layer), 0};
      return {layer, LayerState::enforced, filter_detail(plan, layers, launch), 0};
    }
    case Layer::limits: return limits_status(layers, launch, watched);
    case Layer::tree_kill: return tree_status(launch, watched);
    case Layer::deny_paths:  // settled by the resolver; here only when there was nothing to settle
      if (plan.deny_globs.empty()) return {layer, LayerState::off, "the policy denies no paths", 0};
      return {layer, LayerState::not_enforced, "not examined", 0};
    case Layer::capabilities:
      return {layer, LayerState::enforced,
              launch.child.drop_bounding ? "" : "bounding set kept: no_new_privs makes it moot", 0};
    case Layer::no_new_privs:
    case Layer::descriptors:
    case Layer::environment: break;
  }
  return {layer, LayerState::enforced, "", 0};
}

}  // namespace safe_exec
