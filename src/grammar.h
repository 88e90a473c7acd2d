// Level 1. Tokens -> the options and operands of a chain of nodes -> one canonical argv (POLICY.md sections 3 and 6).
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model.h"
#include "refusal.h"

namespace safe_exec {

// One node on the way from the command to the subcommand that runs, with the syntax in force there.
struct Level {
  const Node* node = nullptr;
  Syntax syntax;
};

struct GivenOption {
  const Option* option = nullptr;
  std::size_t declared = 0;  // level at which it is listed
  std::size_t given = 0;     // level at which it stood
  int argv_index = -1;
  std::vector<std::string> values;  // empty: a flag, or an optional value that is absent
  std::vector<int> value_indexes;   // one for each value
};

struct Operand {
  std::string text;
  int argv_index = -1;          // -1: the slot's default
  bool behind = false;          // behind a free "--"; after slots are filled: in a slot behind the separator
  bool standard_input = false;  // "-" in a slot that lets it mean standard input
  bool expression = false;      // a word of find's expression
  const Slot* slot = nullptr;   // after slots are filled
};

// What the strict grammar made of the tokens. Values and operands are as given until evaluation replaces them by
// their canonical texts.
struct Reading {
  std::vector<Level> levels;
  std::vector<GivenOption> options;  // in the caller's order; repeated flags folded
  std::vector<Operand> operands;
  bool separator = false;  // a free "--" stood there
  bool terminal = false;   // ended by a terminal option

  [[nodiscard]] std::vector<const Node*> nodes() const;
};

// Whether an optional value may be the next token (only asked for options with `separate`).
using AcceptsValue = std::function<bool(const Type&, std::string_view token)>;

// argv[0] has been looked at already. Refused as soon as a node is reached whose decision is deny.
[[nodiscard]] tl::expected<Reading, Refusal> read_tokens(const Node& command, std::span<const std::string> argv,
                                                         const AcceptsValue& accepts);

struct CommandLine {
  struct Spelled {
    const Option* option;
    std::vector<std::string> values;
  };
  std::vector<std::string> argv;
  std::vector<bool> injected;    // for each token: it comes from `inject`, not from the grammar
  std::vector<Spelled> options;  // in the order in which they stand in argv
};

// The one spelling of a reading. path becomes argv[0].
[[nodiscard]] tl::expected<CommandLine, Refusal> emit(const Reading& reading, std::string_view path);

// Whether the grammar reads an emitted line (without what was injected) as it was meant: the same subcommands, the
// same options with the same values in the same order, the same operands on the same side of "--".
[[nodiscard]] bool reads_back(const Reading& reading, const CommandLine& line, const AcceptsValue& accepts);

// POLICY.md section 6, the presets. One row each.
[[nodiscard]] Syntax preset(SyntaxName name) noexcept;
// The syntax in force at a node below these levels.
[[nodiscard]] Syntax syntax_at(const std::vector<Level>& above, const Node& node);

[[nodiscard]] bool has_separator(const Node& node);
// The type that takes all that remains of the node's line; null when there is none.
[[nodiscard]] const Type* rest_type(const Slot& slot);
[[nodiscard]] const Type* rest_type(const Node& node);
// Whether the option stands in the emitted line (given, or always emitted).
[[nodiscard]] bool is_present(const Reading& reading, std::string_view name);

}  // namespace safe_exec
