#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "capture.h"
#include "clock.h"
#include "confine/census.h"
#include "confine/failure.h"
#include "supervise.h"

namespace safe_exec {
namespace {

constexpr std::size_t kBlock = 64 * 1024;  // the default size of a pipe, pipe(7)
constexpr int kLargePipe = 256 * 1024;
constexpr std::int64_t kDrainMs = 100;     // how long a descendant that holds the pipes may delay the answer
constexpr std::int64_t kGraceMs = 80;      // how long the reaper has for the tree before it is killed itself
// When the tree is counted first, so that short commands pay nothing for it, and how often. Sooner and more often where
// nothing else stands between the command and the host's last process.
constexpr std::int64_t kFirstLookMs = 20, kLookMs = 20;
constexpr std::int64_t kUnboundFirstLookMs = 4, kUnboundLookMs = 8;
constexpr std::int64_t kCgroupLookMs = 100;
constexpr std::int64_t kMaxKills = 8;      // by the kernel, for memory; then the tree goes as a whole, as for the census
constexpr std::int64_t kLookShare = 10;    // a look may take that part of the time
constexpr std::int64_t kNearShare = 2;     // and that one where there is nearly too much, and each takes longer
constexpr std::int64_t kAnswerMs = 5;      // how long after its time limit a tree may take to be gone before the answer is given
constexpr std::int64_t kCrowd = 50;        // processes
constexpr std::int64_t kReadyMs = 30;      // how long before it this process begins to go before all others, who may be a bomb
constexpr std::int64_t kGiveUpMs = 2000;   // a process in uninterruptible sleep cannot be waited for

class Watcher {
 public:
  Watcher(const Plan& plan, Launch& launch, bool leave_end, std::string& taken)
      : plan_(plan),
        launch_(launch),
        leave_end_(leave_end),
        taken_(taken),
        out_{launch.out.read, Capture(plan.stdout_bytes)},
        err_{launch.err.read, Capture(plan.stderr_bytes)},
        started_(launch.released_ms),
        wall_(launch.child.wall_ms),
        census_(launch.pid, bounds_of(plan, launch)) {
    if (plan.stdin_plan.kind == StdinPlan::Kind::text) feed_ = plan.stdin_plan.text;
    else feed_ = taken_;
    if (launch.limits.cgroup) look_at_ = started_ + kCgroupLookMs;
    if (launch.limits.counted) look_at_ = started_ + (launch.limits.unbound_processes ? kUnboundFirstLookMs : kFirstLookMs);
  }

  Expected<Watched> run() {
    const int stop_fd = open_stop_signals();
    if (launch_.limits.unbound_processes) launch_.first.emplace();
    while (!finished()) {
      if (!poll_once(stop_fd)) break;
    }
    if (overdue_) {
      kill_reaper();  // and with it, by the kernel, all of its namespace
      drain(out_);
      drain(err_);
      seen_.ending = true;
    } else if (!left()) {
      if (!gone_) kill_reaper();
      drain(out_);
      drain(err_);
      launch_.running = seen_.lingering = !reap();
    }
    read_refused();
    if (blind_ != 0) {
      return tl::unexpected(launch_error(ErrorCode::launch_failed, "the command could not be watched", "poll", blind_));
    }
    if (unheard_ != 0) {  // what was not read cannot be told from what was not written
      return tl::unexpected(launch_error(ErrorCode::launch_failed, "the command's output cannot be read", "output", unheard_));
    }
    if (census_.unseen() != 0 && plan_.demanded.contains(Layer::limits)) {
      return tl::unexpected(launch_error(ErrorCode::launch_failed, "limits is required, and the tree could not be counted", "proc", census_.unseen()));
    }
    if (unreadable_ != 0) {  // half of a file is not what was asked for
      return tl::unexpected(launch_error(ErrorCode::launch_failed, "the file on standard input cannot be read", "stdin", unreadable_));
    }
    if (unwritable_ != 0) {
      return tl::unexpected(launch_error(ErrorCode::launch_failed, "standard input cannot be written to the command", "stdin", unwritable_));
    }
    if (malformed_) {
      return tl::unexpected(launch_error(ErrorCode::internal, "the sandbox process sent a malformed report", "report", 0));
    }
    if (ended_at_ == 0) ended_at_ = monotonic_ms();
    seen_.duration_ms = ended_at_ - started_;
    let_reaper_go();
    if (!launch_.limits.cgroup) {
      seen_.over_limit = census_.over_limit();
      seen_.most_processes = census_.most_processes();
    }
    seen_.uncounted = census_.unseen();
    seen_.counted = census_.looked();
    seen_.memory_kib = census_.memory_kib();
    seen_.out = out_.capture.take();
    seen_.err = err_.capture.take();
    return std::move(seen_);
  }

