// Level 3. What running processes have of memory. A process is named by its number in the /proc of the descriptor that is given.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace safe_exec {

struct ProcessMemory {
  pid_t pid = 0;
  pid_t thread = 0;                                 // by which it is read: the first may have ended
  std::int64_t size = 0, resident = 0, shared = 0;  // pages; all 0 when the process has ended
  std::int64_t tables_kib = 0;                      // of the page tables, where they were asked for

  [[nodiscard]] std::int64_t size_kib() const;
  [[nodiscard]] std::int64_t resident_kib() const;
  [[nodiscard]] std::int64_t unshared_kib() const;  // at most: what a fork left to two of them counts for both
};

// What the file holds, as far as the buffer goes, which outlives the answer; empty when it cannot be read. A '\0' stands behind it.
[[nodiscard]] std::string_view read_whole(int proc, const std::string& name, std::array<char, 4096>& buffer);

// Fills in what stands behind the number, from the process's own counters, for which nobody waits; all but the page tables.
void read_memory(int proc, ProcessMemory& memory);
void read_tables(int proc, ProcessMemory& memory);

// What of it several may have mapped, anonymous memory and files in memory, all of it for each; by its own counter.
[[nodiscard]] std::int64_t shmem_kib(int proc, const ProcessMemory& memory);

// Counts what is shared by the share that each has. The kernel walks through the memory for it, and first waits for the lock that a
// process holds while it forks (mmap_lock; show_smaps_rollup of Linux 6.18): among hundreds that fork, that took half a minute. So
// a thread waits, and who asked does not have to.
class ExactCount {
 public:
  ExactCount(int proc, std::vector<ProcessMemory> processes);  // proc is not needed any more afterwards
  ~ExactCount();  // waits for nothing
  ExactCount(const ExactCount&) = delete;
  ExactCount& operator=(const ExactCount&) = delete;

  // Waits until then at most, of CLOCK_MONOTONIC. Where no thread is to be had, it counts one process here and now.
  [[nodiscard]] bool done_by(std::int64_t until_ms);
  // Somebody does not let it: for 3 s at one process, or 10 in all. Time in which it waits for a processor does not count, nor that
  // in which nobody asks, as when this process was stopped.
  [[nodiscard]] bool stuck() const;
  [[nodiscard]] const std::vector<std::int64_t>& kib() const;  // of each, when it is done

 private:
  struct Work;
  static void* run(void* work);
  [[nodiscard]] bool start();
  void note_progress();
  std::shared_ptr<Work> work_;
  bool started_ = false;
  std::size_t finished_ = 0;
  // blocked_ms_: of those that were waited; before_ms_: until the last one was finished.
  std::int64_t asked_ms_ = 0, blocked_ms_ = 0, before_ms_ = 0;
};

}  // namespace safe_exec
