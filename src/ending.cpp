#include "ending.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <algorithm>
#include <csignal>
#include <iterator>

#include "watch.h"

namespace safe_exec {
namespace {

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

}  // namespace

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

}  // namespace safe_exec