 private:
  struct Stream {
    UniqueFd& fd;
    Capture capture;
    bool large = false;
  };
  enum Slot { report, process, out, err, in, source, stop, reader, slots };

  int open_stop_signals() {
    sigset_t signals;
    sigemptyset(&signals);
    sigset_t blocked;
    (void)::sigprocmask(SIG_BLOCK, nullptr, &blocked);
    for (const int signal : kStopSignals) {
      if (sigismember(&blocked, signal) == 1) sigaddset(&signals, signal);  // prepare_process blocked what counts
    }
    stop_ = UniqueFd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
    return stop_.get();
  }

  static Bounds bounds_of(const Plan& plan, const Launch& launch) {
    return {plan.limits.memory_mib * 1024, plan.limits.processes, launch.limits.unbound_processes};
  }

  // The tree is gone and the pipes are empty, or the time for that is over.
  bool finished() {
    if (left()) return true;
    const std::int64_t now = monotonic_ms();
    if (now >= answer_at()) return overdue_ = true;
    if (gone_ && ((!launch_.out.read && !launch_.err.read) || now >= gone_at_ + kDrainMs)) return true;
    if (ended_at_ != 0 && !gone_ && now >= ended_at_ + kGraceMs) kill_reaper();
    return kill_at_ != INT64_MAX && now >= kill_at_ + kGiveUpMs;
  }

  // A thousand processes are killed at once, but taken down one by one.
  std::int64_t answer_at() const {
    const bool told = seen_.timed_out && leave_end_ && !gone_ && (launch_.wanted.namespaces.pid || all_killed_);
    return told ? wall_ + kAnswerMs : INT64_MAX;
  }

  // Only what is left of the sandbox is still to go, and by itself.
  bool left() const {
    return leave_end_ && launch_.wanted.namespaces.pid && !gone_ && seen_.ended && kill_at_ == INT64_MAX && !launch_.out.read && !launch_.err.read;
  }

  int wait_ms() const {
    std::int64_t until = running() ? std::min(launch_.first ? wall_ : wall_ - kReadyMs, look_at_) : INT64_MAX;
    if (ended_at_ != 0 && !gone_) until = std::min(until, ended_at_ + kGraceMs);
    if (gone_) until = std::min(until, gone_at_ + kDrainMs);
    until = std::min(until, answer_at());
    if (kill_at_ != INT64_MAX) until = std::min(until, killed_ ? kill_at_ + kGiveUpMs : kill_at_);
    if (until == INT64_MAX) return -1;
    return static_cast<int>(std::clamp<std::int64_t>(until - monotonic_ms(), 0, 60000));
  }

