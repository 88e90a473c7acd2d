// Owns the search: for each denial the few additions that could get the line further, of which the one that gets it
// furthest is kept. What looks dangerous is named and never added.
#include "proposal.h"

#include <algorithm>
#include <array>
#include <limits>
#include <set>
#include <utility>

#include "dangers.h"
#include "draft.h"
#include "language.h"
#include "policy.h"

namespace safe_exec {
namespace {

constexpr std::size_t kMaxRounds = 64;  // additions for one line
constexpr std::uint32_t kMaxCount = 10000;
constexpr std::string_view kGuessed = "whether it takes a value is a guess: look at its manual";

std::string program_of(const Argv& argv) { return argv.front().substr(argv.front().rfind('/') + 1); }

class Search {
 public:
  Search(const Policy& policy, const FindProgram& find_program) : draft_(policy), find_program_(find_program) {}

  Expected<Suggestions> run(const std::vector<Argv>& lines) {
    std::set<Argv> seen;
    for (const Argv& line : lines) {
      if (line.empty() || !seen.insert(line).second) continue;
      ++out_.lines;
      if (auto done = settle(line); !done) return tl::unexpected(std::move(done.error()));
    }
    out_.proposals = draft_.proposals();
    return std::move(out_);
  }

 private:
  // How far a line gets: the phase that refuses it, and the token.
  struct Reach {
    std::size_t phase = 0, index = 0;
    std::string message;
  };
  Expected<Reach> reach(const Argv& line) {
    auto denial = draft_.decide(line);
    if (!denial) return tl::unexpected(std::move(denial.error()));
    if (!*denial) return Reach{std::numeric_limits<std::size_t>::max(), 0, ""};
    const Denial& found = **denial;
    const std::size_t index = found.argv_index < 0 ? line.size() : static_cast<std::size_t>(found.argv_index);
    static constexpr std::array<DenialCode, 3> kOperands{DenialCode::operand_invalid, DenialCode::too_many_operands,
                                                         DenialCode::too_few_operands};
    static constexpr std::array<DenialCode, 6> kGrammar{
        DenialCode::subcommand_not_allowed, DenialCode::subcommand_missing,   DenialCode::option_not_allowed,
        DenialCode::option_value_missing,   DenialCode::option_after_operand, DenialCode::option_repeated};
    const auto is = [&](const auto& codes) { return std::find(codes.begin(), codes.end(), found.code) != codes.end(); };
    std::size_t phase = found.code == DenialCode::option_value_invalid ? 2 : is(kOperands) ? 3 : 4;
    if (is(kGrammar)) phase = 1;
    if (found.code == DenialCode::command_not_allowed) phase = 0;
    return Reach{phase, index, found.message};
  }
  static bool is_further(const Reach& after, const Reach& before) {
    if (after.phase != before.phase) return after.phase > before.phase;
    if (after.index != before.index) return after.index > before.index;
    return after.message != before.message;  // the next letter of a cluster, or the reason that remains
  }

  Expected<void> settle(const Argv& line) {
    const std::string name = program_of(line);
    const Draft::Snapshot before = draft_.snapshot(name);
    for (std::size_t round = 0;; ++round) {
      auto denial = draft_.decide(line);
      if (!denial) return tl::unexpected(std::move(denial.error()));
      if (!*denial) {
        ++(round == 0 ? out_.allowed : out_.gained);
        if (round > 0) draft_.keep_example(line);
        return {};
      }
      auto better = round < kMaxRounds ? improve(line, **denial) : Expected<bool>(false);
      if (!better) return tl::unexpected(std::move(better.error()));
      if (*better) continue;
      draft_.restore(name, before);  // what would not do is not proposed
      NotProposed entry{line, (*denial)->value, std::string(code_name((*denial)->code)), (*denial)->message};
      if (!danger_.empty()) {
        entry.reason = std::exchange(danger_, {});
        out_.dangerous.push_back(std::move(entry));
      } else {
        out_.left.push_back(std::move(entry));
      }
      return {};
    }
  }

