// Owns the forms in which the result of `policy test` is written. Every text of a policy or a test is escaped for the form
// that it stands in.
#include "test_report.h"

#include <algorithm>
#include <map>

#define JSON_NO_IO 1
#include <nlohmann/json.hpp>

#include "findings.h"
#include "report.h"

namespace safe_exec {
namespace {

using Json = nlohmann::ordered_json;

// One thing that passed or failed, whatever it is.
struct Point {
  std::string_view kind;  // "example", "test", "mutant", "coverage"
  std::string suite;      // the command, or "coverage"
  std::string name;
  Location location;
  bool passed = true;
  std::string message;
};

std::string command_of(const std::vector<std::string>& argv) {
  return argv.empty() ? std::string() : argv.front().substr(argv.front().rfind('/') + 1);
}

std::string words(const std::vector<std::string>& argv) { return printable_text(spaced(argv)); }

Point point_of(const ExampleResult& result, std::string_view kind) {
  Point point{kind, command_of(result.argv), "", result.location, result.passed, ""};
  point.name = result.name.empty() ? words(result.argv) + " -> " + result.expected : printable_text(result.name);
  if (result.passed) return point;
  point.message = "expected " + result.expected + ", found " + result.found + ": " + words(result.argv);
  if (!result.message.empty()) point.message += "\n" + printable_text(result.message);
  return point;
}

Point point_of(const MutantFailure& failure) {
  Point point{"mutant", command_of(failure.example), failure.how + ": " + words(failure.mutant), failure.location, false, ""};
  point.message = printable_text(failure.problem) + "\nmutant: " + words(failure.mutant) + "\nexample: " + words(failure.example) +
                  "\nexample as rebuilt: " + words(failure.before);
  if (!failure.after.empty()) point.message += "\nmutant as rebuilt: " + words(failure.after);
  return point;
}

std::string mutant_summary(const MutationReport& mutants) {
  std::string out = std::to_string(mutants.mutants) + " mutants of " + std::to_string(mutants.examples) + " examples: " +
                    std::to_string(mutants.denied) + " denied, " + std::to_string(mutants.identical) +
                    " the same argv, " + std::to_string(mutants.inside) + " inside an operand, " +
                    std::to_string(mutants.failures.size()) + " failed";
  if (mutants.left_out > 0) out += " (" + std::to_string(mutants.left_out) + " more not made)";
  return out;
}

std::string coverage_summary(const TestReport& report) {
  const Coverage& coverage = *report.coverage;
  std::string out = "coverage " + std::to_string(coverage.percent()) + " %: " + std::to_string(coverage.covered) + " of " +
                    std::to_string(coverage.total) + " options, operands and subcommands";
  if (report.threshold) out += " (threshold " + std::to_string(*report.threshold) + " %)";
  return out;
}

std::vector<Point> points_of(const TestReport& report) {
  std::vector<Point> points;
  for (const ExampleResult& result : report.examples) points.push_back(point_of(result, "example"));
  for (const ExampleResult& result : report.tests) points.push_back(point_of(result, "test"));
  if (report.mutants) {
    for (const MutantFailure& failure : report.mutants->failures) points.push_back(point_of(failure));
    if (report.mutants->failures.empty()) points.push_back({"mutant", "mutants", mutant_summary(*report.mutants), {}, true, ""});
  }
  if (report.coverage) {
    Point point{"coverage", "coverage", coverage_summary(report), {}, !report.below_threshold(), ""};
    if (!point.passed) {
      for (const CommandCoverage& command : report.coverage->commands) {
        for (const CoverageItem& item : command.missing) point.message += (point.message.empty() ? "" : "\n") + item.pointer;
      }
    }
    points.push_back(std::move(point));
  }
  return points;
}

std::string place_text(const Location& where) {
  return printable_text(where.file) + ":" + std::to_string(where.line) + ":" + std::to_string(where.column);
}

std::string indented(std::string_view text, std::string_view margin) {
  std::string out(margin);
  for (const char c : text) {
    out += c;
    if (c == '\n') out += margin;
  }
  return out;
}

// ---------------------------------------------------------------------------------------------------------
// XML: what cannot stand in a document at all has been escaped by printable_text.

std::string xml(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const char c = text.front();
    // XML 1.0 has no U+FFFE and U+FFFF, not even as references.
    if (text.starts_with("\xEF\xBF\xBE") || text.starts_with("\xEF\xBF\xBF")) {
      out += "\xEF\xBF\xBD";
      text.remove_prefix(3);
      continue;
    }
    text.remove_prefix(1);
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\n': out += "&#10;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string testcase_xml(const Point& point) {
  std::string out = "    <testcase classname=\"" + xml(point.suite) + "\" name=\"" + xml(point.name) + "\"";
  if (!point.location.file.empty()) {
    out += " file=\"" + xml(printable_text(point.location.file)) + "\" line=\"" + std::to_string(point.location.line) + "\"";
  }
  if (point.passed) return out + "/>\n";
  const std::string first = point.message.substr(0, point.message.find('\n'));
  const std::string where = point.location.file.empty() ? "" : place_text(point.location) + "\n";
  return out + ">\n      <failure type=\"" + std::string(point.kind) + "\" message=\"" + xml(first) + "\">" + xml(where + point.message) +
         "</failure>\n    </testcase>\n";
}

// ---------------------------------------------------------------------------------------------------------
// JSON

Json example_json(const ExampleResult& result) {
  Json out = Json::object();
  if (!result.name.empty()) out["name"] = result.name;
  out.update({{"pointer", result.pointer},
              {"file", result.location.file},
              {"line", result.location.line},
              {"argv", result.argv},
              {"expected", result.expected},
              {"found", result.found},
              {"message", result.message},
              {"passed", result.passed}});
  if (!result.rebuilt.empty()) out["rebuilt"] = result.rebuilt;
  return out;
}

Json mutants_json(const MutationReport& mutants) {
  Json failures = Json::array();
  for (const MutantFailure& failure : mutants.failures) {
    failures.push_back({{"how", failure.how},
                        {"pointer", failure.pointer},
                        {"file", failure.location.file},
                        {"line", failure.location.line},
                        {"example", failure.example},
                        {"mutant", failure.mutant},
                        {"example_rebuilt", failure.before},
                        {"mutant_rebuilt", failure.after},
                        {"problem", failure.problem}});
  }
  return {{"examples", mutants.examples}, {"made", mutants.mutants},     {"denied", mutants.denied},
          {"same", mutants.identical},    {"inside", mutants.inside},    {"left_out", mutants.left_out},
          {"failed", mutants.failures.size()}, {"failures", std::move(failures)}};
}

Json coverage_json(const TestReport& report) {
  Json commands = Json::array();
  for (const CommandCoverage& command : report.coverage->commands) {
    Json missing = Json::array();
    for (const CoverageItem& item : command.missing) {
      missing.push_back({{"kind", item.kind}, {"name", item.name}, {"pointer", item.pointer},
                         {"file", item.location.file}, {"line", item.location.line}});
    }
    const std::size_t covered = command.total - command.missing.size();
    commands.push_back({{"command", command.command}, {"total", command.total}, {"covered", covered}, {"missing", std::move(missing)}});
  }
  Json out{{"percent", report.coverage->percent()}, {"total", report.coverage->total}, {"covered", report.coverage->covered}};
  if (report.threshold) out["threshold"] = *report.threshold;
  out["commands"] = std::move(commands);
  return out;
}

// ---------------------------------------------------------------------------------------------------------
// Findings

std::vector<FindingRule> rules() {
  return {{"example", "An example of the policy is not decided as it says.", "Correct the policy or the example.", Severity::error},
          {"test", "A test file's request is not decided as it says.", "Correct the policy or the test.", Severity::error},
          {"mutant", "A respelt example is allowed as something else.",
           "The program may read what is allowed differently from the policy: narrow the types, or put \"--\" between the operands.", Severity::error},
          {"coverage", "No example exercises this.", "Add an example that must be allowed.", Severity::note}};
}

std::vector<Finding> findings_of(const TestReport& report) {
  std::vector<Finding> out;
  for (const Point& point : points_of(report)) {
    if (point.passed || point.kind == "coverage") continue;
    std::string message;
    for (const char c : point.message) message += c == '\n' ? "; " : std::string(1, c);
    out.push_back({std::string(point.kind), Severity::error, std::move(message), point.location});
  }
  if (!report.coverage) return out;
  const Severity severity = report.below_threshold() ? Severity::error : Severity::note;
  for (const CommandCoverage& command : report.coverage->commands) {
    for (const CoverageItem& item : command.missing) {
      out.push_back({"coverage", severity, "no example exercises the " + std::string(item.kind) + " " + item.name, item.location});
    }
  }
  return out;
}

}  // namespace

std::size_t TestReport::failures() const {
  const auto failed = [](const ExampleResult& result) { return !result.passed; };
  const auto count = std::count_if(examples.begin(), examples.end(), failed) + std::count_if(tests.begin(), tests.end(), failed);
  return static_cast<std::size_t>(count) + (mutants ? mutants->failures.size() : 0);
}

bool TestReport::below_threshold() const {
  return threshold && coverage && static_cast<std::int64_t>(coverage->percent()) < *threshold;
}

std::string test_text(const TestReport& report) {
  std::string out;
  for (const Point& point : points_of(report)) {
    if (point.passed || point.kind == "coverage") continue;
    out += "FAIL " + place_text(point.location) + " " + std::string(point.kind) + (point.kind == "test" ? " " + point.name : "") + "\n" +
           indented(point.message, "     ") + "\n";
  }
  if (report.coverage) {
    for (const CommandCoverage& command : report.coverage->commands) {
      if (command.missing.empty()) continue;
      const std::size_t covered = command.total - command.missing.size();
      out += printable_text(command.command) + ": " + std::to_string(covered) + " of " + std::to_string(command.total) + " exercised, not:\n";
      for (const CoverageItem& item : command.missing) out += "  " + printable_text(item.pointer) + "\n";
    }
    out += coverage_summary(report) + "\n";
  }
  if (report.mutants) out += mutant_summary(*report.mutants) + "\n";
  const std::size_t total = report.examples.size() + report.tests.size();
  const std::size_t failed = report.failures() - (report.mutants ? report.mutants->failures.size() : 0);
  return out + std::to_string(total - failed) + " passed, " + std::to_string(failed) + " failed\n";
}

std::string test_json(const TestReport& report) {
  const std::size_t total = report.examples.size() + report.tests.size();
  const std::size_t failed = report.failures() - (report.mutants ? report.mutants->failures.size() : 0);
  Json json{{"schema", "safe-exec/policy-test/v1"},
            {"policy", {{"name", report.policy_name}, {"sha256", report.policy_sha256}}},
            {"commands", report.commands},
            {"passed", total - failed},
            {"failed", failed}};
  Json examples = Json::array();
  for (const ExampleResult& result : report.examples) examples.push_back(example_json(result));
  Json tests = Json::array();
  for (const ExampleResult& result : report.tests) tests.push_back(example_json(result));
  if (report.coverage) json["coverage"] = coverage_json(report);
  if (report.mutants) json["mutants"] = mutants_json(*report.mutants);
  if (!report.tests.empty()) json["tests"] = std::move(tests);
  json["examples"] = std::move(examples);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string test_tap(const TestReport& report) {
  const std::vector<Point> points = points_of(report);
  std::string out = "TAP version 14\n1.." + std::to_string(points.size()) + (points.empty() ? " # SKIP nothing to test" : "") + "\n";
  for (std::size_t i = 0; i < points.size(); ++i) {
    const Point& point = points[i];
    std::string name;
    for (const char c : point.kind == "mutant" || point.kind == "coverage" ? point.name : point.suite + ": " + point.name) {
      if (c == '#' || c == '\\') name += '\\';
      name += c;
    }
    out += (point.passed ? "ok " : "not ok ") + std::to_string(i + 1) + " - " + name + "\n";
    if (point.passed) continue;
    out += "  ---\n  kind: " + std::string(point.kind) + "\n";
    if (!point.location.file.empty()) out += "  at: " + Json(place_text(point.location)).dump(-1, ' ', true, Json::error_handler_t::replace) + "\n";
    out += "  message: |\n" + indented(point.message, "    ") + "\n  ...\n";
  }
  return out;
}

std::string test_junit(const TestReport& report) {
  std::vector<std::string> order;
  std::map<std::string, std::vector<Point>> suites;
  std::size_t total = 0, failed = 0;
  for (Point& point : points_of(report)) {
    ++total;
    failed += point.passed ? 0 : 1;
    point.suite = printable_text(point.suite);
    const std::string suite = point.suite;
    if (!suites.contains(suite)) order.push_back(suite);
    suites[suite].push_back(std::move(point));
  }
  const auto counts = [](std::size_t tests, std::size_t failures) {
    return " tests=\"" + std::to_string(tests) + "\" failures=\"" + std::to_string(failures) + "\" errors=\"0\"";
  };
  std::string out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"" + xml(printable_text(report.policy_name)) + "\"" + counts(total, failed) + ">\n";
  for (const std::string& name : order) {
    const std::vector<Point>& points = suites[name];
    const auto bad = std::count_if(points.begin(), points.end(), [](const Point& point) { return !point.passed; });
    out += "  <testsuite name=\"" + xml(name) + "\"" + counts(points.size(), static_cast<std::size_t>(bad)) + " skipped=\"0\">\n";
    for (const Point& point : points) out += testcase_xml(point);
    out += "  </testsuite>\n";
  }
  return out + "</testsuites>\n";
}

std::string test_sarif(const TestReport& report) { return sarif_text(rules(), findings_of(report), report.base); }

std::string test_github(const TestReport& report) { return github_text(findings_of(report), report.base); }

}  // namespace safe_exec
