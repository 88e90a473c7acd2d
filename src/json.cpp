// Owns the reading of JSON text into a Document. Never knows what the text means, never opens a file.
#include "json.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <optional>
#include <set>
#include <utility>

#define JSON_NO_IO 1  // no iostreams: their initialisers cost start-up time
#include <nlohmann/json.hpp>

#include "utf8.h"

namespace safe_exec::json {
namespace {

constexpr std::int64_t kMaxInteger = std::int64_t{1} << 53;
constexpr std::uint32_t kScanLimit = 16;  // objects with more members look duplicates up in a tree

// An input iterator that leaves its position where Builder can see it: nlohmann's lexer copies iterators.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, const char** seen) : at_(at), seen_(seen) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    *seen_ = ++at_;
    return *this;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const CountingIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  const char** seen_;
};

void append_pointer_token(std::string& out, std::string_view token) {
  for (const char c : token) {
    if (c == '~')
      out += "~0";
    else if (c == '/')
      out += "~1";
    else
      out += c;
  }
}

// "[json.exception.parse_error.101] parse error at line 1, column 5: syntax error while parsing X - unexpected Y;
// expected Z", or "... - invalid string: ...; last read: '...'".
void explain(std::string_view what, ParseError& error) {
  const std::size_t syntax = what.find("syntax error ");
  if (syntax == std::string_view::npos) {
    error.message = "this number does not fit into an integer";
    return;
  }
  what.remove_prefix(syntax);
  const std::size_t dash = what.find(" - ");
  std::string_view detail = dash == std::string_view::npos ? what : what.substr(dash + 3);
  if (const std::size_t expected = detail.rfind("; expected "); expected != std::string_view::npos) {
    error.expected = detail.substr(expected + 11);
    detail = detail.substr(0, expected);
  }
  detail = detail.substr(0, detail.find("; last read: "));
  constexpr std::string_view kUnexpected = "unexpected ";
  if (detail.starts_with(kUnexpected)) error.found = detail.substr(kUnexpected.size());
  error.message = detail;
}

}  // namespace

std::string_view kind_name(Kind kind) noexcept {
  switch (kind) {
    case Kind::boolean:
      return "boolean";
    case Kind::integer:
      return "integer";
    case Kind::string:
      return "string";
    case Kind::array:
      return "array";
    case Kind::object:
      return "object";
  }
  return "value";
}

const Node* Document::find(const Node& object, std::string_view key) const {
  if (object.kind != Kind::object) return nullptr;
  for (const Node* member = first_child(object); member != nullptr; member = next(*member)) {
    if (member->key == key) return member;
  }
  return nullptr;
}

const Node* Document::first_child(const Node& node) const {
  return node.first_child == kNone ? nullptr : &nodes_[node.first_child];
}

const Node* Document::next(const Node& node) const {
  return node.next_sibling == kNone ? nullptr : &nodes_[node.next_sibling];
}

std::string Document::pointer(std::uint32_t id) const {
  std::vector<std::uint32_t> path;
  for (std::uint32_t at = id; at < nodes_.size() && nodes_[at].parent != kNone; at = nodes_[at].parent) {
    path.push_back(at);
  }
  std::string out;
  for (auto it = path.rbegin(); it != path.rend(); ++it) {
    const Node& node = nodes_[*it];
    out += '/';
    if (nodes_[node.parent].kind == Kind::object)
      append_pointer_token(out, node.key);
    else
      out += std::to_string(node.index);
  }
  return out;
}

static Location locate_offset(const std::string& file, std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  const std::size_t line_start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
  Location where;
  where.file = file;
  where.line = static_cast<std::uint32_t>(std::count(before.begin(), before.end(), '\n') + 1);
  where.column = static_cast<std::uint32_t>(before.size() - line_start + 1);
  return where;
}

Location Document::locate(std::uint32_t id, bool of_key) const {
  if (id >= nodes_.size()) return {file_, 1, 1, ""};
  const bool has_key = nodes_[id].parent != kNone && nodes_[nodes_[id].parent].kind == Kind::object;
  Location where = locate_offset(file_, text_, of_key && has_key ? nodes_[id].key_offset : nodes_[id].offset);
  where.pointer = pointer(id);
  return where;
}

// nlohmann's SAX handler. Positions: at each event the lexer has consumed the token (a number: one byte more), so
// a token begins at the first byte after the previous one that is not white space, comment or punctuation.
class Builder {
 public:
  using number_integer_t = nlohmann::json::number_integer_t;
  using number_unsigned_t = nlohmann::json::number_unsigned_t;
  using number_float_t = nlohmann::json::number_float_t;
  using string_t = nlohmann::json::string_t;
  using binary_t = nlohmann::json::binary_t;

