// Level 0. What the request and policy readers share: taking typed values out of a json::Document, each refusal
// with its place. Never keeps state and never reads a file. The readers throw DecodeFailure to stop at the first
// problem; it must never leave parse_request or load_policy, which catch it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "inline_text.h"
#include "json.h"
#include "model.h"

namespace safe_exec {

struct DecodeFailure {
  Error error;
};

// A value in a document.
struct Item {
  const json::Document* document = nullptr;
  const json::Node* node = nullptr;
  std::uint32_t source = 0;                    // index into Policy::sources
  ErrorCode code = ErrorCode::policy_invalid;  // what a refusal is called

  [[nodiscard]] Place place() const { return {source, document->id(*node)}; }
  [[nodiscard]] std::string_view key() const { return node->key; }
  [[nodiscard]] json::Kind kind() const { return node->kind; }
  [[nodiscard]] bool is(json::Kind wanted) const { return node->kind == wanted; }
  [[nodiscard]] std::optional<Item> member(std::string_view name) const;
  [[nodiscard]] Item at(const json::Node& other) const { return {document, &other, source, code}; }
};

struct Problem {
  std::string message;
  std::string expected;
  std::string found;
  std::string nearest;
};

enum class At : std::uint8_t { value, key };

[[noreturn]] void refuse(const Item& item, Problem problem, At at = At::value);
// message: "unknown KIND"; candidates: what would have been known; otherwise: what else could stand there, for the end of expected.
[[noreturn]] void refuse_unknown(const Item& item, std::string_view what, std::string_view name,
                                 std::span<const std::string_view> candidates, At at, std::string_view otherwise = "");
[[noreturn]] void refuse_unknown(const Item& item, std::string_view what, std::string_view name,
                                 std::span<const Name> candidates, At at);
[[nodiscard]] Error from_parse_error(json::ParseError problem, ErrorCode code);
// A value as a message shows it: its kind, and its text when it is short.
[[nodiscard]] std::string describe_value(const Item& item);
[[nodiscard]] std::string join_names(std::span<const std::string_view> names);

void expect_kind(const Item& item, json::Kind kind);
// Any string that is not a place where variables expand: in a policy "${" is refused.
[[nodiscard]] std::string read_string(const Item& item);
[[nodiscard]] std::string read_non_empty(const Item& item);
[[nodiscard]] bool read_bool(const Item& item);
[[nodiscard]] std::int64_t read_integer(const Item& item, std::int64_t low, std::int64_t high);
[[nodiscard]] std::pair<std::int64_t, std::int64_t> read_range(const Item& item, std::int64_t low, std::int64_t high);
[[nodiscard]] std::vector<Item> elements(const Item& array, std::size_t least = 0);
[[nodiscard]] std::vector<Item> members(const Item& object);
[[nodiscard]] std::vector<std::string> read_strings(const Item& array, std::size_t least);
[[nodiscard]] std::size_t read_choice(const Item& item, std::span<const Name> names);

template <class Enum>
[[nodiscard]] Enum read_enum(const Item& item, std::span<const Name> names) {
  return static_cast<Enum>(read_choice(item, names));
}

// One key of an object and what reads it. A table of these is all that is known about an object's shape.
template <class Target, class Context>
struct Field {
  std::string_view key;
  void (*read)(Context& context, const Item& value, Target& target);
};

template <class Target, class Context, std::size_t N>
bool read_field(Context& context, const Item& value, Target& target,
                const std::array<Field<Target, Context>, N>& fields) {
  for (const Field<Target, Context>& field : fields) {
    if (field.key != value.key()) continue;
    field.read(context, value, target);
    return true;
  }
  return false;
}

template <class Target, class Context, std::size_t N>
void append_keys(std::vector<std::string_view>& out, const std::array<Field<Target, Context>, N>& fields) {
  for (const Field<Target, Context>& field : fields) out.push_back(field.key);
}

// Reads every member of an object, in the order of the file.
template <class Target, class Context, std::size_t N>
void read_members(Context& context, const Item& object, Target& target,
                  const std::array<Field<Target, Context>, N>& fields) {
  for (const Item& value : members(object)) {
    if (read_field(context, value, target, fields)) continue;
    std::vector<std::string_view> known;
    append_keys(known, fields);
    refuse_unknown(value, "key", value.key(), known, At::key);
  }
}

}  // namespace safe_exec
