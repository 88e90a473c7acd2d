// Owns the opening of roots. Never grants one and never opens what lies below it.
#include "roots.h"

#include <fcntl.h>
#include <linux/openat2.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "beneath.h"
#include "pattern.h"
#include "trust.h"

namespace safe_exec {

namespace {

constexpr std::string_view kStartDir = "start_dir";

Error failed(ErrorCode code, std::string message, int number = 0) {
  Error error;
  error.code = code;
  error.message = std::move(message);
  error.step = "variables";
  error.sys_errno = number;
  return error;
}

Error failed_at(const Policy& policy, const Variable& variable, std::string message, int number = 0) {
  Error error = failed(ErrorCode::policy_invalid, std::move(message), number);
  error.location = policy.locate(variable.place);
  return error;
}

// "${name}/rest" to {name, "rest"}; anything else to {"", text}.
Root parse_root(std::string_view text) {
  Root root;
  const std::size_t end = text.substr(0, 2) == "${" ? text.find('}') : std::string_view::npos;
  if (end == std::string_view::npos) {
    root.path = text;
    return root;
  }
  root.variable = text.substr(2, end - 2);
  root.path = text.substr(std::min(text.size(), text.find_first_not_of('/', end + 1)));
  return root;
}

std::string physical_or_same(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
  return (fd ? path_of(fd.get()) : std::nullopt).value_or(path);
}

OpenedRoot opened(std::string configured, Walked walked) {
  return {std::move(configured), std::move(walked.path),  std::move(walked.fd),
          walked.status,         std::move(walked.links), {}, 0};
}

OpenedRoot unusable(std::string configured, std::string problem, int number = 0) {
  OpenedRoot root;
  root.sys_errno = number;
  root.configured = std::move(configured);
  root.problem = std::move(problem);
  return root;
}

}  // namespace

Expected<Roots> Roots::make(const Policy& policy, const std::map<std::string, std::string>& variables) {
  Roots roots;
  if (auto started = roots.open_start_dir(); !started) return tl::unexpected(std::move(started.error()));
  roots.policy_ = policy.file;
  for (const auto& [name, text] : variables) {
    const auto known = std::find_if(policy.variables.begin(), policy.variables.end(),
                                    [&name](const Variable& variable) { return variable.name == name; });
    if (known == policy.variables.end()) {
      return tl::unexpected(failed(ErrorCode::usage, "the policy has no variable \"" + name + '"'));
    }
    if (!known->settable) {
      return tl::unexpected(failed(ErrorCode::usage, "the policy does not let \"" + name + "\" be set"));
    }
  }
  // A default may begin with another variable: those that others wait for first, so at most one round for each.
  std::vector<const Variable*> waiting;
  for (const Variable& variable : policy.variables) waiting.push_back(&variable);
  while (!waiting.empty()) {
    std::vector<const Variable*> later;
    for (const Variable* const next : waiting) {
      const auto given = variables.find(next->name);
      const std::string* const text = given == variables.end() ? nullptr : &given->second;
      const auto waits_for = [&](const std::string& name) {
        return std::any_of(waiting.begin(), waiting.end(), [&](const Variable* v) { return v->name == name; }) &&
               roots.variables_.find(name) == roots.variables_.end();
      };
      bool waits = text == nullptr && next->default_value && waits_for(parse_root(*next->default_value).variable);
      for (const Root& limit : next->within) waits = waits || (text != nullptr && waits_for(limit.variable));
      if (waits) {
        later.push_back(next);
      } else if (auto defined = roots.define(policy, *next, text); !defined) {
        return tl::unexpected(std::move(defined.error()));
      }
    }
    if (later.size() == waiting.size()) {
      return tl::unexpected(failed_at(policy, *later.front(), "variables name one another in a circle"));
    }
    waiting = std::move(later);
  }
  return roots;
}

// Only what stands for a directory by a variable is held against these, so they are looked up when one is met.
void Roots::guard() {
  if (std::exchange(guarding_, true)) return;
  if (!policy_.empty()) policy_ = physical_or_same(policy_);
  if (const std::string home = passwd_home(); !home.empty()) home_ = physical_or_same(home);
  for (const std::string& path : {policy_, home_}) {
    if (!path.empty()) guarded_.push_back(path);
  }
  start_dir_.problem = too_wide(start_dir_.physical);
  if (!start_dir_.problem.empty()) {
    start_dir_.problem += "; start safe-exec in a directory below it, or let the policy name one: by a variable "
                          "with the default \"${start_dir}/NAME\", or by its whole path";
  }
}

Expected<void> Roots::open_start_dir() {
  Here here = open_here();
  if (here.path.empty()) {
    const int number = here.error == 0 ? ENOENT : here.error;
    Error error = failed(ErrorCode::usage, "the working directory has no name: " + errno_text(number), number);
    error.hint = number == EACCES ? "start safe-exec in a directory that this user may search, with all above it"
                                  : "start safe-exec in a directory that is there";
    return tl::unexpected(std::move(error));
  }
  start_dir_.fd = std::move(here.fd);
  start_dir_.status = here.status;
  start_dir_.physical = start_dir_.configured = std::move(here.path);
  return {};
}

Expected<std::string> Roots::default_text(const Policy& policy, const Variable& variable) const {
  const Root root = parse_root(*variable.default_value);
  std::optional<std::string> text = expand(root);
  if (text) return *std::move(text);
  return tl::unexpected(failed_at(policy, variable, "variable \"" + root.variable + "\" has no value"));
}

Expected<void> Roots::define(const Policy& policy, const Variable& variable, const std::string* given) {
  if (given == nullptr && !variable.default_value) return {};  // no value here: its roots match nothing
  std::string text;
  if (given != nullptr) {
    text = !given->empty() && given->front() == '/' ? *given : child_path(start_dir_.physical, *given);
    if (given->empty()) return tl::unexpected(failed(ErrorCode::usage, "\"" + variable.name + "\" is set to nothing"));
  } else {
    auto expanded = default_text(policy, variable);
    if (!expanded) return tl::unexpected(std::move(expanded.error()));
    text = *std::move(expanded);
  }
  const auto wrong = [&](std::string message, int number = 0) {
    message = "variable \"" + variable.name + "\": " + message;
    Error error = given != nullptr ? failed(ErrorCode::usage, std::move(message), number)
                                   : failed_at(policy, variable, std::move(message), number);
    const bool relative =
        given != nullptr ? given->front() != '/' : parse_root(*variable.default_value).variable == kStartDir;
    if (relative) error.hint = "safe-exec was started in " + start_dir_.physical + ", and from there the path is taken";
    return tl::unexpected(std::move(error));
  };
  auto walked = walk_root(text);
  if (!walked) return wrong(describe(walked.error()), walked.error().sys_errno);
  if (!S_ISDIR(walked->status.st_mode)) return wrong(text + " is not a directory", ENOTDIR);
  const bool literal = given == nullptr && variable.default_value->substr(0, 2) != "${";
  if (!literal) guard();
  const std::string problem = literal ? std::string() : too_wide(walked->path);
  if (!problem.empty()) {
    // The remedy differs, the code does not: the policy is what such a value would make too wide.
    Error error = failed_at(policy, variable, "variable \"" + variable.name + "\": " + problem);
    error.hint = "give it a directory below that one, or write the whole path out in the policy";
    if (given == nullptr && parse_root(*variable.default_value).variable == kStartDir) {
      error.step = kStartDir;  // the policy may be as it should be: what is wrong is where safe-exec was started
      error.hint = "start safe-exec in another directory";
      if (variable.settable) error.hint += ", or name one: --var " + variable.name + "=DIR";
    }
    return tl::unexpected(std::move(error));
  }
  if (given != nullptr) {
    const bool inside = std::any_of(variable.within.begin(), variable.within.end(), [&](const Root& limit) {
      const OpenedRoot& root = open(limit);
      return root.problem.empty() && is_within(walked->path, root.physical);
    });
    if (!inside) return wrong(text + " is not where the policy lets it be");
  }
  variables_.emplace(variable.name, opened(std::move(text), *std::move(walked)));
  return {};
}

std::string Roots::too_wide(const std::string& physical) const {
  for (const std::string& guarded : guarded_) {
    if (!is_within(guarded, physical)) continue;
    std::string what = guarded;
    if (guarded == policy_) what = "the policy";
    if (guarded == home_) what = "the home directory";
    return "a variable may not stand for " + physical + ", which " + (guarded == physical ? "is " : "holds ") + what;
  }
  return {};
}

const OpenedRoot* Roots::variable(std::string_view name) const {
  const auto found = variables_.find(name);
  if (found != variables_.end()) return &found->second;
  return name == kStartDir ? &start_dir_ : nullptr;
}

const OpenedRoot& Roots::open(const Root& root) {
  if (!root.variable.empty()) guard();
  if (!root.variable.empty() && root.path.empty()) {
    const OpenedRoot* const value = variable(root.variable);
    if (value != nullptr) return *value;
  }
  const std::string key = root.variable + ':' + root.path;
  const auto known = opened_.find(key);
  if (known != opened_.end()) return known->second;
  OpenedRoot fresh = open_fresh(root);
  look_at_links(fresh);
  if (fresh.problem.empty()) return opened_.emplace(key, std::move(fresh)).first->second;
  absent_ = std::move(fresh);
  return absent_;
}

OpenedRoot Roots::open_fresh(const Root& root) const {
  if (root.variable.empty()) {
    auto walked = walk_root(root.path);
    return walked ? opened(root.path, *std::move(walked)) : unusable(root.path, describe(walked.error()), walked.error().sys_errno);
  }
  const OpenedRoot* const value = variable(root.variable);
  if (value == nullptr) return unusable("${" + root.variable + '}', "${" + root.variable + "} has no value");
  if (!value->problem.empty()) return unusable(child_path(value->configured, root.path), value->problem);
  OpenedRoot below;
  below.configured = child_path(value->configured, root.path);
  below.links = value->links;
  below.fd = open_beneath(value->fd.get(), root.path, O_PATH,
                          RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
  if (!below.fd || ::fstat(below.fd.get(), &below.status) != 0) {
    const int number = errno;
    return unusable(below.configured, below.configured + ": " + errno_text(number), number);
  }
  errno = 0;
  std::optional<std::string> physical = path_of(below.fd.get());
  if (!physical) return unusable(below.configured, below.configured + " has no name", errno);
  below.physical = *std::move(physical);
  return below;
}

void Roots::distrust_links_in(std::vector<std::string> places) {
  distrusted_places_ = std::move(places);
  // Commands that are not loaded now write there, too: beneath variables is where policies let commands write.
  for (const auto& [name, root] : variables_) distrusted_places_.push_back(root.physical);
  for (const auto& [name, root] : variables_) look_at_links(root);
  for (const auto& [key, root] : opened_) look_at_links(root);
}

// walk_root passes links of root's only: a command that runs as somebody else cannot have made one. What stays in the place
// leads to nothing that a command there does not have already.
void Roots::look_at_links(const OpenedRoot& root) {
  if (::geteuid() != 0 || distrusted_) return;
  for (const Symlink& link : root.links) {
    const auto left = std::ranges::find_if(distrusted_places_, [&](const std::string& place) {
      return is_within(link.path, place) && !is_within(root.physical, place); });
    if (left == distrusted_places_.end()) continue;
    Error error = failed(ErrorCode::policy_untrusted, "the policy names " + root.configured + ", and on the way " + link.path +
                                                          " is a link that leads out of " + *left +
                                                          ", which a command may write or a variable stands for");
    error.step = "policy";
    error.hint = "let the policy name " + root.physical + " itself, if that is meant";
    distrusted_ = std::move(error);
    return;
  }
}

std::optional<std::string> Roots::expand(const Root& root) const {
  if (root.variable.empty()) return root.path;
  const OpenedRoot* const value = variable(root.variable);
  if (value == nullptr) return std::nullopt;
  return root.path.empty() ? value->physical : child_path(value->physical, root.path);
}

}  // namespace safe_exec