  Builder(std::string file, std::string text) : document_(std::make_shared<Document>()) {
    document_->file_ = std::move(file);
    document_->text_ = std::move(text);
    text_ = document_->text_;
    seen_ = text_.data();
    document_->nodes_.reserve(text_.size() / 16 + 4);
  }

  tl::expected<std::shared_ptr<const Document>, ParseError> run(Comments comments) {
    if (!check_bytes()) return tl::unexpected(std::move(error_));
    const CountingIterator begin(text_.data(), &seen_);
    const CountingIterator end(text_.data() + text_.size(), &seen_);
    const bool ok = nlohmann::json::sax_parse(begin, end, this, nlohmann::json::input_format_t::json, true,
                                              comments == Comments::allow);
    if (!ok) return tl::unexpected(std::move(error_));
    return std::shared_ptr<const Document>(std::move(document_));
  }

  // SAX events; the names are nlohmann's.
  bool null() {
    return fail(begin_token(), "null is not allowed", "a boolean, integer, string, array or object", "null");
  }
  bool boolean(bool value) {
    const std::size_t start = begin_token();
    Node& node = add(Kind::boolean, start, start + (value ? 4 : 5));
    node.boolean = value;
    return true;
  }
  bool number_integer(number_integer_t value) {
    const std::size_t start = begin_token();
    if (value == 0) return fail(start, "negative zero is not allowed", "0", "-0");
    return integer(start, value);
  }
  bool number_unsigned(number_unsigned_t value) {
    const std::size_t start = begin_token();
    if (value > static_cast<number_unsigned_t>(kMaxInteger)) return too_large(start);
    return integer(start, static_cast<std::int64_t>(value));
  }
  bool number_float(number_float_t /*value*/, const string_t& raw) {
    if (raw.find_first_of(".eE") == std::string::npos) return too_large(begin_token());
    return fail(begin_token(), "fractions and exponents are not allowed", "an integer", raw.substr(0, 64));
  }
  bool string(const string_t& value) {
    const std::size_t start = begin_token();
    const std::size_t end = consumed();
    std::string_view view;
    if (!take_string(start, end, value, view)) return false;
    add(Kind::string, start, end).text = view;
    return true;
  }
  bool binary(const binary_t& /*value*/) { return false; }  // not JSON
  bool key(const string_t& value) {
    const std::size_t start = begin_token();
    cursor_ = consumed();
    key_offset_ = start;
    if (!take_string(start, cursor_, value, key_)) return false;
    if (!is_duplicate(key_)) return true;
    return fail(start, "the key \"" + std::string(key_) + "\" stands twice in one object", "each key once",
                std::string(key_));
  }
  bool start_object(std::size_t /*count*/) { return open(Kind::object); }
  bool end_object() { return close(); }
  bool start_array(std::size_t /*count*/) { return open(Kind::array); }
  bool end_array() { return close(); }
  bool parse_error(std::size_t /*position*/, const std::string& last_token,
                   const nlohmann::detail::exception& problem) {
    explain(problem.what(), error_);
    std::size_t at = consumed();
    if (error_.found != "end of input") at = std::min(begin_token(), at);
    error_.where = locate_offset(document_->file_, text_, at);
    if (!frames_.empty()) error_.where.pointer = document_->pointer(frames_.back().node);
    if (error_.found.empty()) error_.found = to_utf8(std::string_view(last_token).substr(0, 64), nullptr);
    return false;
  }

 private:
  struct Frame {
    std::uint32_t node;
    std::uint32_t last_child = kNone;
    std::set<std::string_view> keys;  // only when there are many: a tree, so that no chosen keys make it slow
  };

  std::size_t consumed() const { return static_cast<std::size_t>(seen_ - text_.data()); }

  bool fail(std::size_t offset, std::string message, std::string expected, std::string found) {
    error_.message = std::move(message);
    error_.expected = std::move(expected);
    error_.found = std::move(found);
    error_.where = locate_offset(document_->file_, text_, offset);
    if (!frames_.empty()) error_.where.pointer = document_->pointer(frames_.back().node);
    return false;
  }

  bool too_large(std::size_t start) {
    return fail(start, "this integer is too large", "an integer from -2^53 to 2^53", "a larger one");
  }

