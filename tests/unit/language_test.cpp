#include "language.h"

#include <doctest/doctest.h>

#include <string>

using safe_exec::DenialCode;
using safe_exec::host_is_listed;
using safe_exec::is_git_rev;
using safe_exec::is_host;
using safe_exec::is_journal_match;
using safe_exec::read_integer;
using safe_exec::read_pathspec;
using safe_exec::split_url;

TEST_CASE("git-rev: names, hashes, suffixes and ranges are revisions") {
  for (const char* rev : {"main",
                          "HEAD",
                          "@",
                          "@~3",
                          "HEAD~",
                          "HEAD~2^",
                          "HEAD^2~10^{commit}",
                          "v1.0^{}",
                          "v1.0-5-gabc1234",
                          "origin/main",
                          "feature/x-1.2",
                          "refs/tags/v1",
                          "deadbeef",
                          "0123456789012345678901234567890123456789",
                          "main..dev",
                          "main...dev",
                          "main..",
                          "..dev",
                          "HEAD~3..HEAD",
                          "@{u}",
                          "@{upstream}..HEAD",
                          "main@{1}",
                          "HEAD@{12}~1",
                          "@{-1}",
                          "a@b",
                          "_x"}) {
    CAPTURE(rev);
    CHECK(is_git_rev(rev));
  }
}

TEST_CASE("git-rev: everything else is refused") {
  for (const char* text : {"",
                           "-",
                           "-x",
                           "--output=x",
                           "..",
                           "...",
                           "....",
                           "a....b",
                           "a..b..c",
                           "a/../b",
                           "../x",
                           "a..-b",
                           "HEAD:secret",
                           "HEAD:./x",
                           ":/fix",
                           ":0:file",
                           "^main",
                           "main^!",
                           "main^@",
                           "main^-",
                           "main^{/fix}",
                           "main^{exec}",
                           "main@{yesterday}",
                           "main@{2 days ago}",
                           "main@{",
                           "@{}",
                           "@{1",
                           "a@{1}b",
                           "a b",
                           "a\\b",
                           "a*",
                           "a?b",
                           "[a]",
                           "$(id)",
                           "`id`",
                           "a;b",
                           "a|b",
                           "a&b",
                           "a>b",
                           "a'b",
                           "a\"b",
                           ".hidden",
                           "a/.hidden",
                           "a/",
                           "/a",
                           "a//b",
                           "a.lock",
                           "a/b.lock/c",
                           "a.",
                           "a~x",
                           "~1",
                           "^1",
                           "a\nb",
                           "a\tb",
                           "-a..b",
                           "a/-b",
                           "é",
                           "a^{commit",
                           "HEAD~12345678901",
                           "%x",
                           "a=b",
                           "~",
                           "@x",
                           "main@{--1}"}) {
    CAPTURE(text);
    CHECK_FALSE(is_git_rev(text));
  }
}

TEST_CASE("pathspec: magic, parents and backslashes are refused, wildcards leave their directory") {
  CHECK(read_pathspec("src/a.c")->wildcard == std::string_view::npos);
  CHECK(read_pathspec("src/*.c")->wildcard == 4);
  CHECK(read_pathspec("src/*.c")->directory_length == 3);
  CHECK(read_pathspec("a/b/c[x]/d")->directory_length == 3);
  CHECK(read_pathspec("*.c")->directory_length == 0);
  CHECK(read_pathspec("/w/?")->directory_length == 2);
  CHECK(read_pathspec("a..b")->wildcard == std::string_view::npos);
  for (const char* magic : {"", ":(exclude)x", ":!x", ":/", ":", "a\\*"}) {
    CAPTURE(magic);
    CHECK(read_pathspec(magic).error() == DenialCode::operand_invalid);
  }
  for (const char* outside : {"..", "../x", "a/..", "a/../b", "*/../x", "/w/../etc"}) {
    CAPTURE(outside);
    CHECK(read_pathspec(outside).error() == DenialCode::path_outside);
  }
}

TEST_CASE("host: names and addresses in one spelling only") {
  for (const char* host :
       {"localhost", "example.org", "a-b.example", "3com.com", "1.2.3.4", "255.255.255.255", "0.0.0.0", "[::1]", "[::]",
        "[fe80::1:2]", "[1:2:3:4:5:6:7:8]", "[::ffff:1.2.3.4]", "[1::8]", "x", "0xgg"}) {
    CAPTURE(host);
    CHECK(is_host(host));
  }
  for (const char* text : {"",
                           "-x",
                           "x-",
                           "a..b",
                           ".a",
                           "a.",
                           "a.-b",
                           "evil.com@good",
                           "a_b",
                           "a b",
                           "127.1",
                           "0x7f.1",
                           "0x7f000001",
                           "2130706433",
                           "256.1.1.1",
                           "1.2.3",
                           "1.2.3.4.5",
                           "01.2.3.4",
                           "1.2.3.4.",
                           "::1",
                           "[fe80::1%eth0]",
                           "[::1",
                           "[",
                           "[]",
                           "[:::]",
                           "[1::2::3]",
                           "[1:2:3:4:5:6:7:8:9]",
                           "[1:2:3:4:5:6:7::8]",
                           "[12345::]",
                           "[1:2]",
                           "[g::]",
                           "[1.2.3.4::]",
                           "[::1.2.3]",
                           "[:1]",
                           "[1:]",
                           "example.org/",
                           "example.org:80",
                           "exa\xc3\xa9.org",
                           "example.123",
                           "a.0x1f",
                           "a%2eb",
                           "[::1]x",
                           "0x",
                           "a.0X"}) {
    CAPTURE(text);
    CHECK_FALSE(is_host(text));
  }
  CHECK(is_host(std::string(63, 'a')));
  CHECK_FALSE(is_host(std::string(64, 'a')));
  CHECK_FALSE(is_host(std::string(128U << 10U, 'a')));
}

