// What a launched command cannot do, and what is left of that on hosts that refuse a layer.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <string>

#include "launch.h"

using namespace safe_exec;
using namespace safe_exec::test;

namespace {

constexpr Who kBoth[] = {Who::caller, Who::ordinary};
const std::vector<Refusal> kNoMounts = {{SYS_mount, EPERM}};
const std::vector<Refusal> kNoNamespaces = {{kNamespaces, EPERM}, {SYS_unshare, EPERM}};
const std::vector<Refusal> kNoLandlock = {{SYS_landlock_create_ruleset, ENOSYS}};

// The hosts on which a confinement is left, and must hold.
struct Named {
  const char* name;
  std::vector<Refusal> refusals;
};
std::vector<Named> hosts() {
  return {{"whole", {}},
          {"no mounts", kNoMounts},
          {"no namespaces", kNoNamespaces},
          {"no Landlock", kNoLandlock},
          {"Docker's default profile", {{kNamespaces, EPERM}, {SYS_clone3, ENOSYS}, {SYS_mount, EPERM}, {SYS_pivot_root, EPERM}}},
          {"no close_range", {{SYS_close_range, ENOSYS}}},
          {"new mount calls unknown", {{SYS_open_tree, ENOSYS}, {SYS_mount_setattr, ENOSYS}}}};
}

Ran on(const Named& host, Who who, const std::function<Plan()>& make) { return run(make, {who, host.refusals, [] {}}); }

int listener(sockaddr_in& address) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0);
  REQUIRE(::listen(fd, 8) == 0);
  REQUIRE(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  return fd;
}

}  // namespace

TEST_CASE("confine: on every host and for every caller, what is not granted is out of reach") {
  Directory work;
  work.write("secret", "the secret");
  ::chmod(work.path("secret").c_str(), 0644);
  const std::string secret = work.path("secret");
  const std::string script =
      "cat " + secret + "; cat " + work.path() + "/../*/secret; cat /etc/passwd; ls /root; ls /home;"
      "echo x > " + work.path("new") + "; echo x >> " + secret + "; chmod 777 " + secret + "; chown 1 " + secret +
      "; touch " + secret + "; rm -f " + secret + "; mkdir " + work.path("dir") + "; ln -s / " + work.path("link") +
      "; truncate -s 0 " + secret + "; mv " + secret + " " + work.path("moved") + "; true";
  for (const Named& host : hosts()) {
    for (const Who who : kBoth) {
      CAPTURE(host.name);
      const Ran ran = on(host, who, [&] { return shell(script); });
      CHECK_MESSAGE(ran.ending == "exited 0", ran.ending);
      CHECK_MESSAGE(ran.out.empty(), ran.out);
      CHECK(read_text(secret) == "the secret");
      struct stat now {};
      REQUIRE(::stat(secret.c_str(), &now) == 0);
      CHECK((now.st_mode & 0777) == 0644);
      for (const char* name : {"new", "dir", "link", "moved"}) CHECK(::access(work.path(name).c_str(), F_OK) != 0);
    }
  }
}

TEST_CASE("confine: no further program, descriptor, capability or privilege on any host") {
  for (const Named& host : hosts()) {
    for (const Who who : kBoth) {
      CAPTURE(host.name);
      const Ran leaf = on(host, who, [] {
        Plan plan = shell("/bin/echo escaped; exec /bin/echo escaped");
        plan.one_exec = true;
        return plan;
      });
      CHECK_MESSAGE(!has(leaf.out, "escaped"), leaf.err);
      CHECK(leaf.ending == "exited 126");
      const Ran state = run(
          [] {
            return plan_of({"/usr/bin/perl", "-e",
                            "for (3..1023) { if (open(my $f, '<&=', $_)) { print qq(open $_\n) } }"
                            "my @n = (157, 39); print 'nnp ', syscall(157, 39, 0, 0, 0, 0), qq(\n);"  // PR_GET_NO_NEW_PRIVS
                            "for my $c (0..40) { print qq(cap $c\n) if syscall(157, 23, $c, 0, 0, 0) == 1 && $< == 0 }"});
          },
          {who, host.refusals, [] { (void)::dup2(2, 700); }});
#if defined(__x86_64__)
      CHECK_MESSAGE(state.out == "nnp 1\n", state.out << state.err << state.ending);
#endif
    }
  }
}

