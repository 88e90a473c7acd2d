// Owns the decision: the order in which the rules are asked, and what a request's line of tokens has to be. Never
// executes, never opens a file itself, and turns no failure into an allowance.
#include "evaluate.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "evaluation.h"

namespace safe_exec {
namespace {

constexpr std::size_t kMaxTokens = 10000;
constexpr std::size_t kMaxBytes = std::size_t{2} << 20U;
// execve(2): MAX_ARG_STRLEN, 32 pages, counts the terminating NUL. A longer string can never be executed.
constexpr std::size_t kMaxTokenBytes = 131072;

std::vector<std::string> names_of(const Policy& policy) {
  std::vector<std::string> names;
  for (const Command& command : policy.commands) names.push_back(command.node.name);
  return names;
}

}  // namespace

Expected<Decision> Evaluation::run() {
  static constexpr Rule kReading[] = {
      &Evaluation::identify,  &Evaluation::read,          &Evaluation::check_count,
      &Evaluation::enter_cwd, &Evaluation::match_options, &Evaluation::fill_slots,
  };
  static constexpr Rule kGranting[] = {
      &Evaluation::build_env, &Evaluation::plan_stdin, &Evaluation::settle_limits, &Evaluation::rebuild,
      &Evaluation::ask,       &Evaluation::take_binary,
  };
  if (Step clean = check_tokens(); !clean) return conclude(std::move(clean.error()));
  if (names_a_program()) return decide_by_path();
  if (Step read = pass(kReading); !read) return conclude(std::move(read.error()));
  if (wrapped_at_ > 0) return decide_wrapped();
  if (Step granted = pass(kGranting); !granted) return conclude(std::move(granted.error()));
  settle_sandbox();
  if (std::optional<Error> error = broken()) return tl::unexpected(*std::move(error));
  trace(leaf(), "allow, ask or deny", "allow");
  return Decision(std::move(plan_));
}

Step Evaluation::pass(std::span<const Rule> rules) {
  for (const Rule rule : rules) {
    if (Step passed = (this->*rule)(); !passed) return passed;
  }
  return {};
}

Expected<Decision> Evaluation::conclude(Stop stop) {
  if (Error* error = std::get_if<Error>(&stop)) return tl::unexpected(std::move(*error));
  if (std::optional<Error> error = broken()) return tl::unexpected(*std::move(error));
  Denial denial = finish_denial(policy_, std::move(std::get<Refusal>(stop)));
  note_shell(denial, request_.argv);
  if (options_.trace != nullptr) {
    options_.trace->push_back({denial.rule, denial.expected, denial.message, false, denial.argv_index, denial.location});
  }
  return Decision(std::move(denial));
}

std::optional<Error> Evaluation::broken() const {
  const std::string& pattern = patterns_.invalid();
  if (pattern.empty()) return resolver_.broken();
  Error error;
  error.code = ErrorCode::policy_invalid;
  error.message = "this pattern does not compile: " + pattern_problem(pattern);
  error.step = "policy";
  error.expected = "a regular expression that RE2 accepts";
  error.found = shown(pattern);
  for (const auto& source : policy_.sources) {
    for (std::uint32_t id = 0; id < source->size() && !error.location; ++id) {
      if (source->node(id).text == pattern) error.location = source->locate(id);
    }
  }
  return error;
}

Step Evaluation::check_tokens() {
  if (request_.argv.empty()) return refuse(DenialCode::command_not_allowed, "argv is empty: no command is named", {});
  if (request_.argv.size() > kMaxTokens) {
    return refuse(DenialCode::too_many_arguments, "a command line has at most 10000 tokens", {});
  }
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < request_.argv.size(); ++i) {
    const std::string& token = request_.argv[i];
    const int index = static_cast<int>(i);
    bytes += token.size() + 1;
    if (token.size() >= kMaxTokenBytes) {
      return refuse(DenialCode::argument_too_long, "a token has at most 131071 bytes", {}, index, token);
    }
    // Where tab and newline may stand is known only when the token's type is; all else is refused here.
    if (const auto clean = check_text(token, true); !clean) {
      const bool control = clean.error() == DenialCode::control_character;
      return refuse(clean.error(),
                    control ? "a token holds no control or text-direction characters"
                            : "a token is valid UTF-8 without noncharacters",
                    {}, index, token);
    }
  }
  if (bytes > kMaxBytes) return refuse(DenialCode::argument_too_long, "a command line has at most 2 MiB", {});
  return {};
}

