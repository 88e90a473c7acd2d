// Owns the verb `policy test`: which of a policy's promises are put to the test, and the exit status.
#include <unistd.h>

#include <string>

#include "beneath.h"
#include "coverage.h"
#include "input.h"
#include "json.h"
#include "mutate.h"
#include "output.h"
#include "pattern.h"
#include "pipeline.h"
#include "policy.h"
#include "policy_tests.h"
#include "test_report.h"
#include "verbs.h"

namespace safe_exec {
namespace {

tl::unexpected<Error> misused(std::string message) {
  Error error;
  error.code = ErrorCode::usage;
  error.step = "usage";
  error.message = std::move(message);
  return tl::make_unexpected(std::move(error));
}

Expected<ExampleFilter> take_filter(const Invocation& in) {
  if (const std::string problem = in.run.empty() ? "" : pattern_problem(in.run); !problem.empty()) {
    return misused("--run is not a regular expression that RE2 accepts: " + problem);
  }
  return ExampleFilter{in.run};
}

Expected<void> add_tests(const Invocation& in, const Policy& policy, const ExampleFilter& filter, TestReport& report) {
  for (const std::string& name : in.test_files) {
    auto text = read_input(name, ErrorCode::request_invalid, "test file");
    if (!text) return tl::make_unexpected(text.error());
    auto tests = parse_policy_tests(name, std::move(*text));
    if (!tests) return tl::make_unexpected(tests.error());
    auto results = run_policy_tests(policy, *tests, filter);
    if (!results) return tl::make_unexpected(results.error());
    report.tests.insert(report.tests.end(), results->begin(), results->end());
  }
  return {};
}

Expected<TestReport> examine(const Invocation& in) {
  const auto filter = take_filter(in);
  if (!filter) return tl::make_unexpected(filter.error());
  auto policy = load_whole(in, Host::anywhere);
  if (!policy) return tl::make_unexpected(policy.error());
  TestReport report;
  report.policy_name = policy->name;
  report.policy_sha256 = policy_digest(policy->sources);
  report.commands = policy->commands.size();
  report.threshold = in.threshold;
  report.base = open_here().path;
  auto examples = run_examples(*policy, *filter);
  if (!examples) return tl::make_unexpected(examples.error());
  report.examples = std::move(*examples);
  if (auto added = add_tests(in, *policy, *filter, report); !added) return tl::make_unexpected(added.error());
  if (in.generate) {
    auto mutants = mutate_examples(*policy, *filter);
    if (!mutants) return tl::make_unexpected(mutants.error());
    report.mutants = std::move(*mutants);
  }
  // A name that was changed or misspelled would pass for ever.
  if (!in.run.empty() && report.examples.empty() && report.tests.empty()) return misused("--run " + in.run + " selects no example and no test");
  if (in.coverage || in.threshold) {
    auto coverage = measure_coverage(*policy);
    if (!coverage) return tl::make_unexpected(coverage.error());
    report.coverage = std::move(*coverage);
  }
  return report;
}

std::string spelled(const TestReport& report, Output output) {
  switch (output) {
    case Output::json: return test_json(report);
    case Output::tap: return test_tap(report);
    case Output::junit: return test_junit(report);
    case Output::sarif: return test_sarif(report);
    case Output::github: return test_github(report);
    case Output::text:
    case Output::pretty:
    case Output::raw: break;
  }
  return test_text(report);
}

}  // namespace

int policy_test_verb(const Invocation& in) {
  const auto report = examine(in);
  if (!report) return fail(in, report.error());
  if (!write_answer(spelled(*report, in.output))) return 2;
  return report->passed() ? 0 : 1;
}

}  // namespace safe_exec
