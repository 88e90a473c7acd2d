// Owns layout. Works on the text and not on values, so that numbers, escapes and comments stay as they were written;
// what it made is read again and compared before it is returned.
#include "format.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "decode.h"
#include "json.h"

namespace safe_exec {
namespace {

constexpr std::size_t kWidth = 120;
constexpr std::string_view kBlank = " \t\r\n";

struct Comment {
  std::string text;  // with its marks, without blanks at the end
  [[nodiscard]] bool to_line_end() const { return text.starts_with("//"); }
};

struct Entry;

struct Value {
  std::string scalar;  // as written; empty: an object or array
  char open = 0;       // '{' or '['
  std::vector<Entry> entries;
  std::vector<Comment> last;  // in front of the closing bracket
};

struct Entry {
  std::vector<Comment> before;
  bool blank_line = false;  // in front of it
  std::string key;          // as written, quotes included; empty in arrays
  Value value;
  std::vector<Comment> behind;  // on the same line
};

// Reads a text that json::parse has accepted.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  Entry document() {
    Entry out;
    out.before = comments(nullptr);
    out.value = value();
    out.behind = comments(nullptr);
    return out;
  }
  [[nodiscard]] const std::vector<std::string>& all_comments() const { return seen_; }

 private:
  // Blanks and comments; those that stand on the line of what came before go to behind, where it is given.
  std::vector<Comment> comments(std::vector<Comment>* behind) {
    std::vector<Comment> out;
    bool same_line = behind != nullptr;
    int lines = 0;
    blank_line_ = false;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (kBlank.find(c) != std::string_view::npos) {
        if (c == '\n') {
          same_line = false;
          blank_line_ = blank_line_ || (++lines > 1 && out.empty());
        }
        ++at_;
      } else if (c == '/') {
        Comment comment = one_comment();
        const bool to_line_end = comment.to_line_end();
        const bool fits = same_line && (behind->empty() || !behind->back().to_line_end());
        (fits ? *behind : out).push_back(std::move(comment));
        if (to_line_end) same_line = false;
        lines = 0;
      } else {
        break;
      }
    }
    return out;
  }

  Comment one_comment() {
    const bool to_line_end = text_.substr(at_).starts_with("//");
    std::size_t end = to_line_end ? text_.find('\n', at_) : text_.find("*/", at_ + 2);
    if (end == std::string_view::npos) end = text_.size();
    else if (!to_line_end) end += 2;
    std::string comment(text_.substr(at_, end - at_));
    comment.resize(comment.find_last_not_of(kBlank) + 1);
    comment.erase(std::remove(comment.begin(), comment.end(), '\r'), comment.end());
    at_ = end;
    seen_.push_back(comment);
    return {std::move(comment)};
  }

  std::string scalar() {
    const std::size_t start = at_;
    if (text_[at_] == '"') {
      for (++at_; text_[at_] != '"'; ++at_) {
        if (text_[at_] == '\\') ++at_;
      }
      ++at_;
    } else {
      at_ = std::min(text_.find_first_of(" \t\r\n,:]}/", at_), text_.size());
    }
    return std::string(text_.substr(start, at_ - start));
  }

  static void append(std::vector<Comment>& to, std::vector<Comment> from) {
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
  }

  Value value() {
    Value out;
    if (text_[at_] != '{' && text_[at_] != '[') {
      out.scalar = scalar();
      return out;
    }
    out.open = text_[at_++];
    std::vector<Comment> before = comments(nullptr);
    while (text_[at_] != '}' && text_[at_] != ']') {
      Entry entry;
      entry.blank_line = blank_line_ && !out.entries.empty();
      entry.before = std::move(before);
      if (out.open == '{') {
        entry.key = scalar();
        append(entry.before, comments(nullptr));
        ++at_;  // ':'
        append(entry.before, comments(nullptr));
      }
      entry.value = value();
      before = comments(&entry.behind);
      const bool waited = !before.empty();
      if (text_[at_] == ',') {
        ++at_;
        // What already stands on a later line than the value stays in front of the next one.
        append(before, comments(waited ? nullptr : &entry.behind));
      }
      out.entries.push_back(std::move(entry));
    }
    ++at_;
    out.last = std::move(before);
    return out;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  bool blank_line_ = false;  // in what comments() passed last, in front of the first comment
  std::vector<std::string> seen_;
};

std::size_t columns(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & '\xc0') != '\x80'; }));
}

class Printer {
 public:
  std::string run(const Entry& document) {
    for (const Comment& comment : document.before) out_ += comment.text + "\n";
    if (document.value.open != 0 && !document.value.entries.empty()) {
      expand(document.value, 0);
    } else {
      value(document.value, 0, 0);
    }
    out_ += "\n";
    for (const Comment& comment : document.behind) out_ += comment.text + "\n";
    return std::move(out_);
  }

