#include "pipeline.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "beneath.h"
#include "ceiling.h"
#include "confine/failure.h"
#include "diagnose.h"
#include "evaluate.h"
#include "input.h"
#include "policy.h"
#include "request.h"
#include "resolve.h"
#include "runtime.h"
#include "supervise.h"
#include "trust.h"

namespace safe_exec {
namespace {

Expected<Request> take_request(const Invocation& in) {
  if (in.request_file.empty()) return in.request;
  auto text = read_input(in.request_file, ErrorCode::request_invalid, "request");
  if (!text) return tl::make_unexpected(text.error());
  auto request = parse_request(in.request_file == "-" ? "request" : in.request_file, std::move(*text));
  if (!request && request.error().step.empty()) request.error().step = "request";
  return request;
}

// The name under which the policy would know token 0; empty when it cannot be a command's name at all.
std::string command_name(const Request& request) {
  if (request.argv.empty()) return {};
  const std::string& token = request.argv.front();
  const std::string name = token.substr(token.rfind('/') + 1);  // npos + 1 is 0
  return is_command_name(name) ? name : std::string();
}

Expected<Policy> load(const Invocation& in, const LoadScope& scope) {
  // By /proc what is open has a name: whether a variable stands for a directory that holds the policy is found so.
  if (auto there = require_proc(); !there) return tl::make_unexpected(std::move(there.error()));
  auto path = find_policy(in.policy, /*requester_facing=*/false);
  if (!path) return tl::make_unexpected(path.error());
  const std::unique_ptr<PolicyFiles> files = make_policy_files();
  auto policy = load_policy(path->path, *files, scope);
  if (policy) policy->passed_over = std::move(path->passed_over);
  if (!policy && policy.error().step.empty()) policy.error().step = "policy";
  return policy;
}

// What evaluation could not know: deny_paths and sockets inside granted directories, and the runtime closure.
Expected<std::vector<LayerStatus>> complete(Plan& plan) {
  auto deny_paths = grant_around_denied(plan);
  if (!deny_paths) return tl::make_unexpected(deny_paths.error());
  hide_other_sockets(plan);
  if (plan.binary.fd) {  // with --assume-installed there is none
    if (auto added = add_runtime(plan); !added) return tl::make_unexpected(added.error());
  }
  LayerStatus environment;
  environment.layer = Layer::environment;
  environment.state = LayerState::enforced;
  return std::vector<LayerStatus>{environment, *deny_paths};
}

Expected<std::vector<Widening>> over_base(const Invocation& in, const Policy& policy, PathResolver& resolver,
                                          const LoadScope& scope) {
  auto base = find_policy(in.narrower_than, /*requester_facing=*/false);
  if (!base) return tl::make_unexpected(base.error());
  return widenings_over(policy, resolver, base->path, Owners::root_or_caller, scope);
}

// What is asked of one request, and what is found on the way to its decision.
struct Wishes {
  Trace* trace;
  std::vector<Widening>* wider;
};

// The decision by what was loaded of the policy; nullopt: it is wider than the base that it must not exceed. wrapped is set
// as EvaluateOptions says.
Expected<std::optional<Decision>> decide_by(const Policy& policy, const Request& request, const Invocation& in,
                                            const LoadScope& scope, const Wishes& wishes,
                                            std::vector<std::string>& wrapped) {
  auto resolver = make_system_resolver(policy, in.variables);
  if (!resolver) return tl::make_unexpected(resolver.error());
  if (auto safe = check_policy_not_writable(policy, **resolver); !safe) return tl::make_unexpected(safe.error());
  if (auto within = check_ceiling(policy, **resolver, scope); !within) return tl::make_unexpected(within.error());
  if (wishes.wider != nullptr && !in.narrower_than.empty()) {
    auto found = over_base(in, policy, **resolver, scope);
    if (!found) return tl::make_unexpected(found.error());
    *wishes.wider = std::move(*found);
    if (!wishes.wider->empty()) return std::nullopt;
  }
  PatternCache patterns;
  EvaluateOptions options;
  options.assume_installed = in.assume_installed;
  options.trace = wishes.trace;
  options.wrapped = &wrapped;
  auto decision = evaluate(policy, request, **resolver, patterns, options);
  if (!decision) return tl::make_unexpected(decision.error());
  return std::move(*decision);
}

// The decision, by a policy of which only what the request needs is loaded: a wrapper shows only when it is decided which
// command it wraps, and then that one is loaded, and compared with what may not be exceeded, too.
Expected<std::optional<Decision>> decide(const Request& request, const Invocation& in, const Wishes& wishes, Result& result) {
  LoadScope scope;
  scope.command = command_name(request);
  for (;;) {
    auto policy = load(in, scope);
    if (!policy) return tl::make_unexpected(policy.error());
    result.policy_name = policy->name;
    result.policy_sources = policy->sources;
    if (policy->find(scope.command) != nullptr) result.command = scope.command;

    std::vector<std::string> wrapped;
    auto decision = decide_by(*policy, request, in, scope, wishes, wrapped);
    const bool by_path = !request.argv.empty() && request.argv.front().find('/') != std::string::npos;
    if (by_path && std::ranges::find(wrapped, policy->by_path) != wrapped.end()) result.command = policy->by_path;
    if (!scope.add_wrapped(wrapped)) return decision;
    if (wishes.trace != nullptr) wishes.trace->clear();
  }
}

Expected<void> carry_out(const Request& request, const Invocation& in, StopAfter stop, const Wishes& wishes, Result& result) {
  auto decided = decide(request, in, wishes, result);
  if (!decided) return tl::make_unexpected(decided.error());
  if (!*decided) return {};
  Decision& decision = **decided;
  if (auto* denial = std::get_if<Denial>(&decision)) {
    result.denied = std::move(*denial);
    return {};
  }
  Plan& plan = result.plan.emplace(std::get<Plan>(std::move(decision)));
  result.command = plan.command;
  if (stop == StopAfter::decision && wishes.trace == nullptr) return {};

  HeadStart ahead;
  if (stop == StopAfter::outcome) ahead = start_ahead(plan);
  auto settled = complete(plan);
  if (!settled) return tl::make_unexpected(settled.error());
  if (stop == StopAfter::decision) return {};
  plan.may_run_again = in.diagnose;
  auto created = CreatedFiles::make(plan);
  if (!created) return tl::make_unexpected(created.error());
  // While an unused output file may still have to be removed, nobody of the tree may be left.
  const bool creates = std::any_of(plan.grants.begin(), plan.grants.end(),
                                   [](const Grant& grant) { return grant.access == PathAccess::create; });
  auto outcome = execute(plan, *settled, creates || in.diagnose ? nullptr : &result.last, std::move(ahead));
  if (!outcome) return tl::make_unexpected(outcome.error());
  if (in.diagnose && !is_success(plan, outcome->ending)) diagnose(plan, *settled, *outcome);
  result.outcome = std::move(*outcome);
  return {};
}

// The error with the host's part in it: its cause when nothing can be looked at, else a remedy.
Error because(Error error) {
  if (auto proc = missing_proc()) return *std::move(proc);
  add_hint(error);
  return error;
}

}  // namespace

bool is_elsewhere(const Error& error, Host host) {
  return error.step == "start_dir" ||
         (host == Host::anywhere && error.code == ErrorCode::policy_invalid && error.sys_errno == ENOENT);
}

Result answer(const Invocation& in, StopAfter stop, Trace* trace, std::vector<Widening>* wider) {
  Result result;
  auto request = take_request(in);
  if (!request) {
    result.error = request.error();
    return result;
  }
  result.id = request->id;
  if (auto done = carry_out(*request, in, stop, {trace, wider}, result); !done) result.error = because(done.error());
  // Last: after a launch the sandbox is being taken down meanwhile, and that is waited for.
  if (!result.policy_sources.empty()) result.policy_sha256 = policy_digest(result.policy_sources);
  if (!result.denied) return result;
  if ((result.error = missing_proc())) result.denied.reset();
  return result;
}

namespace {

Expected<Policy> load_all(const Invocation& in, Host host) {
  LoadScope scope;
  scope.everything = true;
  auto policy = load(in, scope);
  if (!policy) return policy;
  auto resolver = make_system_resolver(*policy, in.variables);
  // Nothing of these verbs is about the working directory: a policy is looked at where it lies, too.
  if (!resolver && is_elsewhere(resolver.error(), host)) return policy;
  if (!resolver) return tl::make_unexpected(resolver.error());
  if (auto safe = check_policy_not_writable(*policy, **resolver); !safe) return tl::make_unexpected(safe.error());
  if (auto within = check_ceiling(*policy, **resolver, scope); !within) return tl::make_unexpected(within.error());
  return policy;
}

}  // namespace

Expected<Policy> load_whole(const Invocation& in, Host host) {
  return load_all(in, host).map_error([](Error error) { return because(std::move(error)); });
}

Expected<std::vector<Widening>> widenings_over_base(const Invocation& in) {
  LoadScope scope;
  scope.everything = true;
  auto policy = load(in, scope);
  if (!policy) return tl::make_unexpected(policy.error());
  auto resolver = make_system_resolver(*policy, in.variables);
  if (!resolver) return tl::make_unexpected(resolver.error());
  return over_base(in, *policy, **resolver, scope);
}

}  // namespace safe_exec
