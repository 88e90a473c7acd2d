#include "options.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>
#include <span>

#include "inline_text.h"
#include "suggest.h"

namespace safe_exec {
namespace {

// ---------------------------------------------------------------------------------------------------------
// The tables

constexpr unsigned bit(Verb verb) { return 1U << static_cast<unsigned>(verb); }

constexpr unsigned kCommand = bit(Verb::run) | bit(Verb::check);
constexpr unsigned kSuggest = bit(Verb::policy_suggest);
constexpr unsigned kPolicy = bit(Verb::policy_validate) | bit(Verb::policy_test) | bit(Verb::policy_show) | bit(Verb::policy_lint);
constexpr unsigned kFmt = bit(Verb::policy_fmt);
constexpr unsigned kFiles = bit(Verb::policy_diff) | kSuggest | kFmt;  // their operands are files
constexpr unsigned kAll = kCommand | kPolicy | kFiles | bit(Verb::policy_schema) | bit(Verb::doctor) | bit(Verb::none);

struct VerbRow {
  Verb verb;
  Name first, second;  // the words
  InlineText<63> usage;
  InlineText<79> help;
};

constexpr std::array<VerbRow, 11> kVerbs{{
    {Verb::run, "run", "", "run [OPTION]... -- COMMAND [ARG]...", "decide, run confined, and answer with one JSON object"},
    {Verb::check, "check", "", "check [OPTION]... -- COMMAND [ARG]...", "decide only; nothing is run or created"},
    {Verb::policy_validate, "policy", "validate", "policy validate [OPTION]... [POLICY]", "load a policy whole, with its examples"},
    {Verb::policy_test, "policy", "test", "policy test [OPTION]... [POLICY] [FILE.policy.json]...",
     "decide every example, and the tests of files, and say which fail"},
    {Verb::policy_lint, "policy", "lint", "policy lint [OPTION]... [POLICY]", "say what of a policy grants more than it seems to"},
    {Verb::policy_show, "policy", "show", "policy show [OPTION]... [POLICY]", "say in short what a policy allows, or all about a command"},
    {Verb::policy_diff, "policy", "diff", "policy diff [OPTION]... OLD NEW", "say what NEW grants more, and what less, than OLD"},
    {Verb::policy_suggest, "policy", "suggest", "policy suggest [OPTION]... FILE", "propose what a policy lacks for these lines; writes nothing"},
    {Verb::policy_fmt, "policy", "fmt", "policy fmt [OPTION]... FILE...", "lay out policy files; prints, or changes them with --write"},
    {Verb::policy_schema, "policy", "schema", "policy schema", "print the JSON Schema of policies"},
    {Verb::doctor, "doctor", "", "doctor [OPTION]...", "try what this host allows, and name what is in the way"},
}};

enum class Key : std::uint8_t {
  policy, var, request, cwd, timeout, std_in, env, max_stdout, max_stderr, encoding, id, explain, diagnose, assume_installed,
  narrower_than, check, write, command, full, generate, coverage, threshold, run, fail_level, output, help, version,
};

struct OptionRow {
  Key key;
  Name name;
  Name value;  // empty: a flag
  unsigned verbs;
  bool repeats;
  InlineText<143> help;
};

constexpr std::array<OptionRow, 27> kOptions{{
    {Key::policy, "--policy", "PATH", kCommand | kPolicy | kSuggest, false, "policy file or directory"},
    {Key::var, "--var", "NAME=VALUE", kCommand | kPolicy | kSuggest, true, "set a variable that the policy lets be set"},
    {Key::request, "--request", "FILE", kCommand, false, "read the request from a JSON file, or - for standard input"},
    {Key::cwd, "--cwd", "DIR", kCommand, false, "working directory of the command"},
    {Key::timeout, "--timeout", "TIME", kCommand, false, "wall-clock limit: 30s, 1500ms, 2m; a bare number is seconds"},
    {Key::std_in, "--stdin", "FILE", kCommand, false, "standard input of the command: a file, or - for safe-exec's own"},
    {Key::env, "--env", "NAME=VALUE", kCommand, true, "an environment value that the policy lets the caller set"},
    {Key::max_stdout, "--max-stdout", "BYTES", kCommand, false, "how much standard output is returned"},
    {Key::max_stderr, "--max-stderr", "BYTES", kCommand, false, "how much standard error is returned"},
    {Key::encoding, "--encoding", "utf8|base64", kCommand, false, "how output stands in the JSON"},
    {Key::id, "--id", "TEXT", kCommand, false, "copied into the answer"},
    {Key::explain, "--explain", "", bit(Verb::check), false, "add every rule looked at and the whole confinement plan"},
    {Key::diagnose, "--diagnose", "", bit(Verb::run), false, "when the command fails, run it once more to see what it was refused"},
    {Key::assume_installed, "--assume-installed", "", bit(Verb::check), false, "do not look at the binary itself"},
    {Key::narrower_than, "--narrower-than", "BASE", bit(Verb::check) | bit(Verb::policy_validate), false,
     "refuse a policy that grants more than this one"},
    {Key::check, "--check", "", kFmt, false, "change nothing; exit with 1 and name the files that would change"},
    {Key::write, "--write", "", kFmt, false, "put the new layout into the files"},
    {Key::command, "--command", "NAME", bit(Verb::policy_show), false, "show everything about this command"},
    {Key::full, "--full", "", bit(Verb::policy_show), false, "show everything about every command"},
    {Key::generate, "--generate", "", bit(Verb::policy_test), false, "respell every allowed example and decide each mutant"},
    {Key::coverage, "--coverage", "", bit(Verb::policy_test), false, "say what no example exercises"},
    {Key::threshold, "--threshold", "PERCENT", bit(Verb::policy_test), false, "fail when less than this is exercised"},
    {Key::run, "--run", "REGEX", bit(Verb::policy_test), false, "only what has a match in its words, joined by blanks"},
    {Key::fail_level, "--fail-level", "SEVERITY", bit(Verb::policy_lint), false, "fail from this on: error, warning (default), note"},
    {Key::output, "--output", "FORMAT", kAll, false,
     "run: json, pretty, raw; check: json, pretty, text; others: text, json; policy test: tap, junit too; policy test and "
     "lint: sarif, github too"},
    {Key::help, "--help", "", kAll, false, "print this help"},
    {Key::version, "--version", "", bit(Verb::none), false, "print the version"},
}};

// ---------------------------------------------------------------------------------------------------------

Error usage_error(std::string message, std::string nearest = {}) {
  Error error;
  error.code = ErrorCode::usage;
  error.step = "usage";
  if (!nearest.empty()) message += "; did you mean " + nearest + "?";
  error.message = std::move(message);
  error.nearest = std::move(nearest);
  error.hint = "safe-exec --help lists the verbs, safe-exec VERB --help their options";
  return error;
}

tl::unexpected<Error> usage(std::string message, std::string nearest = {}) {
  return tl::make_unexpected(usage_error(std::move(message), std::move(nearest)));
}

const OptionRow* find_option(std::string_view name, Verb verb) {
  const auto* row = std::find_if(kOptions.begin(), kOptions.end(), [&](const OptionRow& r) { return r.name == name; });
  return row != kOptions.end() && (row->verbs & bit(verb)) != 0 ? row : nullptr;
}

Expected<void> unknown_option(std::string_view name, Verb verb) {
  std::vector<std::string> known;
  for (const OptionRow& row : kOptions) {
    if ((row.verbs & bit(verb)) != 0) known.emplace_back(row.name);
  }
  return usage("unknown option " + std::string(name), nearest_name(name, known));
}

Expected<std::int64_t> positive_number(std::string_view name, std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 0) {
    return usage(std::string(name) + " takes a number of bytes");
  }
  return value;
}

Expected<std::pair<std::string, std::string>> assignment(std::string_view name, std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) return usage(std::string(name) + " takes NAME=VALUE");
  return std::pair{std::string(text.substr(0, equals)), std::string(text.substr(equals + 1))};
}

