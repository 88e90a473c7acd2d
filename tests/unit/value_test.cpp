#include "language.h"
#include "value.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

using namespace safe_exec;  // NOLINT: a test reads like the headers

namespace {

using Kind = Type::Kind;

// Decides paths as a resolver with the root /w would, and remembers what it was asked.
struct Paths {
  std::vector<std::string> asked;
  ValueResult operator()(const Type&, std::string_view token) {
    asked.emplace_back(token);
    const bool outside = token.empty() || (token.front() == '/' && token != "/w" && !token.starts_with("/w/"));
    if (outside || token == "..") return tl::unexpected(ValueFailure{DenialCode::path_outside, "below /w", {}, {}});
    return token.front() == '-' ? "./" + std::string(token) : std::string(token);
  }
};

ValueResult match(const Type& type, std::string_view token, Paths* paths = nullptr) {
  PatternCache patterns;
  Paths own;
  Paths& decider = paths == nullptr ? own : *paths;
  return match_value(type, token, patterns, [&](const Type& t, std::string_view text) { return decider(t, text); });
}

bool takes(const Type& type, std::string_view token) {
  const ValueResult result = match(type, token);
  return result && *result == token;
}

DenialCode code(const Type& type, std::string_view token) {
  const ValueResult result = match(type, token);
  REQUIRE_FALSE(result.has_value());
  return result.error().code;
}

Type make(Kind kind) {
  Type type;
  type.kind = kind;
  return type;
}

Type integer(std::int64_t low, std::int64_t high) {
  Type type = make(Kind::integer);
  type.low = low;
  type.high = high;
  return type;
}

Type text(std::int64_t low, std::int64_t high, bool multiline = false) {
  Type type = make(Kind::text);
  type.low = low;
  type.high = high;
  type.multiline = multiline;
  return type;
}

Type regex(std::string pattern) {
  Type type = make(Kind::regex);
  type.text = std::move(pattern);
  return type;
}

Type list_of(Type element, std::int64_t max, std::string separator = ",") {
  Type type = make(Kind::list);
  type.of = std::make_shared<const Type>(std::move(element));
  type.max = max;
  type.text = std::move(separator);
  return type;
}

Type language(Language which) {
  Type type = make(Kind::language);
  type.language = which;
  type.path.within = {{"", "/w", {}}};
  return type;
}

Type url() {
  Type type = make(Kind::url);
  type.url.schemes = {"https"};
  type.url.hosts = {"good.com", "*.example.org"};
  return type;
}

}  // namespace

TEST_CASE("value: a token holds no control, line or bidirectional character, no noncharacter, only UTF-8") {
  CHECK(check_text("plain é 漢 🙂", false));
  CHECK(check_text("", false));
  CHECK(check_text("a\tb\nc", true));
  for (const std::string& bad :
       {std::string("a\nb"), std::string("a\tb"), std::string("a\0b", 3), std::string("\x1b[0m"), std::string("\x7f"),
        std::string("\r"), std::string("\xc2\x80"), std::string("\xc2\x9f"), std::string("\xe2\x80\xa8"),
        std::string("\xe2\x80\xa9"), std::string("\xe2\x80\xaa"), std::string("\xe2\x80\xae"),
        std::string("\xe2\x81\xa6"), std::string("\xe2\x81\xa9")}) {
    CAPTURE(bad);
    CHECK(check_text(bad, false).error() == DenialCode::control_character);
  }
  for (const std::string& bad :
       {std::string("\xff"), std::string("\xc0\xaf"), std::string("\xe0\x80\xaf"), std::string("\xed\xa0\x80"),
        std::string("\xf4\x90\x80\x80"), std::string("a\xc3"), std::string("\xef\xbf\xbe"), std::string("\xef\xbf\xbf"),
        std::string("\xef\xb7\x90"), std::string("\xf0\x9f\xbf\xbe")}) {
    CAPTURE(bad);
    CHECK(check_text(bad, true).error() == DenialCode::operand_invalid);
  }
  CHECK(check_text("\r", true).error() == DenialCode::control_character);
  CHECK(check_text(std::string(1, '\0'), true).error() == DenialCode::control_character);
  CHECK(check_text("\xe2\x80\xae", true).error() == DenialCode::control_character);
  CHECK(check_text("\xe2\x80\xaf\xe2\x81\xaa", false));  // the neighbours of the ranges
}

TEST_CASE("value: a literal is itself and nothing near it") {
  Type type = make(Kind::literal);
  type.text = "origin";
  CHECK(takes(type, "origin"));
  CHECK(code(type, "Origin") == DenialCode::operand_invalid);
  CHECK(code(type, "origin ") == DenialCode::operand_invalid);
  CHECK(code(type, "") == DenialCode::operand_invalid);
  type.text.clear();
  CHECK(takes(type, ""));
}

