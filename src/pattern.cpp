// Owns the regex engine (RE2) and the path globs of deny_paths. Decides only whether a text matches; never reads
// a policy or a file. Patterns come from the policy, texts from a requester: time and memory are bounded in both.
#include "pattern.h"

#include <re2/re2.h>

#include <algorithm>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace safe_exec {
namespace {

// Two thirds of it bound the compiled program, the rest one DFA's cache (re2.h, "max_mem").
constexpr std::int64_t kEngineBytes = 8LL << 20;
// When the DFA's cache is used up, RE2 falls back to an NFA that takes program size x text length steps. This
// bounds that product, so that a text never takes longer than a second or so whatever the pattern.
constexpr std::size_t kEngineSteps = std::size_t{1} << 28U;
constexpr std::size_t kMaxRepeat = 1000;  // RE2's own bound on {m,n}; above it RE2 must be the one to refuse
constexpr std::size_t kUnbounded = static_cast<std::size_t>(-1);
constexpr std::size_t kSplitRepeat = 10;        // the longest {m,n} that split_repeats leaves
constexpr std::size_t kMaxSplitPattern = 4096;  // bytes; splitting may lengthen a pattern a hundredfold

// One item of a plain sequence: a set of ASCII characters, min to max times.
struct Item {
  std::bitset<128> set;
  std::size_t min = 1, max = 1;
};
using Sequence = std::vector<Item>;

bool is_alnum(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}
bool is_punct(char c) {
  return c > ' ' && c < '\x7f' && !is_alnum(c);
}
std::size_t index_of(char c) {
  return static_cast<unsigned char>(c);
}

// Most patterns of a policy are sequences of ASCII literals and classes with repetition, and RE2 needs about
// 0.4 ms to compile x{0,127}, more than all the rest of a launch's reading. Such sequences are matched directly.
// Whatever is not certainly read here as RE2 reads it yields nullopt, and RE2 decides.
class SequenceReader {
 public:
  explicit SequenceReader(std::string_view pattern) : rest_(pattern) {}

  std::optional<Sequence> read() {
    Sequence items;
    while (!rest_.empty()) {
      Item item;
      if (!read_set(item.set) || !read_repeat(item)) return std::nullopt;
      items.push_back(item);
    }
    return items;
  }

  // Such sequences in groups and alternatives, as split_repeats rewrites them. A group's own repetition stays.
  // No set begins with '?' or '*': (?i), which changes how the rest is read, (* and |* end the reading there.
  std::optional<std::string> split() {
    std::string out;
    while (!rest_.empty()) {
      const std::string_view start = rest_;
      const auto consumed = [&] { return start.substr(0, start.size() - rest_.size()); };
      Item item;
      if (start.front() == '(' || start.front() == '|') {
        rest_.remove_prefix(start.substr(0, 3) == "(?:" ? 3 : 1);
        out += consumed();
      } else if (start.front() == ')') {
        rest_.remove_prefix(1);
        if (!read_repeat(item)) return std::nullopt;
        out += consumed();
      } else {
        if (!read_set(item.set)) return std::nullopt;
        const std::string_view set = consumed();
        if (!read_repeat(item)) return std::nullopt;
        out += (item.max == kUnbounded ? item.min : item.max) > kSplitRepeat ? split_item(set, item)
                                                                             : std::string(consumed());
      }
    }
    return out;
  }

 private:
  // X{a,b}X{c,d} is X{a+c,b+d}. Each part takes as much of the minimum as it can hold, so that none is {m,n} with
  // m > n; with no maximum all parts but the last are exact.
  static std::string split_item(std::string_view set, const Item& item) {
    const bool unbounded = item.max == kUnbounded;
    std::string out = "(?:";
    std::size_t min = item.min;
    for (std::size_t left = unbounded ? item.min : item.max; left > 0;) {
      const std::size_t high = std::min(left, kSplitRepeat), low = std::min(min, high);
      left -= high;
      min -= low;
      out.append(set).append("{" + std::to_string(low) + ",");
      out += unbounded && left == 0 ? "}" : std::to_string(high) + "}";
    }
    return out + ")";
  }

  bool read_set(std::bitset<128>& set) {
    if (rest_.front() == '[') return read_class(set);
    if (rest_.front() != '\\' && std::string_view(".]{}()*+?|^$").find(rest_.front()) != std::string_view::npos) {
      return false;
    }
    const std::optional<char> literal = read_char();
    if (literal) set.set(index_of(*literal));
    return literal.has_value();
  }

  // One character, or a backslash and punctuation (which RE2 always takes literally).
  std::optional<char> read_char() {
    char c = rest_.front();
    rest_.remove_prefix(1);
    if (c == '\\') {
      if (rest_.empty() || !is_punct(rest_.front())) return std::nullopt;
      c = rest_.front();
      rest_.remove_prefix(1);
      return c;
    }
    if (c != ' ' && !is_alnum(c) && !is_punct(c)) return std::nullopt;
    return c;
  }