  bool poll_once(int stop_fd) {
    std::array<pollfd, slots> fds{};
    fds[report] = {launch_.report.read.get(), POLLIN, 0};
    fds[process] = {gone_ ? -1 : launch_.pidfd.get(), POLLIN, 0};
    fds[out] = {launch_.out.read.get(), POLLIN, 0};
    fds[err] = {launch_.err.read.get(), POLLIN, 0};
    fds[in] = {feed_.empty() ? -1 : launch_.in.write.get(), POLLOUT, 0};
    fds[source] = {feed_.empty() && launch_.in.write ? source_fd() : -1, POLLIN, 0};
    fds[stop] = {stop_fd, POLLIN, 0};
    fds[reader] = {unread_ ? -1 : STDOUT_FILENO, 0, 0};  // POLLERR needs no asking, poll(2)
    if (plan_.stdin_plan.kind == StdinPlan::Kind::text && feed_.empty()) launch_.in.write.reset();  // all is written
    const int ready = ::poll(fds.data(), fds.size(), wait_ms());
    if (ready < 0 && errno != EINTR && errno != EAGAIN) {
      blind_ = errno;
      return false;
    }
    if (ready > 0) dispatch(fds);
    if (unreadable_ != 0 || unwritable_ != 0 || unheard_ != 0) return false;
    enforce_time();
    return true;
  }

  void dispatch(const std::array<pollfd, slots>& fds) {
    if (fds[out].revents != 0) relay(out_);
    if (fds[err].revents != 0) relay(err_);
    if (fds[in].revents != 0) write_input();
    if (fds[source].revents != 0) read_input();
    if (fds[report].revents != 0) read_reports();
    if (fds[process].revents != 0) {
      gone_ = true;
      gone_at_ = monotonic_ms();
      read_reports();  // what it sent last
    }
    if (fds[stop].revents != 0) read_stop(fds[stop].fd);
    if ((fds[reader].revents & POLLERR) != 0) {  // nobody is left to read the answer
      unread_ = true;
      cancel(SIGPIPE);
    } else if (fds[reader].revents != 0) {
      unread_ = true;  // POLLHUP, POLLNVAL: would be reported for ever
    }
  }

  // What the input is read from; -1: it is at hand, or there is none.
  int source_fd() const {
    return plan_.stdin_plan.kind == StdinPlan::Kind::inherit ? STDIN_FILENO : plan_.stdin_plan.file.get();
  }

  // Reads one block. A full one says that the writer is fast: then the pipe is enlarged, once.
  void relay(Stream& stream) {
    const ssize_t size = ::read(stream.fd.get(), block_.data(), block_.size());
    if (size > 0) {
      stream.capture.add({block_.data(), static_cast<std::size_t>(size)});
      if (static_cast<std::size_t>(size) == block_.size() && !stream.large) {
        (void)::fcntl(stream.fd.get(), F_SETPIPE_SZ, kLargePipe);
        stream.large = true;
      }
    } else if (size == 0 || (errno != EAGAIN && errno != EINTR)) {
      if (size < 0) unheard_ = errno;
      stream.fd.reset();
    }
  }

  void write_input() {
    const ssize_t size = ::write(launch_.in.write.get(), feed_.data(), feed_.size());
    if (size >= 0) {
      feed_.remove_prefix(static_cast<std::size_t>(size));
    } else if (errno != EAGAIN && errno != EINTR) {
      if (errno != EPIPE) unwritable_ = errno;  // EPIPE: the command reads no further
      feed_ = {};
      launch_.in.write.reset();
    }
  }

  void read_input() {
    if (input_.empty()) {
      input_.resize(kBlock);
      most_taken_ = static_cast<std::size_t>(std::max(::fcntl(launch_.in.write.get(), F_GETPIPE_SZ), int{kBlock}));
    }
    const ssize_t size = ::read(source_fd(), input_.data(), input_.size());
    if (size > 0) {
      feed_ = std::string_view(input_).substr(0, static_cast<std::size_t>(size));
      // All of it is in the pipe by now. When that is more than it holds, the command is reading: there is no other attempt.
      if (taken_.size() <= most_taken_) taken_ += feed_;
    } else if (size < 0 && plan_.stdin_plan.kind == StdinPlan::Kind::file && errno != EINTR) {
      unreadable_ = errno;
    } else if (size == 0 || (errno != EAGAIN && errno != EINTR)) {
      launch_.in.write.reset();
    }
  }

