// Owns the shape of test files and the verdict on each test. Never executes anything and looks at nothing of the host.
#include "policy_tests.h"

#include <array>
#include <unordered_set>

#include "inline_text.h"
#include "policy_loader.h"

namespace safe_exec {
namespace {

constexpr std::string_view kSchema = "safe-exec/policy-tests/v1";
constexpr std::array<Name, 3> kExpectations{"allow", "ask", "deny"};

struct TestContext {};

void read_test_env(TestContext& /*context*/, const Item& item, PolicyTest& out) {
  for (const Item& member : members(item)) {
    if (member.key().empty() || member.key().find('=') != std::string_view::npos) {
      refuse(member, {"this cannot be the name of a variable", "a name without \"=\"", "\"" + std::string(member.key()) + "\"", ""}, At::key);
    }
    out.request.env.emplace_back(std::string(member.key()), read_string(member));
  }
}

void read_test_code(TestContext& /*context*/, const Item& item, PolicyTest& out) {
  const std::string name = read_string(item);
  out.code = denial_code(name);
  if (out.code) return;
  std::vector<std::string_view> known;
  for (int i = 0; i < kDenialCodeCount; ++i) known.push_back(code_name(static_cast<DenialCode>(i)));
  refuse_unknown(item, "denial code", name, known, At::value);
}

constexpr std::array<Field<PolicyTest, TestContext>, 7> kTestFields{{
    {"name", [](TestContext&, const Item& v, PolicyTest& out) { out.name = read_non_empty(v); }},
    {"argv", [](TestContext&, const Item& v, PolicyTest& out) { out.request.argv = read_strings(v, 1); }},
    {"cwd", [](TestContext&, const Item& v, PolicyTest& out) { out.request.cwd = read_non_empty(v); }},
    {"env", read_test_env},
    {"expect", [](TestContext&, const Item& v, PolicyTest& out) { out.expect = kExpectations[read_choice(v, kExpectations)]; }},
    {"code", read_test_code},
    {"canonical", [](TestContext&, const Item& v, PolicyTest& out) { out.canonical = read_strings(v, 1); }},
}};

PolicyTest read_test(const Item& item) {
  PolicyTest test;
  TestContext context;
  read_members(context, item, test, kTestFields);
  if (test.name.empty()) refuse(item, {"\"name\" is missing", "\"name\": TEXT", "no \"name\"", ""});
  if (test.request.argv.empty()) refuse(item, {"\"argv\" is missing", "\"argv\": [\"COMMAND\", ...]", "no \"argv\"", ""});
  if (test.expect.empty()) refuse(item, {"\"expect\" is missing", "\"expect\": \"allow\", \"ask\" or \"deny\"", "no \"expect\"", ""});
  if (test.code && test.expect != "deny") {
    refuse(*item.member("code"), {"\"code\" makes no sense here", "\"expect\": \"deny\" beside it", "\"" + test.expect + "\"", ""}, At::key);
  }
  if (test.canonical && test.expect != "allow") {
    refuse(*item.member("canonical"), {"\"canonical\" makes no sense here", "\"expect\": \"allow\" beside it", "\"" + test.expect + "\"", ""}, At::key);
  }
  test.location = item.document->locate(item.document->id(*item.node));
  test.pointer = test.location.pointer;
  return test;
}

void read_tests(TestContext& /*context*/, const Item& item, PolicyTests& out) {
  std::unordered_set<std::string> names;
  for (const Item& element : elements(item, 1)) {
    out.tests.push_back(read_test(element));
    if (names.insert(out.tests.back().name).second) continue;
    refuse(element, {"two tests have one name", "a name of its own", "\"" + out.tests.back().name + "\"", ""});
  }
}

constexpr std::array<Field<PolicyTests, TestContext>, 4> kFileFields{{
    {"$schema", [](TestContext&, const Item&, PolicyTests&) {}},
    {"schema",
     [](TestContext&, const Item& v, PolicyTests&) {
       if (read_string(v) != kSchema) refuse(v, {"this schema is not known", std::string(kSchema), describe_value(v), ""});
     }},
    {"fixture",
     [](TestContext&, const Item& v, PolicyTests& out) {
       for (const Item& element : elements(v)) {
         out.fixture.push_back(read_fixture_entry(element));
         out.fixture.back().place = {};  // a place in this file is none in the policy
       }
     }},
    {"tests", read_tests},
}};

std::string wrong_argv(const std::vector<std::string>& found, const std::vector<std::string>& expected) {
  return "it is rebuilt as: " + spaced(found) + "; expected: " + spaced(expected);
}

ExampleResult judge(const PolicyTest& test, const Decision& decision) {
  ExampleResult result;
  result.name = test.name;
  result.pointer = test.pointer;
  result.location = test.location;
  result.argv = test.request.argv;
  result.expected = test.code ? std::string(code_name(*test.code)) : test.expect;
  if (const Denial* denial = std::get_if<Denial>(&decision)) {
    const bool asks = denial->code == DenialCode::needs_approval;
    result.found = asks ? "ask" : std::string(code_name(denial->code));
    result.message = denial->message;
    const bool kind = asks ? test.expect == "ask" : test.expect == "deny";
    const bool same = !test.code || *test.code == denial->code;
    result.passed = (kind && same) || (asks && test.code == DenialCode::needs_approval);
    return result;
  }
  result.found = "allow";
  result.passed = test.expect == "allow";
  const std::vector<std::string>& argv = std::get<Plan>(decision).argv;
  result.rebuilt = argv;
  if (result.passed && test.canonical && *test.canonical != argv) {
    result.passed = false;
    result.found = "another argv";
    result.message = wrong_argv(argv, *test.canonical);
  }
  return result;
}

}  // namespace

Expected<PolicyTests> parse_policy_tests(std::string file, std::string text) {
  auto parsed = json::parse(std::move(file), std::move(text), json::Comments::allow);
  if (!parsed) return tl::unexpected(from_parse_error(std::move(parsed.error()), ErrorCode::request_invalid));
  const json::Document& document = **parsed;
  const Item root{&document, &document.root(), 0, ErrorCode::request_invalid};
  try {
    PolicyTests tests;
    TestContext context;
    read_members(context, root, tests, kFileFields);
    if (!root.member("schema")) refuse(root, {"\"schema\" is missing", "\"schema\": \"" + std::string(kSchema) + "\"", "no \"schema\"", ""});
    if (tests.tests.empty()) refuse(root, {"\"tests\" is missing", "\"tests\": [...]", "no \"tests\"", ""});
    return tests;
  } catch (DecodeFailure& failure) {
    return tl::unexpected(std::move(failure.error));
  }
}

Expected<std::vector<ExampleResult>> run_policy_tests(const Policy& policy, const PolicyTests& tests,
                                                      const ExampleFilter& filter) {
  Policy furnished = policy;
  furnished.fixture.insert(furnished.fixture.end(), tests.fixture.begin(), tests.fixture.end());
  const std::unique_ptr<PathResolver> resolver = make_fixture_resolver(furnished);
  PatternCache patterns;
  std::vector<ExampleResult> results;
  for (const PolicyTest& test : tests.tests) {
    if (!filter.takes(test.request.argv, patterns)) continue;
    EvaluateOptions options;
    options.assume_installed = true;
    Expected<Decision> decision = evaluate(furnished, test.request, *resolver, patterns, options);
    if (!decision) return tl::unexpected(std::move(decision.error()));
    results.push_back(judge(test, *decision));
  }
  return results;
}

}  // namespace safe_exec
