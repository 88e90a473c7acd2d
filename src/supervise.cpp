#include "supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <span>
#include <utility>

#include "beneath.h"
#include "confine/failure.h"
#include "confine/seccomp.h"
#include "diagnose.h"
#include "launch.h"
#include "resolve.h"
#include "watch.h"

namespace safe_exec {
namespace {

Requirement requirement_of(const Plan& plan, Layer layer) {
  const auto found = plan.layers.find(layer);
  return found == plan.layers.end() ? default_requirement(layer) : found->second;
}

constexpr Layer kNamespaceLayers[] = {Layer::user_namespace, Layer::pid_namespace, Layer::mount_namespace,
                                      Layer::ipc_namespace, Layer::uts_namespace};
constexpr Layer kMountLayer[] = {Layer::mount_namespace};
constexpr Layer kLandlockLayer[] = {Layer::landlock};
constexpr Layer kSeccompLayer[] = {Layer::seccomp};
constexpr Layer kLimitsLayer[] = {Layer::limits};

// Errors by which a host says "not here". Others (a grant that vanished, memory, descriptors) are failures.
bool is_refusal(int error) {
  constexpr int kRefusals[] = {EPERM, EACCES, ENOSYS, EINVAL, EOPNOTSUPP, ENODEV, ENOSPC, EUSERS, E2BIG, EBUSY};
  return std::ranges::find(kRefusals, error) != std::end(kRefusals);
}

// Once a root of its own could be mounted, what is in it fails by what is granted and by who changes that meanwhile, too: no
// request and no other process takes a layer away.
bool is_refusal_of_mounts(int error) { return error == EPERM || error == ENOSYS || error == EOPNOTSUPP || error == ENODEV; }

// The layers that a failing step belongs to; empty: the step belongs to none that can be done without.
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

// The attempts at one plan: which layers are still wanted, and why others are not.
class Attempts {
 public:
  explicit Attempts(const Plan& plan) : plan_(plan) {
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

  [[nodiscard]] const Wanted& wanted() const { return wanted_; }
  [[nodiscard]] bool privileged() const { return privileged_; }
  [[nodiscard]] std::string reason(Layer layer) const {
    const auto found = lost_.find(layer);
    return found == lost_.end() ? "" : found->second.step + ": " + found->second.message;
  }

  // Container profiles refuse unshare(2) and clone(2) with namespaces each by a rule of its own. Whether that is untried.
  [[nodiscard]] bool clone_instead() { return std::exchange(wanted_.unshare, false); }

  // Gives up the layers, or says with which error the launch ends.
  [[nodiscard]] Expected<void> without(std::span<const Layer> layers, Error error) {
    const bool is_required = std::ranges::any_of(
        layers, [&](Layer layer) { return requirement_of(plan_, layer) == Requirement::require; });
    if (layers.empty() || is_required) return tl::unexpected(std::move(error));
    for (const Layer layer : layers) {
      lost_.emplace(layer, error);  // the first reason is the cause
      drop(layer);
    }
    return {};
  }

  // The limits as they are where no cgroup is delegated.
  [[nodiscard]] bool without_cgroup() { return std::exchange(wanted_.cgroup, false); }

  // A network of its own is something that is granted: without it nothing is less confined.
  [[nodiscard]] bool without_network(std::string why) {
    if (!wanted_.namespaces.net) return false;
    no_network_ = std::move(why);
    wanted_.namespaces.net = false;
    return true;
  }
  [[nodiscard]] const std::string& no_network() const { return no_network_; }

  // Landlock or a mount namespace has to hold, and what is required must not be missing from the start. The host's network is
  // never given in place of a loopback.
  [[nodiscard]] Expected<void> enough() const {
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
        return tl::unexpected(launch_error(ErrorCode::sandbox_unavailable,
                                           std::string(layer_name(layer)) + " is required and cannot be had", "layers", 0));
      }
    }
    return {};
  }

