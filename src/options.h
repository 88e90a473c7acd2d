// Level 5. safe-exec's own command line, from one table: what --help prints, what is accepted and what the man page
// must name are the same rows. Exact names only: no abbreviation, no cluster, no guess.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model.h"

namespace safe_exec {

enum class Verb : std::uint8_t { none, run, check, policy_validate, policy_test, policy_show, policy_schema, policy_diff, policy_suggest, policy_fmt, policy_lint, doctor };

enum class Output : std::uint8_t { json, pretty, raw, text, tap, junit, sarif, github };

struct Invocation {
  Verb verb = Verb::none;
  bool help = false;
  bool version = false;
  Output output = Output::json;  // what was asked for, or the verb's default
  std::string policy;
  std::map<std::string, std::string> variables;
  std::string narrower_than;     // a policy that must not be exceeded
  std::string command;           // policy show: only this one
  bool full = false;             // policy show: everything
  bool check = false;            // policy fmt: only say what would change
  bool write = false;            // policy fmt: change the files
  std::vector<std::string> files;  // operands of the verbs that take files
  std::string request_file;      // "-": standard input
  bool explain = false;
  bool diagnose = false;
  bool assume_installed = false;
  std::vector<std::string> test_files;    // policy test: *.policy.json
  bool generate = false;                  // policy test
  bool coverage = false;                  // policy test
  std::optional<std::int64_t> threshold;  // policy test: per cent
  std::string run;                        // policy test: a pattern, RE2
  std::string fail_level;                 // policy lint: a severity; empty: not given
  Request request;               // of run and check, when it stands on the command line
};

// Errors: usage, with the nearest known name. verb and output are filled as far as they were understood, so that
// the error itself can be answered in the form that was asked for.
[[nodiscard]] Expected<void> parse_command_line(const std::vector<std::string>& arguments, Invocation& into);

[[nodiscard]] std::string help_text(Verb verb);

// "30s", "1500ms", "2m", "0.5s"; a bare number counts seconds, as in timeout(1). nullopt: not a duration.
[[nodiscard]] std::optional<std::int64_t> parse_duration_ms(std::string_view text);

}  // namespace safe_exec