Expected<Output> parse_output(Verb verb, std::string_view text) {
  struct Row { Name name; Output output; unsigned verbs; };
  static constexpr std::array<Row, 8> kOutputs{{
      {"json", Output::json, kAll},
      {"pretty", Output::pretty, kCommand},
      {"raw", Output::raw, bit(Verb::run)},
      {"text", Output::text, kAll & ~bit(Verb::run)},
      {"tap", Output::tap, bit(Verb::policy_test)},
      {"junit", Output::junit, bit(Verb::policy_test)},
      {"sarif", Output::sarif, bit(Verb::policy_test) | bit(Verb::policy_lint)},
      {"github", Output::github, bit(Verb::policy_test) | bit(Verb::policy_lint)},
  }};
  std::string allowed;
  for (const Row& row : kOutputs) {
    if ((row.verbs & bit(verb)) == 0) continue;
    if (row.name == text) return row.output;
    allowed += (allowed.empty() ? "" : ", ") + std::string(row.name);
  }
  return usage("--output takes one of " + allowed);
}

Expected<void> apply_limit(Key key, std::string_view name, std::string_view value, Request& request) {
  if (key == Key::timeout) {
    request.timeout_ms = parse_duration_ms(value);
    if (!request.timeout_ms) return usage("--timeout takes a time above zero, as 30s, 1500ms or 2m");
    return {};
  }
  auto bytes = positive_number(name, value);
  if (!bytes) return tl::make_unexpected(bytes.error());
  (key == Key::max_stdout ? request.max_stdout_bytes : request.max_stderr_bytes) = *bytes;
  return {};
}