  // Whether something was added. danger_ says why not, where that is the reason.
  Expected<bool> improve(const Argv& line, const Denial& denial) {
    const std::size_t index = denial.argv_index < 0 ? line.size() : static_cast<std::size_t>(denial.argv_index);
    if (!denial.reason.empty()) return false;  // refused on purpose, and the message says why
    using Way = Expected<bool> (Search::*)(const Argv&, std::size_t);
    static constexpr std::array<std::pair<DenialCode, Way>, 7> kWays{{
        {DenialCode::command_not_allowed, &Search::add_command},
        {DenialCode::subcommand_not_allowed, &Search::add_subcommand},
        {DenialCode::option_not_allowed, &Search::add_option},
        {DenialCode::option_value_invalid, &Search::extend_value},
        {DenialCode::option_repeated, &Search::repeat_option},
        {DenialCode::too_many_operands, &Search::add_operand},
        {DenialCode::operand_invalid, &Search::extend_operand},
    }};
    // What an interpreter, or "run", is told is as dangerous as the thing itself, which the policy may have for its version alone.
    const bool told = denial.code == DenialCode::too_many_operands || denial.code == DenialCode::operand_invalid;
    const Draft::Spot spot = draft_.find(line, index);
    if (told && (is_danger(program_danger(program_of(line))) || (spot.node != nullptr && is_danger(subcommand_danger(spot.node->name))))) return false;
    for (const auto& [code, way] : kWays) {
      if (code == denial.code) return (this->*way)(line, index);
    }
    return false;  // roots, environment, order: the operator's to decide
  }

  bool is_danger(std::string_view danger) {
    danger_ = danger;
    return !danger.empty();
  }

  Expected<bool> add_command(const Argv& line, std::size_t /*index*/) {
    const std::string name = program_of(line);
    if (draft_.command(name) != nullptr || !is_command_name(name) || is_danger(program_danger(name))) return false;
    draft_.add_command(name, find_program_(name));
    const Draft::Spot spot = draft_.find(line, 0);
    draft_.record(spot, "", "", line, "where the program is, and what it does with these arguments, is yours to look up");
    if (line.size() < 2 || !has_subcommands(name)) return true;
    const auto word = std::find_if(line.begin() + 1, line.end(), [](const std::string& token) { return !token.starts_with("-"); });
    return word == line.end() || *add_subcommand(line, static_cast<std::size_t>(word - line.begin()));
  }

  Expected<bool> add_subcommand(const Argv& line, std::size_t index) {
    const Draft::Spot spot = draft_.find(line, index);
    if (spot.node == nullptr || index >= line.size() || is_danger(subcommand_danger(line[index]))) return false;
    Node sub;
    sub.name = line[index];
    sub.place = kNewPlace;
    spot.node->subcommands.push_back(std::move(sub));
    const Draft::Spot added = draft_.find(line, index + 1);
    draft_.record(added, "", "", line, "");
    return true;
  }

  // Keeps the first variant by which the line gets further; false: none does.
  template <class Apply>
  Expected<bool> try_variants(const Argv& line, std::size_t index, std::size_t count, const Apply& apply) {
    const std::string name = program_of(line);
    const Draft::Snapshot before = draft_.snapshot(name);
    const auto start = reach(line);
    if (!start) return tl::unexpected(start.error());
    for (std::size_t i = 0; i < count; ++i) {
      if (apply(draft_.find(line, index), i)) {
        const auto reached = reach(line);
        if (!reached) return tl::unexpected(reached.error());
        if (is_further(*reached, *start)) return true;
      }
      draft_.restore(name, before);
    }
    return false;
  }

  // The letter of a cluster that the node does not know; a whole name otherwise.
  static std::string unknown_name(const Node& node, const std::string& token) {
    if (token.starts_with("--")) return token.substr(0, token.find('='));
    for (std::size_t i = 1; i < token.size(); ++i) {
      const std::string letter{'-', token[i]};
      const bool known = std::any_of(node.options.begin(), node.options.end(), [&](const Option& option) {
        return option.name == letter || std::find(option.aliases.begin(), option.aliases.end(), letter) != option.aliases.end();
      });
      if (!known) return letter;
    }
    return token;
  }