TEST_CASE("confine: no socket of any family, no other process, no namespace, mount, keyring or io_uring") {
#if defined(__x86_64__)
  const std::string tries =
      "my %calls = (unix => [41,1,1,0], inet => [41,2,1,0], udp => [41,2,2,0], inet6 => [41,10,1,0], netlink => [41,16,3,0],"
      " packet => [41,17,3,0], vsock => [41,40,1,0], alg => [41,38,5,0], high => [41,(1<<32)|2,1,0], ptrace => [101,16,1,0,0],"
      " unshare => [272,0x10000000], setns => [308,0,0], clone => [56,0x10000011,0,0,0,0], chroot => [161,\"/\\0\"],"
      " keyctl => [250,0,-3,0,0,0], add_key => [248,\"user\\0\",\"a\\0\",\"b\",1,-2], io_uring => [425,1,\"\\0\"x120],"
      " bpf => [321,0,\"\\0\"x64,64], perf => [298,\"\\0\"x128,0,-1,-1,0], userfaultfd => [323,1], shmget => [29,0,4096,0600],"
      " msgget => [68,0,0600], semget => [64,0,1,0600], mq => [240,\"/x\\0\",0102,0600,0], tiocsti => [16,0,0x5412,\"x\"],"
      " tiocsti_high => [16,0,(1<<32)|0x5412,\"x\"], personality => [135,0x0040000], memfd_secret => [447,0],"
      " pidfd_getfd => [438,0,0,0], prlimit => [302,1,7,0,0]);"
      "for (sort keys %calls) { my @c = @{$calls{$_}}; my $r = syscall($c[0], @c[1..$#c]);"
      " print qq($_ passed\n) if $r >= 0; exit 0 if $_ eq 'clone' && $r == 0 }"
      "print qq(done\n)";
  for (const Named& host : hosts()) {
    for (const Who who : kBoth) {
      CAPTURE(host.name);
      const Ran ran = on(host, who, [&] { return plan_of({"/usr/bin/perl", "-e", tries}); });
      CHECK_MESSAGE(ran.out == "done\n", ran.out << ran.err << ran.ending);
    }
  }
#endif
}

TEST_CASE("confine: the reaper can be neither killed, stopped nor opened by the command") {
  for (const Named& host : hosts()) {
    CAPTURE(host.name);
    const Ran ran = on(host, Who::ordinary, [] {
      return shell("for s in KILL STOP TERM; do kill -$s $PPID; done 2>/dev/null;"
                   "for f in mem environ maps; do head -c 1 /proc/$PPID/$f && echo opened; done 2>/dev/null; echo alive");
    });
    CHECK_MESSAGE(ran.ending == "exited 0", ran.ending);
    CHECK_MESSAGE(ran.out == "alive\n", ran.out);
  }
}

