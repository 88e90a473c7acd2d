// Owns the reading of sed's scripts. Never accepts a command that reads or writes a file or executes, and never a text
// of which it does not know where it ends.
#include "language_sed.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <set>
#include <utility>
#include <vector>

namespace safe_exec {
namespace {

constexpr std::size_t kMaxScript = 16384;
constexpr std::size_t kMaxDepth = 32;  // braces
constexpr std::string_view kDigits = "0123456789";
constexpr std::string_view kHexDigits = "0123456789abcdefABCDEF";
constexpr std::string_view kLabelCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
// Delimiters of regular expressions. Behind a backslash, only one that has no meaning of its own in an expression.
constexpr std::string_view kDelimiters = "/,#@:!%~_;=|+";
constexpr std::string_view kPlainDelimiters = "/,#@:!%~_;=";

bool is_one_of(char c, std::string_view set) {
  return set.find(c) != std::string_view::npos;
}

// Where between delimiters a text stands decides what a backslash may be in front of.
enum class Part { regex, replacement, characters };

class ScriptReader {
 public:
  explicit ScriptReader(std::string_view text) : text_(text) {}

  tl::expected<std::string, LanguageProblem> run() {
    if (text_.size() > kMaxScript) return fail("a script of at most 16384 bytes");
    if (text_ == "#n" || text_.starts_with("#n\n")) return fail("the option -n instead of a first line \"#n\"");
    while (skip_to_command()) {
      if (!command()) return fail(problem_);
    }
    if (depth_ > 0) return fail("a brace that is closed");
    for (const std::string& label : jumps_) {
      if (!labels_.contains(label)) return fail("a jump to a label of the script");
    }
    if (out_.empty()) return fail("a command");
    return std::move(out_);
  }

 private:
  static tl::unexpected<LanguageProblem> fail(std::string expected) {
    return tl::unexpected(LanguageProblem{DenialCode::operand_invalid, std::move(expected), {}, 0});
  }
  bool refuse(std::string expected) {
    problem_ = std::move(expected);
    return false;
  }

