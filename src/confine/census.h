// Level 3. Counts the processes and the memory of a running tree from outside, where no kernel limit is on the whole
// of it: rlimits bind one process, or nobody when root calls. Kills the one that takes most, as the kernel's own
// out-of-memory killer does; the caller ends the tree when that is the command itself, or does not help.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "confine/process_memory.h"
#include "fd.h"

namespace safe_exec {

struct Bounds {  // 0: not watched
  std::int64_t memory_kib = 0;
  std::int64_t processes = 0;   // threads count, as they do for RLIMIT_NPROC
  bool kill_processes = false;  // above: kill. false: the kernel refuses them, and they are only counted
};

// Whether /proc numbers processes as this one does: not that of another pid namespace, above it or beside it.
[[nodiscard]] bool proc_is_own();

class Census {
 public:
  // root: the process whose descendants are counted, itself not.
  // proc: of /proc; without one it is opened.
  Census(pid_t root, const Bounds& bounds, UniqueFd proc = {});
  // Whether /proc tells who is whose child, of all of them.
  [[nodiscard]] static bool possible();

  // Looks once. True: the whole tree has to end, over_limit() says of what there was too much. until_ms: of CLOCK_MONOTONIC, when
  // the caller has something else to do; memory that is not counted by then is not too much.
  [[nodiscard]] bool look(std::int64_t until_ms);
  [[nodiscard]] const std::string& over_limit() const { return over_limit_; }  // "": nothing; else a process was killed for it
  [[nodiscard]] bool near_limit() const { return near_limit_; }  // at the last look an exact count was needed
  [[nodiscard]] bool looked() const { return looks_ > 0; }
  [[nodiscard]] int unseen() const { return unseen_; }  // errno: some of the tree could not be read, at one look or more; 0: all could
  [[nodiscard]] std::int64_t memory_kib() const { return memory_kib_; }         // anonymous, at the last look
  [[nodiscard]] std::int64_t most_processes() const { return most_processes_; }
  void kill_processes() { bounds_.kill_processes = true; }

 private:
  struct Member {
    ProcessMemory memory;
    std::size_t parent = 0;             // index; its own: a child of the root
    std::int64_t tasks = 0, below = 0;  // below: tasks of all descendants and its own
    std::int64_t memory_kib = 0;        // what counts
    [[nodiscard]] pid_t pid() const { return memory.pid; }
  };
  enum class Verdict : std::uint8_t { within, over, unknown };

  [[nodiscard]] bool is_bomb(std::size_t tasks) const;
  void walk();
  void add_children_of(pid_t pid, std::size_t parent);
  [[nodiscard]] UniqueFd open_below(const std::string& path, int flags);
  void read_children(const std::string& path, std::size_t parent);
  [[nodiscard]] bool shares_memory(const Member& one, const Member& other) const;
  [[nodiscard]] bool bound_processes();
  [[nodiscard]] bool late() const;
  [[nodiscard]] bool may_wait(std::int64_t before);
  [[nodiscard]] bool is_one_over_memory();
  [[nodiscard]] bool count_exactly();
  [[nodiscard]] Verdict judge_uncounted();
  [[nodiscard]] Verdict judge_memory();
  [[nodiscard]] bool is_surely_over_memory();
  [[nodiscard]] bool bound_memory();
  [[nodiscard]] bool kill_one(std::size_t index, const char* resource);
  [[nodiscard]] pid_t parent_of(pid_t pid) const;
  void kill_descendant(pid_t pid) const;

  pid_t root_;
  Bounds bounds_;
  UniqueFd proc_;
  std::vector<Member> members_;  // parents before their children
  std::vector<Member> counted_;  // those whom count_ is about
  std::optional<ExactCount> count_;
  pid_t command_ = 0;            // the root's first child
  std::string over_limit_;
  bool near_limit_ = false, over_before_ = false;
  int unseen_ = 0, looks_ = 0, kills_ = 0, calm_ = 0, restless_ = 0;
  std::int64_t memory_kib_ = 0, most_processes_ = 0, tasks_ = 0;
  std::int64_t until_ms_ = 0;
};

}  // namespace safe_exec
