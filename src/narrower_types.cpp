// Owns the inclusion of types, roots and globs. Looks at no host: what roots stand for is given. Regular expressions
// and languages are compared as text, because nothing here could prove more.
#include <algorithm>
#include <optional>
#include <utility>

#include "language.h"
#include "narrower_rules.h"
#include "pattern.h"
#include "value.h"

namespace safe_exec {
namespace {

constexpr std::string_view kAnyDepth = "/**";

bool is_covered(const RootNames& root, const std::vector<RootNames>& base) {
  const auto written = [&](const RootNames& other) { return is_within(root.written, other.written); };
  if (!root.written.empty() && std::any_of(base.begin(), base.end(), [&](const RootNames& other) {
        return !other.written.empty() && written(other);
      })) {
    return true;
  }
  return std::all_of(root.paths.begin(), root.paths.end(), [&](const std::string& path) {
    return std::any_of(base.begin(), base.end(), [&](const RootNames& other) {
      return std::any_of(other.paths.begin(), other.paths.end(),
                         [&](const std::string& above) { return is_within(path, above); });
    });
  });
}

std::vector<RootNames> names_of(const std::vector<Root>& roots, const Compared& side, RootUse use) {
  std::vector<RootNames> names;
  names.reserve(roots.size());
  for (const Root& root : roots) names.push_back(side.names(root, use));
  return names;
}

std::string as_written(const Root& root) {
  if (root.variable.empty()) return root.path;
  return "${" + root.variable + (root.path.empty() ? "}" : "}/" + root.path);
}

// POLICY.md 4: globs are ASCII case-insensitive, X/** matches X, and what lies below a match matches.
std::string folded(std::string glob) {
  for (char& c : glob) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (glob.ends_with(kAnyDepth)) glob.resize(glob.size() - kAnyDepth.size());
  return glob;
}

bool glob_covers(const std::string& candidate, const std::string& base) {
  const std::string own = folded(candidate), wanted = folded(base);
  if (own.empty() || wanted.empty()) return own == wanted;
  if (is_within(wanted, own)) return true;
  constexpr std::string_view kAnywhere = "**/";
  if (!own.starts_with(kAnywhere)) return false;
  const std::string rest = own.substr(kAnywhere.size());
  return wanted == rest || wanted.ends_with("/" + rest);
}

bool denies(const RootNames& candidate, const RootNames& base) {
  if (!candidate.written.empty() && !base.written.empty() && glob_covers(candidate.written, base.written)) return true;
  return !candidate.paths.empty() && std::all_of(base.paths.begin(), base.paths.end(), [&](const std::string& wanted) {
    // A candidate that may stand for several paths promises none of them alone.
    return std::all_of(candidate.paths.begin(), candidate.paths.end(),
                       [&](const std::string& own) { return glob_covers(own, wanted); });
  });
}

// Whether accepting a token may grant something of the file system, or ask what is there.
bool touches_files(const Type& type) {
  switch (type.kind) {
    case Type::Kind::path:
    case Type::Kind::language: return true;
    case Type::Kind::list: return type.of == nullptr || touches_files(*type.of);
    case Type::Kind::literal:
    case Type::Kind::enumeration:
    case Type::Kind::integer:
    case Type::Kind::regex:
    case Type::Kind::text:
    case Type::Kind::host:
    case Type::Kind::port:
    case Type::Kind::url: return false;
  }
  return true;
}

std::string differs(const Type& candidate, const Type& base) {
  return describe(candidate) + " is not within " + describe(base);
}

// Each value by itself, where there are few.
std::string wider_choices(const std::vector<std::string>& choices, const Type& base, const Sides& sides) {
  for (const std::string& choice : choices) {
    const ValueResult value = touches_files(base)
                                  ? ValueResult(tl::unexpected(ValueFailure{}))
                                  : match_value(base, choice, sides.patterns, [](const Type&, std::string_view) {
                                      return ValueResult(tl::unexpected(ValueFailure{}));
                                    });
    if (!value || *value != choice) return "\"" + choice + "\" is not within " + describe(base);
  }
  return {};
}

template <class T>
bool is_subset(const std::vector<T>& part, const std::vector<T>& whole) {
  return std::all_of(part.begin(), part.end(),
                     [&](const T& item) { return std::find(whole.begin(), whole.end(), item) != whole.end(); });
}

bool hosts_within(const std::vector<std::string>& hosts, const std::vector<std::string>& base) {
  return std::all_of(hosts.begin(), hosts.end(), [&](const std::string& host) {
    if (std::find(base.begin(), base.end(), host) != base.end()) return true;
    if (!host.starts_with("*.")) return host_is_listed(host, base);
    return std::any_of(base.begin(), base.end(), [&](const std::string& other) {
      return other.starts_with("*.") && host.ends_with(other.substr(1));
    });
  });
}

std::string wider_url(const Type& candidate, const Type& base) {
  const UrlType &own = candidate.url, &other = base.url;
  // No port listed means the scheme's own, which a list may not hold.
  const bool ports = own.ports.empty() == other.ports.empty() && is_subset(own.ports, other.ports);
  const bool path = other.path.empty() || own.path == other.path;
  if (is_subset(own.schemes, other.schemes) && hosts_within(own.hosts, other.hosts) && ports && path) return {};
  return differs(candidate, base);
}

std::string wider_path(const Type& candidate, const Type& base, const Sides& sides) {
  const PathType &own = candidate.path, &other = base.path;
  // Only looking at a name is part of every other access; these are not part of one another.
  if (own.access != other.access && own.access != PathAccess::stat) return differs(candidate, base);
  if (own.kind != other.kind && other.kind != PathKind::any) return differs(candidate, base);
  if (own.missing && !other.missing) return "the path may be missing, and in the base it may not";
  if (!other.match.empty() && own.match != other.match) return differs(candidate, base);
  return wider_roots(own.within, other.within, sides);
}

std::string wider_text(const Type& candidate, const Type& base) {
  const bool inside = candidate.low >= base.low && candidate.high <= base.high;
  return inside && (base.multiline || !candidate.multiline) ? std::string() : differs(candidate, base);
}

std::string wider_regex(const Type& candidate, const Type& base) {
  const bool same = base.kind == Type::Kind::regex && candidate.text == base.text && candidate.max_len <= base.max_len;
  // No pattern takes the empty string (value.cpp), so one byte is the least.
  const bool inside = base.kind == Type::Kind::text && base.low <= 1 && candidate.max_len <= base.high;
  return same || inside ? std::string() : differs(candidate, base);
}

std::string wider_number(const Type& candidate, std::int64_t low, std::int64_t high, const Type& base) {
  const bool port = base.kind == Type::Kind::port;
  if (!port && base.kind != Type::Kind::integer) return differs(candidate, base);
  const std::int64_t least = port ? 1 : base.low;
  const std::int64_t most = port ? 65535 : base.high;
  return low >= least && high <= most ? std::string() : differs(candidate, base);
}

std::string wider_list(const Type& candidate, const Type& base, const Sides& sides) {
  const bool shape = base.kind == Type::Kind::list && candidate.of != nullptr && base.of != nullptr &&
                     candidate.text == base.text && candidate.max <= base.max;
  return shape ? wider_type(*candidate.of, *base.of, sides) : differs(candidate, base);
}

std::string wider_language(const Type& candidate, const Type& base, const Sides& sides) {
  const bool same = base.kind == Type::Kind::language && candidate.language == base.language &&
                    candidate.rest == base.rest;
  return same ? wider_roots(candidate.path.within, base.path.within, sides) : differs(candidate, base);
}

}  // namespace

std::string wider_roots(const std::vector<Root>& candidate, const std::vector<Root>& base, const Sides& sides) {
  const std::vector<RootNames> own = names_of(candidate, sides.candidate, RootUse::path);
  const std::vector<RootNames> others = names_of(base, sides.base, RootUse::path);
  for (std::size_t i = 0; i < own.size(); ++i) {
    if (is_covered(own[i], others)) continue;
    std::string reason = as_written(candidate[i]);
    if (!own[i].paths.empty() && own[i].paths.front() != reason) reason += " (" + own[i].paths.front() + ")";
    reason += " does not lie below ";
    for (std::size_t k = 0; k < base.size(); ++k) reason += (k == 0 ? "" : " or ") + as_written(base[k]);
    return base.empty() ? reason + "anything that the base names" : reason;
  }
  return {};
}

std::string missing_globs(const std::vector<Root>& candidate, const std::vector<Root>& base, const Sides& sides) {
  const std::vector<RootNames> own = names_of(candidate, sides.candidate, RootUse::glob);
  const std::vector<RootNames> wanted = names_of(base, sides.base, RootUse::glob);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i].paths.empty() && wanted[i].written.empty()) continue;  // it denies nothing here
    const auto same = [&](const RootNames& names) { return denies(names, wanted[i]); };
    if (std::none_of(own.begin(), own.end(), same)) return "the base denies " + as_written(base[i]);
  }
  return {};
}

