// Level 2. What the walks through granted directories share: how far they go, and what is mounted for what they find.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "model.h"

namespace safe_exec {

inline constexpr int kMaxWalkDepth = 200;        // each level holds a descriptor
inline constexpr std::size_t kMaxCovers = 64;    // mounts, some 10 us each
inline constexpr std::size_t kMaxHeld = 256;     // mounts, too

// What deny_walk lets one walk look at.
class WalkBudget {
 public:
  explicit WalkBudget(const DenyWalk& limits);
  [[nodiscard]] bool take_entry();  // false: it is spent, and stays so
  [[nodiscard]] bool spent() const { return !problem_.empty(); }
  [[nodiscard]] const std::string& problem() const { return problem_; }  // for people

 private:
  const DenyWalk& limits_;
  std::chrono::steady_clock::time_point deadline_;
  std::int64_t entries_ = 0;
  std::string problem_;
};

// A directory that no walk can look into; a command can make one.
[[nodiscard]] bool too_deep(const std::string& path, int depth);

// directory, and those between it and what lies below it at path.
void add_ways(std::string_view directory, std::string_view path, std::set<std::string>& names);

}  // namespace safe_exec
