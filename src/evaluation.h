// Level 1. Private to the evaluate*.cpp files: the state of one decision, and one function a rule, in the order in
// which evaluate() asks them. Nothing outside is touched before the grammar has accepted the line, and the binary is
// looked at last, so that no denial depends on whether a program is installed.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "effective.h"
#include "evaluate.h"
#include "grammar.h"
#include "refusal.h"
#include "value.h"

namespace safe_exec {

using Stop = std::variant<Refusal, Error>;
using Step = tl::expected<void, Stop>;

class Evaluation {
 public:
  Evaluation(const Policy& policy, const Request& request, PathResolver& resolver, PatternCache& patterns,
             const EvaluateOptions& options, std::size_t depth = 0)
      : policy_(policy),
        request_(request),
        resolver_(resolver),
        patterns_(patterns),
        options_(options),
        depth_(depth) {}

  [[nodiscard]] Expected<Decision> run();

 private:
  // Where a value stands, for its denial.
  struct Subject {
    Place place;
    std::string name;  // "--max-count", "path"
    int argv_index = -1;
  };

  using Rule = Step (Evaluation::*)();

  // An operand of a wrapper that means something for the command inside.
  struct Carried {
    const Slot* slot;
    std::string text;
    int argv_index;
  };

  // evaluate.cpp: the line as such
  Step pass(std::span<const Rule> rules);
  [[nodiscard]] Expected<Decision> conclude(Stop stop);
  Step check_tokens();
  [[nodiscard]] bool names_a_program() const;
  Step identify();
  Step read();
  Step check_count();
  Step rebuild();
  Step ask();
  Step take_binary();

  // evaluate_wrapped.cpp: a line that is decided as another one
  Step carry(Request& inner);
  [[nodiscard]] Expected<Decision> decide_wrapped();
  [[nodiscard]] Expected<Decision> decide_by_path();
  [[nodiscard]] Expected<Decision> decide_inside(const Request& inner, int moved);

  // evaluate_request.cpp: what comes beside argv
  Step enter_cwd();
  Step enter_chdir(const GivenOption& given);
  void keep_of_another();
  ValueResult enter(std::string_view text, const std::vector<Root>& within);
  [[nodiscard]] std::vector<Root> cwd_roots() const;
  Step build_env();
  Step add_caller_env(const EnvRule& rule, const std::string& value);
  Step plan_stdin();
  Step open_stdin();
  Step settle_limits();
  Step settle_limit(std::string_view key, std::optional<std::int64_t> asked, std::int64_t allowed, std::int64_t& used);
  void settle_sandbox();
  [[nodiscard]] Place leaf() const { return nodes_.back()->place; }
  void add_policy_paths(const std::vector<Root>* roots, PathAccess access, bool executable);
  void add_missing(const Root& root, PathAccess access);

  // evaluate_operands.cpp: values and slots
  Step match_options();
  Step fill_slots();
  ValueResult match_slot(const Slot& slot, std::string_view token, bool* standard_input);
  tl::expected<std::vector<std::string>, WordsFailure> match_rest(const Type& type,
                                                                  const std::vector<std::string>& words);
  void grant_pending();

  // evaluate_paths.cpp: one path
  ValueResult match(const Type& type, std::string_view token);
  ValueResult decide_path(const Type& type, std::string_view token);
  ValueResult decide_pathspec(const PathType& type, std::string_view token);
  [[nodiscard]] bool is_denied(std::string_view path) const { return denying(path) != nullptr; }
  [[nodiscard]] const std::string* denying(std::string_view path) const;  // the first glob; null: none
  [[nodiscard]] std::string joined(std::string_view token) const;
  [[nodiscard]] bool is_read_only(std::string_view path) const;
  void expand_deny_globs();
  Step check_protected();
  [[nodiscard]] ValueResult check_match(const Type& type, std::string_view token);
  [[nodiscard]] tl::unexpected<Stop> refuse_value(ValueFailure failure, const Subject& subject,
                                                  std::string_view token) const;

  [[nodiscard]] tl::unexpected<Stop> refuse(DenialCode code, std::string message, Place place, int argv_index = -1,
                                            std::string_view value = {}) const;
  void trace(Place place, std::string_view expected, std::string_view found, int argv_index = -1);
  [[nodiscard]] bool accepts_next(const Type& type, std::string_view token);

  // What makes a denial no verdict: a pattern that does not compile, a host that could not answer.
  [[nodiscard]] std::optional<Error> broken() const;

  friend class SlotFiller;

  const Policy& policy_;
  const Request& request_;
  PathResolver& resolver_;
  PatternCache& patterns_;
  const EvaluateOptions& options_;
  const std::size_t depth_;  // of wrappers around this request

  const Command* command_ = nullptr;
  std::string as_named_;  // the path by which token 0 named the command, else empty
  Reading reading_;
  std::vector<const Node*> nodes_;
  Effective settings_;
  std::vector<ReadOnlyPath> kept_;  // what a request names for writing, or as its cwd where it may write, lies in none
  std::vector<Grant> pending_;  // of the value that is being matched; granted only when the whole value is accepted
  std::vector<Carried> carried_;
  int wrapped_at_ = 0;  // token that names the command inside; 0: there is none
  Plan plan_;
};

}  // namespace safe_exec
