// Owns the reading of find's expressions. Never accepts what executes, deletes, writes or names further directories,
// and never a word whose place in the expression it does not know.
#include "language_find.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <utility>

#include "inline_text.h"
#include "suggest.h"

namespace safe_exec {
namespace {

constexpr std::size_t kMaxDepth = 32;       // parentheses
constexpr std::size_t kMaxArgument = 4096;  // bytes of a pattern or format
constexpr std::string_view kDigits = "0123456789";

enum class Argument : std::uint8_t {
  none,
  depth,
  number,
  decimal,
  size,
  pattern,
  types,
  mode,
  owner,
  file_system,
  path,
  syntax,
  format,
  date,
};

// A global option counts for the whole run wherever it stands, a positional one for the tests behind it. Neither is a
// test: find reads on as if it did not stand there.
enum class Sort : std::uint8_t { global, positional, test };

struct Primary {
  std::string_view name;
  std::string_view canonical;
  Argument argument;
  Sort sort;
};

struct KnownPrimary {
  Name name;
  Name canonical;
  Argument argument;
  Sort sort;
};

constexpr KnownPrimary kPrimaries[]{
    {"-maxdepth", "-maxdepth", Argument::depth, Sort::global},
    {"-mindepth", "-mindepth", Argument::depth, Sort::global},
    {"-depth", "-depth", Argument::none, Sort::global},
    {"-d", "-depth", Argument::none, Sort::global},
    {"-mount", "-xdev", Argument::none, Sort::global},
    {"-xdev", "-xdev", Argument::none, Sort::global},
    {"-noleaf", "-noleaf", Argument::none, Sort::global},
    {"-ignore_readdir_race", "-ignore_readdir_race", Argument::none, Sort::global},
    {"-daystart", "-daystart", Argument::none, Sort::positional},
    {"-regextype", "-regextype", Argument::syntax, Sort::positional},
    {"-name", "-name", Argument::pattern, Sort::test},
    {"-iname", "-iname", Argument::pattern, Sort::test},
    {"-path", "-path", Argument::pattern, Sort::test},
    {"-ipath", "-ipath", Argument::pattern, Sort::test},
    {"-wholename", "-path", Argument::pattern, Sort::test},
    {"-iwholename", "-ipath", Argument::pattern, Sort::test},
    {"-regex", "-regex", Argument::pattern, Sort::test},
    {"-iregex", "-iregex", Argument::pattern, Sort::test},
    {"-lname", "-lname", Argument::pattern, Sort::test},
    {"-ilname", "-ilname", Argument::pattern, Sort::test},
    {"-type", "-type", Argument::types, Sort::test},
    {"-xtype", "-xtype", Argument::types, Sort::test},
    {"-size", "-size", Argument::size, Sort::test},
    {"-atime", "-atime", Argument::decimal, Sort::test},
    {"-ctime", "-ctime", Argument::decimal, Sort::test},
    {"-mtime", "-mtime", Argument::decimal, Sort::test},
    {"-amin", "-amin", Argument::decimal, Sort::test},
    {"-cmin", "-cmin", Argument::decimal, Sort::test},
    {"-mmin", "-mmin", Argument::decimal, Sort::test},
    {"-used", "-used", Argument::decimal, Sort::test},
    {"-links", "-links", Argument::number, Sort::test},
    {"-inum", "-inum", Argument::number, Sort::test},
    {"-uid", "-uid", Argument::number, Sort::test},
    {"-gid", "-gid", Argument::number, Sort::test},
    {"-user", "-user", Argument::owner, Sort::test},
    {"-group", "-group", Argument::owner, Sort::test},
    {"-nouser", "-nouser", Argument::none, Sort::test},
    {"-nogroup", "-nogroup", Argument::none, Sort::test},
    {"-perm", "-perm", Argument::mode, Sort::test},
    {"-fstype", "-fstype", Argument::file_system, Sort::test},
    {"-newer", "-newer", Argument::path, Sort::test},
    {"-anewer", "-anewer", Argument::path, Sort::test},
    {"-cnewer", "-cnewer", Argument::path, Sort::test},
    {"-samefile", "-samefile", Argument::path, Sort::test},
    {"-empty", "-empty", Argument::none, Sort::test},
    {"-readable", "-readable", Argument::none, Sort::test},
    {"-writable", "-writable", Argument::none, Sort::test},
    {"-executable", "-executable", Argument::none, Sort::test},
    {"-true", "-true", Argument::none, Sort::test},
    {"-false", "-false", Argument::none, Sort::test},
    {"-print", "-print", Argument::none, Sort::test},
    {"-print0", "-print0", Argument::none, Sort::test},
    {"-printf", "-printf", Argument::format, Sort::test},
    {"-ls", "-ls", Argument::none, Sort::test},
    {"-prune", "-prune", Argument::none, Sort::test},
    {"-quit", "-quit", Argument::none, Sort::test},
};

bool is_one_of(char c, std::string_view set) {
  return set.find(c) != std::string_view::npos;
}
bool consists_of(std::string_view text, std::string_view set) {
  return !text.empty() && text.find_first_not_of(set) == std::string_view::npos;
}

// -newerXY: X and Y say which time is compared with which.
std::optional<Primary> newer_primary(std::string_view name) {
  if (name.size() != 8 || !name.starts_with("-newer") || !is_one_of(name[6], "aBcm")) return std::nullopt;
  if (name[7] == 't') return Primary{name, name, Argument::date, Sort::test};
  if (!is_one_of(name[7], "aBcm")) return std::nullopt;
  return Primary{name, name, Argument::path, Sort::test};
}

std::optional<Primary> find_primary(std::string_view name) {
  for (const KnownPrimary& known : kPrimaries) {
    if (known.name == name) return Primary{known.name, known.canonical, known.argument, known.sort};
  }
  return newer_primary(name);
}

std::string_view without_sign(std::string_view text) {
  if (!text.empty() && is_one_of(text.front(), "+-")) text.remove_prefix(1);
  return text;
}

// [+-]N; at most 18 digits, so that it fits what find reads it into.
bool is_number(std::string_view text) {
  text = without_sign(text);
  return text.size() <= 18 && consists_of(text, kDigits);
}

bool is_decimal(std::string_view text) {
  text = without_sign(text);
  const std::size_t dot = text.find('.');
  if (dot == std::string_view::npos) return text.size() <= 9 && consists_of(text, kDigits);
  return dot <= 9 && text.size() <= 18 && consists_of(text.substr(0, dot), kDigits) &&
         consists_of(text.substr(dot + 1), kDigits);
}

bool is_size(std::string_view text) {
  if (!text.empty() && is_one_of(text.back(), "bcwkMG")) text.remove_suffix(1);
  return is_number(text) && without_sign(text).size() <= 12;
}

// One letter, or a list of different ones.
bool is_types(std::string_view text) {
  std::string seen;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (i % 2 == 1) {
      if (text[i] != ',') return false;
    } else if (!is_one_of(text[i], "bcdpfls") || is_one_of(text[i], seen)) {
      return false;
    } else {
      seen += text[i];
    }
  }
  return text.size() % 2 == 1;
}

// chmod(1)'s: who, then operators each with permissions.
bool is_symbolic_clause(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of("ugoa"), text.size()));
  if (text.empty()) return false;
  while (!text.empty()) {
    if (!is_one_of(text.front(), "+-=")) return false;
    text.remove_prefix(1);
    const std::size_t end = std::min(text.find_first_of("+-="), text.size());
    const std::string_view permissions = text.substr(0, end);
    const bool copied = permissions.size() == 1 && is_one_of(permissions[0], "ugo");
    if (!copied && !permissions.empty() && !consists_of(permissions, "rwxXst")) return false;
    text.remove_prefix(end);
  }
  return true;
}

