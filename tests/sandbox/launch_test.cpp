// Launches that work, streams, limits and endings, on the host as it is.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <functional>

#include "../../src/launch.h"  // beside ours of that name
#include "confine/census.h"
#include "launch.h"
#include "resolve.h"
#include "supervise.h"

using namespace safe_exec;
using namespace safe_exec::test;

namespace {

constexpr Who kBoth[] = {Who::caller, Who::ordinary};
#ifdef __SANITIZE_ADDRESS__
constexpr int kGrowthKib = 64 << 10;  // what was freed is kept for a while, with a shadow
#else
constexpr int kGrowthKib = 4 << 10;
#endif

Plan with_stdin(Plan plan, StdinPlan::Kind kind, std::string text = "") {
  plan.stdin_plan.kind = kind;
  plan.stdin_plan.text = std::move(text);
  return plan;
}

void without_namespaces(Plan& plan) {
  for (const Layer layer : {Layer::user_namespace, Layer::pid_namespace, Layer::mount_namespace, Layer::ipc_namespace,
                            Layer::uts_namespace}) {
    plan.layers[layer] = Requirement::off;
  }
}

// A tree that no signal but SIGKILL ends: sessions of their own, doubly forked, deaf, holding the pipes.
std::string stubborn(const std::string& mark) {
  return "for i in 1 2 3; do (setsid bash -c 'trap \"\" TERM INT HUP; (sleep " + mark + " &); (setsid sleep " + mark +
         " &) ; sleep " + mark + "' &); done; ";
}

// Runs what starts processes in a child of its own, whose orphans come here. Returns how many came, or -1 when one stayed.
int orphans_of(const std::function<void()>& act) {
  const pid_t helper = ::fork();
  if (helper == 0) {
    (void)::prctl(PR_SET_CHILD_SUBREAPER, 1);
    const pid_t child = ::fork();
    if (child == 0) {
      act();
      ::_exit(0);
    }
    int orphans = 0;
    for (int i = 0; i < 5000; ++i) {
      const pid_t ended = ::waitpid(-1, nullptr, WNOHANG);
      if (ended < 0) ::_exit(orphans);
      if (ended > 0 && ended != child) ++orphans;
      if (ended == 0) ::usleep(1000);
    }
    ::_exit(255);
  }
  int status = 0;
  (void)::waitpid(helper, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) != 255 ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("launch: a sandbox that was begun and never let go leaves nothing, also when safe-exec is killed") {
  for (const bool namespaces : {true, false}) {
    Plan plan = plan_of({"/bin/echo", "hi"});
    if (!namespaces) without_namespaces(plan);
    // Abandoned: reaped by its own parent, and it started nothing that outlives it.
    CHECK(orphans_of([&] {
            HeadStart ahead = start_ahead(plan);
            if (!ahead.launch) ::_exit(0);
            ahead = {};
            ::_exit(::waitpid(-1, nullptr, WNOHANG) < 0 ? 0 : 1);
          }) == 0);
    for (const int wait_us : {0, 20, 50, 100, 200, 400, 1000, 20000}) {
      const int orphans = orphans_of([&] {
        const HeadStart ahead = start_ahead(plan);
        if (!ahead.launch) ::_exit(0);
        if (wait_us > 0) ::usleep(static_cast<useconds_t>(wait_us));
        (void)::kill(::getpid(), SIGKILL);
      });
      CHECK_MESSAGE(orphans > 0, wait_us << " us, namespaces " << namespaces);  // the reaper, and it did not stay
    }
  }
}

TEST_CASE("launch: a command runs in every layer, as whoever calls") {
  for (const Who who : kBoth) {
    const Ran ran = run([] { return plan_of({"/bin/echo", "hi"}); }, {who, {}, [] {}});
    CHECK(ran.ending == "exited 0");
    CHECK(ran.out == "hi\n");
    CHECK(ran.err.empty());
    for (const char* layer : {"no_new_privs", "capabilities", "landlock", "seccomp", "pid_namespace", "mount_namespace",
                              "ipc_namespace", "uts_namespace", "descriptors", "environment", "tree_kill"}) {
      CHECK_MESSAGE(has(ran.layers, std::string(layer) + ": enforced"), ran.layers);
    }
  }
}

TEST_CASE("launch: exit status, signal, environment, cwd and argv reach and leave the command unchanged") {
  CHECK(run([] { return shell("exit 42"); }).ending == "exited 42");
  CHECK(run([] { return shell("kill -ABRT $$"); }).ending == "signaled 6");
  CHECK(run([] { return plan_of({"/usr/bin/env"}); }).out == "PATH=/usr/bin:/bin\n");
  CHECK(run([] { return plan_of({"/bin/echo", "--", "-n", "a b", "*", "$(id)"}); }).out == "-- -n a b * $(id)\n");
  Directory work;
  const Ran ran = run([&] {
    Plan plan = shell("pwd");
    plan.cwd = work.path();
    plan.cwd_fd = UniqueFd(::open(plan.cwd.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    return plan;
  });
  CHECK(ran.out == work.path() + "\n");
}

TEST_CASE("launch: a program that is no program is launch_failed at exec, and nothing ran") {
  Directory work;
  work.write("text", "\x7f" "ELFbroken");
  const Ran ran = run([&] {
    Plan plan = shell("true");
    plan.binary.fd = UniqueFd(::open(work.path("text").c_str(), O_PATH | O_CLOEXEC));
    return plan;
  });
  CHECK_MESSAGE(has(ran.ending, "error launch_failed"), ran.ending);
}

TEST_CASE("launch: a granted file that was replaced after the check is not reached") {
  Directory work;
  work.write("a", "checked");
  work.write("b", "other");
  for (const bool namespaces : {true, false}) {
    work.write("a", "checked");
    const Ran ran = run([&] {
      Plan plan = plan_of({"/bin/cat", work.path("a")});
      plan.grants.push_back(grant_of(work.path("a"), PathAccess::read));
      if (!namespaces) without_namespaces(plan);
      (void)::rename(work.path("b").c_str(), work.path("a").c_str());
      return plan;
    });
    CHECK(!has(ran.out, "other"));
    if (namespaces) CHECK_MESSAGE(has(ran.ending, "error launch_failed mount_bind"), ran.ending);
    else CHECK_MESSAGE(has(ran.err, "Permission denied"), ran.err);
    work.write("b", "other");
  }
}

TEST_CASE("launch: another file of the same number is not the one that was checked") {
  if (::geteuid() != 0) return;  // nobody else mounts a file system for everybody in a namespace
  Directory work;
  for (const char* name : {"a", "b"}) REQUIRE(::mkdir(work.path(name).c_str(), 0777) == 0);
  Host host{Who::caller, {}, [&] {
    if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) ::_exit(1);
    for (const std::string name : {"a", "b"}) {
      if (::mount("tmpfs", work.path(name).c_str(), "tmpfs", 0, nullptr) != 0) ::_exit(1);
      work.write(name + "/file", name);
    }
  }};
  const std::string checked = work.path("a/file"), other = work.path("b/file");
  const Ran ran = run([&] {
    Plan plan = plan_of({"/bin/cat", checked});
    plan.grants.push_back(grant_of(checked, PathAccess::read));
    struct stat a {}, b {};
    if (::stat(checked.c_str(), &a) != 0 || ::stat(other.c_str(), &b) != 0 || a.st_ino != b.st_ino) ::_exit(1);
    if (::mount(other.c_str(), checked.c_str(), nullptr, MS_BIND, nullptr) != 0) ::_exit(1);
    return plan;
  }, host);
  CHECK_MESSAGE(has(ran.ending, "error launch_failed mount_bind"), ran.ending << ran.out);
}

TEST_CASE("launch: the working directory is the one that was checked, and no link leads to it") {
  Directory work;
  for (const char* name : {"a", "b"}) REQUIRE(::mkdir(work.path(name).c_str(), 0777) == 0);
  REQUIRE(::symlink("b", work.path("link").c_str()) == 0);
  for (const char* name : {"a", "b", "link"}) {
    for (const Who who : kBoth) {
      const Ran ran = run([&] {
        Plan plan = shell("pwd");
        plan.grants.push_back(grant_of(work.path(), PathAccess::read));
        plan.cwd = work.path(name);
        plan.cwd_fd = UniqueFd(::open(work.path("b").c_str(), O_PATH | O_CLOEXEC));
        return plan;
      }, {who, {}, [] {}});
      if (name == std::string("b")) CHECK_MESSAGE(ran.out == work.path("b") + "\n", ran.ending);
      else CHECK_MESSAGE(has(ran.ending, "error launch_failed cwd"), ran.ending << ran.out);
    }
  }
}

TEST_CASE("launch: a name that was taken meanwhile is no file of ours, also where it is made by its name") {
  Directory work;
  const Ran ran = run([&] {
    Plan asked;
    Grant& grant = asked.grants.emplace_back();
    grant.path = work.path("new");
    grant.access = PathAccess::create;
    grant.exists = false;
    grant.parent = UniqueFd(::open(work.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    grant.leaf = "new";
    work.write("new", "");
    return plan_of({"/bin/echo", CreatedFiles::make(asked) ? "made" : "refused"});
  }, {Who::caller, {{SYS_linkat, EPERM}}, [] {}});
  CHECK_MESSAGE(ran.out == "refused\n", ran.ending << ran.out);
  CHECK(::access(work.path("new").c_str(), F_OK) == 0);
}

TEST_CASE("launch: standard input is empty, a text, a file or what safe-exec itself reads") {
  CHECK(run([] { return plan_of({"/bin/cat"}); }).out.empty());
  CHECK(run([] { return with_stdin(plan_of({"/bin/cat"}), StdinPlan::Kind::text, "a text"); }).out == "a text");
  const std::string large(3000000, 'x');
  CHECK(run([&] { return with_stdin(plan_of({"/usr/bin/wc", "-c"}), StdinPlan::Kind::text, large); }).out == "3000000\n");
  CHECK(run([&] { return with_stdin(plan_of({"/bin/true"}), StdinPlan::Kind::text, large); }).ending == "exited 0");
  Directory work;
  work.write("input", "from a file");
  CHECK(run([&] {
          Plan plan = with_stdin(plan_of({"/bin/cat"}), StdinPlan::Kind::file);
          plan.stdin_plan.file = UniqueFd(::open(work.path("input").c_str(), O_RDONLY | O_CLOEXEC));
          return plan;
        }).out == "from a file");
  const Ran unreadable = run([] {
    Plan plan = with_stdin(shell("cat; sleep 60"), StdinPlan::Kind::file);
    plan.stdin_plan.file = UniqueFd(::open("/", O_RDONLY | O_CLOEXEC));  // read(2): EISDIR
    return plan;
  });
  CHECK_MESSAGE(has(unreadable.ending, "error launch_failed stdin"), unreadable.ending);
  Host host;
  host.before = [&] { (void)::dup2(::open(work.path("input").c_str(), O_RDONLY), 0); };
  const Ran ran = run([] { return with_stdin(shell("cat; ls -l /proc/self/fd/0 2>&1"), StdinPlan::Kind::inherit); }, host);
  CHECK_MESSAGE(has(ran.out, "from a file"), ran.out);
}

TEST_CASE("launch: a gigabyte of output is counted exactly at flat memory, and its last line is kept") {
  const Ran ran = run([] { return shell("yes | head -c 1073741824; echo last; echo problem >&2"); });
  CHECK(ran.ending == "exited 0");
  CHECK(ran.out_bytes == 1073741824 + 5);
  CHECK(ran.out.size() == 50000);
  CHECK(ran.out_omitted == ran.out_bytes - 50000);
  CHECK(ran.rss_growth_kib < kGrowthKib);
  CHECK(ran.err == "problem\n");
}

TEST_CASE("launch: the wall clock ends the whole tree, with and without a pid namespace") {
  for (const Who who : kBoth) {
    for (const bool namespaces : {true, false}) {
      const std::string mark = "9871" + std::to_string(namespaces) + std::to_string(static_cast<int>(who));
      const Ran ran = run(
          [&] {
            Plan plan = shell(stubborn(mark) + "sleep " + mark);
            plan.timeout_ms = 300;
            if (!namespaces) without_namespaces(plan);
            return plan;
          },
          {who, {}, [] {}});
      CHECK(ran.ending == "timed_out wall");
      CHECK(ran.duration_ms >= 300);
      CHECK(ran.duration_ms < 1800);  // 400 on a quiet machine
      CHECK(none_left(mark, 5000));
    }
  }
}

TEST_CASE("launch: what outlives the command is ended and does not delay the answer") {
  for (const bool namespaces : {true, false}) {
    const std::string mark = "9872" + std::to_string(namespaces);
    const Ran ran = run([&] {
      Plan plan = shell(stubborn(mark) + "echo done");
      if (!namespaces) without_namespaces(plan);
      return plan;
    });
    CHECK(ran.ending == "exited 0");
    CHECK(ran.out == "done\n");
    CHECK(ran.duration_ms < 2000);
    CHECK(none_left(mark, 5000));
  }
}

TEST_CASE("launch: nothing survives the death of safe-exec itself") {
  for (const bool namespaces : {true, false}) {
    for (int round = 0; round < 8; ++round) {
      const std::string mark = "9873" + std::to_string(namespaces) + std::to_string(round);
      const pid_t outer = ::fork();
      if (outer == 0) {
        Host host;
        host.before = [round] {  // SIGALRM's default action, at a time of its own each round
          itimerval timer{};
          timer.it_value.tv_usec = 2000 + 12000 * round;
          (void)::setitimer(ITIMER_REAL, &timer, nullptr);
        };
        (void)run(
            [&] {
              Plan plan = shell(stubborn(mark) + "sleep " + mark);
              if (!namespaces) without_namespaces(plan);
              return plan;
            },
            host);
        ::_exit(0);
      }
      (void)::waitpid(outer, nullptr, 0);
      CHECK(none_left(mark, 5000));
    }
  }
}

TEST_CASE("launch: SIGTERM to safe-exec cancels the run") {
  Host host;
  host.before = [] {
    if (::fork() != 0) return;
    for (int turns = 500; turns > 0 && processes_with("98741") == 0; --turns) (void)::usleep(10000);  // it has started
    (void)::kill(::getppid(), SIGTERM);
    ::_exit(0);
  };
  const Ran ran = run([] { return shell("trap '' TERM; sleep 98741 & sleep 98741"); }, host);
  CHECK(ran.ending == "cancelled 15");
  CHECK(none_left("98741", 5000));
}

TEST_CASE("launch: each limit that is reached is named") {
  CHECK(run([] {
          Plan plan = shell("while :; do :; done");
          plan.limits.cpu_s = 1;
          return plan;
        }).ending == "timed_out cpu");
  Directory work;
  const Ran ran = run([&] {
    Plan plan = plan_of({"/bin/dd", "if=/dev/zero", "of=" + work.path("big"), "bs=1M", "count=5"});
    plan.grants.push_back(grant_of(work.path(), PathAccess::write));
    plan.limits.file_mib = 1;
    return plan;
  });
  CHECK_MESSAGE(ran.ending == "limit_exceeded file_size", ran.err);
  CHECK(has(run([] {
              Plan plan = shell("ulimit -n; ulimit -d; ulimit -c; ulimit -f");
              plan.limits = {0, 64, 0, 3, 64, 32};
              return plan;
            }).out, "32\n131072\n0\n3072\n"));
}

TEST_CASE("launch: memory that processes share counts once, also while they all end") {
  const auto share = [] {
    constexpr std::size_t kSize = 100 << 20;
    void* memory = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) ::_exit(1);
    ::memset(memory, 1, kSize);
    for (int round = 0; round < 20; ++round) {
      timespec end{};
      (void)::clock_gettime(CLOCK_MONOTONIC, &end);
      end.tv_sec += (end.tv_nsec + 20000000) / 1000000000;
      end.tv_nsec = (end.tv_nsec + 20000000) % 1000000000;
      for (int i = 0; i < 8; ++i) {
        if (::fork() != 0) continue;
        (void)::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, nullptr);
        ::_exit(0);
      }
      while (::wait(nullptr) > 0) continue;
    }
    ::_exit(0);
  };
  const pid_t root = ::fork();
  if (root == 0) {
    if (::fork() == 0) share();
    while (::wait(nullptr) > 0) continue;
    ::_exit(0);
  }
  Census census(root, {220 * 1024, 0, false});
  bool over = false;
  while (::waitpid(root, nullptr, WNOHANG) == 0) over |= census.look(INT64_MAX);
  CHECK_FALSE(over);
  CHECK(census.over_limit() == "");
  CHECK(census.looked());
}

namespace {

void* stay(void*) {
  for (;;) ::pause();
}

// Each thread ends when it has started the next.
void* hop(void*) {
  pthread_t next{};
  (void)::usleep(1000);
  while (::pthread_create(&next, nullptr, hop, nullptr) != 0) continue;
  (void)::pthread_detach(next);
  return nullptr;
}

}  // namespace

TEST_CASE("launch: memory counts, too, when the first thread of its process has ended") {
  constexpr std::size_t kSize = 100 << 20;
  for (void* (*const last)(void*) : {stay, hop}) {
    const pid_t root = ::fork();
    if (root == 0) {
      (void)::setpgid(0, 0);
      if (::fork() == 0) {
        (void)::alarm(60);
        void* memory = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) ::_exit(1);
        ::memset(memory, 1, kSize);
        pthread_t other{};
        if (::pthread_create(&other, nullptr, last, nullptr) != 0) ::_exit(1);
        ::pthread_detach(other);
        ::syscall(SYS_exit, 0);
      }
      while (::wait(nullptr) > 0) continue;
      ::_exit(0);
    }
    (void)::setpgid(root, root);
    Census census(root, {50 * 1024, 0, false});
    bool over = false;
    (void)::usleep(300000);  // by then no first thread is left
    for (int i = 0; i < 1000 && !over; ++i) {
      (void)::usleep(2000);
      over = census.look(INT64_MAX);
    }
    CHECK(over);
    CHECK(census.over_limit() == "memory");
    (void)::kill(-root, SIGKILL);
    (void)::waitpid(root, nullptr, 0);
  }
}

TEST_CASE("launch: a bomb goes at once, and not one by one") {
  constexpr int kProcesses = 33;
  int there[2];
  REQUIRE(::pipe2(there, O_CLOEXEC) == 0);
  const pid_t root = ::fork();
  if (root == 0) {
    (void)::setpgid(0, 0);
    if (::fork() == 0 && ::fork() == 0) {  // a child of the command
      for (int i = 3; i < kProcesses; ++i) {
        if (::fork() == 0) break;
      }
    }
    (void)::alarm(30);
    (void)!::write(there[1], "x", 1);
    for (;;) ::pause();
  }
  (void)::setpgid(root, root);
  (void)::close(there[1]);
  char byte = 0;
  for (int i = 0; i < kProcesses; ++i) REQUIRE(::read(there[0], &byte, 1) == 1);
  (void)::close(there[0]);
  Census census(root, {0, 2, true});
  CHECK(census.look(INT64_MAX));
  CHECK(census.over_limit() == "processes");
  (void)::kill(-root, SIGKILL);
  (void)::waitpid(root, nullptr, 0);
}

TEST_CASE("launch: more processes than the limit are refused, for root as well") {
  for (const Who who : kBoth) {
    const Ran ran = run(
        [] {
          Plan plan = shell("for i in $(seq 1 700); do sleep 98751 & done; echo none refused");
          plan.limits.processes = 20;
          plan.timeout_ms = 1500;
          return plan;
        },
        {who, {}, [] {}});
    CHECK_MESSAGE(has(ran.err, "Resource temporarily unavailable"), ran.ending);
    CHECK(!has(ran.out, "none refused"));
    CHECK(none_left("98751", 5000));
  }
}

TEST_CASE("launch: closed standard descriptors and an ignored SIGCHLD do not matter") {
  Host host;
  host.before = [] {
    for (const int fd : {0, 1, 2}) ::close(fd);
    (void)::signal(SIGCHLD, SIG_IGN);
  };
  const Ran ran = run([] { return shell("cat; echo out; echo err >&2"); }, host);
  CHECK(ran.ending == "exited 0");
  CHECK(ran.out == "out\n");
  CHECK(ran.err == "err\n");
}

TEST_CASE("launch: no more descriptors, no more processes: a named error and no command") {
  Host few;
  few.before = [] {
    const rlimit limit{12, 12};
    (void)::setrlimit(RLIMIT_NOFILE, &limit);
  };
  const auto plan = [] {
    Plan made = plan_of({"/bin/true"});
    return made;
  };
  CHECK_MESSAGE(has(run(plan, few).ending, "error launch_failed"), run(plan, few).ending);
  if (::geteuid() == 0) {  // of a user of whom nothing else runs
    Host lonely;
    lonely.before = [] {
      const rlimit limit{1, 1};
      (void)::setrlimit(RLIMIT_NPROC, &limit);
    };
    const Ran ran = run(plan, lonely);
    CHECK_MESSAGE(has(ran.ending, "error launch_failed fork"), ran.ending);
  }
}

TEST_CASE("launch: a first turn is given back, where sched_setattr is refused, and by a user who may only take one") {
  for (const bool loses_root : {false, true}) {
    const auto policy_after = [loses_root] {
      {
        const FirstTurn first;
        if (loses_root && ::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) return shell("exit 99");
      }
      return shell("exit " + std::to_string(::sched_getscheduler(0) & ~SCHED_RESET_ON_FORK));
    };
    CHECK(run(policy_after, {Who::caller, {}}).ending == "exited 0");
    for (const int error : {EPERM, ENOSYS}) CHECK(run(policy_after, {Who::caller, {{SYS_sched_setattr, error}}}).ending == "exited 0");
  }
}