  [[nodiscard]] bool holds(Layer layer) const {
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

 private:
  // Both causes and both remedies: one of them is enough.
  [[nodiscard]] Error neither() const {
    Error error = launch_error(ErrorCode::sandbox_unavailable, "neither Landlock nor a mount namespace can be had", "layers", 0);
    for (const Layer layer : {Layer::landlock, Layer::mount_namespace}) {
      const auto found = lost_.find(layer);
      if (found == lost_.end()) continue;  // switched off
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
  void drop(Layer layer) {
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
  void shut_abstract_names() {
    if (plan_.unix_sockets.empty() || plan_.network.kind != Network::Kind::none || !no_network_.empty()) return;
    const bool open = !wanted_.landlock || landlock::abi_in_use() < landlock::kScopes;
    wanted_.namespaces.net = wanted_.namespaces.mount && open;
  }

  const Plan& plan_;
  Wanted wanted_;
  bool privileged_ = false;
  std::map<Layer, Error> lost_;
  std::string no_network_;
};

Error step_error(const Launch& launch, const Message& message) {
  if (message.step == Step::watch) return launch_error(ErrorCode::launch_failed, "the command was started, and killed when it could not be watched", "watch", message.error);
  const bool layer = !layers_of(message.step, message.error, launch.wanted.namespaces).empty() ||
                     message.step == Step::no_new_privs || message.step == Step::descriptors ||
                     message.step == Step::capabilities || message.error == ENOSYS ||
                     message.error == EPERM;  // no file's mode says this: an outer sandbox refuses the call
  std::string text = message.step == Step::exec ? "the program cannot be executed" : "the sandbox cannot be set up";
  const bool mount = message.step == Step::mount_bind || message.step == Step::mount_entry || message.step == Step::mount_tmp;
  if (mount && message.item < launch.root.ops.size()) text += std::string(" at /") + launch.root.ops[message.item].target;
  Error error = launch_error(layer ? ErrorCode::sandbox_unavailable : ErrorCode::launch_failed, std::move(text), step_name(message.step), message.error);
  constexpr int kOfOthers[] = {ESTALE, EINVAL, ENOENT, ENOTDIR, EACCES, ELOOP};  // a file for a directory is EINVAL
  if (mount && std::ranges::find(kOfOthers, message.error) != std::end(kOfOthers)) error.hint = "it was replaced while it was looked at; try again";
  if (mount && message.error == ENOSPC) error.hint = "so many paths and links on their way do not fit into one sandbox; ask for fewer";
  return error;
}

// ---- what was enforced

// What read_only names and the command could make all the same; empty: nothing.
std::string unkept(const Plan& plan, const Launch& launch) {
  const std::string& name = launch.root.creatable;
  const bool kept = !launch.ruleset.fixed.empty() && !in_own_tmp(plan, name);
  return name.empty() || kept ? "" : name + " (read_only) does not exist and could be created";
}

LayerStatus namespace_status(const Attempts& attempts, const Launch& launch, const Plan& plan, Layer layer) {
  if (layer == Layer::mount_namespace && !unkept(plan, launch).empty()) return {layer, LayerState::partial, unkept(plan, launch), 0};
  if (attempts.holds(layer)) return {layer, LayerState::enforced, "", 0};
  const bool signals = layer == Layer::pid_namespace && launch.fallback.signals;
  const std::string refused = signals ? "signals to other processes are refused, the command's own among them" : "";
  if (requirement_of(plan, layer) == Requirement::off) return {layer, LayerState::off, refused, 0};
  if (layer == Layer::user_namespace && attempts.privileged() && attempts.reason(layer).empty()) {
    return {layer, LayerState::off, "not needed: the caller is privileged, and drops it", 0};
  }
  std::string why = attempts.reason(layer);
  // Without a user namespace an ordinary user has none of the others, and the policy chose that.
  const bool given_up = why.empty() && requirement_of(plan, Layer::user_namespace) == Requirement::off;
  if (given_up && launch.weaker.empty()) {
    return {layer, LayerState::off, "needs a user namespace, which the policy switches off" + (signals ? "; " + refused : ""), 0};
  }
  if (why.empty()) why = "needs a user namespace";
  if (layer == Layer::mount_namespace) {
    for (const auto& text : launch.weaker) why += "; " + text;
  }
  if (signals) why += "; " + refused;
  return {layer, LayerState::not_enforced, why, 0};
}

LayerStatus landlock_status(const Attempts& attempts, const Launch& launch, const Plan& plan) {
  const auto state = requirement_of(plan, Layer::landlock) == Requirement::off ? LayerState::off : LayerState::not_enforced;
  if (!attempts.holds(Layer::landlock)) return {Layer::landlock, state, attempts.reason(Layer::landlock), 0};
  std::string detail = landlock::missing_in(launch.ruleset.abi);
  if (!launch.ruleset.unfixed.empty()) detail += (detail.empty() ? "" : "; ") + launch.ruleset.unfixed;
  for (const std::string& directory : launch.ruleset.fixed) {
    if (in_own_tmp(plan, directory)) continue;
    detail += (detail.empty() ? "" : "; ") + directory + " holds what is read_only: nothing in it can be created, removed or renamed";
  }
  return {Layer::landlock, LayerState::enforced, std::move(detail), launch.ruleset.abi};
}

LayerStatus limits_status(const Attempts& attempts, const Launch& launch, const Watched& watched) {
  if (!attempts.holds(Layer::limits)) {
    const std::string why = attempts.reason(Layer::limits);
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

bool killed_by_cgroup(const Launch& launch) { return launch.limits.cgroup && launch.limits.cgroup->kills(); }

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

std::string filter_detail(const Plan& plan, const Attempts& attempts, const Launch& launch) {
  std::string detail = plan.syscalls == Syscalls::jit ? "jit: generated code is allowed" : "";
  if (launch.unreached.empty() && !plan.sockets_in_reach.empty() && launch.wanted.namespaces.mount) {
    detail += (detail.empty() ? "" : "; ") + std::string("other Unix sockets in granted directories may be in reach too: ") + plan.sockets_in_reach;
  }
  if (launch.unreached.empty()) return detail;
  detail += (detail.empty() ? "" : "; ") + launch.unreached;
  if (!attempts.no_network().empty()) detail += " (" + attempts.no_network() + ")";
  return detail;
}

LayerStatus status_of(Layer layer, const Attempts& attempts, const Launch& launch, const Watched& watched,
                      const Plan& plan) {
  switch (layer) {
    case Layer::user_namespace:
    case Layer::pid_namespace:
    case Layer::mount_namespace:
    case Layer::ipc_namespace:
    case Layer::uts_namespace: return namespace_status(attempts, launch, plan, layer);
    case Layer::landlock: return landlock_status(attempts, launch, plan);
    case Layer::seccomp: {
      const auto state = attempts.reason(layer).empty() ? LayerState::off : LayerState::not_enforced;
      if (!attempts.holds(layer)) return {layer, state, attempts.reason(layer), 0};
      return {layer, LayerState::enforced, filter_detail(plan, attempts, launch), 0};
    }
    case Layer::limits: return limits_status(attempts, launch, watched);
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

// ---- how it ended

// Whether the command failed, as one does that is refused memory, processes or space. It cannot be seen whether it was,
// only whether it had taken all.
bool failed_like_that(int status) {
  if (WIFEXITED(status)) return WEXITSTATUS(status) != 0;
  constexpr int kSignals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGTRAP, SIGILL, SIGKILL};
  return std::ranges::find(kSignals, WTERMSIG(status)) != std::end(kSignals);
}

// Peak of one process against the limit of all. Pages of files are in it: where the tree was counted shortly before and
// had far less of its own, it was those.
bool memory_was_spent(const Plan& plan, const Watched& watched) {
  constexpr std::int64_t kBetweenLooksKib = 128 * 1024;
  const std::int64_t limit = plan.limits.memory_mib * 1024;
  if (watched.by_kernel) return false;  // it would have said so
  if (limit <= 0 || watched.ended->max_rss_kib < limit) return false;
  return !watched.counted || watched.memory_kib + kBetweenLooksKib >= limit;
}

std::int64_t in_ms(const timespec& time) { return std::int64_t{time.tv_sec} * 1000 + time.tv_nsec / 1000000; }

// An operand that was written to: what was as large before, and only read, is not why it failed.
bool an_operand_is_full(const Plan& plan, std::int64_t duration_ms) {
  constexpr std::int64_t kTickMs = 10;  // a file's time may be that much behind
  const std::int64_t limit = plan.limits.file_mib * 1024 * 1024;
  timespec now{};
  (void)::clock_gettime(CLOCK_REALTIME, &now);
  const std::int64_t began = in_ms(now) - duration_ms - kTickMs;
  return limit > 0 && std::ranges::any_of(plan.grants, [&](const Grant& grant) {
    struct stat file {};
    const bool written = grant.origin == Origin::operand && grant.access > PathAccess::read && !grant.directory && grant.fd;
    return written && ::fstat(grant.fd.get(), &file) == 0 && S_ISREG(file.st_mode) && file.st_size >= limit && in_ms(file.st_mtim) >= began;
  });
}

// What a failing command had none left of; empty: nothing of the kind.
std::string spent_resource(const Plan& plan, const Watched& watched, bool limited) {
  if (!watched.over_limit.empty()) return watched.over_limit;
  if (watched.ended->tmp_full != 0) return "tmp";
  if (!limited) return "";
  if (memory_was_spent(plan, watched)) return "memory";
  if (plan.limits.processes > 1 && watched.most_processes >= plan.limits.processes) return "processes";  // one is the command itself
  return an_operand_is_full(plan, watched.duration_ms) ? "file_size" : "";
}

Ending ending_of(const Plan& plan, const LimitPlan& limits, const Watched& watched, bool limited) {
  if (watched.cancelled != 0) return Cancelled{watched.cancelled};
  if (watched.timed_out) return TimedOut{"wall", plan.timeout_ms};
  if (watched.stopped_over_limit) return LimitExceeded{watched.over_limit};
  const int status = watched.ended->status;
  const int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  const std::int64_t cpu_us = watched.ended->cpu_user_us + watched.ended->cpu_system_us;
  const bool cpu_spent = limits.cpu_s > 0 && cpu_us >= limits.cpu_s * 1000000;
  // Anybody can send it. The kernel counts by ticks, which may be more than what was used.
  const bool cpu_warned = number == SIGXCPU && limits.cpu_s > 0 && cpu_us >= limits.cpu_s * 1000000 / 2;
  if (cpu_warned || (number == SIGKILL && cpu_spent)) return TimedOut{"cpu", limits.cpu_s * 1000};
  rlimit file_size{};  // the caller's, where the plan has none
  if (number == SIGXFSZ && (plan.limits.file_mib > 0 || (::getrlimit(RLIMIT_FSIZE, &file_size) == 0 && file_size.rlim_cur != RLIM_INFINITY))) {
    return LimitExceeded{"file_size"};
  }
  if (failed_like_that(status)) {
    if (std::string resource = spent_resource(plan, watched, limited); !resource.empty()) return LimitExceeded{resource};
  }
  if (WIFEXITED(status)) return Exited{WEXITSTATUS(status)};
  return Signaled{number, WCOREDUMP(status) != 0};
}

Outcome outcome_of(const Plan& plan, const Attempts& attempts, const Launch& launch, Watched& watched,
                   const std::vector<LayerStatus>& already) {
  Outcome outcome;
  outcome.ending = ending_of(plan, launch.limits, watched, attempts.holds(Layer::limits));
  outcome.duration_ms = watched.duration_ms;
  if (watched.ended) {
    outcome.usage = Usage{watched.ended->cpu_user_us / 1000, watched.ended->cpu_system_us / 1000, watched.ended->max_rss_kib};
  }
  for (int i = 0; i < kLayerCount; ++i) {
    const auto layer = static_cast<Layer>(i);
    const auto settled = std::ranges::find(already, layer, &LayerStatus::layer);
    outcome.layers.push_back(settled != already.end() ? *settled : status_of(layer, attempts, launch, watched, plan));
  }
  outcome.out = std::move(watched.out);
  outcome.err = std::move(watched.err);
  outcome.blocked = plan.observed ? explain_refused(plan, launch, watched.refused, outcome.err, outcome.diagnosis) : conclude_blocked(plan, outcome);
  if (!watched.over_limit.empty() && !std::holds_alternative<LimitExceeded>(outcome.ending)) {  // it went on without that process
    const std::string limit = watched.over_limit == "memory" ? "limits.memory_mib" : "limits." + watched.over_limit;
    outcome.blocked.push_back({std::string(layer_name(Layer::limits)), "", "", "", "a process was killed: all together had more than " + limit, true});
  }
  return outcome;
}

// A layer that the policy itself requires has to be there whole: what this host would leave out is known by now.
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

// One attempt. nullopt: a layer was given up, try again.
Expected<std::optional<Outcome>> attempt(const Plan& plan, Attempts& attempts, const std::vector<LayerStatus>& already,
                                         std::shared_ptr<Launch> begun, LastProcess* last, std::string& taken) {
  const auto retry = [&](std::span<const Layer> layers, Error error) -> Expected<std::optional<Outcome>> {
    if (auto given_up = attempts.without(layers, std::move(error)); !given_up) return tl::unexpected(given_up.error());
    return std::nullopt;
  };
  if (!begun) {
    auto started = begin_launch(plan, attempts.wanted());
    if (!started) {
      const bool host = started.error().code == ErrorCode::sandbox_unavailable && attempts.wanted().namespaces.any();
      if (host && attempts.without_network(started.error().message)) return std::nullopt;
      return retry(host ? std::span<const Layer>(kNamespaceLayers) : std::span<const Layer>(), started.error());
    }
    begun = std::move(*started);
  }
  Launch& launch = *begun;
  if (auto prepared = prepare_launch(plan, launch); !prepared) {
    const bool landlock = prepared.error().step == "landlock" && is_refusal(prepared.error().sys_errno);
    return retry(landlock ? std::span<const Layer>(kLandlockLayer) : std::span<const Layer>(), prepared.error());
  }
  if (auto whole = demands_met(plan, launch); !whole) return tl::unexpected(std::move(whole.error()));
  if (auto released = release_launch(plan, launch); !released) return tl::unexpected(std::move(released.error()));
  auto watched = watch(plan, launch, last != nullptr, taken);
  if (!watched) return tl::unexpected(std::move(watched.error()));
  if (watched->failed) {
    if (watched->failed->step == Step::unshare && attempts.clone_instead()) return std::nullopt;
    if (watched->failed->step == Step::cgroup && attempts.without_cgroup()) return std::nullopt;
    if (watched->failed->step == Step::loopback && attempts.without_network(step_error(launch, *watched->failed).message)) return std::nullopt;
    return retry(layers_of(watched->failed->step, watched->failed->error, launch.wanted.namespaces),
                 step_error(launch, *watched->failed));
  }
  if (!watched->ended && !watched->timed_out && !watched->stopped_over_limit && watched->cancelled == 0) {
    Error error = launch_error(ErrorCode::internal, "the sandbox process died", "reaper", 0);
    error.hint = "somebody outside killed it, or an outer sandbox refuses a system call that it needs";
    if (!launch.wanted.namespaces.pid) error.hint += "; without a process namespace what the command started may still run";
    return tl::unexpected(std::move(error));
  }
  Outcome outcome = outcome_of(plan, attempts, launch, *watched, already);
  if (last != nullptr && (launch.wanted.namespaces.pid || watched->ending)) {
    *last = {std::move(launch.pidfd), begun, !launch.wanted.namespaces.pid};
  }
  return outcome;
}

// A closed 0, 1 or 2 would be given to the next file that is opened. Standard output is opened for reading, so that
// writing to it still fails as it must.
bool open_missing(int fd) {
  if (::fcntl(fd, F_GETFD) >= 0) return true;
  const int opened = ::open("/dev/null", fd == STDERR_FILENO ? O_RDWR : O_RDONLY);
  return opened == fd || (opened < 0 && ::open("/", O_RDONLY | O_DIRECTORY) == fd);
}

}  // namespace

Expected<void> prepare_process() {
  if (::getauxval(AT_SECURE) != 0) {
    return tl::unexpected(launch_error(ErrorCode::launch_failed,
                                       "refusing to run setuid, setgid or with file capabilities", "at_secure", 0));
  }
  rlimit files{};  // a grant is a descriptor, and there may be thousands; plan_limits sets the command's own
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    (void)::setrlimit(RLIMIT_NOFILE, &files);
  }
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (!open_missing(fd)) return tl::unexpected(launch_error(ErrorCode::launch_failed, "a standard descriptor is closed, and nothing can be opened in its place", "stdio", errno));
  }
  (void)::prctl(PR_SET_DUMPABLE, 0);
  // A crash starts the host's core handler (kernel.core_pattern with a '|') unless the limit is 1: core(5), fs/coredump.c. Set here,
  // since the command's filter may let nobody change it.
  const rlimit core{1, 1};
  (void)::setrlimit(RLIMIT_CORE, &core);
  (void)::signal(SIGPIPE, SIG_IGN);
  (void)::signal(SIGXFSZ, SIG_IGN);  // an answer that is too large for the caller's limit could not be written, as on a full disk
  (void)::signal(SIGCHLD, SIG_DFL);  // ignored by a parent, children could not be waited for
  sigset_t blocked;
  sigemptyset(&blocked);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) {
    struct sigaction now {};
    (void)::sigaction(number, nullptr, &now);
    if (now.sa_handler != SIG_IGN) sigaddset(&blocked, number);  // nohup(1) is respected
  }
  if (::sigprocmask(SIG_BLOCK, &blocked, nullptr) < 0) {
    return tl::unexpected(launch_error(ErrorCode::launch_failed, "signals cannot be blocked", "signals", errno));
  }
  return {};
}

void await_end(LastProcess& last) {
  constexpr int kPatienceMs = 2000;
  const UniqueFd& process = last.pidfd;
  // The processor that the reaper ran on last still has our tables of pages loaded. Whoever frees one has to call it and wait,
  // for 40 us in a virtual machine, and is not called upon again: better now than at our own end, which somebody waits for.
  if (auto launch = std::static_pointer_cast<Launch>(last.launch); launch && __atomic_load_n(&launch->child.uses_memory, __ATOMIC_ACQUIRE) == 0) {
    launch->stacks.release();
  }
  int ready = 0;
  for (int kills = 0; process && ready == 0 && kills < 2; ++kills) {
    pollfd gone{process.get(), POLLIN, 0};
    while ((ready = ::poll(&gone, 1, kPatienceMs)) < 0 && errno == EINTR) {
    }
    if (ready == 0 && !last.sweeps) (void)::syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0);
  }
  siginfo_t information{};
  if (process && ready > 0) {
    (void)::waitid(P_PIDFD, static_cast<id_t>(process.get()), &information, WEXITED | WNOHANG);
    std::static_pointer_cast<Launch>(last.launch)->running = false;
  }
  last = {};
}

HeadStart start_ahead(const Plan& plan) {
  const Attempts attempts(plan);
  if (!attempts.enough()) return {};
  auto launch = begin_launch(plan, attempts.wanted());
  return {launch ? std::move(*launch) : nullptr};  // an error is met again, and told, by execute()
}

Expected<Outcome> execute(Plan& plan, std::vector<LayerStatus> already, LastProcess* last, HeadStart ahead) {
  Attempts attempts(plan);
  // Of a host that answers otherwise now, the launch that was begun would be another than the one that is told of.
  if (ahead.launch && ahead.launch->wanted != attempts.wanted()) ahead = {};
  std::string taken;  // of standard input, by attempts that failed
  // Each failing attempt gives up at least one layer, unshare(2), a network or a cgroup.
  for (int i = 0; i < kLayerCount + 3; ++i) {
    if (auto enough = attempts.enough(); !enough) return tl::unexpected(std::move(enough.error()));
    auto outcome = attempt(plan, attempts, already, std::move(ahead.launch), last, taken);
    if (!outcome) return tl::unexpected(std::move(outcome.error()));
    if (outcome->has_value()) return std::move(**outcome);
  }
  return tl::unexpected(launch_error(ErrorCode::internal, "no set of layers was left to try", "layers", 0));
}

}  // namespace safe_exec
