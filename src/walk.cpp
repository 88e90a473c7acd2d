#include "walk.h"

#include <climits>

namespace safe_exec {

WalkBudget::WalkBudget(const DenyWalk& limits)
    : limits_(limits), deadline_(std::chrono::steady_clock::now() + std::chrono::milliseconds(limits.ms)) {}

bool WalkBudget::take_entry() {
  constexpr std::int64_t kEntriesPerClock = 64;
  if (spent()) return false;
  if (++entries_ > limits_.entries) {
    problem_ = "more than " + std::to_string(limits_.entries) + " entries below the granted directories (deny_walk)";
  } else if (entries_ % kEntriesPerClock == 0 && std::chrono::steady_clock::now() > deadline_) {
    problem_ = "the walk took more than " + std::to_string(limits_.ms) + " ms (deny_walk)";
  }
  return !spent();
}

bool too_deep(const std::string& path, int depth) { return depth > kMaxWalkDepth || path.size() + NAME_MAX + 1 >= PATH_MAX; }

void add_ways(std::string_view directory, std::string_view path, std::set<std::string>& names) {
  for (std::size_t end = path.rfind('/'); end >= directory.size() && end != std::string_view::npos && end > 0; end = path.rfind('/', end - 1)) {
    names.emplace(path.substr(0, end));
  }
}

}  // namespace safe_exec
