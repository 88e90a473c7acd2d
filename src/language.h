// Level 1. Parsers of the small languages that a token can be written in: revisions, pathspecs, hosts, URLs. Each
// accepts a strict subset of what the programs read, so that no program can read an accepted text differently.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model.h"

namespace safe_exec {

enum class Language : std::uint8_t { pathspec, git_rev, find, sed_print, jq, go_template, journal_match, sql_read, command };

// Why a text or a line of words is not of a language.
struct LanguageProblem {
  DenialCode code = DenialCode::operand_invalid;
  std::string expected;    // what would have been accepted
  std::string suggestion;  // nearest accepted name
  std::size_t index = 0;   // of the word, when there are several
};

// Whether it reads a whole line's rest and never one word ("rest" is then mandatory).
[[nodiscard]] bool takes_many_words(Language language) noexcept;
// Whether tab and newline may stand in it.
[[nodiscard]] bool holds_lines(Language language) noexcept;
// Whether it holds paths, and so has roots ("within").
[[nodiscard]] bool holds_paths(Language language) noexcept;

// gitrevisions(7), the part that names commits: names, hashes, HEAD and @ with ~n ^n ^{type} @{n} behind them,
// and two of those with .. or ... between (one side may be empty). Never rev:path, :/text, ^rev or rev^!.
[[nodiscard]] bool is_git_rev(std::string_view text);

// A pathspec without magic. wildcard: byte of the first wildcard; npos when it is a plain path.
struct Pathspec {
  std::size_t wildcard = std::string_view::npos;
  std::size_t directory_length = 0;  // wildcard: bytes of the literal directory in front of it, without its '/'
};
// Failure: operand_invalid (magic, backslash, empty) or path_outside ("..").
[[nodiscard]] tl::expected<Pathspec, DenialCode> read_pathspec(std::string_view text);

// A name as RFC 1123 has it, four decimal octets, or an IPv6 address in brackets (no zone).
[[nodiscard]] bool is_host(std::string_view text);

// Decimal, no sign, no leading zero.
[[nodiscard]] std::optional<std::int64_t> read_integer(std::string_view text);

// One match of journalctl(1): FIELD=value, or "+" between two groups of them.
[[nodiscard]] bool is_journal_match(std::string_view text);

// timeout(1)'s duration in milliseconds: a decimal number, perhaps with a fraction, and s, m, h or d. Rounded up.
[[nodiscard]] std::optional<std::int64_t> read_duration(std::string_view text);

// scheme://host[:port][/path][?query], all of it in RFC 3986's characters; no user, no fragment, no dot segments
// (encoded ones included), no encoded control character or backslash.
struct UrlParts {
  std::string_view scheme, host, port, path;  // path: all behind the authority, query included
};
[[nodiscard]] std::optional<UrlParts> split_url(std::string_view text);
// Exact, or "*.example.org" for names below it; ASCII case-insensitive as the DNS is.
[[nodiscard]] bool host_is_listed(std::string_view host, const std::vector<std::string>& listed);

}  // namespace safe_exec