  Expected<bool> add_option(const Argv& line, std::size_t index) {
    const Draft::Spot spot = draft_.find(line, index);
    if (spot.node == nullptr || index >= line.size()) return false;
    const std::string& token = line[index];
    const std::string name = unknown_name(*spot.node, token), program = program_of(line);
    if (is_danger(option_danger(program, name)) || is_danger(option_danger(program, token))) return false;
    const std::size_t equals = token.find('=');
    const std::size_t at = token.find(name.back(), 1);
    std::vector<std::pair<Option, std::string>> variants;
    const auto add = [&](const std::string& option, std::string_view value, bool valued, std::string_view note) {
      Option made;
      made.name = option;
      made.place = kNewPlace;
      if (valued) made.values.push_back(draft_.guess(value));
      variants.emplace_back(std::move(made), std::string(note));
    };
    const bool is_long = token.starts_with("--");
    const std::string next = index + 1 < line.size() && !line[index + 1].starts_with("-") ? line[index + 1] : "";
    const std::string rest = !is_long && at + 1 < token.size() ? token.substr(at + 1) : "";
    if (is_long && equals != std::string::npos) {
      if (equals + 1 < token.size()) add(name, std::string_view(token).substr(equals + 1), true, "");
    } else {
      // A number is most often a value, a path most often an operand.
      const std::string_view note = next.empty() && rest.empty() ? "" : kGuessed;
      const std::string value = rest.empty() ? next : rest;
      const bool number = read_integer(value).has_value();
      const bool valued = number || (is_long && !value.empty() && draft_.guess(value)->kind != Type::Kind::path);
      if (valued) add(name, value, true, note);
      add(name, "", false, note);
      if (!valued && !value.empty()) add(name, value, true, note);
      if (!is_long && token.size() > 2) add(token, "", false, kGuessed);
    }
    return try_variants(line, index, variants.size(), [&](const Draft::Spot& there, std::size_t i) {
      there.node->options.push_back(variants[i].first);
      draft_.record(there, "/options/" + escaped(variants[i].first.name), option_text(variants[i].first), line, variants[i].second);
      return true;
    });
  }

  // Every option that a token at index may belong to: the node's and those of the nodes above.
  std::vector<std::pair<Draft::Spot, std::size_t>> options_at(const Argv& line, std::size_t index) {
    std::vector<std::pair<Draft::Spot, std::size_t>> out;
    const Node* last = nullptr;
    for (std::size_t i = 0; i <= index; ++i) {
      Draft::Spot spot = draft_.find(line, i);
      if (spot.node == nullptr || spot.node == last) continue;
      last = spot.node;
      for (std::size_t k = 0; k < spot.node->options.size(); ++k) out.emplace_back(spot, k);
    }
    return out;
  }

  void record_type(const Draft::Spot& spot, const Type& type, const std::string& text, const std::string& below,
                   const std::string& whole, const Argv& line) {
    if (is_new(type.place)) return draft_.record(spot, below, whole, line, "");
    Draft::Spot place = spot;
    place.pointer = draft_.policy().pointer(type.place);
    const bool number = type.kind == Type::Kind::integer;
    draft_.record(place, number ? "/int" : "/enum/-",
                  number ? "[" + std::to_string(type.low) + "," + std::to_string(type.high) + "]" : quoted(text), line, "");
  }

  Expected<bool> extend_value(const Argv& line, std::size_t index) {
    if (index >= line.size()) return false;
    return try_variants(line, index, options_at(line, index).size(), [&](const Draft::Spot&, std::size_t i) {
      const auto [spot, at] = options_at(line, index)[i];
      Option& option = spot.node->options[at];
      const bool flag = option.values.empty() && is_new(option.place);
      if (option.values.size() != 1 && !flag) return false;
      const std::string& token = line[index];
      std::string text = token;
      if (token.starts_with(option.name + "=")) text = token.substr(option.name.size() + 1);
      else if (option.name.size() == 2 && token.starts_with(option.name)) text = token.substr(2);
      if (flag && (text == token || text.empty())) return false;
      TypeRef wider = flag ? draft_.guess(text) : Draft::extended(*option.values.front(), text);
      if (!wider) return false;
      option.values.assign(1, wider);
      record_type(spot, *wider, text, "/options/" + escaped(option.name), is_new(option.place) ? option_text(option) : "", line);
      return true;
    });
  }

