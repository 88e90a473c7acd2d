// Level 1. Bytes to Policy: strict, whole or not at all, every error with file, line, column, JSON pointer,
// what was expected, what was found and the nearest known name. Opens nothing itself.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model.h"

namespace safe_exec {

// How the loader reaches files. The real one (trust.h) walks and checks every directory above a file.
// Paths are absolute. Errors are policy_untrusted, or policy_invalid when a file is missing, too large, a
// FIFO, ...
class PolicyFiles {
 public:
  virtual ~PolicyFiles() = default;
  struct Found {
    bool directory = false;
    std::string physical;  // without links, so that one file has one name
  };
  [[nodiscard]] virtual Expected<Found> find(std::string_view path) = 0;
  [[nodiscard]] virtual Expected<std::string> read(std::string_view path) = 0;
  // commands/NAME.json beneath directory, without following links; nullopt when there is none.
  [[nodiscard]] virtual Expected<std::optional<std::string>> read_command(std::string_view directory,
                                                                          std::string_view name) = 0;
  // NAMEs of commands/NAME.json, sorted.
  [[nodiscard]] virtual Expected<std::vector<std::string>> list_commands(std::string_view directory) = 0;
};

struct LoadScope {
  bool everything = false;   // validate, test, show: all commands, patterns compiled, paths compared
  std::string command;       // else: policy.json and this command (directory form reads only its file)
  std::vector<std::string> wrapped = {};  // and those that it wraps

  [[nodiscard]] bool loads(std::string_view name) const;  // the command of this name, where there is one
  // Whether there was one that can be a command and was not known yet.
  [[nodiscard]] bool add_wrapped(const std::vector<std::string>& names);
};

// path: a policy file or directory. A policy.json is its directory.
[[nodiscard]] Expected<Policy> load_policy(std::string_view path, PolicyFiles& files, const LoadScope& scope);

// SHA-256 of all that was read of a policy, in the order in which it was, in hex.
[[nodiscard]] std::string policy_digest(const std::vector<std::shared_ptr<const json::Document>>& sources);

// Whether text may name a command: [A-Za-z0-9_][A-Za-z0-9._+-]{0,63}.
[[nodiscard]] bool is_command_name(std::string_view text) noexcept;

// policy/schema/policy.v1.json, embedded at build time.
[[nodiscard]] std::string_view policy_schema() noexcept;

}  // namespace safe_exec
