// Owns taking typed values out of a JSON document, each refusal with its place. Never keeps state.
#include "decode.h"

#include <algorithm>
#include <utility>

#include "suggest.h"
#include "utf8.h"

namespace safe_exec {
namespace {

constexpr std::size_t kShownNames = 20;
constexpr std::size_t kShownBytes = 80;

std::string a_kind(json::Kind kind) {
  const std::string_view name = json::kind_name(kind);
  const bool vowel = kind == json::Kind::integer || kind == json::Kind::array || kind == json::Kind::object;
  return (vowel ? "an " : "a ") + std::string(name);
}

std::string shorten(std::string_view text) {
  std::string out(utf8_prefix(text, kShownBytes));
  if (out.size() < text.size()) out += "…";
  return out;
}

}  // namespace

std::optional<Item> Item::member(std::string_view name) const {
  const json::Node* found = document->find(*node, name);
  if (found == nullptr) return std::nullopt;
  return at(*found);
}

void refuse(const Item& item, Problem problem, At at) {
  Error error;
  error.code = item.code;
  error.message = std::move(problem.message);
  error.expected = std::move(problem.expected);
  error.found = std::move(problem.found);
  error.nearest = std::move(problem.nearest);
  error.location = item.document->locate(item.document->id(*item.node), at == At::key);
  throw DecodeFailure{std::move(error)};
}

std::string join_names(std::span<const std::string_view> names) {
  std::string out;
  for (std::size_t i = 0; i < names.size() && i < kShownNames; ++i) {
    if (i > 0) out += ", ";
    out += shorten(names[i]);
  }
  if (names.size() > kShownNames) out += ", …";
  return out;
}

void refuse_unknown(const Item& item, std::string_view what, std::string_view name,
                    std::span<const std::string_view> candidates, At at, std::string_view otherwise) {
  Problem problem;
  problem.message = "unknown " + std::string(what) + " \"" + shorten(name) + "\"";
  problem.expected =
      candidates.empty() ? "no " + std::string(what) + " is known here" : "one of " + join_names(candidates);
  problem.expected += otherwise;
  problem.found = "\"" + shorten(name) + "\"";
  problem.nearest = nearest_name(name, candidates);
  refuse(item, std::move(problem), at);
}

void refuse_unknown(const Item& item, std::string_view what, std::string_view name, std::span<const Name> candidates, At at) {
  refuse_unknown(item, what, name, std::vector<std::string_view>(candidates.begin(), candidates.end()), at);
}

Error from_parse_error(json::ParseError problem, ErrorCode code) {
  Error error;
  error.code = code;
  error.message = std::move(problem.message);
  error.expected = std::move(problem.expected);
  error.found = std::move(problem.found);
  error.location = std::move(problem.where);
  return error;
}

std::string describe_value(const Item& item) {
  switch (item.kind()) {
    case json::Kind::boolean:
      return item.node->boolean ? "true" : "false";
    case json::Kind::integer:
      return std::to_string(item.node->integer);
    case json::Kind::string:
      return "\"" + shorten(item.node->text) + "\"";
    case json::Kind::array:
      return "an array of " + std::to_string(item.node->child_count);
    case json::Kind::object:
      return "an object";
  }
  return "a value";
}

void expect_kind(const Item& item, json::Kind kind) {
  if (item.is(kind)) return;
  refuse(item, {"this must be " + a_kind(kind), a_kind(kind), describe_value(item), ""});
}

std::string read_string(const Item& item) {
  expect_kind(item, json::Kind::string);
  if (item.code == ErrorCode::policy_invalid && item.node->text.find("${") != std::string_view::npos) {
    refuse(item, {"variables do not expand here", "text without \"${\"", describe_value(item), ""});
  }
  return std::string(item.node->text);
}

std::string read_non_empty(const Item& item) {
  std::string text = read_string(item);
  if (text.empty()) refuse(item, {"this must not be empty", "a string of one character or more", "\"\"", ""});
  return text;
}

bool read_bool(const Item& item) {
  expect_kind(item, json::Kind::boolean);
  return item.node->boolean;
}

std::int64_t read_integer(const Item& item, std::int64_t low, std::int64_t high) {
  expect_kind(item, json::Kind::integer);
  const std::int64_t value = item.node->integer;
  if (value < low || value > high) {
    refuse(item, {"this integer is out of range",
                  "an integer from " + std::to_string(low) + " to " + std::to_string(high), std::to_string(value), ""});
  }
  return value;
}

std::vector<Item> elements(const Item& array, std::size_t least) {
  expect_kind(array, json::Kind::array);
  std::vector<Item> out;
  out.reserve(array.node->child_count);
  const json::Document& document = *array.document;
  for (const json::Node* child = document.first_child(*array.node); child != nullptr; child = document.next(*child)) {
    out.push_back(array.at(*child));
  }
  if (out.size() < least) {
    refuse(array,
           {"this list is too short", std::to_string(least) + (least == 1 ? " element" : " elements") + " or more",
            std::to_string(out.size()), ""});
  }
  return out;
}

std::vector<Item> members(const Item& object) {
  expect_kind(object, json::Kind::object);
  std::vector<Item> out;
  out.reserve(object.node->child_count);
  const json::Document& document = *object.document;
  for (const json::Node* child = document.first_child(*object.node); child != nullptr; child = document.next(*child)) {
    out.push_back(object.at(*child));
  }
  return out;
}

std::pair<std::int64_t, std::int64_t> read_range(const Item& item, std::int64_t low, std::int64_t high) {
  const std::vector<Item> bounds = elements(item);
  if (bounds.size() != 2) refuse(item, {"this must be a pair", "[min, max]", describe_value(item), ""});
  const std::int64_t first = read_integer(bounds[0], low, high);
  const std::int64_t second = read_integer(bounds[1], low, high);
  if (first > second) {
    refuse(item, {"the minimum is above the maximum", "[min, max] with min <= max",
                  "[" + std::to_string(first) + ", " + std::to_string(second) + "]", ""});
  }
  return {first, second};
}

std::vector<std::string> read_strings(const Item& array, std::size_t least) {
  std::vector<std::string> out;
  for (const Item& element : elements(array, least)) out.push_back(read_string(element));
  return out;
}

std::size_t read_choice(const Item& item, std::span<const Name> names) {
  expect_kind(item, json::Kind::string);
  const auto found = std::find(names.begin(), names.end(), item.node->text);
  if (found == names.end()) refuse_unknown(item, "value", item.node->text, names, At::value);
  return static_cast<std::size_t>(found - names.begin());
}

}  // namespace safe_exec
