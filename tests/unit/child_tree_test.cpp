#include "child_tree.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <initializer_list>
#include <memory>

#include "scratch.h"

namespace safe_exec {
namespace {

std::unique_ptr<Tree> tree(std::initializer_list<int> pids) {
  auto made = std::make_unique<Tree>();
  for (const int pid : pids) made->pids[made->count++] = pid;
  made->whole = true;
  return made;
}

}  // namespace

TEST_CASE("child_tree: a tree is part of another when all of its processes are, in whatever order") {
  CHECK(is_part_of(*tree({}), *tree({})));
  CHECK(is_part_of(*tree({}), *tree({1, 2})));
  CHECK(is_part_of(*tree({3, 1, 2, 3}), *tree({1, 2, 3, 4})));
  CHECK_FALSE(is_part_of(*tree({5}), *tree({})));
  CHECK_FALSE(is_part_of(*tree({1, 5, 2}), *tree({1, 2, 3, 4})));
}

TEST_CASE("child_tree: a tree that may have more processes than are written down is part of none") {
  auto full = tree({});
  while (full->count < kMaxTree) full->pids[full->count++] = 7;
  CHECK_FALSE(is_part_of(*full, *full));
  --full->count;
  CHECK(is_part_of(*full, *full));
}

TEST_CASE("child_tree: where /proc cannot be read nothing is known, and that is part of no tree") {
  ChildPlan plan{};
  plan.proc_fd = -1;
  const auto unknown = tree({});
  CHECK(signal_tree(plan, *unknown, 0) == 0);
  CHECK_FALSE(is_part_of(*unknown, *tree({})));
  plan.proc_fd = ::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
  (void)signal_tree(plan, *unknown, 0);
  CHECK(is_part_of(*unknown, *unknown));
  (void)::close(plan.proc_fd);
}

TEST_CASE("child_tree: children that cannot be opened or read are part of no tree") {
  for (const char* kind : {"none", "a loop", "a directory"}) {
    CAPTURE(kind);
    const test::Scratch proc;
    (void)proc.dir("self/task/1");
    if (std::string_view(kind) == "a loop") (void)proc.link("self/task/1/children", "children");
    if (std::string_view(kind) == "a directory") (void)proc.dir("self/task/1/children");
    ChildPlan plan{};
    plan.proc_fd = ::open(proc.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    const auto found = tree({});
    CHECK(signal_tree(plan, *found, 0) == 0);
    CHECK(is_part_of(*found, *found) == (std::string_view(kind) == "none"));  // that thread has ended
    (void)::close(plan.proc_fd);
  }
}

TEST_CASE("child_tree: where no descriptor is left nothing is known") {
  ChildPlan plan{};
  plan.proc_fd = ::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
  const int next = ::dup(plan.proc_fd);
  (void)::close(next);
  const auto unknown = tree({});
  rlimit before{};
  (void)::getrlimit(RLIMIT_NOFILE, &before);
  for (const int left : {0, 1}) {  // for the list of threads, and then for one's children
    const rlimit few{static_cast<rlim_t>(next + left), before.rlim_max};
    (void)::setrlimit(RLIMIT_NOFILE, &few);
    (void)signal_tree(plan, *unknown, 0);
    (void)::setrlimit(RLIMIT_NOFILE, &before);
    CHECK_FALSE(is_part_of(*unknown, *unknown));
  }
  (void)::close(plan.proc_fd);
}

}  // namespace safe_exec