Expected<void> apply_encoding(std::string_view value, Request& request) {
  if (value != "utf8" && value != "base64") return usage("--encoding takes utf8 or base64");
  request.encoding = value == "base64" ? Encoding::base64 : Encoding::utf8;
  return {};
}

Expected<void> apply_assignment(Key key, std::string_view name, std::string_view value, Invocation& into) {
  auto pair = assignment(name, value);
  if (!pair) return tl::make_unexpected(pair.error());
  if (key == Key::env) {
    into.request.env.push_back(std::move(*pair));
    return {};
  }
  if (!into.variables.insert(std::move(*pair)).second) return usage("--var sets one variable twice");
  return {};
}

Expected<void> apply_threshold(std::string_view value, Invocation& into) {
  std::int64_t percent = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), percent);
  if (error != std::errc{} || end != value.data() + value.size() || percent < 0 || percent > 100) {
    return usage("--threshold takes a number from 0 to 100");
  }
  into.threshold = percent;
  return {};
}

Expected<void> apply_fail_level(std::string_view value, Invocation& into) {
  if (value != "error" && value != "warning" && value != "note") return usage("--fail-level takes error, warning or note");
  into.fail_level = value;
  return {};
}

Expected<void> apply(const OptionRow& row, std::string_view value, Invocation& into) {
  Request& request = into.request;
  switch (row.key) {
    case Key::policy: into.policy = value; return {};
    case Key::request: into.request_file = value; return {};
    case Key::cwd: request.cwd = std::string(value); return {};
    case Key::id: request.id = value; return {};
    case Key::explain: into.explain = true; return {};
    case Key::diagnose: into.diagnose = true; return {};
    case Key::assume_installed: into.assume_installed = true; return {};
    case Key::narrower_than:
      if (value.empty()) return usage("--narrower-than takes a policy");
      into.narrower_than = value;
      return {};
    case Key::full: into.full = true; return {};
    case Key::command:
      if (value.empty()) return usage("--command takes the name of a command");
      into.command = value;
      return {};
    case Key::check: into.check = true; return {};
    case Key::write: into.write = true; return {};
    case Key::generate: into.generate = true; return {};
    case Key::coverage: into.coverage = true; return {};
    case Key::run: into.run = value; return {};
    case Key::threshold: return apply_threshold(value, into);
    case Key::fail_level: return apply_fail_level(value, into);
    case Key::help: into.help = true; return {};
    case Key::version: into.version = true; return {};
    case Key::std_in:
      request.stdin_source.kind = value == "-" ? StdinSource::Kind::inherit : StdinSource::Kind::file;
      request.stdin_source.text = value;
      return {};
    case Key::var:
    case Key::env: return apply_assignment(row.key, row.name, value, into);
    case Key::timeout:
    case Key::max_stdout:
    case Key::max_stderr: return apply_limit(row.key, row.name, value, request);
    case Key::encoding: return apply_encoding(value, request);
    case Key::output: {
      auto output = parse_output(into.verb, value);
      if (!output) return tl::make_unexpected(output.error());
      into.output = *output;
      return {};
    }
  }
  return {};
}

