#include "confine/limits.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "confine/census.h"
#include "fd.h"

namespace safe_exec {
namespace {

constexpr std::int64_t kMiB = 1024 * 1024;
constexpr std::int64_t kLeastMemoryMib = 8;  // of a cgroup
constexpr std::uint64_t kPendingSignals = 4096;  // and timers: of a user's all together, of whom others may be

void add_detail(LimitPlan& plan, const char* text) { plan.detail += (plan.detail.empty() ? "" : "; ") + std::string(text); }

// Hard limits of the caller are never raised.
void add(LimitPlan& plan, __rlimit_resource resource, std::uint64_t soft, std::uint64_t hard) {
  rlimit now{};
  if (::getrlimit(resource, &now) == 0) hard = std::min<std::uint64_t>(hard, now.rlim_max);
  plan.limits.push_back({static_cast<int>(resource), std::min(soft, hard), hard});
}

void add_if(LimitPlan& plan, __rlimit_resource resource, std::int64_t value, std::int64_t unit) {
  if (value <= 0) return;
  const auto limit = static_cast<std::uint64_t>(std::min(value, INT64_MAX / unit) * unit);
  add(plan, resource, limit, limit);
}

// kernel.pid_max belongs to the pid namespace since 6.14. Before, writing it would change the whole host.
bool own_pid_max() {
  utsname system{};
  if (::uname(&system) != 0) return false;
  char* end = nullptr;
  const long major = ::strtol(system.release, &end, 10);
  const long minor = *end == '.' ? ::strtol(end + 1, nullptr, 10) : 0;
  return major > 6 || (major == 6 && minor >= 14);
}

// Threads of this user, which all count against RLIMIT_NPROC outside a user namespace (getrlimit(2)).
std::int64_t threads_of_user() {
  const std::unique_ptr<DIR, int (*)(DIR*)> proc(::opendir("/proc"), ::closedir);
  if (!proc) return 0;
  std::int64_t threads = 0;
  while (const dirent* entry = ::readdir(proc.get())) {
    if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
    struct stat task {};
    const std::string path = std::string("/proc/") + entry->d_name + "/task";
    // Non-dumpable ones belong to root here and are missed: the limit is then the stricter for it.
    if (::stat(path.c_str(), &task) == 0 && task.st_uid == ::getuid() && task.st_nlink > 2) {
      threads += static_cast<std::int64_t>(task.st_nlink) - 2;
    }
  }
  return threads;
}

// SIGXCPU at the soft limit, SIGKILL a second later: also of a hard limit that the caller has, which is met first else.
void limit_time(LimitPlan& plan, std::int64_t asked) {
  rlimit now{};
  if (::getrlimit(RLIMIT_CPU, &now) != 0) now.rlim_max = RLIM_INFINITY;
  const rlim_t hard = std::min<rlim_t>(asked > 0 ? static_cast<rlim_t>(asked) + 1 : RLIM_INFINITY, now.rlim_max);
  if (hard == RLIM_INFINITY) return;
  const rlim_t soft = std::max<rlim_t>(hard, 2) - 1;
  plan.cpu_s = static_cast<std::int64_t>(soft);
  add(plan, RLIMIT_CPU, soft, hard);
}

void limit_memory(LimitPlan& plan, const EffectiveLimits& asked) {
  // Data, not address space: node, go and java reserve far more than they use and die under RLIMIT_AS. RLIMIT_DATA
  // counts private writable memory since Linux 4.7. Where nothing counts the whole tree it is all there is.
  const bool alone = !plan.counted && !plan.cgroup && asked.memory_mib > 0;
  const bool more = asked.data() == 0 || asked.data() > asked.memory_mib;
  add_if(plan, RLIMIT_DATA, alone && more ? asked.memory_mib : asked.data(), kMiB);
}

void limit_processes(LimitPlan& plan, std::int64_t processes, const Namespaces& namespaces) {
  if (processes <= 0 || plan.cgroup) return;
  if (::getuid() == 0) {  // the kernel exempts the outer root from RLIMIT_NPROC, also inside a user namespace
    if (namespaces.pid && own_pid_max()) {
      plan.pid_max = std::to_string(300 + processes + 1);  // 300 numbers are reserved; the reaper takes one
      plan.detail = "processes are limited by kernel.pid_max of the pid namespace, up to 300 more at first";
    } else {
      plan.detail = unbound_processes(plan);
      plan.unbound_processes = true;
      plan.partial = true;
    }
  }
  std::int64_t others = 1;  // the reaper
  if (!namespaces.user && ::getuid() != 0) {
    others += threads_of_user();
    plan.detail = "processes are counted together with the user's others";
    plan.partial = true;
  }
  add_if(plan, RLIMIT_NPROC, processes + others, 1);
}

// Where rlimits and the pid namespace leave something open, be it the end of the tree, or must leave nothing.
bool wants_cgroup(const Plan& plan, const Namespaces& namespaces) {
  if (plan.limits.memory_mib <= 0 && plan.limits.processes <= 0) return false;
  if (!namespaces.pid || plan.demanded.contains(Layer::limits)) return true;
  return ::getuid() == 0 ? !own_pid_max() : !namespaces.user;
}

}  // namespace

std::string unbound_processes(const LimitPlan& plan) {
  if (!plan.counted) return "processes are not limited: RLIMIT_NPROC does not bind root";
  return "processes are counted and killed, not refused: RLIMIT_NPROC does not bind root";
}

char told_of_crashes() {
  const UniqueFd pattern(::open("/proc/sys/kernel/core_pattern", O_RDONLY | O_CLOEXEC));
  char first = '|';
  return pattern && ::read(pattern.get(), &first, 1) == 1 ? first : '|';
}

LimitPlan plan_descriptors(std::int64_t open_files) {
  LimitPlan plan;
  add_if(plan, RLIMIT_NOFILE, open_files, 1);
  // safe-exec raised its own; above 1024 a descriptor does not fit into select(2)'s sets.
  if (plan.limits.empty()) add(plan, RLIMIT_NOFILE, 1024, RLIM_INFINITY);
  return plan;
}

std::optional<Cgroup> make_cgroup(const Plan& plan, const Namespaces& namespaces) {
  if (!wants_cgroup(plan, namespaces)) return std::nullopt;
  const EffectiveLimits& asked = plan.limits;
  // Files in memory are counted there, and those of the private /tmp have a limit of their own. What executes a program
  // takes some too: when it is not to be had the kernel kills, and until then the command shares safe-exec's memory.
  constexpr std::int64_t kMost = INT64_MAX / kMiB / 2;
  const std::int64_t tmp_mib = plan.tmp == Tmp::none ? 0 : std::min(asked.tmp_mib, kMost);
  const std::int64_t memory_mib = std::clamp(asked.memory_mib, kLeastMemoryMib, kMost) + tmp_mib;
  return Cgroup::make({asked.memory_mib > 0 ? memory_mib * kMiB : 0, asked.processes});
}

LimitPlan plan_limits(const EffectiveLimits& asked, const Namespaces& namespaces, std::optional<Cgroup> cgroup, char told) {
  LimitPlan plan = plan_descriptors(asked.open_files);
  limit_time(plan, asked.cpu_s);
  plan.cgroup = std::move(cgroup);
  if (plan.cgroup) plan.detail = "memory and processes are limited by a cgroup";
  plan.counted = !plan.cgroup && (asked.memory_mib > 0 || asked.processes > 0) && Census::possible();
  limit_memory(plan, asked);
  add_if(plan, RLIMIT_FSIZE, asked.file_mib, kMiB);
  limit_processes(plan, asked.processes, namespaces);
  if (plan.counted && asked.memory_mib > 0) {
    add_detail(plan, "of memory that is counted which processes have mapped");
  }
  if (!plan.counted && !plan.cgroup && asked.memory_mib > 0) {
    add_detail(plan, "memory is limited for each process and not for all together: /proc does not show them (hidepid, or that of another pid namespace)");
    plan.partial = true;
  }
  add(plan, RLIMIT_SIGPENDING, kPendingSignals, kPendingSignals);
  rlimit core{};  // safe-exec has set its own to 1, which the command inherits, unless it may not
  const bool one = ::getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 1;
  if (told == '@') add_detail(plan, "a crash is told to the host's socket for core dumps, whatever the limit");
  if (told == '|' && !one) add_detail(plan, "a crash starts the host's core handler: the limit of core dumps was 0 already");
  add(plan, RLIMIT_MEMLOCK, 64 * 1024, 64 * 1024);
  add(plan, RLIMIT_MSGQUEUE, 0, 0);
  add(plan, RLIMIT_RTPRIO, 0, 0);
  add(plan, RLIMIT_NICE, 0, 0);
  return plan;
}

}  // namespace safe_exec
