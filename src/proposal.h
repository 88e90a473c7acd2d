// Level 1. From argument vectors that were wanted to the smallest additions to a policy that would allow them. Only
// proposes: it reads a policy and writes none.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "model.h"

namespace safe_exec {

using Argv = std::vector<std::string>;

// One member to add, or to put in the place of what is there: an "add" of a JSON Patch (RFC 6902) on the whole policy.
struct Proposal {
  std::string path;    // JSON pointer
  std::string value;   // JSON
  Argv argv;           // the first line that needs it
  std::string note;    // what had to be guessed; empty: nothing
};

struct NotProposed {
  Argv argv;
  std::string token;   // what stands in the way
  std::string code;    // the denial's
  std::string reason;
};

struct Suggestions {
  std::size_t lines = 0;    // different ones
  std::size_t allowed = 0;  // already
  std::size_t gained = 0;   // allowed with the proposals
  std::vector<Proposal> proposals;
  std::vector<NotProposed> dangerous, left;
};

// Where the program of this name is; what it returns stands in the proposal as "path".
using FindProgram = std::function<std::string(std::string_view name)>;

// Each line is decided, changed by the smallest addition that gets it further, and decided again, without a host.
[[nodiscard]] Expected<Suggestions> suggest_additions(const Policy& policy, const std::vector<Argv>& lines,
                                                      const FindProgram& find_program);

// An array of argument vectors, or one a line: [..], or an object with "argv" in it, in its "request" or "command".
[[nodiscard]] Expected<std::vector<Argv>> read_lines(std::string_view file, std::string_view text);

}  // namespace safe_exec