bool is_mode(std::string_view text) {
  if (!text.empty() && is_one_of(text.front(), "-/")) text.remove_prefix(1);
  if (consists_of(text, "01234567")) return text.size() <= 4 || (text.size() == 5 && text[0] == '0');
  if (text.empty() || text.front() == '+') return false;  // "+mode" is refused by newer versions
  while (true) {
    const std::size_t comma = text.find(',');
    if (!is_symbolic_clause(text.substr(0, comma))) return false;
    if (comma == std::string_view::npos) return true;
    text.remove_prefix(comma + 1);
  }
}

constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

bool is_owner(std::string_view text) {
  const std::string first = std::string(kLetters) + std::string(kDigits) + "_";
  return text.size() <= 64 && consists_of(text, first + ".-") && is_one_of(text.front(), first);
}

bool is_date(std::string_view text) {
  return text.size() <= 64 && consists_of(text, std::string(kLetters) + std::string(kDigits) + " :+.,/@-");
}

bool is_regex_syntax(std::string_view text) {
  static constexpr Name kNames[]{"findutils-default", "emacs", "gnu-awk", "grep", "posix-awk", "awk", "posix-basic",
                                 "posix-egrep", "egrep", "posix-extended", "posix-minimal-basic", "sed", "ed"};
  return std::find(std::begin(kNames), std::end(kNames), text) != std::end(kNames);
}

