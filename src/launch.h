// Level 4. One attempt to launch a plan with a given set of layers: everything the child needs is made here, and what it
// needs to make its namespaces is made first. Decides nothing about falling back; supervise does.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "child.h"
#include "child_trace.h"
#include "confine/landlock.h"
#include "confine/limits.h"
#include "confine/mounts.h"
#include "confine/namespaces.h"
#include "confine/seccomp.h"
#include "created.h"
#include "fd.h"
#include "model.h"
#include "scheduling.h"

namespace safe_exec {

struct Wanted {
  Namespaces namespaces;
  bool landlock = true, seccomp = true, limits = true, cgroup = true;
  bool unshare = true;  // the reaper makes of the namespaces what it can, while the plan is completed here
  bool operator==(const Wanted&) const = default;
};

struct Pipe {
  UniqueFd read, write;
};

inline constexpr const char* kNoTmp = "a private /tmp needs a mount namespace: there is none";
inline constexpr const char* kNoUnixSockets =
    "Unix sockets are refused: without Landlock ABI 6 or a network namespace abstract names would be the host's";
inline constexpr const char* kNoBoundSockets = "Unix sockets are refused: without a minimal root they would all be in reach";

// What of a plan is not given, since without this layer more would come with it.
struct Withheld {
  Layer layer;
  std::string what;
};
// nullopt: the plan asks for no /proc, or these layers give it.
[[nodiscard]] std::optional<Withheld> withheld_proc(const Plan& plan, const Wanted& wanted);

// Where nothing but a count bounds the processes, who counts must not wait for its turn behind them; nor who answers behind those
// that are ending. Until it is destroyed this process runs before all others, or, where that is refused, before most.
class FirstTurn {
 public:
  FirstTurn();
  ~FirstTurn();
  FirstTurn(const FirstTurn&) = delete;
  FirstTurn& operator=(const FirstTurn&) = delete;

 private:
  int before_;
};

// The stacks of the reaper and the command; where the kernel grants the wish, with nothing near them and in a table of pages of
// their own.
class Stacks {
 public:
  Stacks() = default;
  ~Stacks() { release(); }
  Stacks(const Stacks&) = delete;
  Stacks& operator=(const Stacks&) = delete;
  [[nodiscard]] bool make() noexcept;  // false: errno says why
  void release() noexcept;             // when nobody runs on them any more
  [[nodiscard]] char* reaper() const noexcept;  // their upper ends, aligned to 16
  [[nodiscard]] char* command() const noexcept;

 private:
  char* lower_ = nullptr;
};

struct Launch {
  Wanted wanted;
  landlock::Ruleset ruleset;
  RootPlan root;
  LimitPlan limits;
  Pipe out, err, in, report, lifeline, turn;
  UniqueFd input, proc;  // the command's stdin where it is no pipe; /proc for the sweep
  char told_of_crashes = '|';  // confine/limits.h
  std::vector<sock_filter> filter;
  sock_fprog program{};
  std::vector<sock_filter> mode_filter;
  sock_fprog mode_program{};
  Fallback fallback;
  std::vector<sock_filter> fallback_filter;
  sock_fprog fallback_program{};
  std::vector<const char*> argv, envp;
  std::vector<std::string> created_names;
  std::vector<CreatedFile> created;
  std::string uid_map, gid_map, cgroup_name;
  Stacks stacks;
  std::unique_ptr<Observer> observer;
  ChildPlan child{};
  std::vector<Withheld> withheld;
  std::string unreached;  // what of the network is withheld, because it cannot be told apart from the host's
  pid_t pid = -1;
  std::int64_t released_ms = 0;  // CLOCK_MONOTONIC: when it was let go
  UniqueFd pidfd;
  std::optional<FirstTurn> first;
  bool running = false;  // the reaper uses all this
  bool waiting = false;  // and was not yet let go
};

// Starts the reaper, which makes its namespaces and waits. plan: decided, not yet complete. The reaper uses what the
// launch holds until it is gone; one that was never told to go on is ended with the last owner of the launch.
// Errors: sandbox_unavailable (namespaces refused), launch_failed (no more processes or memory).
[[nodiscard]] Expected<std::shared_ptr<Launch>> begin_launch(const Plan& plan, const Wanted& wanted);
// Makes the rest. plan: complete. Errors: sandbox_unavailable (Landlock), launch_failed (descriptors, memory).
[[nodiscard]] Expected<void> prepare_launch(const Plan& plan, Launch& launch);
// Lets the reaper go on, which starts the command. Afterwards the child's ends of the pipes are closed here.
// Error: launch_failed, and nothing was started.
[[nodiscard]] Expected<void> release_launch(const Plan& plan, Launch& launch);

}  // namespace safe_exec
