// Owns the parsers of revisions, pathspecs, hosts, URLs, journal matches and durations. Never touches the file system
// or the network, and never accepts what it does not fully understand.
#include "language.h"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>
#include <string>
#include <utility>

namespace safe_exec {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_alpha(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}
bool is_alnum(char c) {
  return is_digit(c) || is_alpha(c);
}
bool is_one_of(char c, std::string_view set) {
  return set.find(c) != std::string_view::npos;
}
char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
bool all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_digit);
}

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  const char low = lower(c);
  return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

bool equal_folded(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

// Takes the text up to separator (all of it when there is none) off the front of rest.
std::string_view take_until(std::string_view& rest, char separator) {
  const std::size_t end = std::min(rest.find(separator), rest.size());
  const std::string_view head = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return head;
}

// ---------------------------------------------------------------------------------------------------------
// Revisions

// The part of git-check-ref-format(1)'s names that no program and no shell reads anything into.
bool is_ref_component(std::string_view part) {
  if (part.empty() || !(is_alnum(part.front()) || part.front() == '_')) return false;
  if (part.back() == '.' || part.ends_with(".lock") || part.find("..") != std::string_view::npos) return false;
  return std::all_of(part.begin(), part.end(), [](char c) { return is_alnum(c) || is_one_of(c, "_.-+#@"); });
}

bool is_ref_name(std::string_view name) {
  if (name.empty() || name.back() == '/') return false;
  while (!name.empty()) {
    if (!is_ref_component(take_until(name, '/'))) return false;
  }
  return true;
}

bool is_reflog_selector(std::string_view inner) {
  if (inner == "u" || inner == "upstream" || inner == "push") return true;
  if (!inner.empty() && inner.front() == '-') inner.remove_prefix(1);
  return all_digits(inner) && inner.size() <= 9;
}

// ~n, ^n and ^{type}, any number of them.
bool are_rev_suffixes(std::string_view rest) {
  while (!rest.empty()) {
    const char kind = rest.front();
    if (kind != '~' && kind != '^') return false;
    rest.remove_prefix(1);
    if (kind == '^' && !rest.empty() && rest.front() == '{') {
      const std::size_t end = rest.find('}');
      if (end == std::string_view::npos) return false;
      const std::string_view type = rest.substr(1, end - 1);
      if (!type.empty() && type != "commit" && type != "tree" && type != "blob" && type != "tag" && type != "object") {
        return false;
      }
      rest.remove_prefix(end + 1);
      continue;
    }
    std::size_t digits = 0;
    while (digits < rest.size() && is_digit(rest[digits])) ++digits;
    if (digits > 9) return false;
    rest.remove_prefix(digits);
  }
  return true;
}

bool is_single_rev(std::string_view text) {
  const std::size_t suffix = std::min(text.find_first_of("~^"), text.size());
  std::string_view head = text.substr(0, suffix);
  if (!are_rev_suffixes(text.substr(suffix))) return false;
  const std::size_t selector = head.find("@{");
  if (selector != std::string_view::npos) {
    if (head.back() != '}' || !is_reflog_selector(head.substr(selector + 2, head.size() - selector - 3))) return false;
    head = head.substr(0, selector);
    return head.empty() || is_ref_name(head);
  }
  return head == "@" || is_ref_name(head);
}

// ---------------------------------------------------------------------------------------------------------
// Hosts

bool is_ipv4(std::string_view text) {
  int octets = 0;
  if (text.empty() || text.back() == '.') return false;
  while (!text.empty()) {
    const std::string_view octet = take_until(text, '.');
    const std::optional<std::int64_t> value = octet.size() <= 3 ? read_integer(octet) : std::nullopt;
    if (!value || *value > 255 || ++octets > 4) return false;
  }
  return octets == 4;
}

// One side of "::", or the whole address without one. Counts 16-bit groups; -1 when it is none.
int count_ipv6_groups(std::string_view text, bool ipv4_may_end_it) {
  int groups = 0;
  if (text.empty()) return 0;
  if (text.back() == ':') return -1;
  while (!text.empty()) {
    const std::string_view group = take_until(text, ':');
    if (text.empty() && ipv4_may_end_it && group.find('.') != std::string_view::npos) {
      return is_ipv4(group) ? groups + 2 : -1;
    }
    if (group.empty() || group.size() > 4 || ++groups > 8) return -1;
    if (!std::all_of(group.begin(), group.end(), [](char c) { return hex_value(c) >= 0; })) return -1;
  }
  return groups;
}

bool is_ipv6(std::string_view text) {
  const std::size_t gap = text.find("::");
  if (gap == std::string_view::npos) return count_ipv6_groups(text, true) == 8;
  const int left = count_ipv6_groups(text.substr(0, gap), false);
  const int right = count_ipv6_groups(text.substr(gap + 2), true);
  return left >= 0 && right >= 0 && left + right <= 7;
}

bool is_host_name(std::string_view text) {
  if (text.empty() || text.size() > 253 || text.back() == '.') return false;
  std::string_view label;
  while (!text.empty()) {
    label = take_until(text, '.');
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-') return false;
    if (!std::all_of(label.begin(), label.end(), [](char c) { return is_alnum(c) || c == '-'; })) return false;
  }
  // inet_aton(3) reads "127.1", "0x7f.1" and "2130706433" as addresses: a name never ends in a number.
  if (all_digits(label)) return false;
  return !(label.size() >= 2 && label[0] == '0' && lower(label[1]) == 'x' &&
           std::all_of(label.begin() + 2, label.end(), [](char c) { return hex_value(c) >= 0; }));
}

// ---------------------------------------------------------------------------------------------------------
// URLs

bool is_url_char(char c) {
  return is_alnum(c) || is_one_of(c, "-._~!$&'()*+,;=:@/?");
}

// Path and query as a server sees them after decoding once; nullopt for what must not be in them.
std::optional<std::string> decode_url(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      if (!is_url_char(text[i])) return std::nullopt;
      decoded += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = hex_value(text[i + 1]);
    const int low = hex_value(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    const int byte = high * 16 + low;
    if (byte < 0x20 || byte == 0x7f || byte == '\\') return std::nullopt;
    decoded += static_cast<char>(byte);
    i += 2;
  }
  return decoded;
}

bool has_dot_segment(std::string_view path) {
  while (!path.empty()) {
    const std::string_view segment = take_until(path, '/');
    if (segment == "." || segment == "..") return true;
  }
  return false;
}

bool is_url_tail(std::string_view tail) {
  if (!tail.empty() && tail.front() != '/' && tail.front() != '?') return false;
  std::string_view rest = tail;
  const std::string_view path = take_until(rest, '?');
  const std::optional<std::string> decoded = decode_url(path);
  return decoded && !has_dot_segment(*decoded) && decode_url(rest).has_value();
}

}  // namespace

