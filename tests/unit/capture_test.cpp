#include "capture.h"

#include <doctest/doctest.h>

#include <string>

using safe_exec::Capture;
using safe_exec::Captured;

namespace {

// What a capture must hold, computed from the whole stream.
Captured expected(const std::string& stream, std::size_t limit) {
  const std::size_t head = limit * 2 / 5, tail = limit - head;
  Captured all;
  all.bytes = stream.size();
  if (stream.size() <= limit) {
    all.head = stream;
    return all;
  }
  all.head = stream.substr(0, head);
  all.tail = stream.substr(stream.size() - tail);
  all.omitted = stream.size() - limit;
  return all;
}

std::string numbered(std::size_t size) {
  std::string text;
  for (int i = 0; text.size() < size; ++i) text += std::to_string(i) + "\n";
  return text.substr(0, size);
}

}  // namespace

TEST_CASE("capture: any stream in any pieces keeps the first 40 % and the last 60 % with exact counts") {
  for (const std::size_t limit : {0U, 1U, 2U, 3U, 5U, 10U, 99U, 100U, 101U, 1000U}) {
    for (const std::size_t size : {0U, 1U, 2U, 4U, 5U, 6U, 39U, 40U, 41U, 99U, 100U, 101U, 159U, 160U, 161U, 2503U}) {
      for (const std::size_t piece : {1U, 2U, 3U, 7U, 64U, 100U, 4096U}) {
        const std::string stream = numbered(size);
        Capture capture(static_cast<std::int64_t>(limit));
        for (std::size_t at = 0; at < size; at += piece) capture.add(std::string_view(stream).substr(at, piece));
        const Captured got = capture.take();
        const Captured want = expected(stream, limit);
        CAPTURE(limit);
        CAPTURE(size);
        CAPTURE(piece);
        CHECK(got.bytes == want.bytes);
        CHECK(got.omitted == want.omitted);
        CHECK(got.head + got.tail == want.head + want.tail);
        if (got.omitted > 0) CHECK(got.head == want.head);
      }
    }
  }
}

TEST_CASE("capture: a negative limit keeps nothing and counts all") {
  Capture capture(-5);
  capture.add("abc");
  const Captured got = capture.take();
  CHECK(got.bytes == 3);
  CHECK(got.omitted == 3);
  CHECK(got.head.empty());
  CHECK(got.tail.empty());
}

TEST_CASE("capture: what is kept never exceeds the limit, however much is written") {
  Capture capture(1000);
  const std::string block(65536, 'x');
  for (int i = 0; i < 2000; ++i) capture.add(block);
  capture.add("last line\n");
  const Captured got = capture.take();
  CHECK(got.bytes == 2000ULL * 65536 + 10);
  CHECK(got.head.size() + got.tail.size() == 1000);
  CHECK(got.tail.ends_with("xlast line\n"));
  CHECK(got.tail.capacity() < 4096);
}
