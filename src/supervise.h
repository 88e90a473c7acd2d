// Level 4. Runs a Plan: prepares the confinement, starts the child, captures bounded output, enforces the limits,
// kills and reaps the whole tree, and says which layers were really in force.
#pragma once

#include <signal.h>

#include <memory>

#include "model.h"

namespace safe_exec {

struct Launch;

// By these it is told to stop: what a terminal, a session's end, timeout(1) and alarm(2) send. Any other that ends a process ends
// this one too, unanswered, and the reaper sees to the tree.
inline constexpr int kStopSignals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGALRM, SIGUSR1, SIGUSR2};

// A sandbox process that was started already, and makes its namespaces while the plan is completed. It ends with the last
// owner if nothing is executed in it.
struct HeadStart {
  std::shared_ptr<Launch> launch;  // empty: there is none, which costs time and nothing else
};
// plan: decided; what it asks of the layers is not changed any more.
[[nodiscard]] HeadStart start_ahead(const Plan& plan);

// Call once, first thing in main, before any input is read: refuses AT_SECURE, opens 0, 1 and 2 on /dev/null when
// they are closed, makes the process non-dumpable, ignores SIGPIPE, blocks kStopSignals so that execute()
// can take them by signalfd.
[[nodiscard]] Expected<void> prepare_process();

// plan: after grant_around_denied, CreatedFiles::make and add_runtime. already: states of layers that were settled
// before (deny_paths, environment). When a layer that is `prefer` cannot be had (user namespaces refused, mounts
// refused, Landlock absent), the launch is made again without it and its state says why; when it is `require`, or
// neither Landlock nor a mount namespace can be had, the error is sandbox_unavailable with step, errno and remedy.
// A failing execve is launch_failed. In both cases no command was started. One that can no longer be watched is killed, and told
// as launch_failed, too, with the step watch.
// last, when not null, may receive the process that goes last: then the command has ended and its output is complete,
// but the kernel is still taking its namespaces down. The caller owes await_end() before it answers anybody; after a time
// limit it answers first, since a large tree takes its time, and waits then.
[[nodiscard]] Expected<Outcome> execute(Plan& plan, std::vector<LayerStatus> already, LastProcess* last = nullptr,
                                        HeadStart ahead = {});

// Returns when nothing of the tree is left; at once when last is empty; after four seconds in any case. Kills what is not gone
// within two, but never who sweeps.
void await_end(LastProcess& last);

}  // namespace safe_exec