 private:
  static bool has_comments(const Value& value) {
    return !value.last.empty() || std::any_of(value.entries.begin(), value.entries.end(), [](const Entry& entry) {
      return !entry.before.empty() || !entry.behind.empty() || has_comments(entry.value);
    });
  }

  static char closing(const Value& value) { return value.open == '{' ? '}' : ']'; }

  static std::string flat(const Value& value) {
    if (value.open == 0) return value.scalar;
    std::string out(1, value.open);
    for (const Entry& entry : value.entries) {
      if (out.size() > 1) out += ", ";
      if (!entry.key.empty()) out += entry.key + ": ";
      out += flat(entry.value);
    }
    return out + closing(value);
  }

  // used: columns before the value, and the comma behind it.
  void value(const Value& value, std::size_t indent, std::size_t used) {
    if (!has_comments(value)) {
      const std::string line = flat(value);
      if (value.open == 0 || value.entries.empty() || used + columns(line) <= kWidth) {
        out_ += line;
        return;
      }
      const bool plain = value.open == '[' && std::all_of(value.entries.begin(), value.entries.end(),
                                                          [](const Entry& entry) { return entry.value.open == 0; });
      if (plain) return fill(value, indent);
    }
    expand(value, indent);
  }

  // As many scalars on a line as it takes.
  void fill(const Value& value, std::size_t indent) {
    const std::string margin(indent + 2, ' ');
    out_ += "[\n" + margin;
    std::size_t used = indent + 2;
    for (std::size_t i = 0; i < value.entries.size(); ++i) {
      const std::string text = value.entries[i].value.scalar + (i + 1 < value.entries.size() ? "," : "");
      if (i > 0 && used + 1 + columns(text) > kWidth) {
        out_ += "\n" + margin;
        used = indent + 2;
      } else if (i > 0) {
        out_ += ' ';
        ++used;
      }
      out_ += text;
      used += columns(text);
    }
    out_ += "\n" + std::string(indent, ' ') + "]";
  }

  void own_lines(const std::vector<Comment>& comments, const std::string& margin) {
    for (const Comment& comment : comments) out_ += margin + comment.text + "\n";
  }

  void expand(const Value& value, std::size_t indent) {
    const std::string margin(indent + 2, ' ');
    out_ += value.open;
    out_ += '\n';
    for (std::size_t i = 0; i < value.entries.size(); ++i) {
      const Entry& entry = value.entries[i];
      const bool comma = i + 1 < value.entries.size();
      if (entry.blank_line) out_ += '\n';
      own_lines(entry.before, margin);
      const std::string head = entry.key.empty() ? "" : entry.key + ": ";
      out_ += margin + head;
      this->value(entry.value, indent + 2, indent + 2 + columns(head) + (comma ? 1 : 0));
      if (comma) out_ += ',';
      for (const Comment& comment : entry.behind) out_ += " " + comment.text;
      out_ += '\n';
    }
    own_lines(value.last, margin);
    out_ += std::string(indent, ' ') + closing(value);
  }

  std::string out_;
};

bool same(const json::Document& a, const json::Document& b) {
  if (a.size() != b.size()) return false;
  for (std::uint32_t i = 0; i < a.size(); ++i) {
    const json::Node &x = a.node(i), &y = b.node(i);
    if (x.kind != y.kind || x.boolean != y.boolean || x.integer != y.integer || x.key != y.key || x.text != y.text ||
        x.parent != y.parent || x.index != y.index || x.child_count != y.child_count) {
      return false;
    }
  }
  return true;
}

}  // namespace

Expected<std::string> format_json(std::string file, std::string text) {
  const auto parsed = json::parse(std::move(file), std::move(text), json::Comments::allow);
  if (!parsed) return tl::make_unexpected(from_parse_error(parsed.error(), ErrorCode::policy_invalid));
  const json::Document& document = **parsed;
  Scanner scanner(document.text());
  std::string out = Printer().run(scanner.document());
  // Nothing is believed that was not read again: the same values, and every comment in its order.
  const auto again = json::parse(document.file(), out, json::Comments::allow);
  Scanner check(again ? std::string_view((*again)->text()) : std::string_view("0"));
  static_cast<void>(check.document());
  if (again && same(document, **again) && scanner.all_comments() == check.all_comments()) return out;
  Error error;
  error.message = "this layout would change what " + document.file() + " says; it is left as it is";
  error.step = "format";
  return tl::make_unexpected(std::move(error));
}

}  // namespace safe_exec
