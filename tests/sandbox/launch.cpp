#include "launch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>

#include "beneath.h"
#include "runtime.h"
#include "supervise.h"

namespace safe_exec::test {
namespace {

constexpr uid_t kOrdinary = 65534;

void refuse(const std::vector<Refusal>& refusals) {
  if (refusals.empty()) return;
  std::vector<sock_filter> filter{{BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)}};
  for (const auto& [number, error] : refusals) {
    const std::uint32_t verdict = SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error);
    if (number != kNamespaces) {
      filter.push_back({BPF_JMP | BPF_JEQ | BPF_K, 0, 1, static_cast<std::uint32_t>(number)});
      filter.push_back({BPF_RET | BPF_K, 0, 0, verdict});
      continue;
    }
    filter.push_back({BPF_JMP | BPF_JEQ | BPF_K, 0, 4, SYS_clone});
    filter.push_back({BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, args)});
    filter.push_back({BPF_JMP | BPF_JSET | BPF_K, 0, 1, 0x7E020000});
    filter.push_back({BPF_RET | BPF_K, 0, 0, verdict});
    filter.push_back({BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)});
  }
  filter.push_back({BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW});
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) ::_exit(99);
}

void become(Who who) {
  if (who == Who::caller || ::geteuid() != 0) return;
  if (::setgroups(0, nullptr) != 0 || ::setresgid(kOrdinary, kOrdinary, kOrdinary) != 0 ||
      ::setresuid(kOrdinary, kOrdinary, kOrdinary) != 0) {
    ::_exit(99);
  }
}

std::string ending_text(const Ending& ending) {
  if (const auto* one = std::get_if<Exited>(&ending)) return "exited " + std::to_string(one->code);
  if (const auto* one = std::get_if<Signaled>(&ending)) return "signaled " + std::to_string(one->number);
  if (const auto* one = std::get_if<TimedOut>(&ending)) return "timed_out " + one->limit;
  if (const auto* one = std::get_if<LimitExceeded>(&ending)) return "limit_exceeded " + one->resource;
  return "cancelled " + std::to_string(std::get<Cancelled>(ending).signal);
}

std::string error_text(const Error& error) {
  return "error " + std::string(code_name(error.code)) + " " + error.step + ": " + error.message + " (" + error.hint + ")";
}

long peak_rss() {
  rusage usage{};
  (void)::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

Ran run_here(const std::function<Plan()>& make) {
  Ran ran;
  Plan plan = make();
  if (auto done = add_runtime(plan); !done) return {.ending = error_text(done.error())};
  const long before = peak_rss();
  auto outcome = execute(plan, {});
  if (!outcome) return {.ending = error_text(outcome.error())};
  ran.ending = ending_text(outcome->ending);
  ran.rss_growth_kib = peak_rss() - before;
  ran.out = outcome->out.head + outcome->out.tail;
  ran.err = outcome->err.head + outcome->err.tail;
  ran.duration_ms = outcome->duration_ms;
  ran.out_bytes = static_cast<std::int64_t>(outcome->out.bytes);
  ran.out_omitted = static_cast<std::int64_t>(outcome->out.omitted);
  for (const auto& layer : outcome->layers) {
    ran.layers += std::string(layer_name(layer.layer)) + ": " + std::string(state_name(layer.state)) + " " + layer.detail + "\n";
  }
  return ran;
}

// Fields between two processes: each ends in a NUL.
std::string pack(const Ran& ran) {
  std::string text;
  for (const auto& field : {ran.ending, ran.out, ran.err, ran.layers, std::to_string(ran.duration_ms),
                            std::to_string(ran.out_bytes), std::to_string(ran.out_omitted), std::to_string(ran.rss_growth_kib)}) {
    text += field + '\0';
  }
  return text;
}

Ran unpack(const std::string& text) {
  std::vector<std::string> fields;
  for (std::size_t at = 0, end = 0; (end = text.find('\0', at)) != std::string::npos; at = end + 1) {
    fields.push_back(text.substr(at, end - at));
  }
  if (fields.size() != 8) return {.ending = "the test's child died"};
  return {fields[0], fields[1], fields[2], fields[3], std::stoll(fields[4]), std::stoll(fields[5]), std::stoll(fields[6]),
          std::stoll(fields[7])};
}

}  // namespace