// printf's escapes and directives. What find does not know it would print with a warning, and so is refused.
bool is_format(std::string_view text) {
  while (!text.empty()) {
    const char c = text.front();
    text.remove_prefix(1);
    if (c != '\\' && c != '%') continue;
    if (text.empty()) return false;
    if (c == '\\') {
      const bool octal = is_one_of(text.front(), "01234567");
      if (!octal && !is_one_of(text.front(), "abcfnrtv\\")) return false;
      text.remove_prefix(1);
      continue;
    }
    if (text.front() == '%') {
      text.remove_prefix(1);
      continue;
    }
    text.remove_prefix(std::min(text.find_first_not_of("-+ #0"), text.size()));
    const std::size_t width = std::min(text.find_first_not_of("0123456789."), text.size());
    if (width > 6 || std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(width), '.') > 1) return false;
    text.remove_prefix(width);
    if (text.empty()) return false;
    const char directive = text.front();
    text.remove_prefix(1);
    if (!is_one_of(directive, "ABCT")) {
      if (!is_one_of(directive, "abcdDfFgGhHiklmMnpPsStuUyY")) return false;
      continue;
    }
    if (text.empty() || !is_one_of(text.front(), "@HIklMprSTXZaAbBcdDhjmUwWxyY+")) return false;
    text.remove_prefix(1);
  }
  return true;
}

std::string_view described(Argument argument) {
  switch (argument) {
    case Argument::none:
      return "nothing";
    case Argument::depth:
      return "a number from 0 to 999999";
    case Argument::number:
      return "a number, with + or - in front for more or less";
    case Argument::decimal:
      return "a number, with + or - in front for more or less, perhaps with a fraction";
    case Argument::size:
      return "a number with + or - in front and one of b c w k M G behind it";
    case Argument::pattern:
      return "a pattern of 1 to 4096 bytes";
    case Argument::types:
      return "one of b c d p f l s, or several with commas between";
    case Argument::mode:
      return "a mode as 644, -644, /u+w or u=rw,g=r";
    case Argument::owner:
      return "a name or a number";
    case Argument::file_system:
      return "the name of a file system type";
    case Argument::path:
      return "a path that the policy allows";
    case Argument::syntax:
      return "a name of a regular expression syntax, as posix-extended";
    case Argument::format:
      return "a format of escapes and directives that find knows";
    case Argument::date:
      return "a date of letters, digits and \" :+.,/@-\"";
  }
  return "";
}

bool is_depth(std::string_view text) {
  const std::optional<std::int64_t> value = read_integer(text);
  return value && *value < 1000000;
}

bool fits(Argument argument, std::string_view text) {
  if (text.empty() || text.size() > kMaxArgument) return false;
  switch (argument) {
    case Argument::none:
    case Argument::path:  // decided by the caller
    case Argument::pattern:
      return true;
    case Argument::depth:
      return is_depth(text);
    case Argument::number:
      return is_number(text);
    case Argument::decimal:
      return is_decimal(text);
    case Argument::size:
      return is_size(text);
    case Argument::types:
      return is_types(text);
    case Argument::mode:
      return is_mode(text);
    case Argument::owner:
      return is_owner(text);
    case Argument::file_system:
      return consists_of(text, "abcdefghijklmnopqrstuvwxyz0123456789_.-") && text.size() <= 32;
    case Argument::syntax:
      return is_regex_syntax(text);
    case Argument::format:
      return is_format(text);
    case Argument::date:
      return is_date(text);
  }
  return false;
}

using Done = tl::expected<void, LanguageProblem>;
using Tested = tl::expected<bool, LanguageProblem>;

class ExpressionReader {
 public:
  ExpressionReader(std::span<const std::string> words, const FindPath& decide_path)
      : words_(words), decide_path_(decide_path) {}

  tl::expected<std::vector<std::string>, LanguageProblem> run() {
    if (!words_.empty()) {
      if (Done read = list(0); !read) return tl::unexpected(std::move(read.error()));
      if (at_ < words_.size()) return tl::unexpected(unexpected_word());
    }
    std::move(tests_.begin(), tests_.end(), std::back_inserter(globals_));
    return std::move(globals_);
  }

 private:
  [[nodiscard]] bool next_is(std::string_view word) const { return at_ < words_.size() && words_[at_] == word; }
  bool take(std::string_view word) {
    const bool taken = next_is(word);
    if (taken) ++at_;
    return taken;
  }

  [[nodiscard]] LanguageProblem problem(DenialCode code, std::string expected, std::string suggestion = {}) const {
    return {code, std::move(expected), std::move(suggestion), std::min(at_, words_.size() - 1)};
  }