TEST_CASE("confine: a host that refuses a layer is told, with the step and the reason") {
  const auto plan = [] { return plan_of({"/bin/true"}); };
  const Ran namespaces = run(plan, {Who::ordinary, kNoNamespaces, [] {}});
  CHECK(namespaces.ending == "exited 0");
  CHECK_MESSAGE(has(namespaces.layers, "user_namespace: not_enforced fork: "), namespaces.layers);
  CHECK_MESSAGE(has(namespaces.layers, "tree_kill: partial subreaper sweep"), namespaces.layers);
  CHECK(has(namespaces.layers, "landlock: enforced"));
  const Ran mounts = run(plan, {Who::ordinary, kNoMounts, [] {}});
  CHECK_MESSAGE(has(mounts.layers, "mount_namespace: not_enforced mount_root: "), mounts.layers);
  CHECK(has(mounts.layers, "pid_namespace: enforced"));
  CHECK(has(mounts.layers, "tree_kill: enforced"));
  const Ran landlock = run(plan, {Who::ordinary, kNoLandlock, [] {}});
  CHECK_MESSAGE(has(landlock.layers, "landlock: not_enforced landlock: "), landlock.layers);
  CHECK(has(landlock.layers, "mount_namespace: enforced"));
}

TEST_CASE("confine: with neither Landlock nor mounts, or without what is required, nothing is started") {
  Directory work;
  const auto marks = [&] {
    Plan plan = shell("echo started > " + work.path("mark"));
    plan.grants.push_back(grant_of(work.path(), PathAccess::write));
    return plan;
  };
  CHECK(run(marks).ending == "exited 0");
  CHECK(::unlink(work.path("mark").c_str()) == 0);  // so the mark is what a start leaves
  const auto refused = [&](std::vector<Refusal> refusals, Layer layer, Requirement requirement, const std::string& part) {
    for (const int error : {EPERM, ENOSYS}) {
      for (Refusal& one : refusals) one.error = error;
      const Ran ran = run(
          [&] {
            Plan plan = marks();
            plan.layers[layer] = requirement;
            return plan;
          },
          {Who::ordinary, refusals, [] {}});
      CHECK_MESSAGE(has(ran.ending, "error sandbox_unavailable " + part), ran.ending);
      CHECK(!has(ran.ending, "()"));  // a remedy is named
      CHECK(::access(work.path("mark").c_str(), F_OK) != 0);
    }
  };
  refused({{SYS_landlock_create_ruleset, 0}, {kNamespaces, 0}}, Layer::limits, Requirement::require, "");
  refused({{SYS_landlock_restrict_self, 0}, {SYS_mount, 0}}, Layer::limits, Requirement::require, "");
  refused({{SYS_seccomp, 0}}, Layer::seccomp, Requirement::require, "seccomp");
  refused({{kNamespaces, 0}}, Layer::pid_namespace, Requirement::require, "fork");
  refused({{SYS_mount, 0}}, Layer::mount_namespace, Requirement::require, "mount_root");
  refused({{SYS_landlock_create_ruleset, 0}}, Layer::landlock, Requirement::require, "landlock");
}

TEST_CASE("confine: the system calls of the set-up may each fail and the command is confined or not started") {
  Directory work;
  work.write("secret", "the secret");
  constexpr int calls[] = {SYS_mount, SYS_chroot, SYS_fsopen, SYS_fsconfig, SYS_fsmount, SYS_move_mount,
                           SYS_open_tree, SYS_mount_setattr, SYS_openat2, SYS_mkdirat, SYS_mknodat, SYS_symlinkat, SYS_statx,
                           SYS_capset, SYS_capget, SYS_setsid, SYS_dup3, SYS_prlimit64, SYS_close_range, SYS_seccomp,
                           SYS_landlock_create_ruleset, SYS_landlock_add_rule, SYS_landlock_restrict_self, SYS_execveat,
                           SYS_signalfd4, SYS_fchdir, SYS_chdir, SYS_getrandom, SYS_pipe2, SYS_pidfd_send_signal,
                           SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_umask, SYS_getrusage, SYS_setns, SYS_clone3, SYS_kill};
  for (const int call : calls) {
    for (const int error : {EPERM, ENOSYS}) {
      CAPTURE(call);
      CAPTURE(error);
      const Ran ran = run(
          [&] {
            Plan plan = shell("cat " + work.path("secret") + "; echo ran");
            plan.timeout_ms = 3000;
            return plan;
          },
          {Who::ordinary, {{call, error}}, [] {}});
      const bool started = ran.ending == "exited 0" && ran.out == "ran\n" && has(ran.layers, "seccomp: enforced");
      CHECK_MESSAGE((started || has(ran.ending, "error ")), ran.ending << ran.out << ran.err);
      CHECK(!has(ran.out, "the secret"));
    }
  }
}

