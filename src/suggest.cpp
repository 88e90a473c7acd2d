// Owns the edit distance behind "did you mean". Never decides anything: a suggestion is only a message.
#include "suggest.h"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace safe_exec {
namespace {

constexpr std::size_t kLongestName = 128;  // longer names get no suggestion: the distance costs n * m

// Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours count one each.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), previous(b.size() + 1), current(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) previous[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    current[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t cost = a[i - 1] == b[j - 1] ? 0 : 1;
      current[j] = std::min({previous[j] + 1, current[j - 1] + 1, previous[j - 1] + cost});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) current[j] = std::min(current[j], before[j - 2] + 1);
    }
    before.swap(previous);
    previous.swap(current);
  }
  return previous[b.size()];
}

template <class Text>
std::string nearest(std::string_view typed, std::span<const Text> candidates) {
  std::string_view best;
  std::size_t best_distance = 4;
  if (typed.size() > kLongestName) return {};
  for (const std::string_view candidate : candidates) {
    if (candidate.size() > kLongestName || candidate == typed) continue;
    const std::size_t longer = std::max(typed.size(), candidate.size());
    const std::size_t shorter = std::min(typed.size(), candidate.size());
    const std::size_t bound = std::min(longer / 3, best_distance - 1);
    if (longer - shorter > bound || bound == 0) continue;
    const std::size_t d = distance(typed, candidate);
    if (d > bound) continue;
    best = candidate;
    best_distance = d;
  }
  return std::string(best);
}

}  // namespace

std::string nearest_name(std::string_view typed, std::span<const std::string> candidates) {
  return nearest(typed, candidates);
}

std::string nearest_name(std::string_view typed, std::span<const std::string_view> candidates) {
  return nearest(typed, candidates);
}

}  // namespace safe_exec
