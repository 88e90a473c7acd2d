// Level 0. Text that stands in a table itself. A std::string_view or a const char* there is an address, which every start of a
// position-independent program relocates: whole pages of tables are copied before any is read. These hold none, and stay in
// pages that all processes share and that are read where they are used. Never a place for text that is made at run time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace safe_exec {

// At most N bytes, of a literal; a longer one does not compile. Not copied, because a view of the copy would end with it.
template <std::size_t N>
  requires(N <= 255)
class InlineText {
 public:
  template <std::size_t Size>
    requires(Size - 1 <= N)
  consteval InlineText(const char (&literal)[Size]) : size_(Size - 1) {  // implicit, so that a row is written as before
    for (std::size_t i = 0; i + 1 < Size; ++i) text_[i] = literal[i];
  }
  InlineText(const InlineText&) = delete;
  InlineText& operator=(const InlineText&) = delete;
  ~InlineText() = default;

  constexpr operator std::string_view() const noexcept { return {text_, size_}; }
  [[nodiscard]] constexpr bool empty() const noexcept { return size_ == 0; }
  friend constexpr bool operator==(const InlineText& a, std::string_view b) noexcept { return std::string_view(a) == b; }

 private:
  char text_[N]{};
  std::uint8_t size_;
};

using Name = InlineText<31>;

}  // namespace safe_exec