// What the policy takes by its path. Not what has the name of a command and lies elsewhere on the host (/tmp/ls), or perhaps in
// the working directory itself (./ls, x/../ls): so looks what was put there to be taken for it.
bool Evaluation::names_a_program() const {
  const std::string& token = request_.argv.front();
  const std::size_t slash = token.rfind('/');
  if (slash == std::string::npos || slash + 1 == token.size() || policy_.by_path.empty()) return false;
  const std::string name = token.substr(slash + 1);
  if (depth_ > 0 && options_.wrapped != nullptr) options_.wrapped->push_back(name);  // not loaded, it would be unknown
  if (policy_.find(name) == nullptr) return true;
  const bool climbs = ("/" + token).find("/../") != std::string::npos;
  return token.front() != '/' && !climbs && token.find_first_not_of("./") < slash;  // .venv/bin/pytest
}

// POLICY.md 3.1. A path has to be one of the policy's own, byte for byte: /tmp/ls is not ls.
Step Evaluation::identify() {
  const std::string& token = request_.argv.front();
  const std::size_t slash = token.rfind('/');
  const std::string name = slash == std::string::npos ? token : token.substr(slash + 1);
  command_ = policy_.find(name);
  if (depth_ > 0 && options_.wrapped != nullptr) options_.wrapped->push_back(name);
  if (command_ == nullptr) {
    auto refusal = refuse(DenialCode::command_not_allowed, shown(token) + " is not a command that the policy allows",
                          {}, 0, token);
    Denial& denial = std::get<Refusal>(refusal.value()).denial;
    denial.expected = "a command of the policy";
    if (is_assignment(token)) {
      denial.message += "; no shell reads this: a variable stands in the request's env, or behind the command env";
    } else if (slash != std::string::npos) {
      denial.message += "; a command is called by its name, and a file of the workspace is none";
    }
    suggest_from(denial, name, names_of(policy_));
    return refusal;
  }
  nodes_ = {&command_->node};
  if (slash != std::string::npos) {
    if (std::find(command_->paths.begin(), command_->paths.end(), token) == command_->paths.end()) {
      auto refusal = refuse(DenialCode::command_not_allowed, shown(token) + " is not where the policy has " + name,
                            command_->node.place, 0, token);
      Denial& denial = std::get<Refusal>(refusal.value()).denial;
      denial.expected = name + ", or its path";
      denial.allowed = command_->paths;
      denial.allowed.resize(std::min(denial.allowed.size(), kMaxListed));
      return refusal;
    }
    as_named_ = token;
  }
  plan_.command = command_->node.name;
  trace(command_->node.place, "a command of the policy", name, 0);
  return {};
}

bool Evaluation::accepts_next(const Type& type, std::string_view token) {
  // A path is taken for what it is written as; whether it may be read is asked when all tokens have been placed.
  return match_value(type, token, patterns_, [](const Type&, std::string_view text) { return std::string(text); })
      .has_value();
}

Step Evaluation::read() {
  const AcceptsValue accepts = [this](const Type& type, std::string_view token) { return accepts_next(type, token); };
  tl::expected<Reading, Refusal> reading = read_tokens(command_->node, request_.argv, accepts);
  if (!reading) return tl::unexpected(Stop(std::move(reading.error())));
  reading_ = std::move(*reading);
  nodes_ = reading_.nodes();
  settings_ = effective_settings(*command_, nodes_);
  plan_.rule = policy_.pointer(leaf());
  for (std::size_t i = 1; i < nodes_.size(); ++i) trace(nodes_[i]->place, "a subcommand", nodes_[i]->name);
  return {};
}

