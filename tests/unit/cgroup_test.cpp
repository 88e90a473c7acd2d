#include "confine/cgroup.h"

#include <doctest/doctest.h>
#include <sys/file.h>

#include <filesystem>
#include <set>
#include <string>

#include "scratch.h"

using safe_exec::Cgroup;
using safe_exec::delegated_parent;
using safe_exec::UniqueFd;
using safe_exec::test::Scratch;

namespace {

std::set<std::string> names_in(const std::string& directory) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) names.insert(entry.path().filename());
  return names;
}

// A directory that looks delegated, in a file system whose directories come without files.
struct Delegated {
  Scratch scratch;
  std::string self = scratch.file("self", "0::/agents/main\n"), parent = scratch.dir("agents");

  explicit Delegated(const char* controllers) {
    scratch.file("agents/cgroup.subtree_control", controllers);
    scratch.file("agents/cgroup.procs", "");
  }
  [[nodiscard]] bool makes() const { return Cgroup::make({1 << 20, 10}, {scratch.path().c_str(), self.c_str()}).has_value(); }
};

}  // namespace

TEST_CASE("cgroup: a child goes beside the caller's own, of version 2 alone") {
  CHECK(delegated_parent("0::/agents/main\n") == "/agents");
  CHECK(delegated_parent("0::/user.slice/run-1.service/main\n") == "/user.slice/run-1.service");
  CHECK(delegated_parent("9:name=systemd:/\n8:pids:/a/b\n0::/x/y z\n") == "/x");
  CHECK(delegated_parent("0::/main\n") == "/");
  CHECK(delegated_parent("0::/\n") == "/");
  CHECK(delegated_parent("10::/x/y\n8:pids:/a/b\n").empty());
  CHECK(delegated_parent("").empty());
  CHECK(delegated_parent("0::").empty());
}

TEST_CASE("cgroup: nothing is made beside what systemd manages, nor where nothing can be seen") {
  for (const char* own : {"0::/user.slice/user-0.slice/session-1.scope\n", "0::/system.slice/x.service\n", "0::/init.scope\n",
                          "0::/user.slice\n", "0::/../x\n", "0::/../../a/b\n", "0::/agents/main (deleted)\n"}) {
    CAPTURE(own);
    CHECK(delegated_parent(own).empty());
  }
  CHECK(delegated_parent("0::/" + std::string(5000, 'x') + "/y\n").empty());
}

TEST_CASE("cgroup: where one cannot be limited or joined, none is used and none is left") {
  for (const char* controllers : {"memory pids\n", "cpu pids\n", ""}) {
    const Delegated host(controllers);
    CHECK_FALSE(host.makes());
    CHECK(names_in(host.parent) == std::set<std::string>{"cgroup.procs", "cgroup.subtree_control"});
  }
}

TEST_CASE("cgroup: nothing is touched where the caller could not be moved from") {
  const Delegated host("memory pids\n");
  std::filesystem::remove(host.parent + "/cgroup.procs");
  host.scratch.dir("agents/safe-exec-1");
  CHECK_FALSE(host.makes());
  CHECK(names_in(host.parent).contains("safe-exec-1"));
  std::filesystem::remove(host.self);
  CHECK_FALSE(host.makes());
}

TEST_CASE("cgroup: what a killed safe-exec left is removed, and nobody else's") {
  const Delegated host("memory pids\n");
  host.scratch.dir("agents/safe-exec-dead");
  host.scratch.dir("agents/other");
  host.scratch.file("agents/safe-exec-full/x");  // of a cgroup: a process
  const UniqueFd owner(::open(host.scratch.dir("agents/safe-exec-used").c_str(), O_RDONLY | O_DIRECTORY));
  REQUIRE(::flock(owner.get(), LOCK_EX | LOCK_NB) == 0);
  CHECK_FALSE(host.makes());
  CHECK(names_in(host.parent) ==
        std::set<std::string>{"cgroup.procs", "cgroup.subtree_control", "other", "safe-exec-full", "safe-exec-used"});
}
