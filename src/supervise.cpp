#include "supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <span>
#include <utility>

#include "confine/failure.h"
#include "diagnose.h"
#include "ending.h"
#include "launch.h"
#include "layers.h"
#include "watch.h"

namespace safe_exec {
namespace {

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

Outcome outcome_of(const Plan& plan, const Layers& layers, const Launch& launch, Watched& watched,
                   const std::vector<LayerStatus>& already) {
  Outcome outcome;
  outcome.ending = ending_of(plan, launch.limits, watched, layers.holds(Layer::limits));
  outcome.duration_ms = watched.duration_ms;
  if (watched.ended) {
    outcome.usage = Usage{watched.ended->cpu_user_us / 1000, watched.ended->cpu_system_us / 1000, watched.ended->max_rss_kib};
  }
  for (int i = 0; i < kLayerCount; ++i) {
    const auto layer = static_cast<Layer>(i);
    const auto settled = std::ranges::find(already, layer, &LayerStatus::layer);
    outcome.layers.push_back(settled != already.end() ? *settled : status_of(layer, layers, launch, watched, plan));
  }
  outcome.out = std::move(watched.out);
  outcome.err = std::move(watched.err);
  outcome.blocked = plan.observed ? explain_refused(plan, launch, watched.refused, outcome.err, outcome.diagnosis) : conclude_blocked(plan, launch, outcome);
  if (!watched.over_limit.empty() && !std::holds_alternative<LimitExceeded>(outcome.ending)) {  // it went on without that process
    const std::string limit = watched.over_limit == "memory" ? "limits.memory_mib" : "limits." + watched.over_limit;
    outcome.blocked.push_back({std::string(layer_name(Layer::limits)), "", "", "", "a process was killed: all together had more than " + limit, true});
  }
  return outcome;
}

// One attempt. nullopt: a layer was given up, try again.
Expected<std::optional<Outcome>> attempt(const Plan& plan, Layers& layers, const std::vector<LayerStatus>& already,
                                         std::shared_ptr<Launch> begun, LastProcess* last, std::string& taken) {
  const auto retry = [&](std::span<const Layer> lost, Error error) -> Expected<std::optional<Outcome>> {
    if (auto given_up = layers.without(lost, std::move(error)); !given_up) return tl::unexpected(given_up.error());
    return std::nullopt;
  };
  if (!begun) {
    auto started = begin_launch(plan, layers.wanted());
    if (!started) {
      const bool host = started.error().code == ErrorCode::sandbox_unavailable && layers.wanted().namespaces.any();
      if (host && layers.without_network(started.error().message)) return std::nullopt;
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
    if (watched->failed->step == Step::unshare && layers.clone_instead()) return std::nullopt;
    if (watched->failed->step == Step::cgroup && layers.without_cgroup()) return std::nullopt;
    if (watched->failed->step == Step::loopback && layers.without_network(step_error(launch, *watched->failed).message)) return std::nullopt;
    return retry(layers_of(watched->failed->step, watched->failed->error, launch.wanted.namespaces),
                 step_error(launch, *watched->failed));
  }
  if (!watched->ended && !watched->timed_out && !watched->stopped_over_limit && watched->cancelled == 0) {
    Error error = launch_error(ErrorCode::internal, "the sandbox process died", "reaper", 0);
    error.hint = "somebody outside killed it, or an outer sandbox refuses a system call that it needs";
    if (!launch.wanted.namespaces.pid) error.hint += "; without a process namespace what the command started may still run";
    return tl::unexpected(std::move(error));
  }
  Outcome outcome = outcome_of(plan, layers, launch, *watched, already);
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
  for (const int number : kStopSignals) {
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
  const Layers layers(plan);
  if (!layers.enough()) return {};
  auto launch = begin_launch(plan, layers.wanted());
  return {launch ? std::move(*launch) : nullptr};  // an error is met again, and told, by execute()
}

Expected<Outcome> execute(Plan& plan, std::vector<LayerStatus> already, LastProcess* last, HeadStart ahead) {
  Layers layers(plan);
  // Of a host that answers otherwise now, the launch that was begun would be another than the one that is told of.
  if (ahead.launch && ahead.launch->wanted != layers.wanted()) ahead = {};
  std::string taken;  // of standard input, by attempts that failed
  // Each failing attempt gives up at least one layer, unshare(2), a network or a cgroup.
  for (int i = 0; i < kLayerCount + 3; ++i) {
    if (auto enough = layers.enough(); !enough) return tl::unexpected(std::move(enough.error()));
    auto outcome = attempt(plan, layers, already, std::move(ahead.launch), last, taken);
    if (!outcome) return tl::unexpected(std::move(outcome.error()));
    if (outcome->has_value()) return std::move(**outcome);
  }
  return tl::unexpected(launch_error(ErrorCode::internal, "no set of layers was left to try", "layers", 0));
}

}  // namespace safe_exec
