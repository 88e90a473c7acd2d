// Owns the walk through two policies: commands, subcommands and options by name, and where each widening stands. A part
// of the model that is compared nowhere is named in tests/structure/narrower.py, with the reason.
#include "narrower.h"

#include <algorithm>
#include <set>
#include <unordered_map>
#include <utility>

#include "grammar.h"
#include "narrower_rules.h"

namespace safe_exec {
namespace {

std::vector<std::string> names_of(const Option& option) {
  std::vector<std::string> names{option.name};
  names.insert(names.end(), option.aliases.begin(), option.aliases.end());
  return names;
}

bool has(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

template <class T>
using ByName = std::unordered_map<std::string_view, const T*>;

template <class T>
ByName<T> by_name(const std::vector<T>& list) {
  ByName<T> out;
  for (const T& item : list) out.emplace(item.name, &item);
  return out;
}

template <class T>
const T* find_by_name(const ByName<T>& list, std::string_view name) {
  const auto found = list.find(name);
  return found == list.end() ? nullptr : found->second;
}

// The nodes from the command down, as the grammar sees them.
struct Way {
  std::vector<Level> levels;
  std::vector<const Node*> nodes;
  Verdict verdict = Verdict::allow;

  [[nodiscard]] Way below(const Node& node) const {
    Way way = *this;
    way.levels.push_back({&node, syntax_at(levels, node)});
    way.nodes.push_back(&node);
    way.verdict = std::max(verdict, node.decision);
    return way;
  }
  [[nodiscard]] const Node& node() const { return *nodes.back(); }
  [[nodiscard]] const Syntax& syntax() const { return levels.back().syntax; }
};

class Walk {
 public:
  Walk(const Compared& own, const Compared& base) : own_(own), base_(base), sides_{own, base, patterns_} {}

  std::vector<Widening> run(std::string_view only) {
    std::unordered_map<std::string_view, const Command*> known;
    for (const Command& command : base_.policy.commands) known.emplace(command.node.name, &command);
    bool any = false;
    for (const Command& command : own_.policy.commands) {
      if (!only.empty() && command.node.name != only) continue;
      if (command.node.decision == Verdict::deny) continue;  // grants nothing
      any = true;
      const auto found = known.find(command.node.name);
      if (found == known.end()) {
        add(command.node.place, "the base has no command " + command.node.name);
      } else {
        compare(command, *found->second);
      }
    }
    if (any) compare_guards();
    compare_by_path(only);
    return std::move(out_);
  }

 private:
  void add(Place place, std::string reason) {
    Widening widening;
    widening.reason = std::move(reason);
    if (place.source < own_.policy.sources.size()) {
      widening.pointer = own_.policy.pointer(place);
      widening.location = own_.policy.locate(place);
    }
    out_.push_back(std::move(widening));
  }

  // What has a command's name there is no program by its path.
  void compare_by_path(std::string_view only) {
    const std::string& by_path = own_.policy.by_path;
    if (by_path.empty()) return;
    if (by_path != base_.policy.by_path) {
      if (only.empty() || only == by_path) add(own_.policy.by_path_place, "by_path is " + by_path + ", which the base's is not");
      return;
    }
    for (const Command& command : base_.policy.commands) {
      const std::string& name = command.node.name;
      if ((!only.empty() && name != only) || own_.policy.find(name) != nullptr) continue;
      return add(own_.policy.by_path_place, "./" + name + " may be a program, and is a command in the base");
    }
  }

  void compare_guards() {
    std::string reason = missing_globs(own_.policy.deny_paths, base_.policy.deny_paths, sides_);
    if (!reason.empty()) add(at_defaults(0, {"deny_paths"}), "deny_paths: " + reason);
  }

  // Said once for a file, not for each of its commands.
  void compare_walk(const Command& own, const Command& base) {
    const DenyWalk mine = deny_walk_of(own_.policy, own), theirs = deny_walk_of(base_.policy, base);
    bool less = mine.entries < theirs.entries || mine.ms < theirs.ms;
    for (const std::string& name : mine.leave_out) less = less || !has(theirs.leave_out, name);
    const bool by_own = own.defaults && own.defaults->deny_walk;
    if (!less || !less_walked_.insert(by_own ? own.defaults.get() : nullptr).second) return;
    add(by_own ? nearest({&own.node}, {"deny_walk"}) : at_defaults(0, {"deny_walk"}), "deny_walk: it looks at less than the base's");
  }

  void compare(const Command& own, const Command& base) {
    own_command_ = &own;
    base_command_ = &base;
    const Place place = own.node.place;
    for (const std::string& path : own.paths) {
      if (!has(base.paths, path)) add(below(place, {"path"}), "the base's " + own.node.name + " is not " + path);
    }
    if (own.trust > base.trust) add(below(place, {"trust"}), "the base trusts only root's files here");
    bool pinned = base.sha256.empty() || !own.sha256.empty();
    for (const std::string& digest : own.sha256) pinned = pinned && (base.sha256.empty() || has(base.sha256, digest));
    if (!pinned) add(below(place, {"sha256"}), "the base pins " + own.node.name + " to other contents");
    if (own.exec_by != base.exec_by) add(below(place, {"exec_by"}), "\"exec_by\" is not the same in the base");
    compare_walk(own, base);
    visit(Way().below(own.node), Way().below(base.node), {});
  }

  // told: what has been said of a node above holds here too.
  void visit(const Way& own, const Way& base, std::set<std::string> told) {
    if (own.verdict == Verdict::deny) return;
    const std::string here = title(own.nodes);
    if (own.verdict < base.verdict) {
      add(below(own.node().place, {"decision"}),
          base.verdict == Verdict::deny ? "the base denies " + here : "the base asks about " + here);
      if (base.verdict == Verdict::deny) return;
    }
    compare_form(own, base, here);
    compare_options(own, base, here);
    compare_operands(own, base, here);
    const Effective mine = effective_settings(*own_command_, own.nodes);
    const Effective theirs = effective_settings(*base_command_, base.nodes);
    for (const WiderSetting& wider : wider_settings(mine, theirs, sides_)) {
      if (told.insert(wider.reason).second) add(nearest(own.nodes, wider.keys), here + ": " + wider.reason);
    }
    compare_subcommands(own, base, here, told);
  }

  void compare_form(const Way& own, const Way& base, const std::string& here) {
    const Node &mine = own.node(), &theirs = base.node();
    const Syntax &a = own.syntax(), &b = base.syntax();
    const auto reads_as = [](SyntaxName name) { return name == SyntaxName::find || name == SyntaxName::git ? name : SyntaxName::gnu; };
    if (a.permute != b.permute || a.end_of_options != b.end_of_options || a.spelling != b.spelling ||
        a.short_equals != b.short_equals || reads_as(a.name) != reads_as(b.name)) {
      add(nearest(own.nodes, {"syntax"}), here + ": the base has another syntax");
    }
    if (mine.traditional_options && !theirs.traditional_options) {
      add(below(mine.place, {"traditional_options"}), here + ": in the base the first word is not read as letters");
    }
    if (mine.negative_numbers && !theirs.negative_numbers) {
      add(below(mine.place, {"negative_numbers"}), here + ": in the base negative numbers are no operands");
    }
    if (mine.inject.value_or(std::vector<std::string>()) != theirs.inject.value_or(std::vector<std::string>())) {
      add(below(mine.place, {"inject"}), here + ": the base injects something else");
    }
    for (const std::string& alias : mine.aliases) {
      if (alias == theirs.name || has(theirs.aliases, alias)) continue;
      add(below(mine.place, {"aliases"}), here + ": the base has no alias " + alias);
    }
  }

  void compare_options(const Way& own, const Way& base, const std::string& here) {
    const ByName<Option> known = by_name(own.node().options), others = by_name(base.node().options);
    for (const Option& option : own.node().options) {
      const Option* other = find_by_name(others, option.name);
      std::string reason = other == nullptr ? "the base does not list it" : wider_option(option, *other, own, base);
      if (!reason.empty()) add(option.place, here + " " + option.name + ": " + reason);
    }
    for (const Option& other : base.node().options) {
      if (!other.always && !other.required) continue;
      const Option* mine = find_by_name(known, other.name);
      if (other.always && (mine == nullptr || !mine->always)) {
        add(own.node().place, here + ": the base always gives " + other.name);
      } else if (mine == nullptr || (!mine->required && !mine->always)) {
        add(own.node().place, here + ": the base demands " + other.name);
      }
    }
  }

  std::string wider_option(const Option& own, const Option& base, const Way& own_way, const Way& base_way) {
    const std::vector<std::string> known = names_of(base);
    for (const std::string& alias : own.aliases) {
      if (!has(known, alias)) return "the base has no alias " + alias;
    }
    if (own.values.size() != base.values.size()) return "the base gives it another number of values";
    for (std::size_t i = 0; i < own.values.size(); ++i) {
      std::string reason = wider_type(*own.values[i], *base.values[i], sides_);
      if (!reason.empty()) return reason;
    }
    const Spelling mine = own.spelling.value_or(own_way.syntax().spelling);
    const bool same_form = mine == base.spelling.value_or(base_way.syntax().spelling) && own.separate == base.separate &&
                           own.optional == base.optional;
    if (!own.values.empty() && !same_form) return "the base spells its value in another way";
    if (own.terminal != base.terminal || own.chdir != base.chdir) {
      return "\"terminal\" or \"chdir\" is not the same in the base";
    }
    if (own.dash_value && !base.dash_value) return "in the base its value does not begin with -";
    if (own.dash && !base.dash) return "\"-\" means standard input, and in the base it does not";
    if (own.numeric && !base.numeric) return "the base does not write it as a number";
    if (own.persistent && !base.persistent) return "in the base it is not persistent";
    if (own.max > base.max) {
      return "up to " + std::to_string(own.max) + " times, and " + std::to_string(base.max) + " in the base";
    }
    return {};
  }

  static OperandSide operand_side(const Way& way) {
    OperandSide side{way.node(), way.syntax(), {}};
    for (const Node* node : way.nodes) {
      for (const Option& option : node->options) side.options.push_back(option.name);
    }
    return side;
  }

  void compare_operands(const Way& own, const Way& base, const std::string& here) {
    const Node &mine = own.node(), &theirs = base.node();
    if (!mine.subcommands.empty() && !mine.subcommand_optional) return;  // never runs with operands
    if (!theirs.subcommands.empty() && !theirs.subcommand_optional) {
      return add(below(mine.place, {"subcommand"}), here + ": the base does not run it without a subcommand");
    }
    for (const WiderOperand& wider : wider_operands(operand_side(own), operand_side(base), sides_)) {
      add(wider.slot != nullptr ? wider.slot->place : below(mine.place, {"operands"}), here + ": " + wider.reason);
    }
    if (!mine.operands || mine.operands->empty()) return;
    const ByName<Node> known = by_name(mine.subcommands);
    for (const Node& sub : theirs.subcommands) {
      if (find_by_name(known, sub.name) != nullptr) continue;
      return add(below(mine.place, {"operands"}), here + ": an operand may be " + sub.name + ", a subcommand in the base");
    }
  }

  void compare_subcommands(const Way& own, const Way& base, const std::string& here, const std::set<std::string>& told) {
    const ByName<Node> others = by_name(base.node().subcommands);
    for (const Node& sub : own.node().subcommands) {
      const Node* found = find_by_name(others, sub.name);
      if (found != nullptr) {
        visit(own.below(sub), base.below(*found), told);
      } else if (sub.decision != Verdict::deny) {
        add(sub.place, "the base does not list " + here + " " + sub.name);
      }
    }
  }

  // The value behind keys beneath an object of the candidate, as far as they are written there.
  [[nodiscard]] Place below(Place place, const std::vector<std::string_view>& keys) const {
    if (place.source >= own_.policy.sources.size()) return place;
    const json::Document& document = *own_.policy.sources[place.source];
    for (const std::string_view key : keys) {
      const json::Node& node = document.node(place.node);
      const json::Node* member = node.kind == json::Kind::object ? document.find(node, key) : nullptr;
      if (member == nullptr) break;
      place.node = document.id(*member);
    }
    return place;
  }

  [[nodiscard]] Place at_defaults(std::uint32_t source, std::vector<std::string_view> keys) const {
    keys.insert(keys.begin(), "defaults");
    return below({source, 0}, keys);
  }

  // Where an inherited setting is written: at the nearest node that has the key, else in the defaults of the file.
  [[nodiscard]] Place nearest(const std::vector<const Node*>& nodes, const std::vector<std::string_view>& keys) const {
    for (std::size_t i = nodes.size(); i-- > 0;) {
      const Place place = below(nodes[i]->place, keys);
      if (place.node != nodes[i]->place.node) return place;
    }
    const Place command = nodes.front()->place;
    if (command.source >= own_.policy.sources.size()) return command;
    const std::string& file = own_.policy.sources[command.source]->file();
    const std::size_t end = file.rfind("/commands/");
    for (std::uint32_t i = 0; i < own_.policy.sources.size(); ++i) {
      const std::string& other = own_.policy.sources[i]->file();
      if (other != file && (end == std::string::npos || other != file.substr(0, end) + "/policy.json")) continue;
      const Place place = at_defaults(i, keys);
      if (place.node != 0) return place;
    }
    return nodes.back()->place;
  }

  const Compared& own_;
  const Compared& base_;
  PatternCache patterns_;
  Sides sides_;
  std::set<const Defaults*> less_walked_;
  const Command* own_command_ = nullptr;
  const Command* base_command_ = nullptr;
  std::vector<Widening> out_;
};

}  // namespace

std::vector<Widening> find_widenings(const Compared& candidate, const Compared& base, std::string_view command) {
  return Walk(candidate, base).run(command);
}

}  // namespace safe_exec
