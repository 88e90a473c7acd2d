// The count of memory, told by a directory that looks like /proc: a file that is a FIFO is a lock that nobody gives up.
#include "confine/census.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <string>

#include "clock.h"
#include "scratch.h"

namespace safe_exec {
namespace {

constexpr pid_t kRoot = 5000000;  // above the largest that the kernel gives: nobody is killed

class Proc : public test::Scratch {
 public:
  Proc() {
    const std::string root = std::to_string(kRoot);
    (void)file(root + "/task/" + root + "/children", "5000001 5000002 ");
    for (const char* pid : {"5000001", "5000002"}) {
      (void)file(std::string(pid) + "/task/" + pid + "/children", "");
      (void)file(std::string(pid) + "/statm", "20000 15000 0 1 0 1 0");  // 60,000 KiB of pages of 4
      if (::mkfifo(rollup(pid).c_str(), 0600) != 0) std::abort();
    }
  }
  [[nodiscard]] std::string rollup(const std::string& pid) const { return *this / (pid + "/smaps_rollup"); }
  [[nodiscard]] UniqueFd open() const { return UniqueFd(::open(path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)); }
  void answer(const std::string& kib) const {
    for (const char* pid : {"5000001", "5000002"}) {
      const UniqueFd fd(::open(rollup(pid).c_str(), O_WRONLY | O_CLOEXEC));
      const std::string text = "Rss: 70000 kB\nPss_Anon:     " + kib + " kB\nPss_File: 9 kB\nPss_Shmem:     1 kB\nSwapPss:     2 kB\n";
      CHECK(::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    }
  }
};

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
  const Proc proc;
  Census census(kRoot, {100 * 1024, 0, false}, proc.open());
  const std::int64_t started = monotonic_ms();
  bool over = false;
  while (!over && monotonic_ms() - started < 20000) over = census.look(INT64_MAX);
  CHECK(over);
  CHECK(census.over_limit() == "memory");
  CHECK(monotonic_ms() - started >= 3000);
  proc.answer("1");  // the thread ends
}

TEST_CASE("census: the time limit ends a count") {
  const Proc proc;
  Census census(kRoot, {100 * 1024, 0, false}, proc.open());
  CHECK_FALSE(census.look(monotonic_ms()));
  CHECK_FALSE(census.near_limit());  // nobody was asked
}

}  // namespace
}  // namespace safe_exec