TEST_CASE("confine: a write grant works in place, and chmod in it only inside a minimal root") {
  Directory work;
  for (const Named& host : hosts()) {
    CAPTURE(host.name);
    work.write("file", "old");
    ::chmod(work.path("file").c_str(), 0600);
    const Ran ran = on(host, Who::ordinary, [&] {
      Plan plan = shell("cd " + work.path() + " && echo new > file; mkdir -p sub/deep && echo x > sub/deep/f && mv sub/deep/f g;"
                        "rm -r sub g; cat file; chmod 640 file");
      plan.grants.push_back(grant_of(work.path(), PathAccess::write));
      return plan;
    });
    CHECK_MESSAGE(ran.out == "new\n", ran.err);
    struct stat now {};
    REQUIRE(::stat(work.path("file").c_str(), &now) == 0);
    const bool minimal = has(ran.layers, "mount_namespace: enforced");
    CHECK((now.st_mode & 0777) == (minimal ? 0640 : 0600));
    if (!minimal) CHECK_MESSAGE(has(ran.layers, "chmod, chown, utimes and xattr calls are refused"), ran.layers);
  }
}

TEST_CASE("confine: a granted file is read under both of its names, and its neighbours are not") {
  Directory work;
  work.write("real", "content");
  work.write("neighbour", "other");
  (void)!::symlink("real", work.path("alias").c_str());
  for (const bool links : {true, false}) {
    for (const Named& host : hosts()) {
      CAPTURE(host.name);
      const Ran ran = on(host, Who::ordinary, [&] {
        Plan plan = plan_of({"/bin/cat", work.path("alias"), work.path("real"), work.path("neighbour")});
        Grant grant = grant_of(work.path("real"), PathAccess::read);
        grant.given = work.path("alias");
        if (links) grant.links.push_back({work.path("alias"), "real"});
        plan.grants.push_back(std::move(grant));
        return plan;
      });
      CHECK_MESSAGE(ran.out == "contentcontent", ran.err);
      CHECK(ran.ending == "exited 1");
    }
  }
}

TEST_CASE("confine: a symlink in a granted place redirects no mount and creates nothing") {
  Directory work, outside;
  (void)!::symlink(outside.path().c_str(), work.path("a").c_str());
  const Ran ran = run([&] {
    Plan plan = shell("ls " + work.path());
    plan.grants.push_back(grant_of(work.path(), PathAccess::read));
    plan.grants.push_back(grant_of(outside.path(), PathAccess::write));
    plan.grants.back().path = work.path("a");  // as if the name had been a directory when it was checked
    return plan;
  });
  CHECK_MESSAGE(has(ran.ending, "error "), ran.ending);
}

TEST_CASE("confine: a symlink on the way to a granted place redirects no mount") {
  Directory work, outside;
  outside.write("file", "old");
  REQUIRE(::symlink(outside.path().c_str(), work.path("link").c_str()) == 0);
  for (const Who who : kBoth) {
    const Ran ran = run([&] {
      Plan plan = shell("true");
      plan.grants.push_back(grant_of(work.path(), PathAccess::read));
      plan.grants.push_back(grant_of(outside.path("file"), PathAccess::write));
      plan.grants.back().path = work.path("link/file");
      return plan;
    }, {who, {}, [] {}});
    CHECK_MESSAGE(has(ran.ending, "error launch_failed mount_bind"), ran.ending);
  }
}

