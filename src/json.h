// Level 0. The one JSON reader: bytes to a flat, position-keeping Document, as strict as POLICY.md section 2
// asks (RFC 8259, UTF-8 without BOM, no duplicate keys after unescaping, no null, no NUL, integers within
// 2^53 only, depth and size bounded). nlohmann's SAX parser does the lexing; it is not visible from here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

namespace safe_exec {

// A place in a text that a person wrote. line and column count from 1, column in bytes.
struct Location {
  std::string file;
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  std::string pointer;  // RFC 6901
};

namespace json {

enum class Kind : std::uint8_t { boolean, integer, string, array, object };
[[nodiscard]] std::string_view kind_name(Kind kind) noexcept;  // "boolean", "integer", ...

inline constexpr std::uint32_t kNone = 0xffffffffU;
inline constexpr std::size_t kMaxBytes = 8U << 20;  // 8 MiB
inline constexpr int kMaxDepth = 32;

struct Node {
  Kind kind = Kind::boolean;
  bool boolean = false;
  std::uint32_t offset = 0;             // byte where the value begins in the text
  std::uint32_t key_offset = 0;         // byte where its key begins, for members of an object
  std::uint32_t parent = kNone;
  std::uint32_t first_child = kNone;
  std::uint32_t next_sibling = kNone;
  std::uint32_t index = 0;              // position among its siblings
  std::uint32_t child_count = 0;
  std::int64_t integer = 0;
  std::string_view key;                 // unescaped; lives as long as the Document
  std::string_view text;                // unescaped string value
};

class Document {
 public:
  [[nodiscard]] const Node& node(std::uint32_t id) const { return nodes_[id]; }
  [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(nodes_.size()); }
  [[nodiscard]] const Node& root() const { return nodes_[0]; }
  [[nodiscard]] std::uint32_t id(const Node& node) const {
    return static_cast<std::uint32_t>(&node - nodes_.data());
  }
  // The member named key of an object, or nullptr.
  [[nodiscard]] const Node* find(const Node& object, std::string_view key) const;
  [[nodiscard]] const Node* first_child(const Node& node) const;
  [[nodiscard]] const Node* next(const Node& node) const;
  // of_key: point at the member's key instead of at its value.
  [[nodiscard]] Location locate(std::uint32_t node, bool of_key = false) const;
  [[nodiscard]] std::string pointer(std::uint32_t node) const;
  [[nodiscard]] const std::string& file() const { return file_; }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  friend class Builder;
  std::string file_;
  std::string text_;
  std::vector<Node> nodes_;
  std::vector<std::unique_ptr<std::string>> strings_;  // what unescaping or the parser had to copy
};

struct ParseError {
  std::string message;  // what is wrong, one sentence, no position in it
  Location where;
  std::string expected;
  std::string found;
};

enum class Comments : std::uint8_t { allow, refuse };

// Takes the text over. file is only for messages.
[[nodiscard]] tl::expected<std::shared_ptr<const Document>, ParseError> parse(std::string file, std::string text,
                                                                            Comments comments);

}  // namespace json
}  // namespace safe_exec