std::string second_words(std::string_view first) {
  std::string words;
  for (const VerbRow& row : kVerbs) {
    if (row.first == first) words += (words.empty() ? "" : ", ") + std::string(row.second);
  }
  return words;
}

// The verb's words at the front of arguments; how many were taken.
Expected<std::size_t> take_verb(std::span<const std::string> arguments, Invocation& into) {
  if (arguments.empty()) return usage("no verb");
  if (arguments[0].starts_with("-")) return std::size_t{0};
  std::vector<std::string> known;
  for (const VerbRow& row : kVerbs) {
    if (row.first != arguments[0]) {
      known.emplace_back(row.first);
      continue;
    }
    if (row.second.empty() || (arguments.size() > 1 && row.second == arguments[1])) {
      into.verb = row.verb;
      return row.second.empty() ? std::size_t{1} : std::size_t{2};
    }
  }
  if (arguments[0] == "policy") return usage("policy takes one of " + second_words(arguments[0]));
  return usage("unknown verb " + arguments[0], nearest_name(arguments[0], known));
}

Output default_output(Verb verb) {
  return (kCommand & bit(verb)) != 0 ? Output::json : Output::text;
}

// The options of a verb; a POLICY operand where the verb takes one. nullopt value of --name=: the empty string.
Expected<void> take_options(std::span<const std::string> tokens, Invocation& into) {
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const std::string_view token = tokens[i];
    if (!token.starts_with("-") || token == "-") {
      if ((kFiles & bit(into.verb)) != 0) {
        into.files.emplace_back(token);
        continue;
      }
      if ((kPolicy & bit(into.verb)) == 0) return usage("unexpected argument " + std::string(token) + ": the command stands behind --");
      if (into.verb == Verb::policy_test && token.ends_with(".policy.json")) {
        into.test_files.emplace_back(token);
        continue;
      }
      if (!into.policy.empty()) return usage("more than one policy");
      into.policy = token;
      continue;
    }
    const std::size_t equals = token.find('=');
    const std::string_view name = token.substr(0, equals);
    const OptionRow* row = find_option(name, into.verb);
    if (row == nullptr) return unknown_option(name, into.verb);
    if (!row->repeats && (seen & std::uint64_t{1} << static_cast<unsigned>(row->key)) != 0) return usage(std::string(name) + " stands twice");
    seen |= std::uint64_t{1} << static_cast<unsigned>(row->key);
    std::string_view value;
    if (row->value.empty()) {
      if (equals != std::string_view::npos) return usage(std::string(name) + " takes no value");
    } else if (equals != std::string_view::npos) {
      value = token.substr(equals + 1);
    } else if (i + 1 < tokens.size()) {
      value = tokens[++i];
    } else {
      return usage(std::string(name) + " needs a value: " + std::string(row->value));
    }
    if (auto applied = apply(*row, value, into); !applied) return applied;
  }
  return {};
}

bool on_command_line(const Request& request) {
  return request.cwd || !request.env.empty() || request.stdin_source.kind != StdinSource::Kind::none ||
         request.timeout_ms || request.max_stdout_bytes || request.max_stderr_bytes || !request.id.empty() ||
         request.encoding != Encoding::utf8;
}

