// Owns the reading of jq's filters. Never accepts a function that is neither known nor defined in the filter, and never
// a token whose end jq 1.6 and later would see elsewhere.
#include "language_jq.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "inline_text.h"
#include "suggest.h"

namespace safe_exec {
namespace {

constexpr std::size_t kMaxFilter = 16384;
constexpr std::size_t kMaxDepth = 64;

// What computes from its input alone, or writes to standard error.
constexpr std::string_view kFunctions =
    " IN INDEX JOIN abs acos acosh add all any arrays ascii ascii_downcase ascii_upcase asin asinh atan atan2 "
    "atanh booleans bsearch builtins capture cbrt ceil combinations contains copysign cos cosh dateadd datesub "
    "debug del delpaths drem empty endswith erf erfc error exp exp10 exp2 explode expm1 fabs fdim finites first "
    "flatten floor fma fmax fmin fmod format frexp from_entries fromdate fromdateiso8601 fromjson fromstream "
    "gamma getpath gmtime group_by gsub halt halt_error has have_decnum have_literal_numbers hypot implode in "
    "index indices infinite input_line_number inside isempty isfinite isinfinite isnan isnormal isvalid "
    "iterables j0 j1 jn join keys keys_unsorted last ldexp leaf_paths length lgamma lgamma_r limit localtime log "
    "log10 log1p log2 logb ltrim ltrimstr map map_values match max max_by min min_by mktime modf nan nearbyint "
    "nextafter nexttoward normals not now nth nulls numbers objects path paths pick pow pow10 range recurse "
    "recurse_down remainder repeat reverse rindex rint round rtrim rtrimstr scalars scalars_or_empty scalb "
    "scalbln scan select setpath significand sin sinh skip sort sort_by split splits sqrt startswith stderr "
    "strflocaltime strftime strings strptime sub tan tanh test tgamma to_entries toarray todate todateiso8601 "
    "tojson tonumber tostream tostring transpose trim trimstr trunc truncate_stream type unique unique_by until "
    "utf8bytelength values walk while with_entries y0 y1 yn ";
constexpr Name kLiterals[]{"true", "false", "null"};
constexpr Name kFormats[]{"@base32", "@base32d", "@base64", "@base64d", "@csv", "@html",
                          "@json",   "@sh",      "@text",   "@tsv",     "@uri", "@urid"};
constexpr Name kKeywords[]{"and", "as", "break", "catch", "def", "elif", "else", "end", "foreach", "if",
                           "import", "include", "label", "module", "or", "reduce", "then", "try"};
constexpr Name kOperators[]{  // longer ones first
    "?//=", "?//", "//=", "|=", "+=", "-=", "*=", "/=", "%=", "==", "!=", "<=",
    ">=",   "//",  "|",   ",",  "=",  "<",  ">",  "+",  "-",  "*",  "/",  "%"};
constexpr Name kComparisons[]{"==", "!=", "<", "<=", ">", ">="};
constexpr Name kUpdates[]{"=", "|=", "+=", "-=", "*=", "/=", "%=", "//="};

bool is_in(std::span<const Name> names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool begins_name(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

bool is_function(std::string_view name) {
  return kFunctions.find(" " + std::string(name) + " ") != std::string_view::npos;
}

std::vector<std::string> function_names() {
  std::vector<std::string> names;
  for (std::string_view rest = kFunctions.substr(1); !rest.empty(); rest.remove_prefix(rest.find(' ') + 1)) {
    names.emplace_back(rest.substr(0, rest.find(' ')));
  }
  return names;
}

enum class Kind : std::uint8_t { end, field, name, keyword, variable, number, format, quote, symbol, bad };

struct Token {
  Kind kind = Kind::end;
  std::string_view text;
};

class FilterReader {
 public:
  explicit FilterReader(std::string_view text) : text_(text) {}

  tl::expected<std::string, LanguageProblem> run() {
    if (text_.size() > kMaxFilter) problem_ = "a filter of at most 16384 bytes";
    if (problem_.empty() && next() && pipe() && token_.kind != Kind::end) {
      refuse("the end of the filter, or an operator");
    }
    if (out_.size() > kMaxFilter) refuse("a filter of at most 16384 bytes");
    if (!problem_.empty()) {
      return tl::unexpected(LanguageProblem{DenialCode::operand_invalid, problem_, suggestion_, 0});
    }
    if (out_.starts_with('-')) out_.insert(0, " ");  // it is never an option
    return std::move(out_);
  }

 private:
  bool refuse(std::string expected) {
    if (problem_.empty()) problem_ = std::move(expected);
    return false;
  }

  // ------------------------------------------------------------------------------------------------- tokens

  bool next() {
    if (!skip_space()) return false;
    token_ = lex();
    at_ += token_.text.size();
    return token_.kind != Kind::bad || refuse("a token that jq knows");
  }

  bool skip_space() {
    for (;;) {
      at_ = std::min(text_.find_first_not_of(" \t\n", at_), text_.size());
      if (at_ == text_.size() || text_[at_] != '#') return true;
      const std::size_t end = std::min(text_.find('\n', at_), text_.size());
      // Whether a backslash lets a comment go on depends on the version.
      if (text_.substr(at_, end - at_).find('\\') != std::string_view::npos)
        return refuse("a comment without backslash");
      at_ = end;
    }
  }

  [[nodiscard]] std::size_t name_length(std::size_t from) const {
    std::size_t end = from;
    while (end < text_.size() && (begins_name(text_[end]) || is_digit(text_[end]))) ++end;
    return end - from;
  }

  [[nodiscard]] char at(std::size_t index) const { return index < text_.size() ? text_[index] : '\0'; }

  [[nodiscard]] Token piece(Kind kind, std::size_t length) const { return {kind, text_.substr(at_, length)}; }

  [[nodiscard]] Token lex() const {
    if (at_ == text_.size()) return {};
    const char c = text_[at_];
    if (c == '"') return piece(Kind::quote, 1);
    if (is_digit(c) || (c == '.' && is_digit(at(at_ + 1)))) return lex_number();
    if (c == '.') return lex_dot();
    if (begins_name(c)) {
      const Token name = piece(Kind::name, name_length(at_));
      if (at(at_ + name.text.size()) == ':' && at(at_ + name.text.size() + 1) == ':') return {Kind::bad, {}};
      return is_in(kKeywords, name.text) ? Token{Kind::keyword, name.text} : name;
    }
    if (c == '$' || c == '@') {
      const std::size_t length = begins_name(at(at_ + 1)) ? name_length(at_ + 1) : 0;
      const bool module = at(at_ + 1 + length) == ':' && at(at_ + 2 + length) == ':';
      if (length == 0 || module) return {Kind::bad, {}};
      return piece(c == '$' ? Kind::variable : Kind::format, length + 1);
    }
    for (const std::string_view symbol : kOperators) {
      if (text_.substr(at_).starts_with(symbol)) return piece(Kind::symbol, symbol.size());
    }
    return std::string_view("()[]{}:;?").find(c) == std::string_view::npos ? Token{Kind::bad, {}}
                                                                           : piece(Kind::symbol, 1);
  }

  // jq 1.6 takes any run of digits and dots for a number, and ".e5" for one too.
  [[nodiscard]] Token lex_dot() const {
    const std::size_t length = name_length(at_ + 1);
    if (length > 0 && begins_name(at(at_ + 1))) {
      const std::string_view name = text_.substr(at_ + 1, length);
      const bool exponent =
          (name[0] == 'e' || name[0] == 'E') && name.size() > 1 && std::all_of(name.begin() + 1, name.end(), is_digit);
      return exponent ? Token{Kind::bad, {}} : piece(Kind::field, length + 1);
    }
    if (at(at_ + 1) != '.') return piece(Kind::symbol, 1);
    const char behind = at(at_ + 2);
    return behind == '.' || is_digit(behind) || begins_name(behind) ? Token{Kind::bad, {}} : piece(Kind::symbol, 2);
  }

  [[nodiscard]] Token lex_number() const {
    std::size_t end = at_;
    std::size_t dots = 0;
    for (; is_digit(at(end)) || at(end) == '.'; ++end) dots += at(end) == '.' ? 1U : 0U;
    if (dots > 1) return {Kind::bad, {}};
    if (at(end) == 'e' || at(end) == 'E') {
      std::size_t digits = end + 1;
      if (at(digits) == '+' || at(digits) == '-') ++digits;
      if (!is_digit(at(digits))) return {Kind::bad, {}};
      for (end = digits; is_digit(at(end));) ++end;
    }
    if (begins_name(at(end)) || at(end) == '.') return {Kind::bad, {}};
    return piece(Kind::number, end - at_);
  }

  [[nodiscard]] bool is(std::string_view text) const {
    return (token_.kind == Kind::symbol || token_.kind == Kind::keyword) && token_.text == text;
  }

  // Writes the token and reads the next one. Only tokens that could not run into each other are not spaced.
  bool keep() {
    write(token_);
    return next();
  }

  void write(const Token& token) {
    const bool closing =
        token.kind == Kind::symbol && std::string_view("?)],;:").find(token.text) != std::string_view::npos;
    const bool bracket = token.kind == Kind::symbol && token.text == "[";
    const bool suffix = ends_term_ && (bracket || token.kind == Kind::field);
    const bool index = bracket && is_dot_;
    const bool call = token.kind == Kind::symbol && token.text == "(" && last_ == Kind::name;
    const bool opened = last_ == Kind::symbol && !out_.empty() && (out_.back() == '(' || out_.back() == '[');
    const bool glued = closing || call || opened || suffix || index;
    if (!out_.empty() && !glued && last_ != Kind::end) out_ += ' ';
    out_ += token.text;
    last_ = token.kind;
    is_dot_ = token.kind == Kind::symbol && token.text == ".";
    ends_term_ = token.kind == Kind::field || token.kind == Kind::name || token.kind == Kind::variable ||
                 (token.kind == Kind::symbol && std::string_view(")]}?").find(token.text) != std::string_view::npos);
  }

  bool expect(std::string_view symbol) { return is(symbol) ? keep() : refuse("\"" + std::string(symbol) + "\""); }

  // ------------------------------------------------------------------------------------------------- grammar

  bool pipe() {
    if (++depth_ > kMaxDepth) return refuse("a filter that is nested at most 64 deep");
    const std::size_t known = defined_.size();
    const bool read = pipe_body();
    defined_.resize(known);
    --depth_;
    return read;
  }

  bool pipe_body() {
    bool compared = false, updated = false;
    for (;;) {
      while (is("def")) {
        if (!definition()) return false;
      }
      if (is("label")) {
        if (!keep() || !variable() || !expect("|")) return false;
        continue;
      }
      if (!operand()) return false;
      if (is("as")) {
        if (!keep() || !patterns() || !expect("|")) return false;
        compared = updated = false;
        continue;
      }
      if (!binary_operator()) return problem_.empty();
      if (!may_follow(token_.text, compared, updated)) return false;
      if (!keep()) return false;
    }
  }

  [[nodiscard]] bool binary_operator() const {
    if (is("and") || is("or")) return true;
    return token_.kind == Kind::symbol && is_in(kOperators, token_.text) && !token_.text.starts_with("?");
  }

  // Comparisons and updates do not associate: a == b == c is an error of jq.
  bool may_follow(std::string_view name, bool& compared, bool& updated) {
    if (is_in(kComparisons, name)) {
      return !std::exchange(compared, true) || refuse("parentheses around one of two comparisons");
    }
    if (is_in(kUpdates, name)) {
      compared = false;
      return !std::exchange(updated, true) || refuse("parentheses around one of two assignments");
    }
    if (name == "and" || name == "or") compared = false;
    if (name == "|" || name == "," || name == "//") compared = updated = false;
    return true;
  }

  bool definition() {
    if (!keep()) return false;
    if (token_.kind != Kind::name) return refuse("a name behind def");
    const std::string name(token_.text);
    if (is_forbidden(name)) return false;
    if (!keep()) return false;
    std::vector<std::string> parameters;
    if (is("(")) {
      do {
        if (!keep()) return false;
        if (token_.kind != Kind::name && token_.kind != Kind::variable) return refuse("a parameter");
        const bool variable = token_.kind == Kind::variable;
        const std::string parameter(token_.text.substr(variable ? 1 : 0));
        if (is_forbidden(parameter)) return false;
        parameters.push_back(parameter + "/0");
        if (!keep()) return false;
      } while (is(";"));
      if (!expect(")")) return false;
    }
    defined_.push_back(name + "/" + std::to_string(parameters.size()));
    const std::size_t known = defined_.size();
    defined_.insert(defined_.end(), parameters.begin(), parameters.end());
    const bool read = expect(":") && pipe() && expect(";");
    defined_.resize(known);
    return read;
  }

  // Not even as names of the filter's own: another arity of them is jq's.
  bool is_forbidden(std::string_view name) {
    static constexpr Name kForbidden[]{"env",           "input",           "inputs", "input_filename", "modulemeta", "get_search_list",
                                       "get_jq_origin", "get_prog_origin", "ENV"};
    const bool forbidden = is_in(kForbidden, name) || name.starts_with("_");
    if (forbidden) refuse("a filter of its input alone (no env, input, inputs, input_filename, modules)");
    return forbidden;
  }

  bool operand() {
    while (is("-")) {
      if (!keep()) return false;
    }
    return postfix_term();
  }

  bool postfix_term() {
    if (!term()) return false;
    for (;;) {
      if (token_.kind == Kind::field || is("?")) {
        if (!keep()) return false;
      } else if (is("[")) {
        if (!suffix()) return false;
      } else if (is(".")) {
        if (!dotted()) return false;
      } else {
        return true;
      }
    }
  }

  // ."a" as it is; .["a"] and .[0] without the dot, which versions before 1.7 do not read.
  bool dotted() {
    const Token dot = token_;
    if (!next()) return false;
    if (is("[")) return suffix();
    if (token_.kind != Kind::quote) return refuse("a name, a string or [ behind a dot");
    write(dot);
    return string();
  }

  bool suffix() {
    if (!keep()) return false;
    if (is("]")) return keep();
    if (is(":")) return keep() && pipe() && expect("]");
    if (!pipe()) return false;
    if (is(":")) {
      if (!keep()) return false;
      if (!is("]") && !pipe()) return false;
    }
    return expect("]");
  }

  bool term() {
    switch (token_.kind) {
      case Kind::field:
      case Kind::number:
        return keep();
      case Kind::quote:
        return string();
      case Kind::variable:
        return variable();
      case Kind::format:
        return format();
      case Kind::name:
        return call();
      case Kind::keyword:
        return keyword_term();
      case Kind::symbol:
        return symbol_term();
      case Kind::end:
      case Kind::bad:
        break;
    }
    return refuse("a filter where it ends");
  }

  bool symbol_term() {
    if (is("..")) return keep();
    if (is(".")) {
      if (!keep()) return false;
      return token_.kind != Kind::quote || string();
    }
    if (is("(")) return keep() && pipe() && expect(")");
    if (is("{")) return object();
    if (!is("[")) return refuse("a filter in front of this operator");
    if (!keep()) return false;
    return is("]") ? keep() : pipe() && expect("]");
  }

  bool variable() {
    if (token_.kind != Kind::variable) return refuse("a variable");
    const std::string_view name = token_.text.substr(1);
    if (name != "__loc__" && is_forbidden(name)) return false;
    return keep();
  }

  bool format() {
    if (!is_in(kFormats, token_.text)) return refuse("one of the formats of jq, as @csv");
    if (!keep()) return false;
    return token_.kind != Kind::quote || string();
  }

  bool call() {
    const std::string_view name = token_.text;
    if (is_forbidden(name)) return false;
    if (!keep()) return false;
    std::size_t arguments = 0;
    if (is("(")) {
      do {
        ++arguments;
        if (!keep() || !pipe()) return false;
      } while (is(";"));
      if (!expect(")")) return false;
    }
    const std::string own = std::string(name) + "/" + std::to_string(arguments);
    if (std::find(defined_.begin(), defined_.end(), own) != defined_.end()) return true;
    if (is_function(name) || (arguments == 0 && is_in(kLiterals, name))) return true;
    suggestion_ = nearest_name(name, function_names());
    return refuse("a function of jq that is known here, or one that the filter defines");
  }

  bool keyword_term() {
    if (is("if")) return condition();
    if (is("try")) {
      if (!keep() || !postfix_term()) return false;
      return !is("catch") || (keep() && postfix_term());
    }
    if (is("break")) return keep() && variable();
    if (!is("reduce") && !is("foreach")) return refuse("a filter in front of this word (no modules)");
    const bool reduce = is("reduce");
    if (!keep() || !postfix_term() || !expect("as") || !patterns() || !expect("(")) return false;
    if (!pipe() || !expect(";") || !pipe()) return false;
    if (!reduce && is(";") && (!keep() || !pipe())) return false;
    return expect(")");
  }

  bool condition() {
    do {
      if (!keep() || !pipe() || !expect("then") || !pipe()) return false;
    } while (is("elif"));
    if (is("else") && (!keep() || !pipe())) return false;
    return expect("end");
  }

  bool object() {
    if (!keep()) return false;
    if (is("}")) return keep();
    for (;;) {
      if (!entry()) return false;
      if (is("}")) return keep();
      if (!expect(",")) return false;
    }
  }

  bool entry() {
    bool bare = true;  // the key alone is enough
    if (token_.kind == Kind::variable) {
      if (token_.text == "$__loc__") return refuse("a key");
      if (!variable()) return false;
      return true;
    }
    if (token_.kind == Kind::name || token_.kind == Kind::keyword) {
      bare = token_.kind == Kind::name;
      if (!keep()) return false;
    } else if (token_.kind == Kind::quote) {
      if (!string()) return false;
    } else if (token_.kind == Kind::format) {
      if (!format() || out_.back() != '"') return refuse("a string behind a format that is a key");
    } else if (is("(")) {
      bare = false;
      if (!keep() || !pipe() || !expect(")")) return false;
    } else {
      return refuse("a key of an object");
    }
    if (!is(":")) return bare || refuse("\":\" behind a key");
    if (!keep()) return false;
    for (;;) {
      if (!operand()) return false;
      if (!is("|")) return true;
      if (!keep()) return false;
    }
  }

  bool patterns() {
    for (;;) {
      if (!pattern()) return false;
      if (!is("?//")) return true;
      if (!keep()) return false;
    }
  }

  bool pattern() {
    if (token_.kind == Kind::variable) return variable();
    if (++depth_ > kMaxDepth) return refuse("a pattern that is nested at most 64 deep");
    const bool array = is("[");
    if (!array && !is("{")) return refuse("a variable or a pattern behind as");
    do {
      if (!keep() || !(array ? pattern() : member_pattern())) return false;
    } while (is(","));
    --depth_;
    return expect(array ? "]" : "}");
  }

  bool member_pattern() {
    const bool bare = token_.kind == Kind::variable;
    if (bare || token_.kind == Kind::name || token_.kind == Kind::keyword) {
      if (bare ? !variable() : !keep()) return false;
    } else if (token_.kind == Kind::quote) {
      if (!string()) return false;
    } else if (!expect("(") || !pipe() || !expect(")")) {
      return false;
    }
    if (!is(":")) return bare || refuse("\":\" behind a key");
    return keep() && pattern();
  }

  // The opening quote is the token; what is inside is read here, with filters inside \( ).
  bool string() {
    write({Kind::quote, "\""});
    for (;;) {
      if (at_ == text_.size()) return refuse("a closing quote");
      const char c = text_[at_++];
      out_ += c;
      if (c == '"') break;
      if (c != '\\') continue;
      const char escaped = at(at_);
      if (std::string_view("\"\\/bfnrtu(").find(escaped) == std::string_view::npos || escaped == '\0') {
        return refuse("an escape that JSON knows, or \\(");
      }
      out_ += escaped;
      ++at_;
      if (escaped == 'u' && !hex_digits()) return refuse("four hexadecimal digits behind \\u");
      if (escaped != '(') continue;
      last_ = Kind::end;
      is_dot_ = false;
      if (!next() || !pipe()) return false;
      if (!is(")")) return refuse("\")\"");
      out_ += ')';
    }
    last_ = Kind::quote;
    is_dot_ = false;
    ends_term_ = true;
    return next();
  }

  bool hex_digits() {
    constexpr std::string_view kHex = "0123456789abcdefABCDEF";
    for (int i = 0; i < 4; ++i, ++at_) {
      if (at(at_) == '\0' || kHex.find(at(at_)) == std::string_view::npos) return false;
      out_ += at(at_);
    }
    return true;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  Token token_;
  std::size_t depth_ = 0;
  std::string problem_, suggestion_;
  std::string out_;
  Kind last_ = Kind::end;             // of the token written last; end: none in this text or string
  bool ends_term_ = false;            // it can be followed by .name or [ without a space
  bool is_dot_ = false;               // it is "."
  std::vector<std::string> defined_;  // name/arity, innermost last
};

}  // namespace

tl::expected<std::string, LanguageProblem> read_jq(std::string_view filter) {
  return FilterReader(filter).run();
}

}  // namespace safe_exec