  void read_reports() {
    std::array<Message, 4> messages;
    for (;;) {
      const ssize_t size = ::read(launch_.report.read.get(), messages.data(), sizeof messages);
      if (size < 0 && errno == EINTR) continue;
      if (size == 0) end_reports();
      if (size <= 0) return;
      const auto count = static_cast<std::size_t>(size) / sizeof(Message);
      malformed_ |= static_cast<std::size_t>(size) % sizeof(Message) != 0;
      for (std::size_t i = 0; i < count; ++i) take(messages[i]);
    }
  }

  void end_reports() {
    launch_.report.read.reset();
    let_reaper_go();
  }

  // It waits for this where it has something to remove.
  void let_reaper_go() {
    if (launch_.limits.cgroup && launch_.lifeline.write) (void)ask_cgroup();
    if (plan_.may_run_again) __atomic_store_n(&launch_.child.created_count, 0, __ATOMIC_RELEASE);  // the next run writes to them
    launch_.lifeline.write.reset();
  }

  void read_refused() {
    if (!launch_.observer) return;
    const std::uint64_t count = __atomic_load_n(&launch_.observer->count, __ATOMIC_ACQUIRE);
    for (std::uint64_t i = count - std::min<std::uint64_t>(count, kMaxRefused); i < count; ++i) {
      RefusedCall& one = seen_.refused.emplace_back(launch_.observer->refused[i % kMaxRefused]);
      one.directory[kObservedText - 1] = '\0';  // a reaper that is not gone may be writing there
    }
  }

  void take(const Message& message) {
    if (message.kind == Message::note) {
      seen_.notes.push_back(message);
      if (message.step == Step::process_limit) census_.kill_processes();
      return;
    }
    if (message.kind == Message::killed) {
      all_killed_ = true;
      return;
    }
    if (message.kind == Message::failed) launch_.child.created_count = 0;  // they may be tried again, in another sandbox
    auto& place = message.kind == Message::failed ? seen_.failed : seen_.ended;
    if (message.kind != Message::failed && message.kind != Message::ended) malformed_ = true;
    if (message.overdue != 0 && WIFSIGNALED(message.status) && WTERMSIG(message.status) == SIGKILL && running()) seen_.timed_out = true;
    if (!place) place = message;
    if (ended_at_ == 0) ended_at_ = monotonic_ms();
  }

  void read_stop(int fd) {
    signalfd_siginfo information{};
    if (::read(fd, &information, sizeof information) != sizeof information) return;
    cancel(static_cast<int>(information.ssi_signo));
  }

  void cancel(int signal) {
    if (seen_.cancelled == 0 && ended_at_ == 0 && !seen_.timed_out) seen_.cancelled = signal;
    stop_tree();
  }

  void enforce_time() {
    const std::int64_t now = monotonic_ms();
    if (running() && now >= wall_ - kReadyMs && !launch_.first) launch_.first.emplace();
    if (running() && now >= wall_) {
      seen_.timed_out = true;
      stop_tree();
    }
    if (running() && now >= look_at_) count_tree(now);
    if (now >= kill_at_ && !killed_) kill_reaper();
  }

  bool running() const { return ended_at_ == 0 && kill_at_ == INT64_MAX; }

  void count_tree(std::int64_t now) {
    if (too_much()) {
      seen_.stopped_over_limit = true;
      stop_tree();
    }
    if (census_.unseen() != 0 && plan_.demanded.contains(Layer::limits)) stop_tree();
    if (!launch_.first && census_.most_processes() > kCrowd) launch_.first.emplace();  // who counts a crowd waits behind all of it
    const std::int64_t took = monotonic_ms() - now;
    const std::int64_t pause = launch_.limits.cgroup ? kCgroupLookMs : launch_.limits.unbound_processes ? kUnboundLookMs : kLookMs;
    look_at_ = now + std::max(pause, took * (census_.near_limit() ? kNearShare : kLookShare));
    if (look_at_ >= wall_ - took * 3) look_at_ = INT64_MAX;  // none that would make the answer to the time limit late
  }