TEST_CASE("value: an enumeration names its choices and the nearest one") {
  Type type = make(Kind::enumeration);
  type.choices = {"always", "never", "auto"};
  CHECK(takes(type, "never"));
  const ValueResult result = match(type, "nevre");
  REQUIRE_FALSE(result);
  CHECK(result.error().code == DenialCode::operand_invalid);
  CHECK(result.error().allowed == type.choices);
  CHECK(result.error().suggestion == "never");
  CHECK(result.error().expected == "one of always, never, auto");
  for (int i = 0; i < 100; ++i) type.choices.push_back("c" + std::to_string(i));
  CHECK(match(type, "x").error().allowed.size() == 20);
  type.choices = {""};
  CHECK(code(type, "") == DenialCode::operand_invalid);
}

TEST_CASE("value: an integer is decimal and inside its range") {
  CHECK(takes(integer(0, 100), "0"));
  CHECK(takes(integer(0, 100), "100"));
  CHECK(takes(integer(0, INT64_MAX), "9007199254740993"));
  for (const char* bad : {"101", "-1", "+5", "007", "-0", "1e3", "", "1.5", "0x1", "9223372036854775808", " 1", "１"}) {
    CAPTURE(bad);
    CHECK(code(integer(0, 100), bad) == DenialCode::operand_invalid);
  }
  CHECK(code(integer(5, 9), "4") == DenialCode::operand_invalid);
  CHECK(code(integer(0, 100), std::string(128U << 10U, '1')) == DenialCode::operand_invalid);
  CHECK(match(integer(1, 10), "x").error().expected == "an integer from 1 to 10");
}

TEST_CASE("value: a regex takes the whole token, up to its length") {
  const Type name = regex("[A-Za-z0-9_-]+");
  CHECK(takes(name, "web-1"));
  CHECK(code(name, "web 1") == DenialCode::operand_invalid);
  CHECK(code(name, "web\n") == DenialCode::control_character);
  CHECK(takes(name, std::string(4096, 'a')));
  CHECK(code(name, std::string(4097, 'a')) == DenialCode::argument_too_long);
  CHECK(code(regex("a*"), "") == DenialCode::operand_invalid);
  CHECK(code(regex("(a"), "a") == DenialCode::pattern_limit);
  Type big = regex("(\\pL{1,100}|\\pN){1,3}");
  big.max_len = 2 << 20;
  CHECK(code(big, std::string(1U << 20U, 'x')) == DenialCode::pattern_limit);
}

TEST_CASE("value: a text is measured in bytes and has lines only when it may") {
  CHECK(takes(text(1, 5), "é é"));
  CHECK(code(text(1, 4), "é é") == DenialCode::argument_too_long);
  CHECK(code(text(3, 5), "ab") == DenialCode::operand_invalid);
  CHECK(code(text(1, 5), "") == DenialCode::operand_invalid);
  CHECK(takes(text(0, 5), ""));
  CHECK(code(text(0, 50), "a\nb") == DenialCode::control_character);
  CHECK(takes(text(0, 50, true), "a\n\tb"));
  CHECK(code(text(0, 50, true), "a\rb") == DenialCode::control_character);
  CHECK(takes(text(1, 500), "$(cmd) `cmd`; rm -rf /"));  // one token: nothing ever reads it as a shell would
  CHECK(code(text(1, 500), std::string(128U << 10U, 'a')) == DenialCode::argument_too_long);
  CHECK(allows_lines(text(0, 5, true)));
  CHECK_FALSE(allows_lines(text(0, 5)));
  CHECK(allows_lines(list_of(text(0, 5, true), 3)));
}

TEST_CASE("value: a list is as many elements as it may be, each of its type") {
  const Type list = list_of(integer(1, 9), 3);
  CHECK(takes(list, "1"));
  CHECK(takes(list, "1,2,3"));
  for (const char* bad : {"1,2,3,4", "", ",", "1,", ",1", "1,,2", "1, 2", "1,x", "1;2"}) {
    CAPTURE(bad);
    CHECK(code(list, bad) == DenialCode::operand_invalid);
  }
  CHECK(takes(list_of(text(0, 9), 4), "a,,b,"));
  CHECK(takes(list_of(integer(1, 9), 3, "::"), "1::2"));
  CHECK(code(list_of(integer(1, 9), 3, "::"), "1:2") == DenialCode::operand_invalid);
  CHECK(code(list_of(integer(1, 9), 0), "1") == DenialCode::operand_invalid);
  CHECK(code(list_of(integer(1, 9), 3, ""), "1") == DenialCode::operand_invalid);
}

