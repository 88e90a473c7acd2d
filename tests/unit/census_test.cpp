// The count of memory, told by a directory that looks like /proc: a file that is a FIFO is a lock that nobody gives up.
#include "confine/census.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "clock.h"
#include "scratch.h"

namespace safe_exec {
namespace {

constexpr pid_t kRoot = 5000000;  // above the largest that the kernel gives: nobody is killed

class Proc : public test::Scratch {
 public:
  explicit Proc(int processes = 2) {
    const std::string root = std::to_string(kRoot);
    std::string children;
    for (int i = 1; i <= processes; ++i) {
      const std::string& pid = pids_.emplace_back(std::to_string(kRoot + i));
      children += pid + ' ';
      (void)file(pid + "/task/" + pid + "/children", "");
      (void)file(pid + "/statm", "20000 15000 0 1 0 1 0");  // 60,000 KiB of pages of 4
      if (::mkfifo(rollup(pid).c_str(), 0600) != 0) std::abort();
    }
    (void)file(root + "/task/" + root + "/children", children);
  }
  void set_pages(int process, const std::string& statm) const { (void)file(std::to_string(kRoot + process) + "/statm", statm); }
  [[nodiscard]] std::string rollup(const std::string& pid) const { return *this / (pid + "/smaps_rollup"); }
  [[nodiscard]] UniqueFd open() const { return UniqueFd(::open(path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)); }
  void answer(const std::string& kib, std::chrono::milliseconds pause = {}) const {
    for (const std::string& pid : pids_) {
      std::this_thread::sleep_for(pause);
      const UniqueFd fd(::open(rollup(pid).c_str(), O_WRONLY | O_CLOEXEC));
      const std::string text = "Rss: 70000 kB\nPss_Anon:     " + kib + " kB\nPss_File: 9 kB\nPss_Shmem:     1 kB\nSwapPss:     2 kB\n";
      CHECK(::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    }
  }

 private:
  std::vector<std::string> pids_;
};

// Of this thread alone.
void refuse_threads() {
  sock_filter filter[] = {{BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
                          {BPF_JMP | BPF_JEQ | BPF_K, 1, 0, SYS_clone},
                          {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_clone3},
                          {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EAGAIN},
                          {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
  const sock_fprog program{std::size(filter), filter};
  CHECK(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  CHECK(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0);
}

TEST_CASE("census: who asks does not wait for an exact count, which counts when it is there") {
  struct Case {
    const char* kib;
    bool over;
  };
  for (const Case& one : {Case{"30000", false}, Case{"55000", true}}) {
    CAPTURE(one.kib);
    const Proc proc;
    Census census(kRoot, {100 * 1024, 0, false}, proc.open());
    const std::int64_t started = monotonic_ms();
    CHECK_FALSE(census.look(INT64_MAX));
    CHECK(monotonic_ms() - started < 1000);
    CHECK(census.near_limit());
    proc.answer(one.kib);
    bool over = false;
    for (const std::int64_t until = monotonic_ms() + 2000; !over && census.memory_kib() == 120000 && monotonic_ms() < until;) {
      over = census.look(INT64_MAX);
    }
    CHECK(over == one.over);
    CHECK(census.memory_kib() == 2 * (std::stol(one.kib) + 3));
    CHECK(census.over_limit() == (one.over ? "memory" : ""));
  }
}

TEST_CASE("census: what cannot be counted counts as if nothing of it were shared") {
  const Proc proc, shared;
  for (const int i : {1, 2}) {
    shared.set_pages(i, "20000 15000 15000 1 0 1 0");
    (void)shared.file(std::to_string(kRoot + i) + "/status", "Name:\tx\nRssShmem:\t   60000 kB\n");
  }
  Census census(kRoot, {100 * 1024, 0, false}, proc.open()), of_shared(kRoot, {100 * 1024, 0, false}, shared.open());
  CHECK_FALSE(census.look(INT64_MAX));
  std::this_thread::sleep_for(std::chrono::milliseconds(3200));  // who was stopped has not waited
  const std::int64_t started = monotonic_ms();
  std::int64_t over_ms = 0, over_shared_ms = 0;
  while ((over_ms == 0 || over_shared_ms == 0) && monotonic_ms() - started < 20000) {
    if (over_ms == 0 && census.look(INT64_MAX)) over_ms = monotonic_ms() - started;
    if (over_shared_ms == 0 && of_shared.look(INT64_MAX)) over_shared_ms = monotonic_ms() - started;
  }
  CHECK(over_ms >= 2500);  // 0.1 s of the pause counted
  CHECK(over_shared_ms >= 2900);
  CHECK(census.over_limit() == "memory");
  CHECK(of_shared.over_limit() == "memory");
  proc.answer("1");  // the threads end
  shared.answer("1");
}

TEST_CASE("census: what is counted too slowly counts as if nothing of it were shared") {
  const Proc proc(8);
  std::thread slow([&] { proc.answer("1", std::chrono::milliseconds(1800)); });  // 14.4 s for all
  Census census(kRoot, {300 * 1024, 0, false}, proc.open());
  const std::int64_t started = monotonic_ms();
  bool over = false;
  while (!over && monotonic_ms() - started < 20000) over = census.look(INT64_MAX);
  CHECK(over);
  CHECK(monotonic_ms() - started >= 9500);  // one was finished every 1.8 s; all of them would not have been too much
  slow.join();
}

TEST_CASE("census: a count that nobody took does not stand for a later one") {
  const Proc proc;
  Census census(kRoot, {100 * 1024, 0, false}, proc.open());
  CHECK_FALSE(census.look(INT64_MAX));
  proc.answer("90000");
  for (const int i : {1, 2}) proc.set_pages(i, "20000 100 0 1 0 1 0");
  CHECK_FALSE(census.look(INT64_MAX));
  for (const int i : {1, 2}) proc.set_pages(i, "20000 15000 0 1 0 1 0");
  CHECK_FALSE(census.look(INT64_MAX));
  CHECK(census.near_limit());
  proc.answer("30000");
  bool over = false;
  for (const std::int64_t until = monotonic_ms() + 2000; !over && census.memory_kib() == 120000 && monotonic_ms() < until;) {
    over = census.look(INT64_MAX);
  }
  CHECK_FALSE(over);
  CHECK(census.memory_kib() == 2 * 30003);
}

TEST_CASE("census: where no thread is to be had it counts all the same") {
  const Proc proc;
  std::vector<ProcessMemory> processes(2);
  for (int i = 1; i <= 2; ++i) {
    const std::string name = proc.rollup(std::to_string(kRoot + i));
    CHECK(::unlink(name.c_str()) == 0);
    (void)proc.file(std::to_string(kRoot + i) + "/smaps_rollup", "Pss_Anon: 7 kB\n");
    processes[static_cast<std::size_t>(i - 1)].pid = kRoot + i;
  }
  const UniqueFd fd = proc.open();
  for (ProcessMemory& one : processes) read_memory(fd.get(), one);
  std::thread([&] {
    refuse_threads();
    ExactCount count(fd.get(), processes);
    CHECK_FALSE(count.done_by(0));  // one at a time
    CHECK(count.done_by(0));
    CHECK(count.kib() == std::vector<std::int64_t>{7, 7});
  }).join();
}

TEST_CASE("census: of who does not let itself be counted, all that is shared counts") {
  const Proc proc;
  const std::string name = proc.rollup(std::to_string(kRoot + 1));
  CHECK(::unlink(name.c_str()) == 0);
  CHECK(::mkdir(name.c_str(), 0700) == 0);  // as well as not to be read
  proc.set_pages(1, "20000 15000 5000 1 0 1 0");
  (void)proc.file(std::to_string(kRoot + 1) + "/status", "RssShmem:\t   20000 kB\n");
  std::vector<ProcessMemory> processes(1);
  processes[0].pid = kRoot + 1;
  const UniqueFd fd = proc.open();
  read_memory(fd.get(), processes[0]);
  ExactCount count(fd.get(), processes);
  CHECK(count.done_by(monotonic_ms() + 5000));
  CHECK(count.kib() == std::vector<std::int64_t>{60000});
}

TEST_CASE("census: the time limit ends a count") {
  const Proc proc;
  Census census(kRoot, {100 * 1024, 0, false}, proc.open());
  CHECK_FALSE(census.look(monotonic_ms()));
  CHECK_FALSE(census.near_limit());  // nobody was asked
}

}  // namespace
}  // namespace safe_exec
