#include "child_tree.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <initializer_list>
#include <memory>

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

}  // namespace safe_exec
