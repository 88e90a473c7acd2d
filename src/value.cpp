// Owns the reading of one token as a value of a type, and what may never be in a token or an environment variable.
// Never decides about paths (the caller does) and never looks at the host.
#include "value.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <utility>

#include "inline_text.h"
#include "language.h"
#include "language_find.h"
#include "language_jq.h"
#include "language_sed.h"
#include "language_sql.h"
#include "language_template.h"
#include "suggest.h"
#include "utf8.h"

namespace safe_exec {
namespace {

constexpr std::size_t kMaxAllowed = 20;  // entries of Denial::allowed
constexpr std::size_t kMaxLanguageBytes = 4096;

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

tl::unexpected<ValueFailure> fail(DenialCode code, std::string expected) {
  return tl::unexpected(ValueFailure{code, std::move(expected), {}, {}});
}
tl::unexpected<ValueFailure> refuse(const Type& type) {
  return fail(DenialCode::operand_invalid, describe(type));
}
tl::unexpected<ValueFailure> too_long(const Type& type) {
  return fail(DenialCode::argument_too_long, describe(type));
}

bool is_bidi_or_line(std::uint32_t code) {
  return code == 0x2028 || code == 0x2029 || (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}
bool is_control(std::uint32_t code) {
  return code < 0x20 || (code >= 0x7F && code <= 0x9F);
}
bool is_noncharacter(std::uint32_t code) {
  return (code & 0xFFFEU) == 0xFFFE || (code >= 0xFDD0 && code <= 0xFDEF);
}

std::string join(const std::vector<std::string>& words, std::string_view separator) {
  std::string text;
  for (std::size_t i = 0; i < words.size() && i < kMaxAllowed; ++i) {
    if (i > 0) text += separator;
    text += words[i];
  }
  if (words.size() > kMaxAllowed) text += ", ...";
  return text;
}

// POLICY.md 3.4: the empty string is a value of these two only, whatever a pattern would say.
bool accepts_empty(const Type& type) {
  return (type.kind == Type::Kind::text && type.low <= 0) || (type.kind == Type::Kind::literal && type.text.empty());
}

ValueResult match_enumeration(const Type& type, std::string_view token) {
  if (std::find(type.choices.begin(), type.choices.end(), token) != type.choices.end()) return std::string(token);
  ValueFailure failure{DenialCode::operand_invalid, describe(type), {}, nearest_name(token, type.choices)};
  for (const std::string& choice : type.choices) {
    if (failure.allowed.size() < kMaxAllowed) failure.allowed.push_back(choice);
  }
  return tl::unexpected(std::move(failure));
}

ValueResult match_integer(const Type& type, std::int64_t low, std::int64_t high, std::string_view token) {
  const std::optional<std::int64_t> value = read_integer(token);
  if (!value || *value < low || *value > high) return refuse(type);
  return std::string(token);
}

// The engine's answer as a result.
ValueResult match_pattern(const Type& type, std::string_view pattern, std::string_view text, std::string_view token,
                          PatternCache& patterns) {
  switch (patterns.full_match(pattern, text)) {
    case PatternCache::Match::yes:
      return std::string(token);
    case PatternCache::Match::no:
      return refuse(type);
    case PatternCache::Match::limit:
      return fail(DenialCode::pattern_limit, "a value that the pattern can be tried on");
    // The loader compiles patterns before a policy is used whole; when it did not, nothing matches.
    case PatternCache::Match::invalid:
      return fail(DenialCode::pattern_limit, "a pattern that compiles");
  }
  return refuse(type);
}

ValueResult match_regex(const Type& type, std::string_view token, PatternCache& patterns) {
  if (type.max_len < 0 || token.size() > static_cast<std::size_t>(type.max_len)) return too_long(type);
  return match_pattern(type, type.text, token, token, patterns);
}

ValueResult match_text(const Type& type, std::string_view token) {
  if (type.high < 0 || token.size() > static_cast<std::size_t>(type.high)) return too_long(type);
  if (type.low > 0 && token.size() < static_cast<std::size_t>(type.low)) return refuse(type);
  return std::string(token);
}

ValueResult match_list(const Type& type, std::string_view token, PatternCache& patterns, const PathDecider& decide) {
  if (type.of == nullptr || type.text.empty() || type.max < 1) return refuse(type);
  std::string canonical;
  std::string_view rest = token;
  for (std::int64_t count = 1;; ++count) {
    if (count > type.max) return refuse(type);
    const std::size_t end = rest.find(type.text);
    const ValueResult element = match_value(*type.of, rest.substr(0, end), patterns, decide);
    if (!element) return element;
    if (element->find(type.text) != std::string::npos) return refuse(type);  // it would be read as two
    canonical += *element;
    if (end == std::string_view::npos) return canonical;
    canonical += type.text;
    rest.remove_prefix(end + type.text.size());
  }
}

std::optional<std::int64_t> default_port(std::string_view scheme) {
  constexpr std::array<std::pair<std::string_view, std::int64_t>, 7> kPorts{
      {{"http", 80}, {"https", 443}, {"ws", 80}, {"wss", 443}, {"ftp", 21}, {"ssh", 22}, {"git", 9418}}};
  for (const auto& [name, port] : kPorts) {
    if (name == scheme) return port;
  }
  return std::nullopt;
}

ValueResult match_url(const Type& type, std::string_view token, PatternCache& patterns) {
  if (token.size() > kMaxLanguageBytes) return too_long(type);
  const std::optional<UrlParts> url = split_url(token);
  const UrlType& allowed = type.url;
  if (!url) return refuse(type);
  if (std::find(allowed.schemes.begin(), allowed.schemes.end(), url->scheme) == allowed.schemes.end()) {
    return refuse(type);
  }
  if (!host_is_listed(url->host, allowed.hosts)) return refuse(type);
  if (allowed.ports.empty()) {
    if (!url->port.empty()) return refuse(type);  // only the scheme's own
  } else {
    const auto port = url->port.empty() ? default_port(url->scheme) : read_integer(url->port);
    if (!port || std::find(allowed.ports.begin(), allowed.ports.end(), *port) == allowed.ports.end())
      return refuse(type);
  }
  if (allowed.path.empty()) return std::string(token);
  const std::string path = (url->path.starts_with("/") ? "" : "/") + std::string(url->path);
  return match_pattern(type, allowed.path, path, token, patterns);
}

ValueResult match_pathspec(const Type& type, std::string_view token, const PathDecider& decide) {
  if (token.size() > kMaxLanguageBytes) return too_long(type);
  const tl::expected<Pathspec, DenialCode> spec = read_pathspec(token);
  if (!spec) return fail(spec.error(), describe(type));
  if (spec->wildcard == std::string_view::npos) return decide(type, token);
  std::size_t length = spec->directory_length;
  while (length > 1 && token[length - 1] == '/') --length;
  const bool absolute = token.front() == '/';
  // Without a directory in front the wildcard is tried in the working directory; "./" takes its power as an option.
  const std::string_view directory = length > 0 ? token.substr(0, length) : std::string_view(absolute ? "/" : ".");
  ValueResult decided = decide(type, directory);
  if (!decided) return decided;
  if (length == 0) return absolute ? std::string(token) : "./" + std::string(token);
  return *decided + std::string(token.substr(length));
}

using TextReader = tl::expected<std::string, LanguageProblem> (*)(std::string_view text);

// A text that a parser rebuilds. Were it to read its own text as something else, a program could too.
ValueResult match_script(TextReader read, std::string_view token) {
  auto rebuilt = read(token);
  if (!rebuilt) {
    LanguageProblem& problem = rebuilt.error();
    return tl::unexpected(ValueFailure{problem.code, std::move(problem.expected), {}, std::move(problem.suggestion)});
  }
  const auto again = read(*rebuilt);
  if (!again || *again != *rebuilt) return fail(DenialCode::operand_invalid, "a text that is read in one way only");
  return *std::move(rebuilt);
}

ValueResult match_language(const Type& type, std::string_view token, const PathDecider& decide) {
  switch (type.language) {
    case Language::pathspec:
      return match_pathspec(type, token, decide);
    case Language::git_rev:
      if (token.size() > kMaxLanguageBytes) return too_long(type);
      if (!is_git_rev(token)) return refuse(type);
      return std::string(token);
    case Language::find:     // only as a whole: match_words
    case Language::command:  // decided by evaluation
      return refuse(type);
    case Language::sed_print:
      return match_script(read_sed, token);
    case Language::jq:
      return match_script(read_jq, token);
    case Language::go_template:
      return match_script(read_template, token);
    case Language::sql_read:
      return match_script(read_sql, token);
    case Language::journal_match:
      if (!is_journal_match(token)) return refuse(type);
      return std::string(token);
  }
  return refuse(type);
}

using Words = tl::expected<std::vector<std::string>, WordsFailure>;

// The paths inside an expression are looked at by name only.
Words match_find(const Type& type, std::span<const std::string> words, const PathDecider& decide) {
  Type path;
  path.kind = Type::Kind::path;
  path.path = type.path;
  path.path.access = PathAccess::stat;
  std::optional<ValueFailure> refused;
  const FindPath decide_path = [&](std::string_view text) -> tl::expected<std::string, LanguageProblem> {
    ValueResult decided = decide(path, text);
    if (decided) return *std::move(decided);
    refused = std::move(decided.error());
    return tl::unexpected(LanguageProblem());
  };
  auto rebuilt = read_find(words, decide_path);
  if (rebuilt) return *std::move(rebuilt);
  LanguageProblem& problem = rebuilt.error();
  if (refused) return tl::unexpected(WordsFailure{*std::move(refused), problem.index});
  return tl::unexpected(
      WordsFailure{{problem.code, std::move(problem.expected), {}, std::move(problem.suggestion)}, problem.index});
}

std::string describe_roots(const std::vector<Root>& roots) {
  constexpr std::size_t kMaxRoots = 5;
  std::vector<std::string> names;
  for (const Root& root : roots) {
    if (names.size() == kMaxRoots) {
      names.push_back(std::to_string(roots.size() - kMaxRoots) + " more");
      break;
    }
    names.push_back(root.variable.empty() ? root.path
                                          : "${" + root.variable + (root.path.empty() ? "}" : "}/") + root.path);
  }
  return names.empty() ? " nowhere (no root is listed)" : " below " + join(names, " or ");
}

std::string describe_path(const PathType& type) {
  std::string text;
  switch (type.kind) {
    case PathKind::file:
      text = "a file";
      break;
    case PathKind::dir:
      text = "a directory";
      break;
    case PathKind::any:
      text = "a file or directory";
      break;
  }
  switch (type.access) {
    case PathAccess::stat:
    case PathAccess::read:
      break;
    case PathAccess::write:
      text += " to write";
      break;
    case PathAccess::create:
      text += " to create";
      break;
    case PathAccess::replace:
      text += " to replace";
      break;
  }
  text += describe_roots(type.within);
  constexpr std::size_t kMaxPattern = 80;  // a longer one tells a reader nothing
  if (type.match.size() > kMaxPattern) text += ", written as the pattern in the policy says";
  else if (!type.match.empty()) text += ", written as /" + type.match + "/";
  return text;
}

std::string describe_url(const UrlType& type) {
  std::string text =
      "a URL with the scheme " + join(type.schemes, " or ") + " and the host " + join(type.hosts, " or ");
  std::vector<std::string> ports;
  for (const std::int64_t port : type.ports) ports.push_back(std::to_string(port));
  if (!ports.empty()) text += " on port " + join(ports, " or ");
  if (!type.path.empty()) text += ", its path as /" + type.path + "/";
  return text;
}

// Case is folded: npm reads NPM_CONFIG_*, curl both http_proxy and HTTPS_PROXY.
bool matches_name(std::string_view pattern, std::string_view name) {
  const bool open_end = pattern.ends_with('*');
  const bool open_start = pattern.starts_with('*');
  if (open_end) pattern.remove_suffix(1);
  if (open_start) pattern.remove_prefix(1);
  if (name.size() < pattern.size() || (!open_end && !open_start && name.size() != pattern.size())) return false;
  const std::string_view part = open_start ? name.substr(name.size() - pattern.size()) : name.substr(0, pattern.size());
  return std::equal(part.begin(), part.end(), pattern.begin(), [](char a, char b) { return lower(a) == lower(b); });
}

}  // namespace

tl::expected<void, DenialCode> check_text(std::string_view token, bool allow_lines) {
  while (!token.empty()) {
    const Utf8Char c = decode_utf8(token);
    if (c.length == 0 || is_noncharacter(c.code)) return tl::unexpected(DenialCode::operand_invalid);
    const bool line = allow_lines && (c.code == '\t' || c.code == '\n');
    if ((is_control(c.code) && !line) || is_bidi_or_line(c.code)) return tl::unexpected(DenialCode::control_character);
    token.remove_prefix(c.length);
  }
  return {};
}

ValueResult match_value(const Type& type, std::string_view token, PatternCache& patterns,
                        const PathDecider& decide_path) {
  if (const auto clean = check_text(token, allows_lines(type)); !clean) return fail(clean.error(), describe(type));
  if (token.empty() && !accepts_empty(type)) return refuse(type);
  switch (type.kind) {
    case Type::Kind::literal:
      if (token != type.text) return refuse(type);
      return std::string(token);
    case Type::Kind::enumeration:
      return match_enumeration(type, token);
    case Type::Kind::integer:
      return match_integer(type, type.low, type.high, token);
    case Type::Kind::regex:
      return match_regex(type, token, patterns);
    case Type::Kind::text:
      return match_text(type, token);
    case Type::Kind::path:
      return decide_path(type, token);
    case Type::Kind::list:
      return match_list(type, token, patterns, decide_path);
    case Type::Kind::host:
      if (!is_host(token)) return refuse(type);
      return std::string(token);
    case Type::Kind::port:
      return match_integer(type, 1, 65535, token);
    case Type::Kind::url:
      return match_url(type, token, patterns);
    case Type::Kind::language:
      return match_language(type, token, decide_path);
  }
  return refuse(type);
}

tl::expected<std::vector<std::string>, WordsFailure> match_words(const Type& type, std::span<const std::string> words,
                                                                 PatternCache& patterns,
                                                                 const PathDecider& decide_path) {
  const bool whole = type.kind == Type::Kind::language && takes_many_words(type.language);
  std::vector<std::string> rebuilt;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (whole) {
      const auto clean = check_text(words[i], allows_lines(type));
      if (!clean) return tl::unexpected(WordsFailure{{clean.error(), describe(type), {}, {}}, i});
      continue;
    }
    ValueResult value = match_value(type, words[i], patterns, decide_path);
    if (!value) return tl::unexpected(WordsFailure{std::move(value.error()), i});
    rebuilt.push_back(*std::move(value));
  }
  return whole ? match_find(type, words, decide_path) : Words(std::move(rebuilt));
}

std::string describe(const Type& type) {
  switch (type.kind) {
    case Type::Kind::literal:
      return "\"" + type.text + "\"";
    case Type::Kind::enumeration:
      return (type.choices.size() == 1 ? "" : "one of ") + join(type.choices, ", ");
    case Type::Kind::integer:
      return "an integer from " + std::to_string(type.low) + " to " + std::to_string(type.high);
    case Type::Kind::regex:
      return "a text that matches /" + type.text + "/, at most " + std::to_string(type.max_len) + " bytes";
    case Type::Kind::text:
      return "a text of " + std::to_string(type.low) + " to " + std::to_string(type.high) + " bytes";
    case Type::Kind::path:
      return describe_path(type.path);
    case Type::Kind::list:
      return "up to " + std::to_string(type.max) + " of these, with \"" + type.text +
             "\" between: " + (type.of == nullptr ? std::string("nothing") : describe(*type.of));
    case Type::Kind::host:
      return "a host name or an IP address";
    case Type::Kind::port:
      return "a port from 1 to 65535";
    case Type::Kind::url:
      return describe_url(type.url);
    case Type::Kind::language:
      switch (type.language) {
        case Language::pathspec:
          return "a path or glob" + describe_roots(type.path.within);
        case Language::git_rev:
          return "a git revision or a range of two";
        case Language::find:
          return "an expression of find that only prints";
        case Language::sed_print:
          return "a script of sed that only prints";
        case Language::jq:
          return "a filter of jq";
        case Language::go_template:
          return "a Go template that only formats";
        case Language::journal_match:
          return "a journal match, FIELD=value or +";
        case Language::sql_read:
          return "one SQL statement that only reads";
        case Language::command:
          return "a command that the policy allows";
      }
  }
  return {};
}

bool allows_lines(const Type& type) {
  if (type.kind == Type::Kind::list) return type.of != nullptr && allows_lines(*type.of);
  if (type.kind == Type::Kind::language) return holds_lines(type.language);
  return type.kind == Type::Kind::text && type.multiline;
}

bool is_channel_variable(std::string_view name) {
  // Of those below: what only says how much is printed, who is named, or which of an application's own settings hold.
  static constexpr Name kHarmless[]{
      "NODE_ENV",        "NODE_NO_WARNINGS",    "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED",
      "PYTHONUTF8",      "PYTHONFAULTHANDLER",  "CARGO_TERM_COLOR", "CARGO_INCREMENTAL",       "GIT_TERMINAL_PROMPT",
      "GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"};
  if (std::ranges::find(kHarmless, name) != std::end(kHarmless)) return false;
  static constexpr Name kChannels[]{"LD_*",          "*PAGER",       "*FLAGS",       "LESS*",
                                    "EDITOR",        "VISUAL",       "BROWSER",      "GIT_*",
                                    "SSH_*",         "HOME",         "XDG_*",        "PATH",
                                    "TMPDIR",        "TAR_OPTIONS",  "GREP_OPTIONS", "RIPGREP_CONFIG_PATH",
                                    "CURL_HOME",     "*_proxy",      "SSL_*",        "KUBECONFIG",
                                    "DOCKER_*",      "npm_config_*", "NODE_*",       "BASH_*",
                                    "ENV",           "IFS",          "SHELLOPTS",    "PS4",
                                    "PYTHON*",       "PERL*",        "RUBY*",        "JAVA_*",
                                    "_JAVA_OPTIONS", "GCONV_PATH",   "LOCPATH",      "NLSPATH",
                                    "TERMINFO",      "TERMCAP",      "TZDIR",        "POSIXLY_CORRECT",
                                    "PS_FORMAT",     "SYSTEMD_*",    "DBUS_*",       "*_OPTS",
                                    "*_OPTIONS",     "*_ADDOPTS",    "*_WRAPPER",    "*_LAUNCHER",
                                    "RUSTC",         "RUSTDOC",      "CARGO_*",      "GOROOT",
                                    "GOENV",         "GOTOOLCHAIN",  "GOPROXY",      "MAKEFILES",
                                    "CMAKE_*",       "GCC_*",        "COMPILER_PATH", "CLASSPATH",
                                    "OPENSSL_*",     "SSLKEYLOGFILE", "GLIBC_TUNABLES", "MALLOC_*",
                                    "LUA_*",         "PHPRC",        "PHP_INI_*",    "DOTNET_*",
                                    "PIP_*",         "YARN_*",       "GNUPGHOME",    "*_RSH",
                                    "SVN_SSH",       "HGRCPATH",     "MAGIC",        "JQ_LIBRARY_PATH",
                                    "ZDOTDIR",       "UNZIP",        "ZIPOPT",       "ZIPINFO",
                                    "GZIP",          "XZ_DEFAULTS",  "XZ_OPT",       "BC_ENV_ARGS",
                                    "VIMINIT",       "EXINIT",       "INPUTRC",      "WGETRC",
                                    "PSQLRC",        "AWS_*",        "DEBUGINFOD_URLS", "HOSTALIASES"};
  return std::any_of(std::begin(kChannels), std::end(kChannels),
                     [&](std::string_view pattern) { return matches_name(pattern, name); });
}

bool is_safe_locale_value(std::string_view name, std::string_view value) {
  if (name != "TZ" && name != "LANG" && name != "LANGUAGE" && !name.starts_with("LC_")) return true;
  const bool path_like = !value.empty() && (value.front() == '/' || value.front() == ':');
  return !path_like && value.find("..") == std::string_view::npos;
}

}  // namespace safe_exec