TEST_CASE("value: paths inside lists are decided one by one and re-joined as decided") {
  Type path = make(Kind::path);
  path.path.within = {{"", "/w", {}}};
  Paths paths;
  CHECK(match(list_of(path, 3), "a,-b,/w/c", &paths).value() == "a,./-b,/w/c");
  CHECK(paths.asked == std::vector<std::string>{"a", "-b", "/w/c"});
  CHECK(code(list_of(path, 3), "a,/etc/passwd") == DenialCode::path_outside);
  CHECK(code(list_of(path, 3, "."), "a.-b") == DenialCode::operand_invalid);  // "./-b" would be cut again
  CHECK(code(path, "/etc/passwd") == DenialCode::path_outside);
  CHECK(code(path, "a\nb") == DenialCode::control_character);
  CHECK(code(path, "") == DenialCode::operand_invalid);
}

TEST_CASE("value: hosts and ports") {
  CHECK(takes(make(Kind::host), "example.org"));
  CHECK(takes(make(Kind::host), "[::1]"));
  CHECK(code(make(Kind::host), "-x") == DenialCode::operand_invalid);
  CHECK(code(make(Kind::host), "evil.com@good") == DenialCode::operand_invalid);
  CHECK(takes(make(Kind::port), "1"));
  CHECK(takes(make(Kind::port), "65535"));
  for (const char* bad : {"0", "65536", "080", "-1", "http", ""}) {
    CAPTURE(bad);
    CHECK(code(make(Kind::port), bad) == DenialCode::operand_invalid);
  }
}

TEST_CASE("value: a URL names a listed scheme, host, port and path") {
  CHECK(takes(url(), "https://good.com/x?y"));
  CHECK(takes(url(), "https://a.example.org"));
  for (const char* bad :
       {"http://good.com/", "https://example.org/", "https://good.com.evil/", "https://evil.com@good.com/",
        "https://good.com@evil.com/", "https://good.com:443/", "https://good.com\\.evil/", "good.com"}) {
    CAPTURE(bad);
    CHECK(code(url(), bad) == DenialCode::operand_invalid);
  }
  CHECK(code(url(), "https://good.com/\t") == DenialCode::control_character);
  CHECK(code(url(), "https://good.com/" + std::string(128U << 10U, 'a')) == DenialCode::argument_too_long);

  Type ports = url();
  ports.url.ports = {8443};
  CHECK(takes(ports, "https://good.com:8443/"));
  CHECK(code(ports, "https://good.com/") == DenialCode::operand_invalid);  // that is port 443
  ports.url.ports = {443};
  CHECK(takes(ports, "https://good.com/"));
  CHECK(takes(ports, "https://good.com:443/"));
  ports.url.ports = {0};
  ports.url.schemes = {"gopher"};
  CHECK(code(ports, "gopher://good.com/") == DenialCode::operand_invalid);

  Type path = url();
  path.url.path = "/v1/[a-z]+|/";
  CHECK(takes(path, "https://good.com/v1/ab"));
  CHECK(takes(path, "https://good.com"));
  for (const char* bad :
       {"https://good.com/v1/ab?x=1", "https://good.com/v1/a/../../x", "https://good.com/v2", "https://good.com?x"}) {
    CAPTURE(bad);
    CHECK(code(path, bad) == DenialCode::operand_invalid);
  }
  Type none = url();
  none.url.hosts.clear();
  CHECK(code(none, "https://good.com/") == DenialCode::operand_invalid);
}

TEST_CASE("value: a pathspec is decided whole, or by the directory in front of its first wildcard") {
  const Type spec = language(Language::pathspec);
  const auto check = [&](std::string_view token, std::string_view asked, std::string_view emitted) {
    CAPTURE(token);
    Paths paths;
    CHECK(match(spec, token, &paths).value() == emitted);
    CHECK(paths.asked == std::vector<std::string>{std::string(asked)});
  };
  check("src/a.c", "src/a.c", "src/a.c");
  check("-x", "-x", "./-x");
  check("src/*.c", "src", "src/*.c");
  check("src//*.c", "src", "src//*.c");
  check("*.c", ".", "./*.c");
  check("-*", ".", "./-*");
  check("-d/*", "-d", "./-d/*");
  check("/w/a/[b]/c", "/w/a", "/w/a/[b]/c");
  CHECK(code(spec, "/*") == DenialCode::path_outside);
  CHECK(code(spec, "/etc/*") == DenialCode::path_outside);
  CHECK(code(spec, "../x") == DenialCode::path_outside);
  CHECK(code(spec, "*/../../etc") == DenialCode::path_outside);
  CHECK(code(spec, ":(top)x") == DenialCode::operand_invalid);
  CHECK(code(spec, std::string(128U << 10U, 'a')) == DenialCode::argument_too_long);
}

