#include "verbs.h"

#include <unistd.h>

#include <string>

#define JSON_NO_IO 1
#include <nlohmann/json.hpp>

#include "examples.h"
#include "output.h"
#include "pipeline.h"
#include "policy.h"
#include "report.h"
#include "show.h"
#include "suggest.h"
#include "supervise.h"

namespace safe_exec {
namespace {

constexpr int kCannotAnswer = 125;

Layout layout_of(Output output) { return output == Output::pretty ? Layout::pretty : Layout::compact; }

// The exit status, unless the answer could not be written.
int finish(const Invocation& in, std::string_view answer_text, int status) {
  if (write_answer(answer_text)) return status;
  return in.verb == Verb::run ? kCannotAnswer : 2;
}

bool write_error(std::string_view text) { return write_all(STDERR_FILENO, text); }

bool put_stream(const Captured& captured, bool (*write)(std::string_view)) {
  if (!write(captured.head)) return false;
  if (captured.omitted > 0 && !write("\n[safe-exec: " + std::to_string(captured.omitted) + " bytes omitted]\n")) return false;
  return write(captured.tail);
}

// What no exit status says: which limit or signal ended it; empty: it ended by itself.
std::string ended_by(const Ending& ending) {
  if (const auto* late = std::get_if<TimedOut>(&ending)) return "timed_out: " + late->limit + ", " + std::to_string(late->limit_ms) + " ms";
  if (const auto* over = std::get_if<LimitExceeded>(&ending)) return "limit_exceeded: " + over->resource;
  if (const auto* cancelled = std::get_if<Cancelled>(&ending)) return "cancelled: signal " + std::to_string(cancelled->signal);
  return "";
}

// For people, a line each, after what the command itself wrote to standard error.
std::string remarks(const Outcome& outcome) {
  std::string text;
  const auto add = [&](const std::string& line) { text += "safe-exec: " + line + '\n'; };
  if (const std::uint64_t omitted = outcome.out.omitted; omitted > 0) {  // whoever keeps it as a file has to know
    add(std::to_string(omitted) + " bytes of standard output were omitted (--max-stdout)");
  }
  if (const std::string ended = ended_by(outcome.ending); !ended.empty()) add(ended);
  for (const Blocked& one : outcome.blocked) {
    std::string line = "blocked: " + one.layer;
    for (const std::string& word : {one.call, printable_text(one.path), one.error}) line += (word.empty() ? "" : " ") + word;
    add(line + ": " + printable_text(one.hint));
  }
  if (!outcome.diagnosis.empty()) add("diagnosis: " + printable_text(outcome.diagnosis));
  const std::string& said = outcome.err.tail.empty() ? outcome.err.head : outcome.err.tail;
  return (text.empty() || said.empty() || said.ends_with('\n') ? "" : "\n") + text;
}

// The command's own output and exact exit status; whatever is not a command's ending is a line of JSON on stderr.
int run_raw(const Result& result) {
  if (!result.outcome) {
    (void)write_all(STDERR_FILENO, result_json(result, Layout::compact));  // nobody to tell when it fails
    return run_exit_status(result);
  }
  const bool put = put_stream(result.outcome->out, write_answer) && put_stream(result.outcome->err, write_error);
  if (!put) return kCannotAnswer;
  if (const std::string text = remarks(*result.outcome); !text.empty()) (void)write_all(STDERR_FILENO, text);  // nobody to tell when it fails
  if (const auto* exited = std::get_if<Exited>(&result.outcome->ending)) return exited->code;
  return run_exit_status(result);
}

using Json = nlohmann::ordered_json;

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"; }

std::string example_text(const ExampleResult& example) {
  std::string out = "FAIL " + example.location.file + ":" + std::to_string(example.location.line) + ":" +
                    std::to_string(example.location.column) + " expected " + example.expected + ", found " + example.found + ":";
  for (const std::string& word : example.argv) out += " " + word;
  out += "\n";
  if (!example.message.empty()) out += "     " + example.message + "\n";
  return out;
}

Json example_json(const ExampleResult& example) {
  return {{"pointer", example.pointer},
          {"file", example.location.file},
          {"line", example.location.line},
          {"argv", example.argv},
          {"expected", example.expected},
          {"found", example.found},
          {"message", example.message},
          {"passed", example.passed}};
}

// The policy loaded whole, its examples decided.
int validate(const Invocation& in) {
  auto policy = load_whole(in, Host::here);
  if (!policy) return fail(in, policy.error());
  if (!in.narrower_than.empty()) {
    auto wider = widenings_over_base(in);
    if (!wider) return fail(in, wider.error());
    if (!wider->empty()) return refuse_wider(in, *wider);
  }
  auto results = run_examples(*policy);
  if (!results) return fail(in, results.error());
  std::string text;
  Json failed = Json::array();
  std::size_t failures = 0;
  for (const ExampleResult& example : *results) {
    if (example.passed) continue;
    ++failures;
    text += example_text(example);
    failed.push_back(example_json(example));
  }
  const int status = failures == 0 ? 0 : 1;
  if (in.output == Output::json) {
    Json json{{"schema", "safe-exec/policy-validate/v1"},
              {"policy", {{"name", policy->name}, {"sha256", policy_digest(policy->sources)}}},
              {"commands", policy->commands.size()},
              {"passed", results->size() - failures},
              {"failed", failures}};
    json["examples"] = std::move(failed);
    return finish(in, dump(json), status);
  }
  if (failures == 0) {
    text = "valid: " + policy->file + ": " + std::to_string(policy->commands.size()) + " commands, " +
           std::to_string(results->size()) + " examples hold\n";
  }
  return finish(in, text, status);
}

Error unknown_command(const Policy& policy, const std::string& name) {
  std::vector<std::string> known;
  for (const Command& command : policy.commands) known.push_back(command.node.name);
  Error error;
  error.code = ErrorCode::usage;
  error.step = "usage";
  error.nearest = nearest_name(name, known);
  error.message = "the policy has no command " + name;
  if (!error.nearest.empty()) error.message += "; did you mean " + error.nearest + "?";
  return error;
}

}  // namespace

int fail(const Invocation& in, const Error& error) {
  if (in.verb == Verb::run || in.verb == Verb::check) {
    Result result;
    result.id = in.request.id;
    result.error = error;
    if (in.verb == Verb::run && in.output == Output::raw) return run_raw(result);
    if (in.verb == Verb::run) return finish(in, result_json(result, layout_of(in.output)), run_exit_status(result));
    if (in.output != Output::text) return finish(in, check_json(result, nullptr, layout_of(in.output)), check_exit_status(result));
  } else if (in.output == Output::json && in.verb != Verb::none) {
    return finish(in, error_json(error, Layout::compact), 2);
  }
  (void)write_all(STDERR_FILENO, error_text(error));  // nobody to tell when it fails; the status says it
  return 2;
}

int run_verb(const Invocation& in) {
  Result result = answer(in, StopAfter::outcome, nullptr);
  // Written down while the kernel takes the sandbox down, given only when nothing of it is left; after a time limit at once.
  const std::string text = in.output == Output::raw ? std::string() : result_json(result, layout_of(in.output));
  const auto* const late = result.outcome ? std::get_if<TimedOut>(&result.outcome->ending) : nullptr;
  if (late == nullptr || late->limit != "wall") await_end(result.last);
  const int status = in.output == Output::raw ? run_raw(result) : finish(in, text, run_exit_status(result));
  await_end(result.last);
  // Nothing is left to undo: the kernel takes back descriptors and memory faster than destructors give them back.
  ::_exit(status);
}

int check_verb(const Invocation& in) {
  Trace trace;
  Trace* wanted = in.explain ? &trace : nullptr;
  std::vector<Widening> wider;
  const Result result = answer(in, StopAfter::decision, wanted, &wider);
  if (!wider.empty()) return refuse_wider(in, wider);
  if (in.output == Output::text) return finish(in, check_text(result, wanted), check_exit_status(result));
  return finish(in, check_json(result, wanted, layout_of(in.output)), check_exit_status(result));
}

int policy_validate_verb(const Invocation& in) { return validate(in); }

int policy_show_verb(const Invocation& in) {
  auto policy = load_whole(in, Host::here);
  if (!policy) return fail(in, policy.error());
  const bool json = in.output == Output::json;
  if (in.full || !in.command.empty()) {
    if (!in.full && policy->find(in.command) == nullptr) return fail(in, unknown_command(*policy, in.command));
    return finish(in, json ? show_json(*policy, in.command) : show_text(*policy, in.command), 0);
  }
  return finish(in, json ? show_brief_json(*policy) : show_brief_text(*policy), 0);
}

int policy_schema_verb() {
  Invocation in;
  in.verb = Verb::policy_schema;
  return finish(in, policy_schema(), 0);
}

}  // namespace safe_exec
