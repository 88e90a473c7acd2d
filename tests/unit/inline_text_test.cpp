// Holds inline_text.h to what its tables rely on.
#include "inline_text.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <string>
#include <type_traits>

namespace safe_exec {
namespace {

constexpr std::array<InlineText<4>, 3> kTable{"", "ab", "abcd"};

TEST_CASE("inline_text: a table of it is found in like one of std::string_view") {
  CHECK(kTable[0].empty());
  CHECK(std::string_view(kTable[1]) == "ab");
  CHECK(std::string_view(kTable[2]).size() == 4);
  CHECK(std::find(kTable.begin(), kTable.end(), std::string("abcd")) == &kTable[2]);
  CHECK(std::find(kTable.begin(), kTable.end(), std::string_view("abc")) == kTable.end());
}

TEST_CASE("inline_text: the text lies in the table") {
  const std::string_view text = kTable[2];
  CHECK(text.data() == reinterpret_cast<const char*>(&kTable[2]));
  CHECK(sizeof kTable == 15);
}

TEST_CASE("inline_text: no longer literal, no text made at run time, and no copy that a view would outlive") {
  CHECK(std::is_constructible_v<InlineText<4>, const char (&)[5]>);
  CHECK(!std::is_constructible_v<InlineText<4>, const char (&)[6]>);
  CHECK(!std::is_constructible_v<InlineText<4>, const char*>);
  CHECK(!std::is_constructible_v<InlineText<4>, std::string_view>);
  CHECK(!std::is_copy_constructible_v<InlineText<4>>);
  CHECK(!std::is_copy_assignable_v<InlineText<4>>);
}

}  // namespace
}  // namespace safe_exec
