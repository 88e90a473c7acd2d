#include "confine/process_memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "clock.h"
#include "fd.h"

namespace safe_exec {
namespace {

constexpr int kTries = 3;  // a thread may end before it is asked, each when it has started the next
constexpr std::size_t kStack = 256 * 1024;
constexpr std::int64_t kLongestWaitMs = 100;  // of one that is asked again and again
constexpr std::int64_t kStuckMs = 3000, kStuckInAllMs = 10000;

// "Name:   123 kB"; 0 when it is not there.
std::int64_t field(std::string_view text, std::string_view name) {
  const auto at = text.find(name);
  return at == std::string_view::npos ? 0 : ::strtoll(text.data() + at + name.size(), nullptr, 10);
}

// Of one of its threads; the first is the process itself.
std::string name_of(pid_t pid, pid_t thread) {
  const std::string name = std::to_string(pid);
  return thread == pid ? name : name + "/task/" + std::to_string(thread);
}

std::int64_t pages_kib(std::int64_t pages) { return pages * (::sysconf(_SC_PAGESIZE) / 1024); }

bool read_by(int proc, pid_t thread, ProcessMemory& memory) {
  std::array<char, 4096> buffer;
  const std::string name = name_of(memory.pid, thread);
  const std::string_view text = read_whole(proc, name + "/statm", buffer);
  if (text.empty() || text[0] == '0') return false;
  char* at = buffer.data();
  for (std::int64_t* value : {&memory.size, &memory.resident, &memory.shared}) *value = ::strtoll(at, &at, 10);
  memory.thread = thread;
  return true;
}

// Anonymous and shared memory, a share of what is shared; what a file backs can be had back at any time.
std::int64_t exact_kib(int proc, ProcessMemory memory) {
  std::array<char, 4096> buffer;
  for (int i = 0; i < kTries && memory.thread != 0; ++i) {
    errno = 0;
    const std::string_view text = read_whole(proc, name_of(memory.pid, memory.thread) + "/smaps_rollup", buffer);
    if (!text.empty()) return field(text, "Pss_Anon:") + field(text, "Pss_Shmem:") + field(text, "SwapPss:") + memory.tables_kib;
    if (errno != ENOENT && errno != ESRCH) break;
    const std::int64_t tables_kib = memory.tables_kib;
    memory = {.pid = memory.pid};
    read_memory(proc, memory);
    memory.tables_kib = tables_kib;
  }
  // What all may read, of who is not dumpable for example (prctl(2)); nothing when it ended meanwhile.
  return memory.unshared_kib() + shmem_kib(proc, memory);
}

}  // namespace

std::int64_t ProcessMemory::size_kib() const { return pages_kib(size); }
std::int64_t ProcessMemory::resident_kib() const { return pages_kib(resident) + tables_kib; }
std::int64_t ProcessMemory::unshared_kib() const { return pages_kib(resident - shared) + tables_kib; }

std::string_view read_whole(int proc, const std::string& name, std::array<char, 4096>& buffer) {
  const UniqueFd fd(::openat(proc, name.c_str(), O_RDONLY | O_CLOEXEC));
  const ssize_t size = fd ? ::read(fd.get(), buffer.data(), buffer.size() - 1) : 0;
  buffer[static_cast<std::size_t>(std::max<ssize_t>(size, 0))] = '\0';
  return {buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
}

// A first thread that has ended has no memory any more; that of the process is told by any other.
void read_memory(int proc, ProcessMemory& memory) {
  for (int i = 0; i < kTries && !read_by(proc, memory.pid, memory); ++i) {
    const std::string task = std::to_string(memory.pid) + "/task";
    const int fd = ::openat(proc, task.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(fd < 0 ? nullptr : ::fdopendir(fd), ::closedir);
    bool more = false;
    while (const dirent* entry = directory ? ::readdir(directory.get()) : nullptr) {
      const auto thread = static_cast<pid_t>(::strtol(entry->d_name, nullptr, 10));
      if (thread <= 0 || thread == memory.pid) continue;
      if (read_by(proc, thread, memory)) return;
      more = true;
    }
    if (!more) return;  // all of it has ended
  }
}

void read_tables(int proc, ProcessMemory& memory) {
  std::array<char, 4096> buffer;
  if (memory.thread != 0) memory.tables_kib = field(read_whole(proc, name_of(memory.pid, memory.thread) + "/status", buffer), "VmPTE:");
}

std::int64_t shmem_kib(int proc, const ProcessMemory& memory) {
  std::array<char, 4096> buffer;
  return memory.thread == 0 ? 0 : field(read_whole(proc, name_of(memory.pid, memory.thread) + "/status", buffer), "RssShmem:");
}

struct ExactCount::Work {
  UniqueFd proc;
  std::vector<ProcessMemory> processes;
  std::vector<std::int64_t> kib;
  std::atomic<bool> unwanted = false;
  std::atomic<std::size_t> finished = 0;
  std::atomic<int> state = kNotYet;  // of the thread, /proc/PID/stat of proc(5)
  static constexpr int kNotYet = -2;
  std::mutex lock = {};
  std::condition_variable ended = {};
  bool done = false;

  explicit Work(int given, std::vector<ProcessMemory> all)
      : proc(::fcntl(given, F_DUPFD_CLOEXEC, 0)), processes(std::move(all)), kib(processes.size()) {}
  ~Work() {
    if (state >= 0) ::close(state);
  }
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;

  // Of one after the other; only one thread counts.
  void count_next() {
    const std::size_t i = finished;
    if (i < processes.size()) {
      kib[i] = exact_kib(proc.get(), processes[i]);
      finished = i + 1;
    }
    if (finished < processes.size()) return;
    const std::lock_guard held(lock);
    done = true;
    ended.notify_all();
  }
};

void* ExactCount::run(void* argument) {
  const std::unique_ptr<std::shared_ptr<Work>> owned(static_cast<std::shared_ptr<Work>*>(argument));
  Work& work = **owned;
  // Who is counted may be many and busy, and who waits goes first as well: as root by this (the rest inherits its short turns).
  const sched_param first{1};
  if (::sched_getscheduler(0) == SCHED_OTHER) (void)::sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &first);
  work.state = ::open("/proc/thread-self/stat", O_RDONLY | O_CLOEXEC);  // without it all the time counts as waited
  do work.count_next();
  while (!work.unwanted && work.finished < work.processes.size());
  return nullptr;
}

ExactCount::ExactCount(int proc, std::vector<ProcessMemory> processes)
    : work_(std::make_shared<Work>(proc, std::move(processes))), started_(start()), asked_ms_(monotonic_ms()) {}

ExactCount::~ExactCount() { work_->unwanted = true; }

bool ExactCount::start() {
  auto argument = std::make_unique<std::shared_ptr<Work>>(work_);
  pthread_attr_t small;
  pthread_t thread{};
  (void)::pthread_attr_init(&small);
  (void)::pthread_attr_setstacksize(&small, kStack);
  (void)::pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
  const bool made = ::pthread_create(&thread, &small, &ExactCount::run, argument.get()) == 0;
  (void)::pthread_attr_destroy(&small);
  if (made) (void)argument.release();  // the thread's
  return made;
}

// By what it is doing when it is asked: whoever runs, or could, is kept from it by nobody who is counted.
void ExactCount::note_progress() {
  const std::int64_t now = monotonic_ms();
  const std::int64_t waited = std::min(now - std::exchange(asked_ms_, now), kLongestWaitMs);
  if (const std::size_t finished = work_->finished; std::exchange(finished_, finished) != finished) before_ms_ = blocked_ms_;
  const int state = work_->state;
  if (state == Work::kNotYet) return;  // its first turn has not come
  std::array<char, 128> text;
  const ssize_t size = ::pread(state, text.data(), text.size(), 0);
  const std::string_view line(text.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0)));  // "pid (name) R ..."
  if (line.find(") R ") == std::string_view::npos) blocked_ms_ += waited;
}

bool ExactCount::stuck() const { return blocked_ms_ - before_ms_ >= kStuckMs || blocked_ms_ >= kStuckInAllMs; }

bool ExactCount::done_by(std::int64_t until_ms) {
  if (!started_) work_->count_next();
  std::unique_lock held(work_->lock);
  const std::chrono::steady_clock::time_point until{std::chrono::milliseconds(until_ms)};
  const bool done = work_->ended.wait_until(held, started_ ? until : std::chrono::steady_clock::time_point{}, [this] { return work_->done; });
  note_progress();
  return done;
}

const std::vector<std::int64_t>& ExactCount::kib() const { return work_->kib; }

}  // namespace safe_exec
