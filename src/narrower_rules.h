// Level 1. Private to narrower*.cpp: the rules by which one part of a policy is no wider than another. Each returns
// why it is wider, and nothing when it is not.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "effective.h"
#include "model.h"
#include "narrower.h"
#include "pattern.h"

namespace safe_exec {

// Both sides of one comparison.
struct Sides {
  const Compared& candidate;
  const Compared& base;
  PatternCache& patterns;
};

// narrower_types.cpp
[[nodiscard]] std::string wider_type(const Type& candidate, const Type& base, const Sides& sides);
// The same, where the first of several types that accepts a token decides.
[[nodiscard]] std::string wider_types(const std::vector<TypeRef>& candidate, const std::vector<TypeRef>& base,
                                      const Sides& sides);
[[nodiscard]] bool same_types(const std::vector<TypeRef>& candidate, const std::vector<TypeRef>& base,
                              const Sides& sides);
[[nodiscard]] std::string wider_roots(const std::vector<Root>& candidate, const std::vector<Root>& base,
                                      const Sides& sides);
// What the base denies and the candidate does not.
[[nodiscard]] std::string missing_globs(const std::vector<Root>& candidate, const std::vector<Root>& base,
                                        const Sides& sides);

// What the base keeps from being written and the candidate does not.
[[nodiscard]] std::string missing_read_only(const std::vector<Root>& candidate, const std::vector<Root>& base,
                                            const Sides& sides);

// narrower_settings.cpp: a key in the candidate, and what is wider about it.
struct WiderSetting {
  std::vector<std::string_view> keys;  // the way from the node: {"sandbox", "read"}
  std::string reason;
};
[[nodiscard]] std::vector<WiderSetting> wider_settings(const Effective& candidate, const Effective& base,
                                                       const Sides& sides);

// narrower_operands.cpp: the candidate's node takes operands that the base's would not take the same way.
struct WiderOperand {
  const Slot* slot = nullptr;  // null: it is about the node
  std::string reason;
};
struct OperandSide {
  const Node& node;
  Syntax syntax;
  std::vector<std::string> options;  // every name that may be given on the way to the node and there
};
[[nodiscard]] std::vector<WiderOperand> wider_operands(const OperandSide& candidate, const OperandSide& base,
                                                       const Sides& sides);

}  // namespace safe_exec