  [[nodiscard]] LanguageProblem unexpected_word() const {
    const std::string& word = words_[at_];
    if (!begins_find_expression(word)) {
      return problem(DenialCode::operand_invalid,
                     "a test, an operator or an action: the directories to search stand before the expression");
    }
    if (word[0] != '-') return problem(DenialCode::operand_invalid, "an operator where it joins two tests");
    std::vector<std::string> names;
    for (const KnownPrimary& primary : kPrimaries) names.emplace_back(primary.name);
    return problem(DenialCode::option_not_allowed,
                   "a test, an operator or an action that only prints (nothing that executes, deletes or writes)",
                   nearest_name(word, names));
  }

  // expr , expr
  Done list(std::size_t depth) {
    if (depth > kMaxDepth) {
      return tl::unexpected(problem(DenialCode::operand_invalid, "parentheses at most 32 deep"));
    }
    for (;;) {
      if (Done read = alternatives(depth); !read) return read;
      if (!take(",")) return {};
      tests_.emplace_back(",");
    }
  }

  // expr -o expr
  Done alternatives(std::size_t depth) {
    for (;;) {
      if (Done read = chain(depth); !read) return read;
      if (!take("-o") && !take("-or")) return {};
      tests_.emplace_back("-o");
    }
  }

  // expr expr, expr -a expr. One that holds no test is none; beside a test, a global option can be moved to the front.
  Done chain(std::size_t depth) {
    const std::size_t begin = at_;
    std::size_t tests = 0;
    for (;;) {
      const Tested tested = term(depth);
      if (!tested) return tl::unexpected(tested.error());
      tests += *tested ? 1U : 0U;
      const bool joined = take("-a") || take("-and");
      const bool ended = at_ == words_.size() || next_is(")") || next_is(",") || next_is("-o") || next_is("-or");
      if (ended && !joined) break;
    }
    if (tests > 0 || (begin == 0 && at_ == words_.size())) return {};
    at_ = begin;
    return tl::unexpected(problem(DenialCode::operand_invalid, "a test beside this option"));
  }

  // Whether it was a test, and no option.
  Tested term(std::size_t depth) {
    bool negated = false;
    while (take("!") || take("-not")) {
      tests_.emplace_back("!");
      negated = true;
    }
    if (at_ == words_.size()) {
      return tl::unexpected(problem(DenialCode::operand_invalid, "a test behind this word"));
    }
    if (!take("(")) return primary(negated);
    tests_.emplace_back("(");
    const std::size_t open = at_ - 1;
    if (Done read = list(depth + 1); !read) return tl::unexpected(std::move(read.error()));
    if (!take(")")) {
      if (at_ < words_.size()) return tl::unexpected(unexpected_word());
      at_ = open;
      return tl::unexpected(problem(DenialCode::operand_invalid, "a parenthesis that is closed"));
    }
    tests_.emplace_back(")");
    return true;
  }

  Tested primary(bool negated) {
    const std::optional<Primary> known = find_primary(words_[at_]);
    if (!known || (known->sort != Sort::test && negated)) return tl::unexpected(unexpected_word());
    const bool test = known->sort == Sort::test;
    std::vector<std::string>& out = known->sort == Sort::global ? globals_ : tests_;
    out.emplace_back(known->canonical);
    if (known->argument == Argument::none) {
      ++at_;
      return test;
    }
    if (at_ + 1 == words_.size()) {
      return tl::unexpected(problem(DenialCode::option_value_missing, std::string(described(known->argument))));
    }
    const std::string& text = words_[++at_];
    if (!fits(known->argument, text)) {
      return tl::unexpected(problem(DenialCode::option_value_invalid, std::string(described(known->argument))));
    }
    if (known->argument != Argument::path) {
      out.push_back(text);
    } else {
      auto decided = decide_path_(text);
      if (!decided) {
        decided.error().index = at_;
        return tl::unexpected(std::move(decided.error()));
      }
      out.push_back(std::move(*decided));
    }
    ++at_;
    return test;
  }

  std::span<const std::string> words_;
  const FindPath& decide_path_;
  std::size_t at_ = 0;
  std::vector<std::string> globals_, tests_;
};

}  // namespace

bool begins_find_expression(std::string_view word) {
  if (word.empty()) return false;
  return word[0] == '-' ? word.size() > 1 : word.size() == 1 && is_one_of(word[0], "()!,");
}

tl::expected<std::vector<std::string>, LanguageProblem> read_find(std::span<const std::string> words,
                                                                  const FindPath& decide_path) {
  return ExpressionReader(words, decide_path).run();
}

}  // namespace safe_exec