bool takes_many_words(Language language) noexcept {
  switch (language) {
    case Language::find:
    case Language::command:
      return true;
    case Language::pathspec:
    case Language::git_rev:
    case Language::sed_print:
    case Language::jq:
    case Language::go_template:
    case Language::journal_match:
    case Language::sql_read:
      return false;
  }
  return false;
}

bool holds_lines(Language language) noexcept {
  switch (language) {
    case Language::sed_print:
    case Language::jq:
    case Language::go_template:
    case Language::sql_read:
    case Language::command:
      return true;
    case Language::pathspec:
    case Language::git_rev:
    case Language::find:
    case Language::journal_match:
      return false;
  }
  return false;
}

bool holds_paths(Language language) noexcept {
  switch (language) {
    case Language::pathspec:
    case Language::find:
      return true;
    case Language::git_rev:
    case Language::sed_print:
    case Language::jq:
    case Language::go_template:
    case Language::journal_match:
    case Language::sql_read:
    case Language::command:
      return false;
  }
  return false;
}

bool is_git_rev(std::string_view text) {
  if (text.empty() || text.front() == '-') return false;
  const std::size_t dots = text.find("..");
  if (dots == std::string_view::npos) return is_single_rev(text);
  const std::string_view left = text.substr(0, dots);
  std::string_view right = text.substr(dots + 2);
  if (right.starts_with(".")) right.remove_prefix(1);
  if (left.empty() && right.empty()) return false;
  return (left.empty() || is_single_rev(left)) && (right.empty() || is_single_rev(right));
}

tl::expected<Pathspec, DenialCode> read_pathspec(std::string_view text) {
  if (text.empty() || text.front() == ':' || text.find('\\') != std::string_view::npos) {
    return tl::unexpected(DenialCode::operand_invalid);
  }
  std::string_view rest = text;
  while (!rest.empty()) {
    if (take_until(rest, '/') == "..") return tl::unexpected(DenialCode::path_outside);
  }
  Pathspec spec;
  spec.wildcard = text.find_first_of("*?[");
  if (spec.wildcard != std::string_view::npos) {
    const std::size_t slash = text.substr(0, spec.wildcard).rfind('/');
    spec.directory_length = slash == std::string_view::npos ? 0 : slash;
  }
  return spec;
}

