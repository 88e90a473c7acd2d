#include "child_tree.h"

#include <doctest/doctest.h>

#include <initializer_list>
#include <memory>

namespace safe_exec {
namespace {

std::unique_ptr<Tree> tree(std::initializer_list<int> pids) {
  auto made = std::make_unique<Tree>();
  for (const int pid : pids) made->pids[made->count++] = pid;
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
  auto full = std::make_unique<Tree>();
  while (full->count < kMaxTree) full->pids[full->count++] = 7;
  CHECK_FALSE(is_part_of(*full, *full));
  --full->count;
  CHECK(is_part_of(*full, *full));
}

}  // namespace safe_exec