Plan plan_of(std::vector<std::string> argv) {
  Plan plan;
  plan.binary.path = argv.front();
  plan.binary.fd = UniqueFd(::open(argv.front().c_str(), O_PATH | O_CLOEXEC));
  plan.binary.physical = path_of(plan.binary.fd.get()).value_or("");
  plan.binary.links = links_on(argv.front());
  plan.binary.readable = UniqueFd(::open(argv.front().c_str(), O_RDONLY | O_CLOEXEC));
  plan.argv = std::move(argv);
  plan.env = {"PATH=/usr/bin:/bin"};
  plan.cwd = "/";
  plan.cwd_fd = UniqueFd(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  plan.timeout_ms = 20000;
  return plan;
}

Grant grant_of(const std::string& path, PathAccess access) {
  Grant grant;
  grant.path = path;
  grant.fd = UniqueFd(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  grant.directory = std::filesystem::is_directory(path);
  grant.access = access;
  return grant;
}

Plan shell(const std::string& script) {
  Plan plan = plan_of({"/bin/bash", "-c", script});
  plan.grants.push_back(grant_of("/usr", PathAccess::read));
  plan.grants.back().executable = true;
  plan.one_exec = false;
  return plan;
}

Ran run(const std::function<Plan()>& make, const Host& host) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return {.ending = "no pipe"};
  const pid_t child = ::fork();
  if (child == 0) {
    for (const int fatal : {SIGSEGV, SIGABRT, SIGFPE, SIGILL, SIGTERM, SIGINT}) (void)::signal(fatal, SIG_DFL);  // not doctest's
    become(host.who);
    host.before();
    std::string answer;
    if (auto ready = prepare_process(); !ready) answer = pack({.ending = error_text(ready.error())});
    else {
      refuse(host.refusals);
      answer = pack(run_here(make));
    }
    (void)!::write(ends[1], answer.data(), answer.size());
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string text;
  char block[4096];
  for (ssize_t n = 0; (n = ::read(ends[0], block, sizeof block)) > 0;) text.append(block, static_cast<std::size_t>(n));
  ::close(ends[0]);
  (void)::waitpid(child, nullptr, 0);
  return unpack(text);
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();  // stops where the reading fails, as that of a process that has just gone; an iterator throws
  return out.str();
}

int processes_with(const std::string& text) {
  const std::unique_ptr<DIR, int (*)(DIR*)> proc(::opendir("/proc"), ::closedir);
  int count = 0;
  while (const dirent* entry = ::readdir(proc.get())) {
    if (entry->d_name[0] < '0' || entry->d_name[0] > '9' || std::to_string(::getpid()) == entry->d_name) continue;
    count += has(read_text(std::string("/proc/") + entry->d_name + "/cmdline"), text) ? 1 : 0;
  }
  return count;
}

bool none_left(const std::string& text, int within_ms) {
  for (; within_ms > 0 && processes_with(text) > 0; within_ms -= 10) (void)::poll(nullptr, 0, 10);
  return processes_with(text) == 0;
}

Directory::Directory() {
  char name[] = "/tmp/safe-exec-test-XXXXXX";
  path_ = ::mkdtemp(name);
  if (::geteuid() == 0) (void)!::chown(path_.c_str(), kOrdinary, kOrdinary);
}

Directory::~Directory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string Directory::path(const std::string& name) const { return name.empty() ? path_ : path_ + "/" + name; }

void Directory::write(const std::string& name, const std::string& text) const {
  std::ofstream(path(name), std::ios::binary) << text;
  if (::geteuid() == 0) (void)!::chown(path(name).c_str(), kOrdinary, kOrdinary);
}

}  // namespace safe_exec::test