Expected<void> check_complete(bool separator, const Invocation& in) {
  if (in.help || in.version) return {};
  if (in.verb == Verb::none) return usage("no verb");
  if (in.full && !in.command.empty()) return usage("--command and --full exclude each other");
  if (in.verb == Verb::policy_fmt) {
    if (in.files.empty()) return usage("policy fmt takes files or directories of policies, or - for standard input");
    if (in.check && in.write) return usage("--check and --write exclude each other");
    if (in.files.size() > 1 && !in.check && !in.write) return usage("more than one file needs --check or --write");
    if (in.write && std::find(in.files.begin(), in.files.end(), "-") != in.files.end()) return usage("standard input cannot be written");
  }
  if (in.verb == Verb::policy_diff && in.files.size() != 2) return usage("policy diff takes two policies, OLD and NEW");
  if (in.verb == Verb::policy_suggest && in.files.size() != 1) return usage("policy suggest takes one file, or - for standard input");
  if ((kCommand & bit(in.verb)) == 0) {
    return separator ? usage("this verb takes no command") : Expected<void>{};
  }
  if (!in.request_file.empty()) {
    if (separator) return usage("--request and a command behind -- exclude each other");
    if (on_command_line(in.request)) return usage("with --request, everything about the request stands in its JSON");
    return {};
  }
  if (!separator) return usage("no command: it stands behind --, as in: safe-exec run -- ls -l");
  if (in.request.argv.empty()) return usage("no command behind --");
  return {};
}

}  // namespace

std::optional<std::int64_t> parse_duration_ms(std::string_view text) {
  struct Unit { std::string_view name; std::int64_t ms; };
  static constexpr std::array<Unit, 4> kUnits{{{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}}};
  std::int64_t scale = 1000;
  for (const Unit& unit : kUnits) {
    if (text.ends_with(unit.name) && text.size() > unit.name.size()) {
      scale = unit.ms;
      text.remove_suffix(unit.name.size());
      break;
    }
  }
  // By hand and in integers: a double would let "nan", "1e9" and "0x1" through.
  constexpr std::int64_t kMost = std::int64_t{1} << 40;
  std::int64_t whole = 0;
  std::int64_t fraction_scale = scale;
  std::int64_t ms = 0;
  bool point = false;
  bool digits = false;
  for (const char c : text) {
    if (c == '.' && !point) {
      point = true;
      continue;
    }
    if (c < '0' || c > '9' || whole > kMost) return std::nullopt;
    digits = true;
    if (point) {
      fraction_scale /= 10;
      ms += (c - '0') * fraction_scale;
    } else {
      whole = whole * 10 + (c - '0');
    }
  }
  if (!digits || whole > kMost / scale) return std::nullopt;
  ms += whole * scale;
  if (ms == 0) return std::nullopt;
  return ms;
}

Expected<void> parse_command_line(const std::vector<std::string>& arguments, Invocation& into) {
  auto taken = take_verb(arguments, into);
  if (!taken) return tl::make_unexpected(taken.error());
  into.output = default_output(into.verb);
  // Everything behind the first -- is the command's, split off before any option is looked at.
  const auto begin = arguments.begin() + static_cast<std::ptrdiff_t>(*taken);
  const auto separator = std::find(begin, arguments.end(), "--");
  if (auto parsed = take_options(std::span(begin, separator), into); !parsed) return parsed;
  if (separator != arguments.end()) into.request.argv.assign(std::next(separator), arguments.end());
  return check_complete(separator != arguments.end(), into);
}

std::string help_text(Verb verb) {
  std::string out;
  if (verb == Verb::none) {
    out = "safe-exec runs a command that a policy allows, in the form in which it was checked, confined by the kernel.\n\n";
    for (const VerbRow& row : kVerbs) out += "  safe-exec " + std::string(row.usage) + "\n      " + std::string(row.help) + "\n";
    out += "\n";
  } else {
    for (const VerbRow& row : kVerbs) {
      if (row.verb == verb) out = "safe-exec " + std::string(row.usage) + "\n" + std::string(row.help) + "\n\n";
    }
  }
  for (const OptionRow& row : kOptions) {
    if ((row.verbs & bit(verb)) == 0) continue;
    std::string left = "  " + std::string(row.name) + (row.value.empty() ? "" : " " + std::string(row.value));
    left.resize(std::max<std::size_t>(left.size() + 2, 26), ' ');
    out += left + std::string(row.help) + "\n";
  }
  return out;
}

}  // namespace safe_exec