  [[nodiscard]] bool done() const { return at_ == text_.size(); }
  [[nodiscard]] char peek() const { return done() ? '\0' : text_[at_]; }
  bool take(char c) {
    if (done() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  std::string_view take_all(std::string_view set) {
    const std::size_t begin = at_;
    at_ = std::min(text_.find_first_not_of(set, at_), text_.size());
    return text_.substr(begin, at_ - begin);
  }
  void skip_blanks() { static_cast<void>(take_all(" \t")); }

  bool skip_to_command() {
    static_cast<void>(take_all(" \t\n;"));
    return !done();
  }

  bool command() {
    std::string line;
    std::size_t addresses = 0;
    if (!address(line, true)) return false;
    if (!line.empty()) {
      addresses = 1;
      skip_blanks();
      if (take(',')) {
        line += ',';
        skip_blanks();
        addresses = 2;
        if (!second_address(line)) return false;
      }
      if (line[0] == '0' && line != "0" && line[1] == ',' && !ends_in_regex_) {
        return refuse("a line number from 1, or 0,/REGEX/");
      }
      if (line == "0") return refuse("a line number from 1");
      skip_blanks();
    }
    if (take('!')) {
      line += '!';
      skip_blanks();
    }
    const bool bare = line.empty();
    if (done()) return refuse("a command behind the address");
    if (!one_command(line, addresses, bare)) return false;
    if (line.empty()) return true;  // a comment
    out_ += separator_;
    out_ += line;
    separator_ = next_separator_;
    return true;
  }

  bool one_command(std::string& line, std::size_t addresses, bool bare) {
    const char name = text_[at_++];
    if (is_one_of(name, "}#:") && !bare) return refuse("no address in front of } # and :");
    if (is_one_of(name, "qQ") && addresses > 1) return refuse("one address at most in front of q and Q");
    if (name == '#') return comment();
    line += name;
    next_separator_ = name == '{' ? "" : is_one_of(name, ":btT") ? "\n" : ";";
    switch (name) {
      case '{':
        if (++depth_ > kMaxDepth) return refuse("braces at most 32 deep");
        return true;
      case '}':
        if (depth_-- == 0) return refuse("an open brace in front of }");
        return end_of_command();
      case 's':
        return substitution(line) && end_of_command();
      case 'y':
        return transliteration(line) && end_of_command();
      case 'q':
      case 'Q':
      case 'l':
        return number(line) && end_of_command();
      case ':':
      case 'b':
      case 't':
      case 'T':
        return label(name, line) && end_of_command();
      case 'a':
      case 'i':
      case 'c':
        return added_text(line);
      default:
        if (!is_one_of(name, "=dDgGhHnNpPxz")) {
          return refuse("a command that only prints: { } = a c d D g G h H i l n N p P q Q s x y z : b t T");
        }
        return end_of_command();
    }
  }

  // The text of a, i and c: the rest of the line, or, behind "\" and a new line, the next lines. A line that ends in "\"
  // goes on with the next; sed looks for that one in the next -e too, so it must stand here.
  bool added_text(std::string& line) {
    next_separator_ = "\n";
    skip_blanks();
    if (done() || peek() == '\n') return refuse("the text that a, i or c adds");
    bool more = true;
    for (bool first = true; more; first = false) {
      if (done()) return refuse("no \"\\\" at the end of a text");
      const std::string_view rest = text_.substr(at_, std::min(text_.find('\n', at_), text_.size()) - at_);
      const std::size_t last = rest.find_last_not_of('\\');
      const std::size_t slashes = rest.size() - (last == std::string_view::npos ? 0 : last + 1);
      more = slashes % 2 == 1;
      if (first && rest == "\\" && at_ + 1 >= text_.size()) return refuse("the text that a, i or c adds");
      line += rest;
      at_ += rest.size();
      if (more && take('\n')) line += '\n';
    }
    return true;
  }

  bool comment() {
    at_ = std::min(text_.find('\n', at_), text_.size());
    return true;
  }

  bool end_of_command() {
    skip_blanks();
    if (done() || is_one_of(peek(), ";\n}#")) return true;
    return refuse("the end of the command, a \";\" or a new line");
  }

  // N, N~M, $, /REGEX/ and \cREGEXc; line stays as it is when there is none.
  bool address(std::string& line, bool first) {
    ends_in_regex_ = false;
    if (take('$')) {
      line += '$';
      return true;
    }
    if (peek() == '/' || peek() == '\\') return regex_address(line);
    const std::string_view digits = take_all(kDigits);
    if (digits.size() > 9 || (digits.size() > 1 && digits[0] == '0')) {
      return refuse("a line number of at most 9 digits, without a leading zero");
    }
    line += digits;
    if (digits.empty() || !first || peek() != '~') return true;
    ++at_;
    const std::string_view step = take_all(kDigits);
    if (step.empty() || step.size() > 9) return refuse("a number behind ~");
    if (is_zero(digits) && is_zero(step)) return refuse("a line number from 1, or a step from 1");
    line += '~';
    line += step;
    return true;
  }

  static bool is_zero(std::string_view digits) { return digits.find_first_not_of('0') == std::string_view::npos; }

  bool second_address(std::string& line) {
    if (peek() != '+' && peek() != '~') {
      const std::size_t before = line.size();
      return address(line, false) && (line.size() > before || refuse("a second address behind the comma"));
    }
    line += text_[at_++];
    const std::string_view count = take_all(kDigits);
    ends_in_regex_ = false;
    if (count.empty() || count.size() > 9) return refuse("a number of lines");
    line += count;
    return true;
  }

  bool regex_address(std::string& line) {
    if (take('\\')) line += '\\';
    if (!delimiter()) return false;
    line += delimiter_;
    if (!part(line, Part::regex)) return false;
    skip_blanks();
    std::string seen;
    while (is_one_of(peek(), "IM") && !done()) {
      if (is_one_of(peek(), seen)) return refuse("each of the flags I and M once");
      seen += peek();
      line += text_[at_++];
    }
    ends_in_regex_ = true;
    return true;
  }

  bool delimiter() {
    if (done() || !is_one_of(peek(), kDelimiters)) return refuse("one of / , # @ : ! % ~ _ ; = | + as the delimiter");
    delimiter_ = text_[at_++];
    return true;
  }

  // Up to the delimiter, which it takes.
  bool part(std::string& line, Part kind) {
    for (;;) {
      if (done() || peek() == '\n') return refuse("a closing delimiter on the same line");
      const char c = text_[at_++];
      line += c;
      if (c == delimiter_) return true;
      if (c == '\\' && !escape(line, kind)) return false;
      if (c == '[' && kind == Part::regex && !bracket(line)) return false;
    }
  }

  // Brackets hide the delimiter in GNU sed 4.9, and in older ones they do not: there a bracket that is open at the
  // delimiter is an error of the regular expression. Where two readers could see its end at different places, a delimiter
  // in it is refused.
  bool bracket(std::string& line) {
    const auto copy = [&] { line += text_[at_++]; };
    bool odd = false, hides = false;
    if (peek() == '^') copy();
    const bool closing_first = peek() == ']';
    if (closing_first) copy();
    for (;;) {
      if (done() || peek() == '\n') return refuse("a bracket that is closed on the same line");
      const char c = peek();
      copy();
      if (c == ']') break;
      hides = hides || c == delimiter_;
      odd = odd || c == '[' || c == '\\';
      if (c == '[' && (closing_first || !bracket_class(line))) return refuse("a class in brackets that is closed");
      if (c != '\\') continue;
      if (peek() == ']') return refuse("no \"\\\" in front of the ] that closes a bracket");
      if (!escape(line, Part::regex)) return false;
    }
    return !(hides && (odd || closing_first)) || refuse("in brackets, no delimiter beside ] [ or \\");
  }

  // What stands behind a "[" in brackets: the rest of [:alpha:], [.a.] or [=a=]; nothing when it stands for itself.
  bool bracket_class(std::string& line) {
    const char kind = peek();
    if (done() || !is_one_of(kind, ":.=")) return true;
    const std::size_t end = text_.find(std::string{kind, ']'}, at_ + 1);
    const std::string_view inside = text_.substr(at_, end == std::string_view::npos ? end : end + 2 - at_);
    if (end == std::string_view::npos || inside.find_first_of("\n\\/") != std::string_view::npos) return false;
    line += inside;
    at_ = end + 2;
    return true;
  }

  bool escape(std::string& line, Part kind) {
    if (done()) return refuse("a closing delimiter");
    const char c = text_[at_++];
    line += c;
    if (c == delimiter_) return is_one_of(c, kPlainDelimiters) || refuse("a delimiter that has no meaning of its own");
    if (c == '\\' || c == 'n') return true;
    if (kind == Part::characters) return c == 't' || refuse("only \\\\ \\n \\t and the delimiter behind a backslash");
    if (c == 'x') {
      const bool hex =
          at_ + 2 <= text_.size() && is_one_of(text_[at_], kHexDigits) && is_one_of(text_[at_ + 1], kHexDigits);
      return hex || refuse("two hexadecimal digits behind \\x");
    }
    const std::string_view letters = kind == Part::regex ? "trfvawWsSbB" : "trfvaLUluE";
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (c == '\n' || (letter && !is_one_of(c, letters))) return refuse("an escape that is known");
    return true;
  }

  bool substitution(std::string& line) {
    if (!delimiter()) return false;
    line += delimiter_;
    if (!part(line, Part::regex) || !part(line, Part::replacement)) return false;
    std::string seen;
    bool counted = false;
    while (!done()) {
      const char c = peek();
      if (is_one_of(c, kDigits)) {
        const std::string_view count = take_all(kDigits);
        if (std::exchange(counted, true) || count.size() > 9 || is_zero(count)) return refuse("one number from 1");
        line += count;
      } else if (is_one_of(c, "gpiImM")) {
        // i and I, and m and M, are one flag each.
        const char flag = c == 'i' ? 'I' : c == 'm' ? 'M' : c;
        if (is_one_of(flag, seen)) return refuse("each flag once");
        seen += flag;
        line += flag;
        ++at_;
      } else {
        break;
      }
    }
    const bool flag = !done() && !is_one_of(peek(), " \t;\n}#");
    return !flag || refuse("only the flags g p i I m M and a number behind s");
  }

  bool transliteration(std::string& line) {
    if (!delimiter()) return false;
    line += delimiter_;
    std::array<std::size_t, 2> counts{};
    for (std::size_t& count : counts) {
      const std::size_t begin = line.size();
      if (!part(line, Part::characters)) return false;
      for (std::size_t i = begin; i + 1 < line.size(); ++i, ++count) {
        const auto byte = static_cast<unsigned char>(line[i]);
        if (byte >= 0x80) return refuse("ASCII characters in y");  // their number depends on the locale
        if (byte == '\\') ++i;
      }
    }
    return counts[0] == counts[1] || refuse("two lists of one length in y");
  }

  bool number(std::string& line) {
    skip_blanks();
    const std::string_view digits = take_all(kDigits);
    if (digits.size() > 3) return refuse("a number of at most 3 digits");
    line += digits;
    return true;
  }

  bool label(char command, std::string& line) {
    skip_blanks();
    const std::string name(take_all(kLabelCharacters));
    if (name.size() > 64) return refuse("a label of at most 64 characters");
    line += name;
    if (command != ':') {
      if (!name.empty()) jumps_.push_back(name);
      return true;
    }
    skip_blanks();
    if (name.empty() || !labels_.insert(name).second) return refuse("a label of its own behind :");
    return done() || is_one_of(peek(), ";\n") || refuse("a \";\" or a new line behind a label");
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t depth_ = 0;
  char delimiter_ = '/';
  bool ends_in_regex_ = false;
  std::string problem_;
  std::string out_;
  std::string_view separator_, next_separator_;  // what stands between two commands
  std::set<std::string> labels_;
  std::vector<std::string> jumps_;
};

}  // namespace

tl::expected<std::string, LanguageProblem> read_sed(std::string_view script) {
  return ScriptReader(script).run();
}

}  // namespace safe_exec