TEST_CASE("host: a listed wildcard takes names below it and nothing that only ends alike") {
  const std::vector<std::string> listed{"good.com", "*.example.org"};
  CHECK(host_is_listed("good.com", listed));
  CHECK(host_is_listed("GOOD.com", listed));
  CHECK(host_is_listed("a.example.org", listed));
  CHECK(host_is_listed("a.b.example.org", listed));
  CHECK_FALSE(host_is_listed("example.org", listed));
  CHECK_FALSE(host_is_listed("good.com.evil", listed));
  CHECK_FALSE(host_is_listed("evilgood.com", listed));
  CHECK_FALSE(host_is_listed("evilexample.org", listed));
  CHECK_FALSE(host_is_listed("sub.good.com", listed));
  CHECK_FALSE(host_is_listed("good.com", {}));
  CHECK_FALSE(host_is_listed("1.2.3.4", {"*.4", "*."}));
}

TEST_CASE("integer: decimal digits only, without sign, leading zero or overflow") {
  CHECK(read_integer("0") == 0);
  CHECK(read_integer("9007199254740993") == 9007199254740993);
  CHECK(read_integer("9223372036854775807") == 9223372036854775807);
  for (const char* text : {"", "007", "00", "+5", "-0", "-1", "1e3", "1.0", " 1", "1 ", "0x10", "9223372036854775808",
                           "99999999999999999999999", "١", "1_000", "1\n"}) {
    CAPTURE(text);
    CHECK_FALSE(read_integer(text).has_value());
  }
}

TEST_CASE("url: split only when every reader would split it alike") {
  const auto url = split_url("https://example.org:8443/a/b?c=d/../e");
  REQUIRE(url);
  CHECK(url->scheme == "https");
  CHECK(url->host == "example.org");
  CHECK(url->port == "8443");
  CHECK(url->path == "/a/b?c=d/../e");
  CHECK(split_url("https://[::1]:80/")->host == "[::1]");
  CHECK(split_url("https://example.org")->path.empty());
  CHECK(split_url("https://example.org?x")->path == "?x");
  CHECK(split_url("https://example.org/group%2Fproject").has_value());
  CHECK(split_url("https://example.org/@user").has_value());
  for (const char* text : {"",
                           "example.org",
                           "//example.org",
                           "://x",
                           "https:/x",
                           "https:x",
                           "HTTPS://example.org",
                           "Https://example.org",
                           "https://",
                           "https:///x",
                           "https://:80/",
                           "https://user@example.org/",
                           "https://u:p@example.org/",
                           "https://good.com\\@evil.com/",
                           "https://good.com\\x",
                           "https://good.com/a\\b",
                           "https://good.com/#f",
                           "https://good.com#@evil.com/",
                           "https://good.com/%00",
                           "https://good.com/%0a",
                           "https://good.com/%0D",
                           "https://good.com/%5c",
                           "https://good.com/%7f",
                           "https://good.com/%",
                           "https://good.com/%4",
                           "https://good.com/%zz",
                           "https://good.com/a b",
                           "https://good.com/\t",
                           "https://good.com/\n",
                           "https://good.com:0/",
                           "https://good.com:65536/",
                           "https://good.com:080/",
                           "https://good.com:/",
                           "https://good.com:80:80/",
                           "https://good.com:+80/",
                           "https://good.com/../x",
                           "https://good.com/a/..",
                           "https://good.com/./a",
                           "https://good.com/%2e%2e/x",
                           "https://good.com/a/%2E./x",
                           "https://good.com/a%2f..%2fb",
                           "https://good.com/{a,b}",
                           "https://good.com/[1-9]",
                           "https://good.com/<",
                           "https://good.com/\"",
                           "https://good.com/`",
                           "https://good.com/^",
                           "https://good.com/|",
                           "https://127.1/",
                           "https://0x7f.1/",
                           "https://good.com./",
                           "https://g%6fod.com/",
                           "https://[::1%25eth0]/",
                           "https://[::1]x/",
                           "https://exämple.org/",
                           "1http://good.com/",
                           "-x://good.com/",
                           "https://good.com/\x7f",
                           "https://good.com?%00"}) {
    CAPTURE(text);
    CHECK_FALSE(split_url(text).has_value());
  }
}

TEST_CASE("journal-match: a field with its value, or a plus") {
  for (const char* text : {"_SYSTEMD_UNIT=ssh.service", "PRIORITY=3", "MESSAGE=a b = c", "+", "A1_=", "_PID=1"}) {
    CAPTURE(text);
    CHECK(is_journal_match(text));
  }
  for (const char* text : {"", "=", "=x", "unit=x", "_SYSTEMD_UNIT", "/usr/bin/x", "/dev/sda", "-u", "--file=x", "1A=x", "__CURSOR=x", "A-B=x", "++", "A =x"}) {
    CAPTURE(text);
    CHECK_FALSE(is_journal_match(text));
  }
  CHECK_FALSE(is_journal_match(std::string(65, 'A') + "=x"));
  CHECK_FALSE(is_journal_match("A=" + std::string(5000, 'x')));
}
