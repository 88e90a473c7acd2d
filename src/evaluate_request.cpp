// Owns what a request brings beside its argv (cwd, environment, standard input, limits) and what the policy grants by
// itself. Never repeats a value of the environment, and never lets a request widen anything.
#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

#include "evaluation.h"

namespace safe_exec {
namespace {

// execve(2): a string of the environment is bounded as an argument is, NUL included.
constexpr std::size_t kMaxStringBytes = 131072;

const EnvRule* find_rule(const std::vector<const EnvRule*>& rules, std::string_view name) {
  const auto found = std::find_if(rules.begin(), rules.end(), [&](const EnvRule* rule) { return rule->name == name; });
  return found == rules.end() ? nullptr : *found;
}

bool lists(const std::vector<std::string>* names, std::string_view name) {
  return names != nullptr && std::find(names->begin(), names->end(), name) != names->end();
}

}  // namespace

std::vector<Root> Evaluation::cwd_roots() const {
  if (settings_.cwd != nullptr) return *settings_.cwd;
  const bool workspace = std::any_of(policy_.variables.begin(), policy_.variables.end(),
                                     [](const Variable& variable) { return variable.name == "workspace"; });
  return {{workspace ? "workspace" : "start_dir", "", {}}};
}

// Makes text the directory of the rest of the request.
ValueResult Evaluation::enter(std::string_view text, const std::vector<Root>& within) {
  const auto fail = [](DenialCode code, std::string expected, std::string protecting = {}) {
    return tl::unexpected(ValueFailure{code, std::move(expected), {}, {}, std::move(protecting)});
  };
  if (const auto clean = check_text(text, false); !clean) return fail(clean.error(), "a directory's name");
  if (text.empty()) return fail(DenialCode::cwd_not_allowed, "a directory");
  const std::string given = joined(text);
  PathResult<PathResolver::Directory> entered = resolver_.enter(text, within);
  if (!entered) {
    const bool outside = entered.error().code == DenialCode::path_outside;
    const DenialCode code = outside ? DenialCode::cwd_not_allowed : entered.error().code;
    const std::string* const glob = code == DenialCode::cwd_not_allowed ? nullptr : denying(given);
    if (glob != nullptr) return fail(DenialCode::path_denied, "", *glob);
    return fail(code, std::move(entered.error().expected));
  }
  const std::string* glob = denying(entered->path);
  if (glob == nullptr) glob = denying(given);
  if (glob != nullptr) return fail(DenialCode::path_denied, "", *glob);
  // There even git takes names for those of files: git -C .git apply.
  const bool writes = settings_.write != nullptr && !settings_.write->empty();
  if (writes && is_read_only(entered->path)) {
    return fail(DenialCode::cwd_not_allowed, "a directory that sandbox.read_only of the policy does not name");
  }
  plan_.cwd = std::move(entered->path);
  plan_.cwd_fd = std::move(entered->fd);
  return std::string(text);
}

// Beneath a variable without a value there is nothing to grant; but what is protected there would not be, unnoticed.
Step Evaluation::check_protected() {
  const auto known = [this](const Root& root) { return root.variable.empty() || resolver_.expand(root); };
  for (const std::vector<Root>* roots : {&policy_.deny_paths, settings_.read_only, settings_.kept}) {
    const auto unknown = roots == nullptr ? std::vector<Root>::const_iterator() : std::ranges::find_if_not(*roots, known);
    if (roots == nullptr || unknown == roots->end()) continue;
    Error error;
    error.code = ErrorCode::policy_invalid;
    error.message = "the variable \"" + unknown->variable + "\" has no value, and what is beneath it is protected (deny_paths, read_only)";
    error.step = "variables";
    error.hint = "give it one (--var " + unknown->variable + "=DIR), or a default in the policy";
    error.location = policy_.locate(unknown->place);
    return tl::unexpected(Stop(std::move(error)));
  }
  return {};
}

Step Evaluation::enter_cwd() {
  expand_deny_globs();
  if (settings_.read_only != nullptr) {
    for (const Root& root : *settings_.read_only) std::ranges::move(resolver_.read_only(root), std::back_inserter(plan_.read_only));
  }
  if (settings_.kept != nullptr && settings_.kept != settings_.read_only) {
    for (const Root& root : *settings_.kept) std::ranges::move(resolver_.read_only(root), std::back_inserter(kept_));
  }
  // Whatever the resolver was used for before, this request starts where safe-exec was started.
  PathResult<PathResolver::Directory> start = resolver_.enter(std::nullopt, {});
  if (!start) return refuse(start.error().code, std::move(start.error().message), leaf());
  plan_.cwd = std::move(start->path);
  plan_.cwd_fd = std::move(start->fd);
  if (plan_.cwd_fd) {  // examples are decided by the defaults alone
    if (Step known = check_protected(); !known) return known;
  }
  if (request_.cwd) {
    const std::vector<Root> roots = cwd_roots();
    const ValueResult entered = enter(*request_.cwd, roots);
    if (!entered) {
      Type directory;  // for the words only
      directory.kind = Type::Kind::path;
      directory.path.kind = PathKind::dir;
      directory.path.within = roots;
      return refuse_value({entered.error().code, describe(directory), {}, {}, entered.error().protecting}, {leaf(), "cwd", -1}, *request_.cwd);
    }
  } else if (const std::string* const glob = denying(plan_.cwd); glob != nullptr) {
    return refuse_value({DenialCode::path_denied, "", {}, {}, *glob}, {leaf(), "cwd", -1}, plan_.cwd);
  }
  for (const GivenOption& given : reading_.options) {
    if (!given.option->chdir || given.values.empty()) continue;
    if (Step moved = enter_chdir(given); !moved) return moved;
  }
  keep_of_another();
  trace(leaf(), "a directory for the request", plan_.cwd);
  return {};
}

// What a node lifts is lifted for the program that finds it, and not for what another one's settings make of it: a
// repository below names any directory for its files (core.worktree, links in its .git).
void Evaluation::keep_of_another() {
  const auto another = [this](const ReadOnlyPath& kept) { return resolver_.finds_another(plan_.cwd, kept.path); };
  if (std::ranges::any_of(kept_, another)) std::ranges::move(std::exchange(kept_, {}), std::back_inserter(plan_.read_only));
  for (const ReadOnlyPath& kept : kept_) plan_.apart.push_back(kept.path);
}

Step Evaluation::enter_chdir(const GivenOption& given) {
  const Option& option = *given.option;
  const Type& type = *option.values.front();
  const std::string& text = given.values.front();
  ValueResult entered = match_value(type, text, patterns_, [this](const Type& path, std::string_view token) {
    const ValueResult written = check_match(path, token);
    return written ? enter(token, path.path.within) : written;
  });
  if (entered && type.kind != Type::Kind::path) entered = enter(*entered, cwd_roots());
  if (entered) return {};
  ValueFailure failure = std::move(entered.error());
  if (failure.code == DenialCode::operand_invalid) failure.code = DenialCode::option_value_invalid;
  if (failure.expected.empty()) failure.expected = describe(type);
  return refuse_value(std::move(failure), {option.place, option.name, given.value_indexes.front()}, text);
}

// From nothing: what the policy fixes, and of the caller's only what a rule takes.
Step Evaluation::build_env() {
  for (const auto& [name, value] : request_.env) {
    const EnvRule* rule = find_rule(settings_.env, name);
    const auto same = [&](const auto& other) { return other.first == name; };
    const bool twice = std::count_if(request_.env.begin(), request_.env.end(), same) > 1;
    const bool channel = is_channel_variable(name) && !lists(settings_.unsafe_env, name);
    if (rule != nullptr && rule->caller != nullptr && !twice && !channel) continue;
    if (rule != nullptr && rule->caller == nullptr && !twice && value == rule->value) continue;  // what it has anyway
    auto refusal = refuse(DenialCode::env_not_allowed,
                          "the variable " + shown(name) + (twice ? " is given twice" : " is not the caller's to set"),
                          rule == nullptr ? leaf() : rule->place);
    Denial& denial = std::get<Refusal>(refusal.value()).denial;
    for (const EnvRule* open : settings_.env) {
      if (open->caller != nullptr && denial.allowed.size() < kMaxListed) denial.allowed.push_back(open->name);
    }
    if (!twice) {
      std::string names;
      for (const std::string& open : denial.allowed) names += (names.empty() ? "" : ", ") + open;
      denial.message += names.empty() ? "; none is" : "; these are: " + names;
    }
    return refusal;
  }
  for (const EnvRule* rule : settings_.env) {
    const auto given = std::find_if(request_.env.begin(), request_.env.end(),
                                    [&](const auto& pair) { return pair.first == rule->name; });
    if (rule->caller == nullptr) {
      plan_.env.push_back(rule->name + "=" + rule->value);
    } else if (given != request_.env.end()) {
      if (Step added = add_caller_env(*rule, given->second); !added) return added;
    } else if (rule->has_default) {
      plan_.env.push_back(rule->name + "=" + rule->value);
    }
  }
  return {};
}

Step Evaluation::add_caller_env(const EnvRule& rule, const std::string& value) {
  if (rule.name.size() + value.size() + 1 >= kMaxStringBytes) {
    return refuse(DenialCode::argument_too_long, "the value of " + rule.name + " is too long", rule.place);
  }
  ValueResult matched = match(*rule.caller, value);
  if (!matched || !is_safe_locale_value(rule.name, value)) {
    const bool limit = !matched && matched.error().code == DenialCode::pattern_limit;
    const std::string expected = describe(*rule.caller);
    auto refusal = refuse(limit ? DenialCode::pattern_limit : DenialCode::env_not_allowed,
                          "the value of " + rule.name + " is not allowed; allowed is " + expected, rule.place);
    std::get<Refusal>(refusal.value()).denial.expected = expected;
    return refusal;
  }
  grant_pending();
  plan_.env.push_back(rule.name + "=" + *matched);
  trace(rule.place, describe(*rule.caller), rule.name);
  return {};
}

Step Evaluation::plan_stdin() {
  const StdinSource& source = request_.stdin_source;
  const StdinRule::Kind rule = settings_.stdin_rule.kind;
  const bool is_text = source.kind == StdinSource::Kind::text || source.kind == StdinSource::Kind::inherit;
  if (source.kind == StdinSource::Kind::none) return {};
  if (is_text && rule == StdinRule::Kind::text) {
    const bool text = source.kind == StdinSource::Kind::text;
    plan_.stdin_plan.kind = text ? StdinPlan::Kind::text : StdinPlan::Kind::inherit;
    if (text) plan_.stdin_plan.text = source.text;
    trace(leaf(), "text on standard input", text ? "text" : "safe-exec's own");
    return {};
  }
  if (!is_text && rule == StdinRule::Kind::path) return open_stdin();
  std::string expected = "no standard input";
  if (rule == StdinRule::Kind::text) expected = "text on standard input";
  if (rule == StdinRule::Kind::path) expected = "standard input from " + describe(*settings_.stdin_rule.path);
  auto refusal = refuse(DenialCode::stdin_not_allowed, title(nodes_) + " takes " + expected, leaf());
  std::get<Refusal>(refusal.value()).denial.expected = std::move(expected);
  return refusal;
}

// The command gets the descriptor that was checked, and no grant of the path.
Step Evaluation::open_stdin() {
  const Type& type = *settings_.stdin_rule.path;
  const std::string& path = request_.stdin_source.text;
  const auto refuse_file = [&](DenialCode code, const std::string& protecting = {}) {
    Type wanted = type;
    wanted.path.kind = PathKind::file;  // nothing else is read
    return refuse_value({code, describe(wanted), {}, {}, protecting}, {leaf(), "stdin", -1}, path);
  };
  ValueResult matched = match(type, path);
  if (!matched) {
    const DenialCode code = matched.error().code;
    return refuse_file(code == DenialCode::operand_invalid ? DenialCode::stdin_not_allowed : code, matched.error().protecting);
  }
  if (pending_.empty() || !pending_.front().exists) return refuse_file(DenialCode::path_not_found);
  if (pending_.front().directory) return refuse_file(DenialCode::path_wrong_kind);
  PathResult<UniqueFd> opened = resolver_.open_stdin_file(pending_.front());
  const std::string name = pending_.front().path;
  pending_.clear();
  if (!opened) return refuse_file(opened.error().code);
  plan_.stdin_plan.kind = StdinPlan::Kind::file;
  plan_.stdin_plan.file = std::move(*opened);
  trace(leaf(), describe(type), name + " on standard input");
  return {};
}

Step Evaluation::settle_limit(std::string_view key, std::optional<std::int64_t> asked, std::int64_t allowed,
                              std::int64_t& used) {
  used = allowed;
  if (!asked) return {};
  if (*asked < (key == "timeout_ms" ? 1 : 0)) {  // a time of 0 would arm no timer
    Error error;
    error.code = ErrorCode::request_invalid;
    error.message = std::string(key) + " is out of range";
    error.expected = key == "timeout_ms" ? "a number of milliseconds, 1 or more" : "a number of bytes, 0 or more";
    return tl::unexpected(Stop(std::move(error)));
  }
  used = std::min(*asked, allowed);
  if (*asked > allowed) plan_.clamped[std::string(key)] = {*asked, allowed};
  return {};
}

Step Evaluation::settle_limits() {
  const Effective& s = settings_;
  if (Step ok = settle_limit("timeout_ms", request_.timeout_ms, s.timeout_ms, plan_.timeout_ms); !ok) return ok;
  Step out = settle_limit("max_stdout_bytes", request_.max_stdout_bytes, s.stdout_bytes, plan_.stdout_bytes);
  if (!out) return out;
  plan_.limits = s.limits;
  plan_.exit_ok = s.exit_ok;
  plan_.repeatable = s.repeatable;
  plan_.encoding = request_.encoding;
  return settle_limit("max_stderr_bytes", request_.max_stderr_bytes, s.stderr_bytes, plan_.stderr_bytes);
}

void Evaluation::settle_sandbox() {
  add_policy_paths(settings_.read, PathAccess::read, false);
  add_policy_paths(settings_.write, PathAccess::write, false);
  add_policy_paths(settings_.exec, PathAccess::read, true);
  const std::size_t sockets = plan_.grants.size();
  add_policy_paths(settings_.unix_sockets, PathAccess::stat, false);  // a name to connect to, no content
  for (std::size_t i = sockets; i < plan_.grants.size(); ++i) plan_.unix_sockets.push_back(plan_.grants[i].path);
  plan_.network = settings_.network;
  plan_.proc = settings_.proc;
  plan_.tmp = settings_.tmp;
  plan_.syscalls = settings_.syscalls;
  if (settings_.bundles != nullptr) plan_.bundles = *settings_.bundles;
  plan_.layers = settings_.layers;
  plan_.demanded = settings_.demanded;
  plan_.one_exec = (settings_.exec == nullptr || settings_.exec->empty()) && !settings_.exec_self;
}

void Evaluation::add_missing(const Root& root, PathAccess access) {
  const std::string problem = resolver_.distrusted();
  if (!resolver_.was_absent() && problem.empty()) return;
  if (const auto text = resolver_.expand(root); text) plan_.missing.push_back({*text, access, problem});
}

void Evaluation::add_policy_paths(const std::vector<Root>* roots, PathAccess access, bool executable) {
  if (roots == nullptr) return;
  for (const Root& root : *roots) {
    std::optional<Grant> grant = resolver_.policy_path(root, access, executable);
    if (!grant) add_missing(root, access);
    if (!grant || (access == PathAccess::stat && is_denied(grant->path))) continue;
    grant->origin = Origin::policy;
    // Whose workspace it is may have put libraries there, for a program that a file there tells to load them.
    grant->data = !root.variable.empty() && !executable;
    plan_.grants.push_back(std::move(*grant));
  }
}

}  // namespace safe_exec
