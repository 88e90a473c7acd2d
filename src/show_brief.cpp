// Owns the short form: what may be asked for, in 2 KiB whatever the policy's size. Names of what is denied are left out.
#include <algorithm>
#include <utility>
#include <vector>

#define JSON_NO_IO 1
#include <nlohmann/json.hpp>

#include "policy.h"
#include "show.h"

namespace safe_exec {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kLimit = 2048;
constexpr std::size_t kMaxDescription = 160;
constexpr std::string_view kHint = "safe-exec policy show --command NAME";
constexpr std::string_view kAsk = "?";  // behind what has to be approved

// A command that is not denied, and what of its subcommands is not.
struct Named {
  std::string name;
  std::vector<std::string> subcommands;
  bool told = false;  // there is room for them
};

std::string marked(const Node& node, Verdict above) {
  return node.name + (std::max(node.decision, above) == Verdict::ask ? std::string(kAsk) : "");
}

std::string cut(std::string_view text, std::size_t limit) {
  if (text.size() <= limit) return std::string(text);
  std::size_t end = limit - 3;
  while (end > 0 && (text[end] & '\xc0') == '\x80') --end;
  return std::string(text.substr(0, end)) + "...";
}

std::vector<Named> names_of(const Policy& policy) {
  std::vector<Named> out;
  for (const Command& command : policy.commands) {
    const Node& node = command.node;
    if (node.decision == Verdict::deny) continue;
    Named named;
    named.name = marked(node, Verdict::allow);
    for (const Node& sub : node.subcommands) {
      if (sub.decision != Verdict::deny) named.subcommands.push_back(marked(sub, node.decision));
    }
    out.push_back(std::move(named));
  }
  return out;
}

// What fits: names first, as many as there is room for, then the subcommands of those that have fewest. Returns how many
// commands are left out. punctuation: bytes that a name costs beside its own, one of them to say that it has subcommands.
std::size_t fit(std::vector<Named>& names, std::size_t room, std::size_t punctuation) {
  const auto cost_of = [&](const Named& named) { return named.name.size() + punctuation - (named.subcommands.empty() ? 1 : 0); };
  std::size_t used = 0, kept = 0;
  while (kept < names.size() && used + cost_of(names[kept]) <= room) used += cost_of(names[kept++]);
  const std::size_t left_out = names.size() - kept;
  names.resize(kept);
  std::vector<std::pair<std::size_t, Named*>> lists;
  for (Named& named : names) {
    if (named.subcommands.empty()) continue;
    std::size_t cost = named.name.size() + 2 * punctuation;
    for (const std::string& sub : named.subcommands) cost += sub.size() + punctuation;
    lists.emplace_back(cost, &named);
  }
  std::stable_sort(lists.begin(), lists.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [cost, named] : lists) {
    if (left_out > 0 || used + cost > room) break;
    used += cost;
    named->told = true;
  }
  return left_out;
}

}  // namespace

std::string show_brief_text(const Policy& policy) {
  std::vector<Named> names = names_of(policy);
  std::string out = "policy " + cut(policy.name, kMaxDescription);
  if (!policy.description.empty()) out += ": " + cut(policy.description, kMaxDescription);
  out += "\nDetails of a command: " + std::string(kHint) + "; of all: --full. " + std::string(kAsk) + ": needs approval.\n";
  if (!policy.by_path.empty()) out += "By its path (./build/app): " + policy.by_path + ".\n";
  out += "\n";
  const std::size_t left_out = fit(names, kLimit - out.size() - 120, 2);
  bool lists = false, untold = false;
  for (const Named& named : names) {
    if (named.told) continue;
    out += named.name + (named.subcommands.empty() ? " " : "+ ");
    untold = untold || !named.subcommands.empty();
  }
  out += "\n";
  if (left_out > 0) out += "... and " + std::to_string(left_out) + " more: --full\n";
  if (untold) out += "+: has subcommands, not listed here\n";
  for (const Named& named : names) {
    if (!named.told) continue;
    if (!std::exchange(lists, true)) out += "\n";
    out += named.name + ":";
    for (const std::string& sub : named.subcommands) out += " " + sub;
    out += "\n";
  }
  return out;
}

std::string show_brief_json(const Policy& policy) {
  std::vector<Named> names = names_of(policy);
  Json json{{"schema", "safe-exec/policy-show-brief/v1"},
            {"policy", {{"name", cut(policy.name, kMaxDescription)}, {"description", cut(policy.description, kMaxDescription)}, {"sha256", policy_digest(policy.sources)}}},
            {"hint", kHint}};
  const std::size_t used = json.dump(-1, ' ', false, Json::error_handler_t::replace).size();
  const std::size_t left_out = fit(names, kLimit - used - 120, 4);
  Json commands = Json::array(), lists = Json::object();
  for (const Named& named : names) {
    commands.push_back(named.name);
    if (named.told) lists[named.name] = named.subcommands;
  }
  json["commands"] = std::move(commands);
  json["more_commands"] = left_out;
  json["subcommands"] = std::move(lists);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace safe_exec
