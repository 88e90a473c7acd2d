// Level 5. Prepares the process, reads the command line, hands over to a verb. The only place that catches.
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

#include "attempts.h"
#include "options.h"
#include "output.h"
#include "report.h"
#include "supervise.h"
#include "verbs.h"

namespace safe_exec {
namespace {

// What starts no process has nothing to end before it does: a signal ends it, however long it would go on deciding.
bool starts_nothing(Verb verb) { return verb != Verb::run && verb != Verb::check && verb != Verb::doctor; }

int dispatch(const Invocation& in) {
  switch (in.verb) {
    case Verb::run: return run_verb(in);
    case Verb::check: return check_verb(in);
    case Verb::policy_validate: return policy_validate_verb(in);
    case Verb::policy_test: return policy_test_verb(in);
    case Verb::policy_lint: return policy_lint_verb(in);
    case Verb::policy_show: return policy_show_verb(in);
    case Verb::policy_diff: return policy_diff_verb(in);
    case Verb::policy_suggest: return policy_suggest_verb(in);
    case Verb::policy_fmt: return policy_fmt_verb(in);
    case Verb::policy_schema: return policy_schema_verb();
    case Verb::doctor: return doctor_verb(in);
    case Verb::none: break;
  }
  return 2;
}

std::string version_text(Output output) {
  const std::string version = SAFE_EXEC_VERSION;
  if (output == Output::json) return "{\"schema\":\"safe-exec/version/v1\",\"version\":\"" + version + "\"}\n";
  return "safe-exec " + version + "\n";
}

// Start-up is most of what a short command costs, and page faults are most of start-up: the heap grows in one step, is
// never given back, and the pages that every request needs are faulted in by one call (madvise(2), Linux 5.14).
void prepare_heap() {
  constexpr std::uintptr_t kPage = 4096;
  constexpr std::size_t kUsed = 48 * 1024;
  (void)::mallopt(M_TOP_PAD, 512 * 1024);
  (void)::mallopt(M_TRIM_THRESHOLD, 64 * 1024 * 1024);
  (void)::mallopt(M_MMAP_THRESHOLD, 64 * 1024 * 1024);  // unmapping one would interrupt the other processors
  void* const heap = std::malloc(kUsed + kPage);
  if (heap == nullptr) return;
  const std::uintptr_t start = (reinterpret_cast<std::uintptr_t>(heap) + kPage - 1) & ~(kPage - 1);
  (void)::madvise(reinterpret_cast<void*>(start), kUsed, MADV_POPULATE_WRITE);
  std::free(heap);
}

int run_main(const std::vector<std::string>& arguments) {
  // Looked at before prepare_process opens the null device in place of a closed descriptor.
  const bool can_answer = ::fcntl(STDOUT_FILENO, F_GETFD) != -1;
  prepare_heap();
  Invocation in;
  sigset_t signals;
  (void)::sigprocmask(SIG_BLOCK, nullptr, &signals);
  const Expected<void> prepared = prepare_process();
  const Expected<void> parsed = parse_command_line(arguments, in);
  const int cannot_answer = in.verb == Verb::run ? 125 : 2;
  if (!can_answer) {
    (void)write_all(STDERR_FILENO, "safe-exec: standard output is closed, so there is nowhere to answer\n");
    return cannot_answer;
  }
  if (!prepared) return fail(in, prepared.error());
  if (!parsed) return fail(in, parsed.error());
  if (in.help || in.version) {
    return write_answer(in.version ? version_text(in.output) : help_text(in.verb)) ? 0 : 2;
  }
  if (starts_nothing(in.verb)) (void)::sigprocmask(SIG_SETMASK, &signals, nullptr);
  return dispatch(in);
}

}  // namespace
}  // namespace safe_exec

int main(int argc, char** argv) {
  using safe_exec::Error;
  std::string what = "unknown exception";
  try {
    if (argc == 2 && argv[0] == safe_exec::kAttemptsName) return safe_exec::try_attempts(std::atoi(argv[1]));
    return safe_exec::run_main(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc));
  } catch (const std::exception& exception) {
    what = exception.what();
  } catch (...) {  // nothing may leave main without an answer
  }
  try {
    Error error;
    error.message = "internal error: " + what;
    error.step = "main";
    safe_exec::Result result;
    result.error = error;
    (void)safe_exec::write_answer(safe_exec::result_json(result, safe_exec::Layout::compact));
  } catch (...) {  // out of memory for the answer itself: the status remains
  }
  return 125;
}
