// Level 1. Does a policy grant no more than its base? A proof by structure: every line that the candidate would run
// is one that the base would run the same way, with no more grants. What cannot be compared counts as wider.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "model.h"

namespace safe_exec {

struct Widening {
  std::string pointer;  // in the candidate
  std::optional<Location> location;
  std::string reason;   // one sentence
};

// What a root stands for. A root lies below another when its name as written does, or when all of its paths do.
struct RootNames {
  std::string written;             // "${workspace}/sub": stands for the same in both policies; empty: it does not
  std::vector<std::string> paths;  // none: it stands for nothing
};
enum class RootUse : std::uint8_t { path, glob };
using NameRoot = std::function<RootNames(const Root&, RootUse)>;

struct Compared {
  const Policy& policy;
  NameRoot names;
};

// Every way in which the candidate is wider. command: only what concerns this one; empty: all.
[[nodiscard]] std::vector<Widening> find_widenings(const Compared& candidate, const Compared& base,
                                                   std::string_view command);

// Roots as two policies write them, without a host: a variable that both define alike stands for itself, any other
// for its default, and in the candidate for all that it may be set to.
[[nodiscard]] NameRoot written_roots(const Policy& policy, const Policy& other, bool candidate);

}  // namespace safe_exec
