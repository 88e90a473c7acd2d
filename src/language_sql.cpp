// Owns the reading of SQL. Never accepts a second statement, a statement that writes, or a function that reaches beyond
// the database; what names a table is the database's own, but for the tables that sqlite3 makes up itself.
#include "language_sql.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "suggest.h"

namespace safe_exec {
namespace {

constexpr std::size_t kMaxStatement = 16384;
constexpr std::size_t kMaxDepth = 64;

constexpr std::string_view kFunctions =
    " abs acos acosh asin asinh atan atan2 atanh avg cast ceil ceiling changes char coalesce concat concat_ws cos cosh "
    "count cume_dist date datetime degrees dense_rank exp first_value floor format generate_series glob group_concat "
    "hex ifnull iif instr json json_array json_array_length json_each json_error_position json_extract "
    "json_group_array json_group_object json_insert json_object json_patch json_pretty json_quote json_remove "
    "json_replace json_set json_tree json_type json_valid julianday lag last_insert_rowid last_value lead length like "
    "likelihood likely ln log log10 log2 lower ltrim max min mod nth_value ntile nullif octet_length percent_rank pi "
    "pow power printf quote radians random randomblob rank regexp replace round row_number rtrim sign sin sinh soundex "
    "sqlite_version sqrt strftime string_agg substr substring sum tan tanh time timediff total total_changes trim "
    "trunc "
    "typeof unhex unicode unixepoch unlikely upper zeroblob ";
// Words of the language that a parenthesis may follow.
constexpr std::string_view kBeforeParenthesis =
    " all and any as between by case distinct else except exists filter from glob having in intersect is join like "
    "limit match materialized not offset on or over regexp select then union using values when where escape ";
constexpr std::string_view kWriting =
    " insert update delete replace into returning create drop alter attach detach "
    "vacuum reindex analyze pragma begin commit rollback savepoint release ";
constexpr std::string_view kTelling =
    " application_id collation_list compile_options database_list encoding "
    "freelist_count function_list journal_mode module_list page_count page_size "
    "pragma_list schema_version table_list user_version ";
// Those that take the name of a table or an index.
constexpr std::string_view kDescribing =
    " foreign_key_check foreign_key_list index_info index_list index_xinfo "
    "integrity_check quick_check table_info table_list table_xinfo ";

bool is_word_of(std::string_view list, std::string_view word) {
  return list.find(" " + std::string(word) + " ") != std::string_view::npos;
}
bool is_one_of(char c, std::string_view set) {
  return set.find(c) != std::string_view::npos;
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool begins_word(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

enum class Kind : std::uint8_t { word, quoted, text, number, symbol };

struct Token {
  Kind kind;
  std::string_view text;  // as it is written
  std::string name;       // word, quoted, text: lower case, without quotes
};

class StatementReader {
 public:
  explicit StatementReader(std::string_view text) : text_(text) {}

  tl::expected<std::string, LanguageProblem> run() {
    if (text_.size() > kMaxStatement) {
      refuse("a statement of at most 16384 bytes");
    } else if (tokenize() && statement()) {
      std::string out = rebuilt();
      if (out.size() <= kMaxStatement) return out;
      refuse("a statement of at most 16384 bytes");
    }
    return tl::unexpected(LanguageProblem{DenialCode::operand_invalid, problem_, suggestion_, 0});
  }

 private:
  bool refuse(std::string expected) {
    if (problem_.empty()) problem_ = std::move(expected);
    return false;
  }

  [[nodiscard]] char at(std::size_t index) const { return index < text_.size() ? text_[index] : '\0'; }

  // ------------------------------------------------------------------------------------------------- tokens

  bool tokenize() {
    for (std::size_t i = 0;;) {
      i = std::min(text_.find_first_not_of(" \t\n", i), text_.size());
      if (i == text_.size()) return true;
      const std::size_t length = token(i);
      if (length == 0) return refuse("tokens of SQL, without comments and parameters");
      i += length;
    }
  }

  std::size_t token(std::size_t from) {
    const char c = text_[from];
    if (c == '\'' || ((c == 'x' || c == 'X') && at(from + 1) == '\''))
      return quoted(from, c == '\'' ? 0 : 1, '\'', Kind::text);
    if (c == '"' || c == '`') return quoted(from, 0, c, Kind::quoted);
    if (c == '[') return quoted(from, 0, ']', Kind::quoted);
    if (begins_word(c)) {
      std::size_t end = from;
      while (begins_word(at(end)) || is_digit(at(end))) ++end;
      if (at(end) == '$') return 0;
      return add(Kind::word, from, end - from);
    }
    if (is_digit(c) || (c == '.' && is_digit(at(from + 1)))) return number(from);
    for (const std::string_view symbol : {"->>", "->", "||", "<<", ">>", "<=", ">=", "<>", "==", "!="}) {
      if (text_.substr(from).starts_with(symbol)) return add(Kind::symbol, from, symbol.size());
    }
    const std::string_view rest = text_.substr(from);
    if (rest.starts_with("--") || rest.starts_with("/*")) return 0;
    return is_one_of(c, "(),.*+-/%<>=|&~;") ? add(Kind::symbol, from, 1) : 0;
  }

  std::size_t add(Kind kind, std::size_t from, std::size_t length) {
    const std::string_view text = text_.substr(from, length);
    tokens_.push_back({kind, text, kind == Kind::word ? lower(text) : std::string()});
    return length;
  }

  // A doubled quote is one quote, but there is none for ].
  std::size_t quoted(std::size_t from, std::size_t prefix, char quote, Kind kind) {
    std::string name;
    for (std::size_t i = from + prefix + 1; i < text_.size(); ++i) {
      if (text_[i] != quote) {
        name += text_[i];
      } else if (quote != ']' && at(i + 1) == quote) {
        name += text_[i++];
      } else {
        tokens_.push_back({kind, text_.substr(from, i + 1 - from), lower(name)});
        return i + 1 - from;
      }
    }
    return 0;
  }

  std::size_t number(std::size_t from) {
    std::size_t end = from;
    if (text_[from] == '0' && (at(from + 1) == 'x' || at(from + 1) == 'X')) {
      for (end += 2; is_one_of(at(end), "0123456789abcdefABCDEF") && at(end) != '\0';) ++end;
      if (end == from + 2) return 0;
    } else {
      while (is_digit(at(end))) ++end;
      if (at(end) == '.') ++end;
      while (is_digit(at(end))) ++end;
      if (at(end) == 'e' || at(end) == 'E') {
        end += is_one_of(at(end + 1), "+-") && at(end + 1) != '\0' ? 2U : 1U;
        if (!is_digit(at(end))) return 0;
        while (is_digit(at(end))) ++end;
      }
    }
    return begins_word(at(end)) || at(end) == '.' ? 0 : add(Kind::number, from, end - from);
  }

  // ------------------------------------------------------------------------------------------------- statement

  [[nodiscard]] bool word_is(std::size_t index, std::string_view name) const {
    return index < tokens_.size() && tokens_[index].kind == Kind::word && tokens_[index].name == name;
  }
  [[nodiscard]] bool symbol_is(std::size_t index, std::string_view symbol) const {
    return index < tokens_.size() && tokens_[index].kind == Kind::symbol && tokens_[index].text == symbol;
  }

  bool statement() {
    if (!tokens_.empty() && symbol_is(tokens_.size() - 1, ";")) tokens_.pop_back();
    std::size_t first = 0;
    if (word_is(0, "explain")) first = word_is(1, "query") && word_is(2, "plan") ? 3 : 1;
    if (first == 0 && word_is(0, "pragma")) return pragma();
    const bool with = word_is(first, "with");
    if (!with && !word_is(first, "select") && !word_is(first, "values")) {
      return refuse("one statement that begins with SELECT, VALUES, WITH or EXPLAIN, or a PRAGMA that only tells");
    }
    in_header_ = with;
    for (std::size_t i = first; i < tokens_.size(); ++i) {
      if (!check(i)) return false;
    }
    if (depth_ > 0) return refuse("parentheses that are closed");
    return !in_header_ || refuse("a SELECT behind WITH");
  }

  bool check(std::size_t i) {
    const Token& token = tokens_[i];
    if (token.kind == Kind::number) return true;
    if (token.kind == Kind::symbol) {
      if (token.text == ";") return refuse("one statement");
      if (token.text == "(" && ++depth_ > kMaxDepth) return refuse("parentheses at most 64 deep");
      if (token.text == ")" && depth_-- == 0) return refuse("an open parenthesis");
      return true;
    }
    if (is_made_up(token.name)) return refuse("tables of the database (no fsdir, no zipfile)");
    const bool call = symbol_is(i + 1, "(");
    if (token.kind == Kind::text) return true;
    if (token.kind == Kind::quoted) return !call || refuse("a function's name without quotes");
    if (depth_ == 0 && (token.name == "select" || token.name == "values")) in_header_ = false;
    if (call) return may_be_called(i);
    return !is_word_of(kWriting, token.name) || refuse("a statement that only reads");
  }

  bool may_be_called(std::size_t i) {
    const std::string& name = tokens_[i].name;
    if (is_word_of(kFunctions, name) || is_word_of(kBeforeParenthesis, name)) return true;
    const bool column_list = in_header_ && depth_ == 0 && i > 0 &&
                             (word_is(i - 1, "with") || word_is(i - 1, "recursive") || symbol_is(i - 1, ","));
    if (column_list && !is_word_of(kWriting, name)) return true;
    if (name.starts_with("pragma_")) return true;  // known, or is_made_up
    static constexpr auto kUsual =
        std::to_array<std::string_view>({"count", "sum", "max", "min", "substr", "replace", "length", "lower", "upper",
                                         "group_concat", "json_extract", "strftime", "coalesce", "printf"});
    suggestion_ = nearest_name(name, kUsual);
    return refuse("a function that reads nothing beside the database");
  }

  // Tables that sqlite3 makes up from files, and the pragmas as tables.
  static bool is_made_up(std::string_view name) {
    if (name.starts_with("pragma_")) {
      name.remove_prefix(7);
      if (!is_word_of(kTelling, name) && !is_word_of(kDescribing, name)) return true;
      // As a table, one that can also be set would be set by its argument.
      return !is_word_of(kDescribing, name) && !name.ends_with("_list") && name != "compile_options";
    }
    return is_word_of(" fsdir zipfile fts3tokenize sqlite_dbpage sqlite_dbdata sqlite_dbptr csv vsv ", name);
  }

  bool pragma() {
    std::size_t i = 1;
    if (symbol_is(2, ".")) i = 3;
    const bool schema = i == 1 || tokens_[1].kind == Kind::word;
    if (!schema || i >= tokens_.size() || tokens_[i].kind != Kind::word) return refuse("the name of a pragma");
    const std::string& name = tokens_[i].name;
    if (i + 1 == tokens_.size()) {
      if (is_word_of(kTelling, name) || is_word_of(kDescribing, name)) return true;
    } else if (is_word_of(kDescribing, name)) {
      const bool argument = i + 4 == tokens_.size() && symbol_is(i + 1, "(") && symbol_is(i + 3, ")") &&
                            tokens_[i + 2].kind != Kind::symbol;
      return argument || refuse("one name in parentheses behind this pragma");
    }
    return refuse("a pragma that only tells, as table_info(NAME)");
  }

  // Tokens with one space between them, but none inside a.b, f( and around what is in parentheses.
  [[nodiscard]] std::string rebuilt() const {
    std::string out;
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      const bool dot = symbol_is(i, ".") || (i > 0 && symbol_is(i - 1, "."));
      const bool closing = symbol_is(i, ")") || symbol_is(i, ",");
      const bool opened = i > 0 && symbol_is(i - 1, "(");
      const bool call = i > 0 && symbol_is(i, "(") && tokens_[i - 1].kind == Kind::word &&
                        !is_word_of(kBeforeParenthesis, tokens_[i - 1].name);
      const bool numbers = i > 0 && dot && (tokens_[i].kind == Kind::number || tokens_[i - 1].kind == Kind::number);
      if (i > 0 && (numbers || !(dot || closing || opened || call))) out += ' ';
      out += tokens_[i].text;
    }
    return out;
  }

  std::string_view text_;
  std::vector<Token> tokens_;
  std::size_t depth_ = 0;
  bool in_header_ = false;  // between WITH and the SELECT that it belongs to
  std::string problem_, suggestion_;
};

}  // namespace

tl::expected<std::string, LanguageProblem> read_sql(std::string_view statement) {
  return StatementReader(statement).run();
}

}  // namespace safe_exec
