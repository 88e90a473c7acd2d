// Holds suggest.h to its bounds.
#include "suggest.h"

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <vector>

namespace safe_exec {
namespace {

std::string nearest(std::string_view typed, std::vector<std::string> names) {
  return nearest_name(typed, std::span<const std::string>(names));
}

TEST_CASE("suggest: slips of one to three letters are found") {
  CHECK(nearest("optoins", {"operands", "options", "use"}) == "options");
  CHECK(nearest("staus", {"stash", "status"}) == "status");
  CHECK(nearest("--nmae-only", {"--name-only", "--name-status"}) == "--name-only");
  CHECK(nearest("comand", {"commands"}) == "commands");
}

TEST_CASE("suggest: what is too far away, or the name itself, is no suggestion") {
  CHECK(nearest("rm", {"ls", "cat"}).empty());
  CHECK(nearest("push", {"diff", "log"}).empty());
  CHECK(nearest("-x", {"-a", "-b"}).empty());
  CHECK(nearest("abcdefghijkl", {"abcdefghWXYZ"}).empty());
  CHECK(nearest("same", {"same"}).empty());
  CHECK(nearest("x", {}).empty());
  CHECK(nearest(std::string(1000, 'a'), {std::string(1000, 'a') + "b"}).empty());
}

TEST_CASE("suggest: the nearest of several wins, the first of equals") {
  CHECK(nearest("abcdef", {"abcxyf", "abcdxf"}) == "abcdxf");
  CHECK(nearest("abcd", {"abcx", "abcy"}) == "abcx");
  constexpr std::array<std::string_view, 2> kViews{"log", "status"};
  CHECK(nearest_name("statsu", kViews) == "status");
}

}  // namespace
}  // namespace safe_exec