TEST_CASE("confine: /tmp and /proc are the command's own when granted and absent otherwise") {
  const auto looks = [](bool granted) {
    Plan plan = shell("echo x > /tmp/f && cat /tmp/f; ls /tmp 2>/dev/null; for p in /proc/[0-9]*; do echo $p; done;"
                      "cat /proc/1/environ /proc/1/maps; echo 1 > /proc/sys/kernel/pid_max");
    if (granted) {
      plan.tmp = Tmp::private_dir;
      plan.proc = Proc::own;
    }
    return plan;
  };
  for (const Who who : kBoth) {
    const Ran with = run([&] { return looks(true); }, {who, {}, [] {}});
    CHECK_MESSAGE(has(with.out, "x\nf\n/proc/2\n"), with.out << with.err);
    CHECK(!has(with.out, "PATH="));
    CHECK(has(with.err, "/proc/1/environ: No such file"));
    const Ran without = run([&] { return looks(false); }, {who, {}, [] {}});
    CHECK_MESSAGE(!has(without.out, "/proc/1"), without.out);
    CHECK(!has(without.out, "x\n"));
  }
  CHECK(::access("/tmp/f", F_OK) != 0);
}

TEST_CASE("confine: TCP reaches the granted port only") {
  sockaddr_in open{}, closed{};
  const UniqueFd first(listener(open)), second(listener(closed));
  const auto tries = [&](Network::Kind kind) {
    const std::string a = std::to_string(ntohs(open.sin_port)), b = std::to_string(ntohs(closed.sin_port));
    Plan plan = shell("for p in " + a + " " + b + "; do (exec 3<>/dev/tcp/127.0.0.1/$p) 2>/dev/null && echo $p; done;"
                      "(exec 3<>/dev/udp/127.0.0.1/53) 2>/dev/null && echo udp; true");
    plan.network = {kind, {ntohs(open.sin_port)}};
    return plan;
  };
  const std::string a = std::to_string(ntohs(open.sin_port)) + "\n", b = std::to_string(ntohs(closed.sin_port)) + "\n";
  CHECK(run([&] { return tries(Network::Kind::none); }).out.empty());
  CHECK(run([&] { return tries(Network::Kind::connect_tcp); }).out == a);
  CHECK(run([&] { return tries(Network::Kind::host); }).out == a + b + "udp\n");
  const Ran poor = run([&] { return tries(Network::Kind::connect_tcp); }, {Who::ordinary, kNoLandlock, [] {}});
  CHECK(poor.out.empty());  // ports cannot be told apart there: refused, not opened
}

