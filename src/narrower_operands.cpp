// Owns the comparison of operand slots. Slots are filled from the left, so a slot that takes less leaves more for the
// next one: only what cannot shift is compared, the rest counts as wider.
#include <algorithm>
#include <utility>

#include "grammar.h"
#include "narrower_rules.h"

namespace safe_exec {
namespace {

using Slots = std::vector<const Slot*>;

struct Split {
  Slots front, behind;
  bool separated = false;
};

Split split(const Node& node) {
  Split out;
  if (!node.operands) return out;
  for (const Slot& slot : *node.operands) {
    if (slot.separator) {
      out.separated = true;
    } else {
      (out.separated ? out.behind : out.front).push_back(&slot);
    }
  }
  return out;
}

bool same_set(std::vector<std::string> a, std::vector<std::string> b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  return a == b;
}

class SlotComparer {
 public:
  SlotComparer(const OperandSide& own, const OperandSide& base, const Sides& sides)
      : own_(own), base_(base), sides_(sides) {}

  std::vector<WiderOperand> run() {
    const Split mine = split(own_.node), theirs = split(base_.node);
    if (mine.separated && !theirs.separated) {
      out_.push_back({nullptr, "the base has no \"--\" among its operands"});
    } else if (mine.separated == theirs.separated) {
      compare(mine.front, theirs.front);
      compare(mine.behind, theirs.behind);
    } else if (own_.syntax.end_of_options) {  // all of them stand behind the "--" that is emitted
      compare({}, theirs.front);
      compare(mine.front, theirs.behind);
    } else {  // none is emitted, and the base emits one where something stands behind it
      compare(mine.front, theirs.front);
      compare({}, theirs.behind);
    }
    return std::move(out_);
  }

 private:
  void compare(const Slots& own, const Slots& base) {
    for (std::size_t i = 0; i < own.size(); ++i) {
      if (i >= base.size()) {
        out_.push_back({own[i], "the base takes no operand " + own[i]->name});
        continue;
      }
      std::string reason = wider_slot(*own[i], *base[i]);
      if (reason.empty() && i + 1 < own.size() && !cannot_shift(own, base, i)) {
        reason = "it takes less than in the base, so the operand behind it would take more";
      }
      if (!reason.empty()) out_.push_back({own[i], "the operand " + own[i]->name + ": " + reason});
    }
    for (std::size_t i = own.size(); i < base.size(); ++i) {
      if (base[i]->min == 0 && base[i]->defaults.empty()) continue;
      out_.push_back({nullptr, "the base always has an operand " + base[i]->name});
    }
  }

  // Takes exactly as many tokens as the base's slot, whichever they are.
  bool cannot_shift(const Slots& own, const Slots& base, std::size_t at) const {
    const Slot &mine = *own[at], &theirs = *base[at];
    if (mine.max != theirs.max) return false;
    if (mine.min == mine.max && mine.defaults.empty()) return true;
    for (std::size_t i = at; i < own.size() && i < base.size(); ++i) {
      if (own[i]->min != base[i]->min || own[i]->defaults.empty() != base[i]->defaults.empty()) return false;
    }
    return same_types(mine.types, theirs.types, sides_);
  }

  std::string wider_slot(const Slot& own, const Slot& base) {
    if (own.min < base.min || own.max > base.max) {
      return "from " + std::to_string(own.min) + " to " + std::to_string(own.max) + " of them, and from " +
             std::to_string(base.min) + " to " + std::to_string(base.max) + " in the base";
    }
    if (own.dash && !base.dash) return "\"-\" means standard input, and in the base it does not";
    if (own.as != base.as) return "it does another thing for the command behind it than in the base";
    if (!base.defaults.empty() && own.defaults.empty() && own.min == 0) return "the base has a default for it";
    if (own.implied != base.implied) return "\"implied\" is not the same in the base";
    if (!same_set(own.requires_options, base.requires_options)) return "\"requires\" is not the same in the base";
    if (!same_set(own.excludes, known(base.excludes))) return "\"excludes\" is not the same in the base";
    if (!same_set(own.replaced_by, known(base.replaced_by))) return "\"replaced_by\" is not the same in the base";
    return wider_types(own.types, base.types, sides_);
  }

  // Of the base's options those that the candidate has too: the others can never be given.
  std::vector<std::string> known(const std::vector<std::string>& names) const {
    std::vector<std::string> out;
    std::copy_if(names.begin(), names.end(), std::back_inserter(out), [&](const std::string& name) {
      return std::find(own_.options.begin(), own_.options.end(), name) != own_.options.end();
    });
    return out;
  }

  const OperandSide& own_;
  const OperandSide& base_;
  const Sides& sides_;
  std::vector<WiderOperand> out_;
};

}  // namespace

std::vector<WiderOperand> wider_operands(const OperandSide& candidate, const OperandSide& base, const Sides& sides) {
  return SlotComparer(candidate, base, sides).run();
}

}  // namespace safe_exec