std::string missing_read_only(const std::vector<Root>& candidate, const std::vector<Root>& base, const Sides& sides) {
  // As written, like globs: what is not there yet has no other name.
  const std::vector<RootNames> own = names_of(candidate, sides.candidate, RootUse::glob);
  const std::vector<RootNames> wanted = names_of(base, sides.base, RootUse::glob);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const RootNames& needed = wanted[i];
    const auto keeps = [&](const RootNames& names) {
      if (!names.written.empty() && !needed.written.empty() && is_within(needed.written, names.written)) return true;
      // A candidate that may stand for several paths promises none of them alone.
      return !names.paths.empty() && std::all_of(needed.paths.begin(), needed.paths.end(), [&](const std::string& path) {
        return std::all_of(names.paths.begin(), names.paths.end(), [&](const std::string& above) { return is_within(path, above); });
      });
    };
    const bool nothing = needed.paths.empty() && needed.written.empty();
    if (!nothing && std::none_of(own.begin(), own.end(), keeps)) return "the base keeps " + as_written(base[i]) + " from being written";
  }
  return {};
}

std::string wider_type(const Type& candidate, const Type& base, const Sides& sides) {
  if (candidate.rest != base.rest) return differs(candidate, base);
  switch (candidate.kind) {
    case Type::Kind::literal: return wider_choices({candidate.text}, base, sides);
    case Type::Kind::enumeration: return wider_choices(candidate.choices, base, sides);
    case Type::Kind::integer: return wider_number(candidate, candidate.low, candidate.high, base);
    case Type::Kind::port: return wider_number(candidate, 1, 65535, base);
    case Type::Kind::regex: return wider_regex(candidate, base);
    case Type::Kind::list: return wider_list(candidate, base, sides);
    case Type::Kind::language: return wider_language(candidate, base, sides);
    case Type::Kind::text:
    case Type::Kind::host:
    case Type::Kind::path:
    case Type::Kind::url: break;
  }
  if (candidate.kind != base.kind) return differs(candidate, base);
  if (candidate.kind == Type::Kind::text) return wider_text(candidate, base);
  if (candidate.kind == Type::Kind::path) return wider_path(candidate, base, sides);
  return candidate.kind == Type::Kind::url ? wider_url(candidate, base) : std::string();
}