bool is_host(std::string_view text) {
  if (!text.empty() && text.front() == '[') return text.back() == ']' && is_ipv6(text.substr(1, text.size() - 2));
  return is_ipv4(text) || is_host_name(text);
}

std::optional<std::int64_t> read_integer(std::string_view text) {
  if (!all_digits(text) || (text.size() > 1 && text.front() == '0')) return std::nullopt;
  std::int64_t value = 0;
  for (const char c : text) {
    const int digit = c - '0';
    if (value > (std::numeric_limits<std::int64_t>::max() - digit) / 10) return std::nullopt;
    value = value * 10 + digit;
  }
  return value;
}

// systemd.journal-fields(7): upper case, at most 64 bytes; "__" begins addresses, which cannot be matched.
bool is_journal_match(std::string_view text) {
  if (text == "+") return true;
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0 || equals > 64 || text.size() > 4096) return false;
  const std::string_view field = text.substr(0, equals);
  return !is_digit(field.front()) && !field.starts_with("__") && std::all_of(field.begin(), field.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_';
  });
}

std::optional<std::int64_t> read_duration(std::string_view text) {
  std::int64_t unit = 1000;
  if (!text.empty() && !is_digit(text.back())) {
    constexpr std::array<std::pair<char, std::int64_t>, 4> kUnits{{{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}}};
    const auto* known =
        std::find_if(kUnits.begin(), kUnits.end(), [&](const auto& pair) { return pair.first == text.back(); });
    if (known == kUnits.end()) return std::nullopt;
    unit *= known->second;
    text.remove_suffix(1);
  }
  const std::size_t dot = std::min(text.find('.'), text.size());
  const std::string_view whole = text.substr(0, dot);
  const std::string_view fraction = text.substr(std::min(dot + 1, text.size()));
  if (!all_digits(whole) || whole.size() > 9 || fraction.size() > 9) return std::nullopt;
  if (dot < text.size() && !all_digits(fraction)) return std::nullopt;
  const auto digits = [](std::string_view part) {
    return std::accumulate(part.begin(), part.end(), std::int64_t{0},
                           [](std::int64_t sum, char c) { return sum * 10 + (c - '0'); });
  };
  std::int64_t scale = 1;
  for (std::size_t i = 0; i < fraction.size(); ++i) scale *= 10;
  const std::int64_t part = digits(fraction);
  // Both factors are below 10^9, so that neither product overflows.
  return digits(whole) * unit + (part / scale) * unit + ((part % scale) * unit + scale - 1) / scale;
}

std::optional<UrlParts> split_url(std::string_view text) {
  UrlParts parts;
  const std::size_t colon = text.find("://");
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  parts.scheme = text.substr(0, colon);
  const bool scheme_ok = parts.scheme.front() >= 'a' && parts.scheme.front() <= 'z' &&
                         std::all_of(parts.scheme.begin(), parts.scheme.end(), [](char c) {
                           return (c >= 'a' && c <= 'z') || is_digit(c) || is_one_of(c, "+-.");
                         });
  if (!scheme_ok) return std::nullopt;
  const std::string_view behind = text.substr(colon + 3);
  const std::size_t end = std::min(behind.find_first_of("/?"), behind.size());
  parts.path = behind.substr(end);
  std::string_view authority = behind.substr(0, end);
  const std::size_t bracket = authority.rfind(']');
  const std::size_t port = authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
  if (port != std::string_view::npos) {
    parts.port = authority.substr(port + 1);
    const std::optional<std::int64_t> number = read_integer(parts.port);
    if (!number || *number < 1 || *number > 65535) return std::nullopt;
    authority = authority.substr(0, port);
  }
  parts.host = authority;
  if (!is_host(parts.host) || !is_url_tail(parts.path)) return std::nullopt;
  return parts;
}

bool host_is_listed(std::string_view host, const std::vector<std::string>& listed) {
  const bool is_name = is_host_name(host);
  return std::any_of(listed.begin(), listed.end(), [&](std::string_view entry) {
    if (!entry.starts_with("*.")) return equal_folded(host, entry);
    const std::string_view suffix = entry.substr(1);
    return is_name && suffix.size() > 1 && host.size() > suffix.size() &&
           equal_folded(host.substr(host.size() - suffix.size()), suffix);
  });
}

}  // namespace safe_exec
