// Level 0. SHA-256 (nettle).
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace safe_exec {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void add(std::string_view bytes);
  [[nodiscard]] std::string hex();  // lower case; starts over

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace safe_exec