bool same_types(const std::vector<TypeRef>& candidate, const std::vector<TypeRef>& base, const Sides& sides) {
  if (candidate.size() != base.size()) return false;
  const Sides turned{sides.base, sides.candidate, sides.patterns};
  for (std::size_t i = 0; i < candidate.size(); ++i) {
    if (!wider_type(*candidate[i], *base[i], sides).empty()) return false;
    if (!wider_type(*base[i], *candidate[i], turned).empty()) return false;
  }
  return true;
}

std::string wider_types(const std::vector<TypeRef>& candidate, const std::vector<TypeRef>& base, const Sides& sides) {
  const auto touches = [](const TypeRef& type) { return touches_files(*type); };
  const bool plain = std::none_of(candidate.begin(), candidate.end(), touches) &&
                     std::none_of(base.begin(), base.end(), touches);
  for (std::size_t i = 0; i < candidate.size(); ++i) {
    std::string reason = base.empty() ? "the base takes no value there" : "";
    for (std::size_t k = 0; k < base.size(); ++k) {
      // Where paths are among them it matters which type takes a token, so they are compared in their order.
      if (!plain && k != i) continue;
      reason = wider_type(*candidate[i], *base[k], sides);
      if (reason.empty()) break;
    }
    if (!plain && i >= base.size()) reason = "the base has fewer types there";
    if (!reason.empty()) return reason;
    const bool last = i + 1 == candidate.size();
    if (!plain && !last && !same_types({candidate[i]}, {base[i]}, sides)) {
      return describe(*candidate[i]) + " takes less than in the base, so the next type would take more";
    }
  }
  return {};
}

}  // namespace safe_exec