TEST_CASE("value: a revision is one token in git's language") {
  const Type rev = language(Language::git_rev);
  CHECK(takes(rev, "main~2..HEAD"));
  CHECK(code(rev, "--output=x") == DenialCode::operand_invalid);
  CHECK(code(rev, "HEAD:x") == DenialCode::operand_invalid);
  CHECK(code(rev, std::string(128U << 10U, 'a')) == DenialCode::argument_too_long);
}

TEST_CASE("value: every kind describes itself") {
  for (const Kind kind : {Kind::literal, Kind::enumeration, Kind::integer, Kind::regex, Kind::text, Kind::path,
                          Kind::list, Kind::host, Kind::port, Kind::url, Kind::language}) {
    Type type = make(kind);
    type.choices = {"x"};
    CHECK_FALSE(describe(type).empty());
  }
  Type path = make(Kind::path);
  path.path.kind = PathKind::file;
  path.path.within = {{"workspace", "sub", {}}, {"", "/opt", {}}};
  CHECK(describe(path) == "a file below ${workspace}/sub or /opt");
}

TEST_CASE("value: variables that are channels into a program are known") {
  for (const char* name : {"LD_PRELOAD",
                           "PAGER",
                           "GIT_PAGER",
                           "MANPAGER_PAGER",
                           "LESS",
                           "LESSOPEN",
                           "EDITOR",
                           "VISUAL",
                           "BROWSER",
                           "GIT_DIR",
                           "SSH_ASKPASS",
                           "HOME",
                           "XDG_CONFIG_HOME",
                           "PATH",
                           "TMPDIR",
                           "TAR_OPTIONS",
                           "GREP_OPTIONS",
                           "RIPGREP_CONFIG_PATH",
                           "CURL_HOME",
                           "http_proxy",
                           "HTTPS_PROXY",
                           "SSL_CERT_FILE",
                           "KUBECONFIG",
                           "DOCKER_HOST",
                           "npm_config_x",
                           "NPM_CONFIG_X",
                           "NODE_OPTIONS",
                           "BASH_ENV",
                           "ENV",
                           "IFS",
                           "SHELLOPTS",
                           "PS4",
                           "PYTHONPATH",
                           "PERL5LIB",
                           "RUBYOPT",
                           "JAVA_TOOL_OPTIONS",
                           "_JAVA_OPTIONS",
                           "GCONV_PATH",
                           "LOCPATH",
                           "NLSPATH",
                           "TERMINFO",
                           "TERMCAP",
                           "TZDIR",
                           "POSIXLY_CORRECT",
                           "PS_FORMAT",
                           "SYSTEMD_PAGER",
                           "MANPAGER",
                           "GOFLAGS",
                           "RUSTFLAGS",
                           "MAKEFLAGS",
                           "RUSTC_WRAPPER",
                           "CARGO_BUILD_RUSTC",
                           "JDK_JAVA_OPTIONS",
                           "PYTEST_ADDOPTS",
                           "MAVEN_OPTS",
                           "RSYNC_RSH",
                           "OPENSSL_CONF",
                           "GLIBC_TUNABLES",
                           "LUA_INIT",
                           "DBUS_SYSTEM_BUS_ADDRESS"}) {
    CAPTURE(name);
    CHECK(is_channel_variable(name));
  }
  for (const char* name :
       {"LANG", "TZ", "LC_ALL", "TERM", "COLUMNS", "FOO", "MYPATH", "PATHS", "ENVIRONMENT", "NO_COLOR", "",
        "NODE_ENV", "PYTHONUNBUFFERED", "CARGO_TERM_COLOR", "GIT_TERMINAL_PROMPT", "GIT_AUTHOR_DATE"}) {
    CAPTURE(name);
    CHECK_FALSE(is_channel_variable(name));
  }
}

TEST_CASE("value: a caller's locale or time zone is never a path") {
  for (const char* name : {"TZ", "LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES"}) {
    CAPTURE(name);
    CHECK(is_safe_locale_value(name, "C.UTF-8"));
    CHECK(is_safe_locale_value(name, ""));
    CHECK_FALSE(is_safe_locale_value(name, "/tmp/x"));
    CHECK_FALSE(is_safe_locale_value(name, ":/tmp/x"));
    CHECK_FALSE(is_safe_locale_value(name, "x/../../tmp"));
  }
  CHECK(is_safe_locale_value("TZ", "Europe/Berlin"));
  CHECK(is_safe_locale_value("FOO", "/tmp/x"));
}
