// Level 1. Bounded capture of a stream: the first 40 % and the last 60 % of the limit, exact counts, memory that does
// not grow with what is written. Never looks into the bytes; cutting at characters is the report's business.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "model.h"

namespace safe_exec {

class Capture {
 public:
  explicit Capture(std::int64_t limit);

  void add(std::string_view bytes);
  [[nodiscard]] Captured take();  // once, at the end

 private:
  void add_tail(std::string_view bytes);

  std::size_t head_limit_, tail_limit_;
  std::string head_, tail_;     // tail_ is a ring once it is full
  std::size_t tail_start_ = 0;  // of the oldest byte
  std::uint64_t bytes_ = 0;
};

}  // namespace safe_exec