  Expected<bool> repeat_option(const Argv& line, std::size_t index) {
    return try_variants(line, index, options_at(line, index).size(), [&](const Draft::Spot&, std::size_t i) {
      const auto [spot, number] = options_at(line, index)[i];
      Option& option = spot.node->options[number];
      if (option.values.empty()) return false;
      ++option.max;
      const std::string at = "/options/" + escaped(option.name);
      if (is_new(option.place)) draft_.record(spot, at, option_text(option), line, "");
      Draft::Spot place = spot;
      place.pointer = draft_.policy().pointer(option.place);
      if (!is_new(option.place)) draft_.record(place, "/max", std::to_string(option.max), line, "");
      return true;
    });
  }

  void record_slot(const Draft::Spot& spot, std::size_t at, const Argv& line) {
    const Slot& slot = (*spot.node->operands)[at];
    Draft::Spot place = spot;
    if (!is_new(slot.place)) {
      place.pointer = draft_.policy().pointer(slot.place);
      draft_.record(place, "/count", "[" + std::to_string(slot.min) + "," + std::to_string(slot.max) + "]", line, "");
      return;
    }
    const bool first = std::all_of(spot.node->operands->begin(), spot.node->operands->end(), [](const Slot& s) { return is_new(s.place); });
    if (!first) return draft_.record(spot, "/operands/-", slot_text(slot), line, "");
    std::string all;
    for (const Slot& each : *spot.node->operands) all += (all.empty() ? "[" : ",") + slot_text(each);
    draft_.record(spot, "/operands", all + "]", line, "");
  }

  // One more of the last operand; else an operand of another kind.
  Expected<bool> add_operand(const Argv& line, std::size_t index) {
    if (index >= line.size() || draft_.find(line, index).node == nullptr) return false;
    const std::string& token = line[index];
    return try_variants(line, index, 3, [&](const Draft::Spot& spot, std::size_t variant) {
      std::optional<std::vector<Slot>>& operands = spot.node->operands;
      if (!operands) operands.emplace();
      if (variant < 2) {
        if (operands->empty() || operands->back().separator || operands->back().max >= kMaxCount) return false;
        Slot& last = operands->back();
        ++last.max;
        TypeRef wider = variant == 1 && is_new(last.place) ? Draft::extended(*last.types.front(), token) : nullptr;
        if (variant == 1 && !wider) return false;
        if (wider) last.types.front() = wider;
      } else {
        Slot slot;
        slot.name = "arg" + std::to_string(operands->size() + 1);
        slot.types.push_back(draft_.guess(token));
        slot.min = 0;
        slot.place = kNewPlace;
        operands->push_back(std::move(slot));
      }
      record_slot(spot, operands->size() - 1, line);
      return true;
    });
  }

  Expected<bool> extend_operand(const Argv& line, std::size_t index) {
    const Draft::Spot spot = draft_.find(line, index);
    if (spot.node == nullptr || !spot.node->operands || index >= line.size()) return false;
    std::vector<std::pair<std::size_t, std::size_t>> types;
    for (std::size_t i = 0; i < spot.node->operands->size(); ++i) {
      for (std::size_t k = 0; k < (*spot.node->operands)[i].types.size(); ++k) types.emplace_back(i, k);
    }
    const bool all_new = std::all_of(spot.node->operands->begin(), spot.node->operands->end(), [](const Slot& s) { return is_new(s.place); });
    auto extended = try_variants(line, index, types.size(), [&](const Draft::Spot& there, std::size_t i) {
      Slot& slot = (*there.node->operands)[types[i].first];
      TypeRef& type = slot.types[types[i].second];
      TypeRef wider = Draft::extended(*type, line[index]);
      if (!wider) return false;
      type = wider;
      if (is_new(slot.place)) record_slot(there, types[i].first, line);
      else record_type(there, *wider, line[index], "", "", line);
      return true;
    });
    if (!extended || *extended) return extended;
    return all_new && !types.empty() ? add_operand(line, index) : extended;
  }

  Draft draft_;
  const FindProgram& find_program_;
  Suggestions out_;
  std::string danger_;
};

}  // namespace

Expected<Suggestions> suggest_additions(const Policy& policy, const std::vector<Argv>& lines, const FindProgram& find_program) {
  return Search(policy, find_program).run(lines);
}

}  // namespace safe_exec