TEST_CASE("confine: a Unix socket is reached when it is granted, in a minimal root only") {
  Directory work;
  const UniqueFd server(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  (void)work.path("s").copy(address.sun_path, sizeof address.sun_path - 1);
  REQUIRE(::bind(server.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::listen(server.get(), 8) == 0);
  ::chmod(work.path("s").c_str(), 0666);
  const auto connects = [&](bool granted) {
    Plan plan = plan_of({"/usr/bin/perl", "-e",
                         "socket(S, 1, 1, 0) or die qq(socket $!); connect(S, pack('S a*', 1, $ARGV[0])) or die qq(connect $!);"
                         "print qq(connected\n)", work.path("s")});
    if (!granted) return plan;
    plan.unix_sockets = {work.path("s")};
    plan.grants.push_back(grant_of(work.path("s"), PathAccess::stat));
    plan.grants.back().stat_only = true;
    return plan;
  };
  CHECK(has(run([&] { return connects(true); }).out, "connected"));
  CHECK(!has(run([&] { return connects(false); }).out, "connected"));
  CHECK(!has(run([&] { return connects(true); }, {Who::ordinary, kNoNamespaces, [] {}}).out, "connected"));
}

TEST_CASE("confine: a script runs through its interpreter, and by name as by descriptor") {
  Directory work;
  work.write("script", "#!/bin/bash -e\necho \"$0 $1 $-\" | tr -d '\\n'; /bin/true\n");
  for (const Named& host : hosts()) {
    for (const ExecBy by : {ExecBy::fd, ExecBy::path}) {
      CAPTURE(host.name);
      const Ran ran = on(host, Who::ordinary, [&] {
        Plan plan = shell("");
        plan.argv = {work.path("script"), "one"};
        plan.exec_by = by;
        plan.binary.path = work.path("script");
        plan.binary.script = true;
        plan.binary.interpreter = "/bin/bash";
        plan.binary.interpreter_args = {"-e"};
        plan.binary.interpreter_fd = std::move(plan.binary.fd);
        plan.binary.fd = UniqueFd(::open(work.path("script").c_str(), O_PATH | O_CLOEXEC));
        plan.grants.push_back(grant_of(work.path("script"), PathAccess::read));
        return plan;
      });
      CHECK_MESSAGE(ran.out == work.path("script") + " one ehB", ran.err << ran.ending);
    }
  }
}

TEST_CASE("confine: a program executed by name is found under it, and another file there is not executed") {
  Directory work;
  for (const Named& host : hosts()) {
    CAPTURE(host.name);
    const Ran ran = on(host, Who::ordinary, [] {
      Plan plan = plan_of({"/bin/echo", "hi"});
      plan.exec_by = ExecBy::path;
      return plan;
    });
    CHECK_MESSAGE(ran.out == "hi\n", ran.ending);
    const bool landlock = has(ran.layers, "landlock: enforced");
    const Ran swapped = on(host, Who::ordinary, [&] {
      Plan plan = plan_of({"/bin/echo", "hi"});
      plan.exec_by = ExecBy::path;
      plan.binary.path = "/bin/uname";  // as if it had become another file after the check
      return plan;
    });
    if (landlock) CHECK_MESSAGE(!has(swapped.out, "Linux"), swapped.ending);
  }
}

TEST_CASE("confine: a grant of the whole root is read-only and holds the others") {
  Directory work;
  ::chmod(work.path().c_str(), 0777);  // root has no capability to pass by the owner
  for (const Who who : kBoth) {
    const Ran ran = run(
        [&] {
          Plan plan = shell("ls -d /etc/passwd; echo x > " + work.path("f") + "; echo x > /etc/safe-exec-test;"
                            "echo x > /tmp/safe-exec-test; chmod 777 /etc/passwd; true");
          plan.grants.push_back(grant_of("/", PathAccess::read));
          plan.grants.push_back(grant_of(work.path(), PathAccess::write));
          return plan;
        },
        {who, {}, [] {}});
    CHECK_MESSAGE(ran.out == "/etc/passwd\n", ran.ending << ran.err);
    CHECK(has(ran.layers, "mount_namespace: enforced"));
    CHECK(read_text(work.path("f")) == "x\n");
    CHECK(::access("/etc/safe-exec-test", F_OK) != 0);
    CHECK(::access("/tmp/safe-exec-test", F_OK) != 0);
    (void)::unlink(work.path("f").c_str());
  }
}

TEST_CASE("confine: replace lets a file be saved by rename") {
  Directory work;
  for (const Named& host : hosts()) {
    CAPTURE(host.name);
    work.write("file", "old");
    const Ran ran = on(host, Who::ordinary, [&] {
      Plan plan = shell("cd " + work.path() + " && echo new > .tmp && mv .tmp file && cat file && mkdir sub");
      Grant grant = grant_of(work.path("file"), PathAccess::replace);
      grant.parent = UniqueFd(::open(work.path().c_str(), O_PATH | O_CLOEXEC));
      grant.leaf = "file";
      plan.grants.push_back(std::move(grant));
      return plan;
    });
    CHECK_MESSAGE(ran.out == "new\n", ran.err);
    if (has(ran.layers, "landlock: enforced")) CHECK(ran.ending == "exited 1");
    (void)::rmdir(work.path("sub").c_str());
  }
}
