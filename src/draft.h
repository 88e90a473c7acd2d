// Level 1. A policy that is being added to, in memory: what proposal.cpp tries out, and how it is written down.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "evaluate.h"
#include "model.h"
#include "proposal.h"

namespace safe_exec {

class Draft {
 public:
  explicit Draft(const Policy& policy);

  // The denial of a line; nullopt: it is allowed, or asked about.
  [[nodiscard]] Expected<std::optional<Denial>> decide(const Argv& argv);

  // The node that a token of a line belongs to, and its pointer in the whole policy.
  struct Spot {
    Command* command = nullptr;
    Node* node = nullptr;
    std::string pointer;
    std::string top;            // pointer of the highest node above, itself included, that is new; empty: none is
    const Node* top_node = nullptr;
  };
  [[nodiscard]] Spot find(const Argv& argv, std::size_t index);

  [[nodiscard]] Command* command(std::string_view name);
  void add_command(std::string name, std::string path);

  // What of a line was tried may be taken back.
  struct Snapshot {
    std::vector<Command> commands;  // the one concerned, or none when it was new
    std::vector<Proposal> proposals;
  };
  [[nodiscard]] Snapshot snapshot(std::string_view command_name) const;
  void restore(std::string_view command_name, Snapshot snapshot);

  // Notes that what stands at spot + below has changed: the value is written there, or the new node as a whole.
  void record(const Spot& spot, const std::string& below, const std::string& value, const Argv& argv, std::string note);
  [[nodiscard]] std::vector<Proposal> proposals() const;
  // A line that is allowed now becomes an example of the command, when that is new.
  void keep_example(const Argv& argv);

  // The narrowest type that takes the text.
  [[nodiscard]] TypeRef guess(std::string_view text) const;
  // The type with the text taken in, where that is a matter of a value more; null: it is not.
  [[nodiscard]] static TypeRef extended(const Type& type, std::string_view text);
  [[nodiscard]] const Policy& policy() const { return policy_; }

 private:
  Policy policy_;
  std::unique_ptr<PathResolver> resolver_;
  PatternCache patterns_;
  std::vector<Proposal> proposals_;
};

[[nodiscard]] bool is_new(Place place) noexcept;
inline constexpr Place kNewPlace{0xffffffffU, 0};

[[nodiscard]] std::string option_text(const Option& option);
[[nodiscard]] std::string slot_text(const Slot& slot);
[[nodiscard]] std::string quoted(std::string_view text);
[[nodiscard]] std::string escaped(std::string_view name);  // as a part of a JSON pointer

}  // namespace safe_exec
