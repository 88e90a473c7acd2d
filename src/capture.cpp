#include "capture.h"

#include <algorithm>

namespace safe_exec {

Capture::Capture(std::int64_t limit) {
  const auto size = static_cast<std::size_t>(std::max<std::int64_t>(limit, 0));
  head_limit_ = size / 5 * 2 + size % 5 * 2 / 5;  // 40 %, without overflow
  tail_limit_ = size - head_limit_;
}

void Capture::add(std::string_view bytes) {
  bytes_ += bytes.size();
  const std::size_t to_head = std::min(bytes.size(), head_limit_ - head_.size());
  head_.append(bytes.substr(0, to_head));
  add_tail(bytes.substr(to_head));
}

void Capture::add_tail(std::string_view bytes) {
  if (bytes.size() >= tail_limit_) {  // what was there is pushed out whole
    tail_.assign(bytes.substr(bytes.size() - tail_limit_));
    tail_start_ = 0;
    return;
  }
  const std::size_t fits = std::min(bytes.size(), tail_limit_ - tail_.size());
  tail_.append(bytes.substr(0, fits));
  bytes.remove_prefix(fits);
  while (!bytes.empty()) {
    const std::size_t run = std::min(bytes.size(), tail_limit_ - tail_start_);
    std::copy_n(bytes.data(), run, tail_.begin() + static_cast<std::ptrdiff_t>(tail_start_));
    tail_start_ = (tail_start_ + run) % tail_limit_;
    bytes.remove_prefix(run);
  }
}

Captured Capture::take() {
  std::rotate(tail_.begin(), tail_.begin() + static_cast<std::ptrdiff_t>(tail_start_), tail_.end());
  tail_start_ = 0;
  Captured captured;
  captured.bytes = bytes_;
  captured.omitted = bytes_ - head_.size() - tail_.size();
  captured.head = std::move(head_);
  captured.tail = std::move(tail_);
  return captured;
}

}  // namespace safe_exec
