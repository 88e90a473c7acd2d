// Holds utf8.h to RFC 3629, and digest.h to its published vectors.
#include "utf8.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <iterator>

#include <string>

#include "digest.h"

namespace safe_exec {
namespace {

TEST_CASE("utf8: valid text is accepted up to U+10FFFF") {
  CHECK(is_utf8(""));
  CHECK(is_utf8("plain ascii that is longer than eight bytes"));
  CHECK(is_utf8("\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"));
  CHECK(decode_utf8("\xF0\x9F\x98\x80!").code == 0x1F600);
  CHECK(decode_utf8("\xF0\x9F\x98\x80!").length == 4);
  CHECK(decode_utf8("\xE2\x80\xA8").code == 0x2028);
  CHECK(decode_utf8("").length == 0);
}

TEST_CASE("utf8: overlong forms, surrogates, stray and missing bytes are refused") {
  for (const char* text :
       {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xED\xBF\xBF", "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xC3", "\xE2\x80", "\xF0\x9F\x98", "\xC3("}) {
    CHECK_FALSE(is_utf8(text));
    CHECK_FALSE(is_utf8("12345678" + std::string(text) + "12345678"));
    CHECK(decode_utf8(text).length == 0);
  }
}

TEST_CASE("utf8: each maximal invalid sequence becomes one replacement character") {
  bool lossy = false;
  CHECK(to_utf8("a\xC3\xA9", &lossy) == "a\xC3\xA9");
  CHECK_FALSE(lossy);
  CHECK(to_utf8("a\xFF\xFE"
                "b",
                &lossy) ==
        "a\xEF\xBF\xBD\xEF\xBF\xBD"
        "b");
  CHECK(lossy);
  CHECK(to_utf8("\xF0\x9F\x98z", nullptr) == "\xEF\xBF\xBDz");
  CHECK(to_utf8("\xE0\x80\x80", nullptr) == "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST_CASE("utf8: prefixes and suffixes do not cut a valid character in two") {
  const std::string text = "a\xC3\xA9\xF0\x9F\x98\x80z";  // a é 😀 z
  CHECK(utf8_prefix(text, 0).empty());
  CHECK(utf8_prefix(text, 2) == "a");
  CHECK(utf8_prefix(text, 3) == "a\xC3\xA9");
  for (std::size_t limit = 3; limit < 7; ++limit) CHECK(utf8_prefix(text, limit) == "a\xC3\xA9");
  CHECK(utf8_prefix(text, 7).size() == 7);
  CHECK(utf8_prefix(text, 99) == text);
  CHECK(utf8_suffix(text, 1) == "z");
  for (std::size_t limit = 1; limit < 5; ++limit) CHECK(utf8_suffix(text, limit) == "z");
  CHECK(utf8_suffix(text, 5) == "\xF0\x9F\x98\x80z");
  CHECK(utf8_suffix(text, 0).empty());
  CHECK(utf8_prefix("\x80\x80\x80\x80\x80", 3).size() == 3);  // nothing valid to keep whole
  CHECK(utf8_suffix("\x80\x80\x80\x80\x80", 3).size() == 3);
}

TEST_CASE("utf8: a text that was cut off loses the part of a character that the cut left") {
  const std::string text = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80";  // begins at 0, 1, 3, 6; ends at 10
  const std::size_t begins[] = {0, 1, 3, 6, 10};
  for (std::size_t at = 0; at <= text.size(); ++at) {
    CAPTURE(at);
    const auto next = std::lower_bound(std::begin(begins), std::end(begins), at);
    const std::size_t before = *next == at ? at : *(next - 1);
    CHECK(utf8_whole_end(text.substr(0, at)) == text.substr(0, before));
    CHECK(utf8_whole_begin(text.substr(at)) == text.substr(*next));
  }
  for (const char* other : {"a\xFF", "\xC3(", "\xE2\x28\xA1", "a\x80", "\x80\x80\x80\x80"}) CHECK(utf8_whole_end(other) == other);
  CHECK(utf8_whole_begin("\x80\x80\x80\x80").size() == 4);
  CHECK(utf8_whole_begin("\xFF\x80").size() == 2);
}

TEST_CASE("digest: the vectors of FIPS 180-4") {
  Sha256 sha;
  CHECK(sha.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  sha.add("a");
  sha.add("");
  sha.add("bc");
  CHECK(sha.hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");  // hex() starts over
}

}  // namespace
}  // namespace safe_exec
