#include "model.h"

#include <algorithm>

#include <array>
#include <cstddef>

#include "inline_text.h"

namespace safe_exec {
namespace {

constexpr std::array<Name, 7> kErrorNames{
    "usage", "request_invalid", "policy_invalid", "policy_untrusted", "sandbox_unavailable", "launch_failed",
    "internal"};

constexpr std::array<Name, kDenialCodeCount> kDenialNames{
    "command_not_allowed", "binary_not_found", "binary_untrusted", "binary_changed", "subcommand_not_allowed",
    "subcommand_missing", "option_not_allowed", "option_value_invalid", "option_value_missing", "option_repeated",
    "option_missing", "option_after_operand", "operand_invalid", "too_many_operands", "too_few_operands",
    "argument_too_long", "too_many_arguments", "control_character", "path_outside", "path_denied", "path_not_found",
    "path_wrong_kind", "env_not_allowed", "cwd_not_allowed", "stdin_not_allowed", "shell_syntax", "rate_limited",
    "rule_denies", "needs_approval", "pattern_limit"};

constexpr std::array<Name, kLayerCount> kLayerNames{
    "no_new_privs", "capabilities", "landlock", "seccomp", "user_namespace", "pid_namespace", "mount_namespace",
    "ipc_namespace", "uts_namespace", "limits", "descriptors", "environment", "tree_kill", "deny_paths"};

constexpr std::array<Name, 4> kStateNames{"enforced", "partial", "not_enforced", "off"};

template <class Enum, std::size_t N>
std::optional<Enum> find_name(const std::array<Name, N>& names, std::string_view name) noexcept {
  for (std::size_t i = 0; i < N; ++i) {
    if (names[i] == name) return static_cast<Enum>(i);
  }
  return std::nullopt;
}

}  // namespace

std::string_view code_name(ErrorCode code) noexcept { return kErrorNames[static_cast<std::size_t>(code)]; }
std::string_view code_name(DenialCode code) noexcept { return kDenialNames[static_cast<std::size_t>(code)]; }
std::optional<DenialCode> denial_code(std::string_view name) noexcept {
  return find_name<DenialCode>(kDenialNames, name);
}
std::string_view layer_name(Layer layer) noexcept { return kLayerNames[static_cast<std::size_t>(layer)]; }
std::optional<Layer> layer_of(std::string_view name) noexcept { return find_name<Layer>(kLayerNames, name); }
std::string_view state_name(LayerState state) noexcept { return kStateNames[static_cast<std::size_t>(state)]; }

Requirement default_requirement(Layer layer) noexcept {
  switch (layer) {
    case Layer::landlock:
    case Layer::user_namespace:
    case Layer::pid_namespace:
    case Layer::mount_namespace:
    case Layer::ipc_namespace:
    case Layer::uts_namespace:
    case Layer::deny_paths:
      return Requirement::prefer;
    case Layer::no_new_privs:
    case Layer::capabilities:
    case Layer::seccomp:
    case Layer::limits:
    case Layer::descriptors:
    case Layer::environment:
    case Layer::tree_kill:
      return Requirement::require;
  }
  return Requirement::require;
}

Location Policy::locate(Place place, bool of_key) const {
  if (place.source >= sources.size()) return {};
  return sources[place.source]->locate(place.node, of_key);
}

std::string Policy::pointer(Place place) const {
  if (place.source >= sources.size()) return {};
  const std::string above = place.source < source_pointers.size() ? source_pointers[place.source] : std::string();
  return above + sources[place.source]->pointer(place.node);
}

const Command* Policy::find(std::string_view command_name) const {
  for (const Command& command : commands) {
    if (command.node.name == command_name) return &command;
  }
  return nullptr;
}

bool is_success(const Plan& plan, const Ending& ending) noexcept {
  const auto* exited = std::get_if<Exited>(&ending);
  return exited != nullptr && std::find(plan.exit_ok.begin(), plan.exit_ok.end(), exited->code) != plan.exit_ok.end();
}

}  // namespace safe_exec