  bool read_class(std::bitset<128>& set) {
    rest_.remove_prefix(1);
    if (rest_.empty() || rest_.front() == ']' || rest_.front() == '^') return false;
    for (bool first = true; !rest_.empty() && rest_.front() != ']'; first = false) {
      if (rest_.front() == '[') return false;  // [:alpha:]
      const bool bare_dash = rest_.front() == '-';
      const std::optional<char> low = read_char();
      if (!low || rest_.empty()) return false;
      if (bare_dash && ((!first && rest_.front() != ']') || rest_.front() == '-')) return false;
      char high = *low;
      if (rest_.front() == '-' && rest_.size() > 1 && rest_[1] != ']') {
        rest_.remove_prefix(1);
        if (rest_.front() == '[' || rest_.front() == '-') return false;
        const std::optional<char> end = read_char();
        if (!end || *end < *low) return false;
        high = *end;
      }
      for (std::size_t c = index_of(*low); c <= index_of(high); ++c) set.set(c);
    }
    if (rest_.empty()) return false;
    rest_.remove_prefix(1);
    return true;
  }

  bool read_repeat(Item& item) {
    if (rest_.empty()) return true;
    switch (rest_.front()) {
      case '*':
        item.min = 0, item.max = kUnbounded;
        break;
      case '+':
        item.max = kUnbounded;
        break;
      case '?':
        item.min = 0;
        break;
      case '{':
        return read_braces(item) && !at_repeat();
      default:
        return true;
    }
    rest_.remove_prefix(1);
    return !at_repeat();
  }

  bool at_repeat() const {  // x*? is lazy, x** an error: both are RE2's affair
    return !rest_.empty() && std::string_view("*+?{").find(rest_.front()) != std::string_view::npos;
  }

  bool read_braces(Item& item) {
    rest_.remove_prefix(1);
    const std::optional<std::size_t> low = read_number();
    if (!low || rest_.empty()) return false;
    item.min = item.max = *low;
    if (rest_.front() == ',') {
      rest_.remove_prefix(1);
      item.max = kUnbounded;
      if (!rest_.empty() && rest_.front() != '}') {
        const std::optional<std::size_t> high = read_number();
        if (!high || *high < *low) return false;
        item.max = *high;
      }
    }
    if (rest_.empty() || rest_.front() != '}') return false;
    rest_.remove_prefix(1);
    return true;
  }

  std::optional<std::size_t> read_number() {
    if (rest_.size() > 1 && rest_[0] == '0' && rest_[1] >= '0' && rest_[1] <= '9') return std::nullopt;  // no repeat
    std::size_t value = 0;
    std::size_t digits = 0;
    while (!rest_.empty() && rest_.front() >= '0' && rest_.front() <= '9') {
      value = value * 10 + static_cast<std::size_t>(rest_.front() - '0');
      rest_.remove_prefix(1);
      if (++digits > 4 || value > kMaxRepeat) return std::nullopt;
    }
    if (digits == 0) return std::nullopt;
    return value;
  }

  std::string_view rest_;
};

// After each item, which positions of the text can have been reached: items x length steps, no backtracking.
bool matches_sequence(const Sequence& items, std::string_view text) {
  std::size_t longest = 0;
  for (const Item& item : items) {
    longest = item.max == kUnbounded || longest == kUnbounded ? kUnbounded : longest + item.max;
  }
  if (text.size() > longest) return false;
  std::vector<std::uint32_t> before(text.size() + 2);  // before[p]: reachable positions below p
  std::vector<char> reached(text.size() + 1, 0);
  reached[0] = 1;
  for (const Item& item : items) {
    for (std::size_t p = 0; p <= text.size(); ++p) before[p + 1] = before[p] + (reached[p] != 0 ? 1U : 0U);
    std::size_t run = 0;  // start of the longest stretch of the set's characters that ends before p
    for (std::size_t p = 0; p <= text.size(); ++p) {
      if (p > 0) {
        const std::size_t c = index_of(text[p - 1]);
        if (c >= item.set.size() || !item.set.test(c)) run = p;
      }
      const std::size_t low = item.max < p ? std::max(run, p - item.max) : run;
      reached[p] = p >= item.min && low <= p - item.min && before[p - item.min + 1] > before[low] ? 1 : 0;
    }
  }
  return reached[text.size()] != 0;
}

struct Compiled {
  std::optional<Sequence> sequence;
  std::unique_ptr<re2::RE2> engine;  // when it is not a sequence
};

std::unique_ptr<re2::RE2> make_engine(std::string_view pattern) {
  re2::RE2::Options options;  // UTF-8, Perl classes, leftmost-first; '$' is the end of the text only
  options.set_log_errors(false);
  options.set_never_capture(true);
  options.set_max_mem(kEngineBytes);
  return std::make_unique<re2::RE2>(re2::StringPiece(pattern.data(), pattern.size()), options);
}

Compiled compile(std::string_view pattern) {
  Compiled compiled{SequenceReader(pattern).read(), nullptr};
  if (compiled.sequence) return compiled;
  compiled.engine = make_engine(pattern);
  if (compiled.engine->error_code() == re2::RE2::ErrorRepeatSize) {
    // When this does not help either, the error stays that of the pattern as it is written.
    if (auto split = make_engine(split_repeats(pattern)); split->ok()) compiled.engine = std::move(split);
  }
  return compiled;
}

}  // namespace