// All tokens behind the command's name count, as a person would count them.
Step Evaluation::check_count() {
  const auto count = static_cast<std::int64_t>(request_.argv.size()) - 1;
  if (!settings_.max_args || count <= *settings_.max_args) return {};
  return refuse(DenialCode::too_many_arguments,
                title(nodes_) + " takes at most " + std::to_string(*settings_.max_args) + " arguments", leaf());
}

Step Evaluation::rebuild() {
  const std::string& path = as_named_.empty() ? command_->paths.front() : as_named_;
  tl::expected<CommandLine, Refusal> line = emit(reading_, path);
  if (!line) return tl::unexpected(Stop(std::move(line.error())));
  const AcceptsValue accepts = [this](const Type& type, std::string_view token) { return accepts_next(type, token); };
  if (!reads_back(reading_, *line, accepts)) {
    Error error;
    error.code = ErrorCode::policy_invalid;
    error.message = "the rules of " + title(nodes_) + " read the rebuilt command line differently";
    error.step = "rebuild";
    error.hint = "two of its options can be read in one token; give one of them a long name";
    if (leaf().source < policy_.sources.size()) error.location = policy_.locate(leaf());
    return tl::unexpected(Stop(std::move(error)));
  }
  for (const std::string& token : line->argv) {
    if (token.size() < kMaxTokenBytes) continue;
    return refuse(DenialCode::argument_too_long, "a rebuilt token has more than 131071 bytes", leaf());
  }
  plan_.argv = std::move(line->argv);
  if (options_.reading != nullptr) *options_.reading = reading_;
  return {};
}

Step Evaluation::ask() {
  for (const Node* node : nodes_) {
    if (node->decision != Verdict::ask) continue;
    auto refusal = refuse(DenialCode::needs_approval, title(nodes_) + " needs approval", node->place);
    std::get<Refusal>(refusal.value()).denial.reason = node->reason;
    return refusal;
  }
  return {};
}

Step Evaluation::take_binary() {
  static const std::vector<Root> kNothing;
  const std::vector<Root>& exec = settings_.exec == nullptr ? kNothing : *settings_.exec;
  PathResult<Binary> binary = resolver_.binary(*command_, as_named_, exec, options_.assume_installed);
  if (!binary) {
    auto refusal = refuse(binary.error().code, std::move(binary.error().message), command_->node.place);
    std::get<Refusal>(refusal.value()).denial.expected = std::move(binary.error().expected);
    return refusal;
  }
  plan_.binary = std::move(*binary);
  plan_.exec_by = command_->exec_by;
  plan_.argv.front() = plan_.binary.path;
  return {};
}

tl::unexpected<Stop> Evaluation::refuse(DenialCode code, std::string message, Place place, int argv_index,
                                        std::string_view value) const {
  Refusal refusal{{}, place, nodes_};
  refusal.denial.code = code;
  refusal.denial.message = std::move(message);
  refusal.denial.argv_index = argv_index;
  refusal.denial.value = value;
  return tl::unexpected(Stop(std::move(refusal)));
}

void Evaluation::trace(Place place, std::string_view expected, std::string_view found, int argv_index) {
  if (options_.trace == nullptr) return;
  std::optional<Location> location;
  if (place.source < policy_.sources.size()) location = policy_.locate(place);
  options_.trace->push_back({policy_.pointer(place), std::string(expected), std::string(found), true, argv_index, std::move(location)});
}

Expected<Decision> evaluate(const Policy& policy, const Request& request, PathResolver& resolver,
                            PatternCache& patterns, const EvaluateOptions& options) {
  return Evaluation(policy, request, resolver, patterns, options).run();
}

}  // namespace safe_exec