  // What nlohmann would let pass: a byte order mark, NUL (it takes one for the end), bad UTF-8 in comments.
  bool check_bytes() {
    if (text_.size() > kMaxBytes) {
      return fail(0, "the text is too large", "at most 8388608 bytes", std::to_string(text_.size()) + " bytes");
    }
    if (text_.starts_with("\xEF\xBB\xBF")) return fail(0, "a byte order mark is not allowed", "JSON text", "U+FEFF");
    if (const std::size_t nul = text_.find('\0'); nul != std::string_view::npos) {
      return fail(nul, "a NUL byte is not allowed", "text", "NUL");
    }
    if (is_utf8(text_)) return true;
    std::size_t at = 0;
    for (Utf8Char c = decode_utf8(text_); c.length != 0; c = decode_utf8(text_.substr(at))) at += c.length;
    return fail(at, "the text is not valid UTF-8", "UTF-8", "an invalid byte");
  }

  std::size_t begin_token() const {
    std::size_t at = cursor_;
    while (at < text_.size()) {
      const char c = text_[at];
      if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ',' || c == ':') {
        ++at;
      } else if (c == '/' && at + 1 < text_.size() && (text_[at + 1] == '/' || text_[at + 1] == '*')) {
        const bool line = text_[at + 1] == '/';
        const std::size_t end = text_.find(line ? "\n" : "*/", at + 2);
        at = end == std::string_view::npos ? text_.size() : end + (line ? 1 : 2);
      } else {
        break;
      }
    }
    return at;
  }

  bool integer(std::size_t start, std::int64_t value) {
    if (value > kMaxInteger || value < -kMaxInteger) return too_large(start);
    const std::size_t end = std::min(text_.find_first_not_of("-0123456789", start), text_.size());
    add(Kind::integer, start, end).integer = value;
    return true;
  }

  bool take_string(std::size_t start, std::size_t end, const string_t& value, std::string_view& view) {
    const std::string_view raw = text_.substr(start + 1, end - start - 2);
    if (raw.find('\\') == std::string_view::npos) {
      view = raw;
      return true;
    }
    if (value.find('\0') != std::string::npos) return fail(start, "\\u0000 is not allowed", "text", "NUL");
    document_->strings_.push_back(std::make_unique<std::string>(value));
    view = *document_->strings_.back();
    return true;
  }

  bool is_duplicate(std::string_view key) {
    Frame& frame = frames_.back();
    const Node& object = document_->nodes_[frame.node];
    if (object.child_count < kScanLimit) return document_->find(object, key) != nullptr;
    if (frame.keys.empty()) {
      for (const Node* m = document_->first_child(object); m != nullptr; m = document_->next(*m)) {
        frame.keys.insert(m->key);
      }
    }
    return !frame.keys.insert(key).second;
  }

  Node& add(Kind kind, std::size_t start, std::size_t end) {
    const auto id = static_cast<std::uint32_t>(document_->nodes_.size());
    Node& node = document_->nodes_.emplace_back();
    node.kind = kind;
    node.offset = static_cast<std::uint32_t>(start);
    cursor_ = end;
    if (frames_.empty()) return node;
    Frame& frame = frames_.back();
    Node& parent = document_->nodes_[frame.node];
    node.parent = frame.node;
    node.index = parent.child_count++;
    if (parent.kind == Kind::object) {
      node.key = key_;
      node.key_offset = static_cast<std::uint32_t>(key_offset_);
    }
    (frame.last_child == kNone ? parent.first_child : document_->nodes_[frame.last_child].next_sibling) = id;
    frame.last_child = id;
    return node;
  }

  bool open(Kind kind) {
    const std::size_t start = begin_token();
    if (frames_.size() >= kMaxDepth) {
      return fail(start, "the nesting is too deep", "at most 32 levels", "a deeper level");
    }
    add(kind, start, start + 1);
    frames_.push_back(Frame{static_cast<std::uint32_t>(document_->nodes_.size() - 1), kNone, {}});
    return true;
  }

  bool close() {
    cursor_ = consumed();
    frames_.pop_back();
    return true;
  }

  std::shared_ptr<Document> document_;
  std::string_view text_;
  const char* seen_ = nullptr;  // what the lexer has consumed
  std::size_t cursor_ = 0;      // end of the last token
  std::string_view key_;
  std::size_t key_offset_ = 0;
  std::vector<Frame> frames_;
  ParseError error_;
};

tl::expected<std::shared_ptr<const Document>, ParseError> parse(std::string file, std::string text, Comments comments) {
  return Builder(std::move(file), std::move(text)).run(comments);
}

}  // namespace safe_exec::json