struct PatternCache::Impl {
  std::map<std::string, Compiled, std::less<>> compiled;
  std::string invalid;
};

PatternCache::PatternCache() : impl_(std::make_unique<Impl>()) {}
PatternCache::~PatternCache() = default;

PatternCache::Match PatternCache::full_match(std::string_view pattern, std::string_view text) {
  auto found = impl_->compiled.find(pattern);
  if (found == impl_->compiled.end()) {
    found = impl_->compiled.emplace(std::string(pattern), compile(pattern)).first;
  }
  const Compiled& compiled = found->second;
  if (compiled.sequence) return matches_sequence(*compiled.sequence, text) ? Match::yes : Match::no;
  if (!compiled.engine->ok()) {
    if (impl_->invalid.empty()) impl_->invalid = pattern;
    return Match::invalid;
  }
  const auto size = static_cast<std::size_t>(compiled.engine->ProgramSize());
  if (size > 0 && text.size() > kEngineSteps / size) return Match::limit;
  return re2::RE2::FullMatch(re2::StringPiece(text.data(), text.size()), *compiled.engine) ? Match::yes : Match::no;
}

const std::string& PatternCache::invalid() const noexcept { return impl_->invalid; }

std::string split_repeats(std::string_view pattern) {
  if (pattern.size() > kMaxSplitPattern) return std::string(pattern);
  return SequenceReader(pattern).split().value_or(std::string(pattern));
}

std::string pattern_problem(std::string_view pattern) {
  const Compiled compiled = compile(pattern);
  if (compiled.sequence || compiled.engine->ok()) return {};
  return compiled.engine->error().empty() ? "the pattern does not compile" : compiled.engine->error();
}

namespace {

// ---------------------------------------------------------------------------------------------------------
// Globs

char fold(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// Bytes of the character at text[at]. File names need not be UTF-8: a stray byte is a character of its own.
std::size_t char_length(std::string_view text, std::size_t at) {
  if (index_of(text[at]) < 0xC0) return 1;
  std::size_t length = 1;
  while (length < 4 && at + length < text.size() && (index_of(text[at + length]) & 0xC0U) == 0x80) ++length;
  return length;
}

// '*' and '?' within one component. Only the last '*' is ever tried again: glob x name steps at worst.
bool component_matches(std::string_view glob, std::string_view name) {
  std::size_t g = 0, n = 0, star = std::string_view::npos, star_name = 0;
  while (n < name.size()) {
    if (g < glob.size() && glob[g] == '*') {
      star = g++;
      star_name = n;
    } else if (g < glob.size() && glob[g] == '?') {
      ++g;
      n += char_length(name, n);
    } else if (g < glob.size() && fold(glob[g]) == fold(name[n])) {
      ++g;
      ++n;
    } else if (star != std::string_view::npos) {
      star_name += char_length(name, star_name);
      n = star_name;
      g = star + 1;
    } else {
      return false;
    }
  }
  while (g < glob.size() && glob[g] == '*') ++g;
  return g == glob.size();
}

void append_components(std::string_view path, std::vector<std::string_view>& components) {
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    const std::string_view component = path.substr(0, slash);
    if (!component.empty() && component != ".") components.push_back(component);
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
}

// Walks the path's components over the glob's; states[i]: the first i components of the glob have matched. A
// component "**" stays where it is; behind the last there is an implied "**", since what lies below a match
// matches.
std::vector<char> walk_glob(std::string_view glob, std::string_view path) {
  std::vector<std::string_view> parts, components;
  if (glob.empty() || glob.front() != '/') parts.push_back("**");
  append_components(glob, parts);
  append_components(path, components);
  std::vector<char> states(parts.size() + 1, 0);
  const auto pass_stars = [&] {
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (states[i] != 0 && parts[i] == "**") states[i + 1] = 1;
    }
  };
  states[0] = 1;
  pass_stars();
  for (const std::string_view component : components) {
    std::vector<char> next(states.size(), 0);
    next.back() = states.back();
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (states[i] == 0) continue;
      if (parts[i] == "**") {
        next[i] = 1;
      } else if (component_matches(parts[i], component)) {
        next[i + 1] = 1;
      }
    }
    states = std::move(next);
    pass_stars();
  }
  return states;
}

}  // namespace

bool is_within(std::string_view path, std::string_view directory) noexcept {
  if (directory == "/") return path.starts_with('/');
  return path.starts_with(directory) && (path.size() == directory.size() || path[directory.size()] == '/');
}

bool glob_matches(std::string_view glob, std::string_view path) {
  return walk_glob(glob, path).back() != 0;
}

bool glob_may_match_below(std::string_view glob, std::string_view directory) {
  // Every component of a glob matches some name, so any state that is still alive can be completed below.
  const std::vector<char> states = walk_glob(glob, directory);
  return std::any_of(states.begin(), states.end(), [](char alive) { return alive != 0; });
}

}  // namespace safe_exec
