// Level 1. The insides of the policy loader, shared by policy.cpp and policy_*.cpp only: what is known while a
// policy is being read. Never included by anything else; never opens a file. Refusals are thrown as DecodeFailure
// and stop in load_policy.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "decode.h"
#include "model.h"
#include "policy.h"

namespace safe_exec {

inline constexpr std::int64_t kMaxArgument = 131072;  // MAX_ARG_STRLEN: longer tokens cannot be executed
inline constexpr std::int64_t kMaxTokens = 10000;
inline constexpr std::size_t kMaxPattern = 4096;

// The kinds of things that have a name across all files.
enum class Named : std::uint8_t { variable, type, option_set, command };
inline constexpr std::size_t kNamedCount = 4;

// What is known while one policy is read. Keys view into the documents of policy.sources.
struct PolicyContext {
  Policy policy;
  bool everything = false;
  std::unordered_map<std::string_view, Item> names[kNamedCount];
  std::unordered_map<std::string_view, TypeRef> types;  // decoded; a null pointer marks one that is being decoded
  std::unordered_map<std::string_view, std::vector<Option>> option_sets;

  [[nodiscard]] const Item* find(Named kind, std::string_view name) const;
  [[nodiscard]] std::vector<std::string_view> known(Named kind) const;
  // Whether this definition is the one that counts, and not one that an including file overrides.
  [[nodiscard]] bool is_current(Named kind, const Item& definition) const;
  [[nodiscard]] Item item(Place place) const;
};

// What a subcommand sees of the nodes above it.
struct Scope {
  SyntaxName syntax = SyntaxName::gnu;
  std::vector<const Option*> persistent;
  std::vector<std::string> unsafe_env;
  std::unordered_map<std::string_view, const Hint*> hints;  // of the node above
};

// policy_types.cpp
void read_variable(PolicyContext& context, const Item& item);
void check_variable_cycles(const PolicyContext& context);
[[nodiscard]] TypeRef read_type(PolicyContext& context, const Item& item);         // a name or an inline type
[[nodiscard]] TypeRef define_type(PolicyContext& context, const Item& item);       // a member of `types`
[[nodiscard]] TypeRef read_single_type(PolicyContext& context, const Item& item);  // not one that takes all tokens
[[nodiscard]] Root read_root(PolicyContext& context, const Item& item);
[[nodiscard]] std::vector<Root> read_roots(PolicyContext& context, const Item& item, std::size_t least);
[[nodiscard]] Root read_glob(PolicyContext& context, const Item& item);
[[nodiscard]] std::string read_absolute_path(const Item& item);
[[nodiscard]] bool is_identifier(std::string_view text) noexcept;  // [A-Za-z_][A-Za-z0-9_]*
// The first element that stands in the list twice is refused.
void refuse_repeats(const Item& array, const std::vector<std::string>& values);

// policy_options.cpp
void read_options(PolicyContext& context, const Item& item, std::vector<Option>& out);
void use_option_sets(PolicyContext& context, const Item& item, std::vector<Option>& out);
void define_option_set(PolicyContext& context, const Item& item);
// What only the whole node shows: clashes, cluster readings, inject against names. item: the node.
// Slots name options canonically afterwards.
void check_options(const PolicyContext& context, const Item& item, Node& node,
                   const std::vector<const Option*>& persistent, SyntaxName syntax);

// policy_rules.cpp: what nodes and defaults share
void read_env(PolicyContext& context, const Item& item, std::vector<EnvRule>& out);
void read_unsafe_env(const Item& item, std::vector<std::string>& out);
void check_env(const PolicyContext& context, const std::vector<EnvRule>& env,
               const std::vector<std::string>& unsafe_env);
[[nodiscard]] StdinRule read_stdin_rule(PolicyContext& context, const Item& item);
[[nodiscard]] Limits read_limits(PolicyContext& context, const Item& item);
[[nodiscard]] Sandbox read_sandbox(PolicyContext& context, const Item& item);
[[nodiscard]] std::int64_t read_timeout(const Item& item);
[[nodiscard]] std::int64_t read_capture(const Item& item);  // stdout_bytes, stderr_bytes
void read_deny_walk(PolicyContext& context, const Item& item, DenyWalk& out);

// policy.cpp
[[nodiscard]] FixtureEntry read_fixture_entry(const Item& item);

// policy_node.cpp
[[nodiscard]] Command read_command(PolicyContext& context, const Item& item, std::string_view name,
                                   const std::shared_ptr<const Defaults>& defaults);

}  // namespace safe_exec