  // Whether the tree has to end: because it has too much, or takes it again and again.
  bool too_much() { return launch_.limits.cgroup ? ask_cgroup() > kMaxKills : census_.look(wall_); }

  std::int64_t ask_cgroup() {
    const CgroupEvents events = launch_.limits.cgroup->events();
    seen_.by_kernel = true;
    if (events.killed > 0) seen_.over_limit = "memory";
    if (events.refused > 0) seen_.most_processes = plan_.limits.processes;
    return events.killed;
  }

  // A byte on the lifeline tells the reaper to kill the tree, as end of file does; it then still reports usage.
  void stop_tree() {
    if (kill_at_ != INT64_MAX) return;
    kill_at_ = monotonic_ms() + kGraceMs;
    (void)!::write(launch_.lifeline.write.get(), "", 1);  // fails when the reaper is gone
  }

  void kill_reaper() {
    if (kill_at_ == INT64_MAX) kill_at_ = monotonic_ms();
    if (killed_) return;
    killed_ = true;
    // Without a pid namespace the reaper is who sweeps, so it is left to it.
    if (launch_.wanted.namespaces.pid) (void)::syscall(SYS_pidfd_send_signal, launch_.pidfd.get(), SIGKILL, nullptr, 0);
    let_reaper_go();
  }

  // What is left in a pipe that somebody still holds open; it does not block.
  void drain(Stream& stream) {
    for (int i = 0; i < kLargePipe / 4096 && stream.fd; ++i) {
      pollfd one{stream.fd.get(), POLLIN, 0};
      if (::poll(&one, 1, 0) <= 0) return;
      relay(stream);
    }
  }

  bool reap() {
    siginfo_t information{};
    const int options = WEXITED | (gone_ ? 0 : WNOHANG);
    while (::waitid(P_PIDFD, static_cast<id_t>(launch_.pidfd.get()), &information, options) < 0) {
      if (errno != EINTR) return gone_;
    }
    return information.si_pid != 0;
  }

  const Plan& plan_;
  Launch& launch_;
  const bool leave_end_;
  std::string& taken_;  // of standard input, by this attempt and those before
  Stream out_, err_;
  Watched seen_;
  UniqueFd stop_;
  std::int64_t started_;
  std::int64_t wall_;
  std::int64_t look_at_ = INT64_MAX;
  Census census_;
  std::int64_t ended_at_ = 0;          // the command's end was reported
  std::int64_t gone_at_ = 0;           // the reaper's
  std::int64_t kill_at_ = INT64_MAX;   // the tree was told to end; the reaper is killed then
  bool gone_ = false, killed_ = false, malformed_ = false;
  bool all_killed_ = false;  // says the reaper, where it had to seek them
  bool overdue_ = false;  // the answer is given while the kernel takes the tree down
  int blind_ = 0;        // errno of poll
  int unreadable_ = 0;   // errno of reading the file on standard input
  int unwritable_ = 0, unheard_ = 0;  // errno of writing to the command, and of reading from it
  bool unread_ = false;  // standard output is not watched any more
  std::string_view feed_;  // what of the input is not yet written
  std::string input_;
  std::size_t most_taken_ = 0;
  std::array<char, kBlock> block_;
};

}  // namespace

Expected<Watched> watch(const Plan& plan, Launch& launch, bool leave_end, std::string& taken) {
  const auto watcher = std::make_unique<Watcher>(plan, launch, leave_end, taken);
  return watcher->run();
}

}  // namespace safe_exec
