// Owns what a path has to be before it is granted: containment by the resolver, deny_paths on every name it goes by,
// the spelling in which it is handed on. Never looks at a file except through the resolver.
#include <algorithm>
#include <utility>

#include "evaluation.h"

namespace safe_exec {
namespace {

constexpr std::string_view kUnprotected = "a path that deny_paths does not name";
constexpr std::string_view kElsewhere = "a path that sandbox.read_only does not name";

tl::unexpected<ValueFailure> fail(DenialCode code, std::string expected) {
  return tl::unexpected(ValueFailure{code, std::move(expected), {}, {}});
}

tl::unexpected<ValueFailure> fail_protected(const std::string& glob) {
  return tl::unexpected(ValueFailure{DenialCode::path_denied, std::string(kUnprotected), {}, {}, glob});
}

bool is_alnum(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

// POLICY.md section 6: with "./" in front, -x +5 @f a=b host:f :(x) ~u and globs are only names.
bool is_plain_component(std::string_view component) {
  if (component.empty() || !(is_alnum(component[0]) || component[0] == '_' || component[0] == '.')) return false;
  return std::all_of(component.begin(), component.end(),
                     [](char c) { return is_alnum(c) || c == '_' || c == '.' || c == ',' || c == '-'; });
}

std::string spelled(std::string_view path) {
  if (path.starts_with('/') || is_plain_component(path.substr(0, path.find('/')))) return std::string(path);
  return "./" + std::string(path);
}

// Empty and "." components dropped, ".." kept: a name, never a resolution.
void append_components(std::string& path, std::string_view text) {
  while (!text.empty()) {
    const std::size_t slash = text.find('/');
    const std::string_view component = text.substr(0, slash);
    if (!component.empty() && component != ".") path.append("/").append(component);
    text.remove_prefix(slash == std::string_view::npos ? text.size() : slash + 1);
  }
}

}  // namespace

ValueResult Evaluation::match(const Type& type, std::string_view token) {
  pending_.clear();
  return match_value(type, token, patterns_,
                     [this](const Type& element, std::string_view text) { return decide_path(element, text); });
}

ValueResult Evaluation::check_match(const Type& type, std::string_view token) {
  if (type.path.match.empty()) return std::string(token);
  switch (patterns_.full_match(type.path.match, token)) {
    case PatternCache::Match::yes:
      return std::string(token);
    case PatternCache::Match::no:
      return fail(DenialCode::operand_invalid, describe(type));
    case PatternCache::Match::limit:
    case PatternCache::Match::invalid:
      return fail(DenialCode::pattern_limit, describe(type));
  }
  return fail(DenialCode::operand_invalid, describe(type));
}

ValueResult Evaluation::decide_path(const Type& type, std::string_view token) {
  if (type.kind == Type::Kind::language) return decide_pathspec(type.path, token);
  if (ValueResult written = check_match(type, token); !written) return written;
  const std::string given = joined(token);
  PathResult<Grant> found = resolver_.path(token, type.path);
  if (!found) {
    // Whether a protected file exists is not told: its name is denied before its absence or kind is.
    const bool outside = found.error().code == DenialCode::path_outside;
    const std::string* const glob = outside ? nullptr : denying(given);
    if (glob != nullptr) return fail_protected(*glob);
    return fail(found.error().code, found.error().expected.empty() ? describe(type) : found.error().expected);
  }
  const std::string* glob = denying(found->path);
  if (glob == nullptr && given != found->path) glob = denying(given);
  if (glob == nullptr && found->given != given) glob = denying(found->given);
  if (glob != nullptr) return fail_protected(*glob);
  const bool reads = type.path.access == PathAccess::stat || type.path.access == PathAccess::read;
  if (!reads && is_read_only(found->path)) return fail(DenialCode::path_denied, std::string(kElsewhere));
  if (found->exists || !reads) {  // a file that is not there to read grants nothing
    found->origin = Origin::operand;
    found->access = type.path.access;
    found->stat_only = type.path.access == PathAccess::stat;
    pending_.push_back(std::move(*found));
  }
  return spelled(token);
}

// A pathspec names tracked files, which need not exist; what git may then read is what the sandbox grants. So it has
// to lie beneath a root, and is no grant of its own.
ValueResult Evaluation::decide_pathspec(const PathType& type, std::string_view token) {
  // git would find nothing, and call that a success; a file of that name is "./|".
  if (is_operator(token)) return fail(DenialCode::operand_invalid, "a path");
  PathType anywhere;
  anywhere.access = PathAccess::stat;
  anywhere.within = type.within;
  const PathResult<Grant> found = resolver_.path(token, anywhere);
  if (!found) {
    const bool absent = found.error().code == DenialCode::path_not_found && !token.starts_with('/');
    if (!absent || !resolver_.path(".", anywhere)) return fail(found.error().code, found.error().expected);
  }
  const std::string* glob = denying(joined(token));
  if (glob == nullptr && found) glob = denying(found->path);
  if (glob != nullptr) return fail_protected(*glob);
  return spelled(token);
}

std::string Evaluation::joined(std::string_view token) const {
  std::string path;
  if (!token.starts_with('/')) append_components(path, plan_.cwd);
  append_components(path, token);
  return path.empty() ? "/" : path;
}

const std::string* Evaluation::denying(std::string_view path) const {
  const auto glob = std::ranges::find_if(plan_.deny_globs, [&](const std::string& each) { return glob_matches(each, path); });
  return path.empty() || glob == plan_.deny_globs.end() ? nullptr : &*glob;
}

bool Evaluation::is_read_only(std::string_view path) const {
  const auto holds = [path](const ReadOnlyPath& kept) { return is_within(path, kept.path); };
  return std::any_of(plan_.read_only.begin(), plan_.read_only.end(), holds) || std::any_of(kept_.begin(), kept_.end(), holds);
}

// A glob below a variable protects the directory under both of its names: as configured, and as resolved.
void Evaluation::expand_deny_globs() {
  plan_.deny_walk = deny_walk_of(policy_, *command_);
  for (const Root& root : policy_.deny_paths) {
    if (root.variable.empty()) {
      plan_.deny_globs.push_back(root.path);
      continue;
    }
    const std::optional<std::string> text = resolver_.expand(root);
    if (!text) continue;  // the variable has no value here, so nothing is beneath it
    plan_.deny_globs.push_back(*text);
    const std::optional<Grant> directory =
        resolver_.policy_path({root.variable, "", root.place}, PathAccess::stat, false);
    std::string physical = directory ? directory->path : std::string();
    if (physical.empty()) continue;
    append_components(physical, root.path);
    if (physical != *text) plan_.deny_globs.push_back(std::move(physical));
  }
}

tl::unexpected<Stop> Evaluation::refuse_value(ValueFailure failure, const Subject& subject,
                                              std::string_view token) const {
  std::string message = shown(token);
  switch (failure.code) {
    case DenialCode::path_outside:
      message += " is outside of what " + subject.name + " allows";
      break;
    case DenialCode::path_denied:
      message += failure.expected == kElsewhere ? " is kept from being written by sandbox.read_only" : " is protected by deny_paths";
      if (!failure.protecting.empty()) message += " (" + failure.protecting + ')';
      break;
    case DenialCode::path_not_found:
      message += " does not exist";
      break;
    case DenialCode::path_wrong_kind:
      message += " is not of the kind that " + subject.name + " takes";
      break;
    case DenialCode::control_character:
      message += " holds a control character";
      break;
    case DenialCode::argument_too_long:
      message += " is too long for " + subject.name;
      break;
    case DenialCode::pattern_limit:
      message += " could not be compared within bounds";
      break;
    default:
      message += " is not accepted as " + subject.name;
      break;
  }
  if (!failure.expected.empty()) message += "; allowed is " + failure.expected;
  auto refusal = refuse(failure.code, std::move(message), subject.place, subject.argv_index, token);
  Denial& denial = std::get<Refusal>(refusal.value()).denial;
  denial.expected = std::move(failure.expected);
  denial.allowed = std::move(failure.allowed);
  denial.allowed.resize(std::min(denial.allowed.size(), kMaxListed));
  denial.suggestion = std::move(failure.suggestion);
  return refusal;
}

}  // namespace safe_exec
