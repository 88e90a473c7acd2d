// Owns the reading of Go's templates. Never accepts a function that is not listed or a block that is not closed.
#include "language_template.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "suggest.h"

namespace safe_exec {
namespace {

constexpr std::size_t kMaxTemplate = 16384;
constexpr std::size_t kMaxDepth = 32;
constexpr std::string_view kDigits = "0123456789";

// Of text/template, docker, kubectl and gh: what formats its arguments.
const std::vector<std::string>& functions() {
  static const std::vector<std::string> kFunctions{
      "and",      "autocolor", "base64decode", "color", "eq",       "ge",      "gt",      "html",  "hyperlink",
      "index",    "join",      "json",         "le",    "len",      "lower",   "lt",      "ne",    "not",
      "or",       "pad",       "pluck",        "print", "printf",   "println", "slice",   "split", "tablerender",
      "tablerow", "timeago",   "timefmt",      "title", "truncate", "upper",   "urlquery"};
  return kFunctions;
}

bool is_one_of(char c, std::string_view set) {
  return set.find(c) != std::string_view::npos;
}
bool begins_name(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

enum class Block : std::uint8_t { branch, other, loop, loop_other };

class TemplateReader {
 public:
  explicit TemplateReader(std::string_view text) : text_(text) {}

  tl::expected<std::string, LanguageProblem> run() {
    if (text_.size() > kMaxTemplate) refuse("a template of at most 16384 bytes");
    if (text_.starts_with('-')) refuse("a template that does not begin with -");
    while (problem_.empty() && at_ < text_.size()) {
      const std::size_t open = std::min(text_.find("{{", at_), text_.size());
      out_ += text_.substr(at_, open - at_);
      at_ = open;
      if (at_ < text_.size() && !action()) break;
    }
    if (problem_.empty() && !blocks_.empty()) refuse("{{end}} for each if, with and range");
    if (out_.size() > kMaxTemplate) refuse("a template of at most 16384 bytes");
    if (problem_.empty()) return std::move(out_);
    return tl::unexpected(LanguageProblem{DenialCode::operand_invalid, problem_, suggestion_, 0});
  }

 private:
  bool refuse(std::string expected) {
    if (problem_.empty()) problem_ = std::move(expected);
    return false;
  }

  [[nodiscard]] char peek(std::size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  bool skip_spaces() {
    const std::size_t before = at_;
    at_ = std::min(text_.find_first_not_of(" \t\n", at_), text_.size());
    return at_ > before;
  }
  // Words with one space between them.
  void write(std::string_view word) {
    if (spaced_) out_ += ' ';
    out_ += word;
    spaced_ = true;
  }

  bool action() {
    at_ += 2;
    out_ += "{{";
    spaced_ = false;
    if (peek() == '-' && is_one_of(peek(1), " \t\n") && peek(1) != '\0') {
      ++at_;
      write("-");
    }
    skip_spaces();
    return control() && close();
  }

  bool close() {
    const bool spaced = skip_spaces();
    if (spaced && text_.substr(at_).starts_with("-}}")) {
      at_ += 3;
      out_ += " -}}";
      return true;
    }
    if (!text_.substr(at_).starts_with("}}")) return refuse("the end of the action, }}");
    at_ += 2;
    out_ += "}}";
    return true;
  }

  [[nodiscard]] std::string_view name_here() const {
    std::size_t length = 0;
    while (begins_name(peek(length)) || (length > 0 && is_one_of(peek(length), kDigits) && peek(length) != '\0'))
      ++length;
    return text_.substr(at_, length);
  }

  bool take_word(std::string_view word) {
    if (name_here() != word) return false;
    at_ += word.size();
    write(word);
    skip_blanks();
    return true;
  }
  // Space that may stand in front of the end is left to it.
  void skip_blanks() {
    const std::size_t next = std::min(text_.find_first_not_of(" \t\n", at_), text_.size());
    const std::string_view rest = text_.substr(next);
    if (!rest.starts_with("-}}") && !rest.starts_with("}}")) at_ = next;
  }

  bool control() {
    if (take_word("if") || take_word("with")) return open(Block::branch) && pipeline();
    if (take_word("range")) return open(Block::loop) && range();
    if (take_word("else")) {
      if (blocks_.empty() || blocks_.back() == Block::other || blocks_.back() == Block::loop_other) {
        return refuse("else once, inside if, with or range");
      }
      if (blocks_.back() == Block::branch && (take_word("if") || take_word("with"))) return pipeline();
      blocks_.back() = blocks_.back() == Block::loop ? Block::loop_other : Block::other;
      return true;
    }
    if (take_word("end")) {
      if (blocks_.empty()) return refuse("an if, with or range that {{end}} ends");
      blocks_.pop_back();
      return true;
    }
    if (take_word("break") || take_word("continue")) {
      const bool inside = std::any_of(blocks_.begin(), blocks_.end(), [](Block block) { return block == Block::loop; });
      return inside || refuse("a range around break and continue");
    }
    if (peek() != '$') return pipeline();
    const std::size_t start = at_;
    pass_variable();
    skip_blanks();
    const bool declared = text_.substr(at_).starts_with(":=");
    if (!declared && !(peek() == '=' && peek(1) != '=')) {
      at_ = start;  // a pipeline that begins with a variable
      return pipeline();
    }
    write(text_.substr(start, name_end_ - start));
    write(declared ? ":=" : "=");
    at_ += declared ? 2 : 1;
    skip_blanks();
    return pipeline();
  }

  bool open(Block block) {
    if (blocks_.size() == kMaxDepth) return refuse("blocks at most 32 deep");
    blocks_.push_back(block);
    return true;
  }

  // Reads it without writing it.
  void pass_variable() {
    ++at_;
    at_ += name_here().size();
    name_end_ = at_;
  }

  bool range() {
    if (peek() != '$') return pipeline();
    const std::size_t start = at_;
    std::vector<std::string_view> names;
    for (;;) {
      const std::size_t from = at_;
      if (peek() != '$') break;
      pass_variable();
      names.push_back(text_.substr(from, name_end_ - from));
      skip_blanks();
      if (peek() != ',' || names.size() == 2) break;
      ++at_;
      skip_blanks();
    }
    if (!text_.substr(at_).starts_with(":=")) {
      if (names.size() > 1) return refuse(":= behind two variables");
      at_ = start;
      return pipeline();
    }
    at_ += 2;
    write(std::string(names[0]) + (names.size() == 2 ? "," : ""));
    if (names.size() == 2) write(names[1]);
    write(":=");
    skip_blanks();
    return pipeline();
  }

  bool pipeline() {
    if (++depth_ > kMaxDepth) return refuse("parentheses at most 32 deep");
    for (;;) {
      if (!command()) return false;
      if (peek() != '|') break;
      ++at_;
      write("|");
      skip_blanks();
    }
    --depth_;
    return true;
  }

  bool command() {
    const std::string_view name = name_here();
    const bool constant = name == "true" || name == "false" || name == "nil";
    if (!name.empty() && !constant) {
      const std::vector<std::string>& known = functions();
      if (std::find(known.begin(), known.end(), name) == known.end()) {
        suggestion_ = nearest_name(name, known);
        return refuse("a field (.Name), or a function that only formats");
      }
      at_ += name.size();
      write(name);
      skip_blanks();
      if (name == "printf" && !is_plain_format())
        return refuse("a format of %s %d %v %q %t %f %x %c and the like behind printf");
    } else if (!operand()) {
      return false;
    }
    while (!done()) {
      if (!operand()) return false;
    }
    return true;
  }

  [[nodiscard]] bool done() const {
    const char c = peek();
    const std::string_view rest = text_.substr(at_);
    if (c == '\0' || c == '|' || c == ')' || rest.starts_with("}}")) return true;
    const std::size_t next = rest.find_first_not_of(" \t\n");
    return next != 0 && next != std::string_view::npos &&
           (rest.substr(next).starts_with("-}}") || rest.substr(next).starts_with("}}"));
  }

  // Two operands have a space between them, as text/template demands.
  bool operand() {
    std::string word;
    if (!operand_start(word)) return false;
    const bool chained = paren_ || word.empty() || word.front() == '$';
    while (chained && peek() == '.' && begins_name(peek(1))) {
      ++at_;
      const std::string_view name = name_here();
      word += '.';
      word += name;
      at_ += name.size();
      if (paren_) out_ += std::exchange(word, std::string());
    }
    if (!word.empty()) write(word);
    paren_ = false;
    const bool separated = is_one_of(peek(), " \t\n|)") || peek() == '\0' || text_.substr(at_).starts_with("}}");
    if (!separated) return refuse("a space between operands");
    skip_blanks();
    return true;
  }

  bool operand_start(std::string& word) {
    const char c = peek();
    paren_ = false;
    if (c == '(') {
      ++at_;
      write("(");
      spaced_ = false;
      skip_blanks();
      if (!pipeline() || peek() != ')') return refuse("a parenthesis that is closed");
      ++at_;
      out_ += ')';
      paren_ = true;
      return true;
    }
    if (c == '.') {
      if (!begins_name(peek(1))) {
        ++at_;
        word = ".";
      }
      return true;
    }
    if (c == '$') {
      const std::size_t from = at_;
      pass_variable();
      word = text_.substr(from, name_end_ - from);
      return true;
    }
    if (c == '"' || c == '`' || c == '\'') return quoted(word);
    const std::string_view name = name_here();
    if (name == "true" || name == "false" || name == "nil") {
      word = name;
      at_ += name.size();
      return true;
    }
    return number(word);
  }

  bool quoted(std::string& word) {
    const char quote = peek();
    const std::size_t from = at_++;
    while (peek() != quote) {
      if (at_ >= text_.size() || peek() == '\n') return refuse("a closing quote on the same line");
      if (peek() == '\\' && quote != '`') {
        ++at_;
        if (!is_one_of(peek(), "abfnrtvxuU\\'\"01234567") || peek() == '\0') return refuse("an escape that Go knows");
      }
      ++at_;
    }
    ++at_;
    word = text_.substr(from, at_ - from);
    return true;
  }

  bool number(std::string& word) {
    const std::size_t from = at_;
    if (is_one_of(peek(), "+-") && peek() != '\0') ++at_;
    const std::size_t digits = at_;
    while (is_one_of(peek(), kDigits) && peek() != '\0') ++at_;
    if (at_ == digits) return refuse("a field, a variable, a text, a number or a pipeline in parentheses");
    if (peek() == '.' && is_one_of(peek(1), kDigits) && peek(1) != '\0') {
      for (++at_; is_one_of(peek(), kDigits) && peek() != '\0';) ++at_;
    }
    word = text_.substr(from, at_ - from);
    return true;
  }

  // printf's first operand, which stands here: a text with verbs that print values, none of them an address.
  [[nodiscard]] bool is_plain_format() const {
    const char quote = peek();
    if (quote != '"' && quote != '`') return false;
    for (std::size_t i = at_ + 1; i < text_.size() && text_[i] != quote; ++i) {
      if (text_[i] == '\\' && quote == '"') {
        ++i;
        continue;
      }
      if (text_[i] != '%') continue;
      i = text_.find_first_not_of("+-# 0123456789.", i + 1);
      if (i == std::string_view::npos || !is_one_of(text_[i], "vsdqtxXfFgGeEcUobT%")) return false;
    }
    return true;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t name_end_ = 0;
  std::size_t depth_ = 0;
  bool spaced_ = false;
  bool paren_ = false;  // the operand began with a parenthesis, which is written already
  std::vector<Block> blocks_;
  std::string problem_, suggestion_;
  std::string out_;
};

}  // namespace

tl::expected<std::string, LanguageProblem> read_template(std::string_view text) {
  return TemplateReader(text).run();
}

}  // namespace safe_exec
