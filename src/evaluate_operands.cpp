// Owns the values of options and the filling of operand slots (POLICY.md section 3, rules 4 and 7). Never backtracks:
// a token belongs to the first slot that may take it.
#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "evaluation.h"
#include "language.h"

namespace safe_exec {
namespace {

// Of two refusals of one token, the one that says more: a path that was recognized as one tells what is wrong with it.
bool says_more(const ValueFailure& failure, const std::optional<ValueFailure>& than) {
  return !than || failure.code != DenialCode::operand_invalid || than->code == DenialCode::operand_invalid;
}

std::string describe_slot(const Slot& slot) {
  std::string text;
  for (const TypeRef& type : slot.types) text += (text.empty() ? "" : ", or ") + describe(*type);
  return text;
}

}  // namespace

void Evaluation::grant_pending() {
  std::move(pending_.begin(), pending_.end(), std::back_inserter(plan_.grants));
  pending_.clear();
}

Step Evaluation::match_options() {
  for (GivenOption& given : reading_.options) {
    const Option& option = *given.option;
    if (option.chdir) continue;
    for (std::size_t i = 0; i < given.values.size(); ++i) {
      const Type& type = *option.values[std::min(i, option.values.size() - 1)];
      if (given.values[i] == "-" && option.dash && settings_.stdin_rule.kind != StdinRule::Kind::none) continue;
      ValueResult value = match(type, given.values[i]);
      if (!value) {
        ValueFailure failure = std::move(value.error());
        if (failure.code == DenialCode::operand_invalid) failure.code = DenialCode::option_value_invalid;
        return refuse_value(std::move(failure), {option.place, option.name, given.value_indexes[i]}, given.values[i]);
      }
      grant_pending();
      given.values[i] = std::move(*value);
    }
    trace(option.place, option.values.empty() ? "a flag" : describe(*option.values.front()), option.name,
          given.argv_index);
  }
  return {};
}

ValueResult Evaluation::match_slot(const Slot& slot, std::string_view token, bool* standard_input) {
  *standard_input = token == "-" && slot.dash && settings_.stdin_rule.kind != StdinRule::Kind::none;
  if (*standard_input) return std::string(token);
  std::optional<ValueFailure> failure;
  for (const TypeRef& type : slot.types) {
    ValueResult value = match(*type, token);
    if (value) return value;
    if (says_more(value.error(), failure)) failure = std::move(value.error());
  }
  return tl::unexpected(failure.value_or(ValueFailure{}));
}

tl::expected<std::vector<std::string>, WordsFailure> Evaluation::match_rest(const Type& type,
                                                                            const std::vector<std::string>& words) {
  pending_.clear();
  return match_words(type, words, patterns_,
                     [this](const Type& element, std::string_view text) { return decide_path(element, text); });
}

// Fills the slots of the node that runs. One use, for one reading.
class SlotFiller {
 public:
  explicit SlotFiller(Evaluation& evaluation) : self_(evaluation) {
    const Node& node = *self_.nodes_.back();
    separated_ = has_separator(node);
    if (!node.operands) return;
    bool behind = false;
    for (const Slot& slot : *node.operands) {
      if (slot.separator) behind = true;
      if (slot.separator || !is_active(slot)) continue;
      places_.push_back({&slot, behind, {}, std::nullopt, -1, {}});
    }
  }

  Step run() {
    std::vector<Operand> front, back;
    for (const Operand& operand : self_.reading_.operands) (operand.behind ? back : front).push_back(operand);
    const std::size_t middle = first_behind();
    if (!separated_) {
      if (Step filled = fill(self_.reading_.operands, 0, places_.size()); !filled) return filled;
    } else if (self_.reading_.separator) {
      if (Step filled = fill(front, 0, middle); !filled) return filled;
      if (Step filled = fill(back, middle, places_.size()); !filled) return filled;
    } else {
      if (Step filled = fill(front, 0, places_.size()); !filled) return filled;
    }
    return finish();
  }

 private:
  struct Filled {
    const Slot* slot;
    bool behind;
    std::vector<Operand> taken;
    std::optional<ValueFailure> refusal;  // the first token that the slot refused, and why
    int refused_index;
    std::string refused_token;
  };

  bool is_active(const Slot& slot) const {
    const auto present = [this](const std::string& name) { return is_present(self_.reading_, name); };
    return std::all_of(slot.requires_options.begin(), slot.requires_options.end(), present) &&
           std::none_of(slot.excludes.begin(), slot.excludes.end(), present) &&
           std::none_of(slot.replaced_by.begin(), slot.replaced_by.end(), present);
  }

  std::size_t first_behind() const {
    const auto first = std::find_if(places_.begin(), places_.end(), [](const Filled& place) { return place.behind; });
    return static_cast<std::size_t>(first - places_.begin());
  }

  static std::size_t needed(const Slot& slot) { return slot.defaults.empty() ? slot.min : 0; }

  std::size_t needed_behind(std::size_t at, std::size_t end) const {
    std::size_t sum = 0;
    for (std::size_t i = at + 1; i < end; ++i) sum += needed(*places_[i].slot);
    return sum;
  }

  // Tokens to the slots [at, end), leftmost first.
  Step fill(const std::vector<Operand>& tokens, std::size_t at, std::size_t end) {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const Operand& token = tokens[i];
      if (at < end && !places_[at].behind && names_path_behind(token, end)) at = first_behind();
      const std::size_t left = tokens.size() - i - 1;
      std::optional<ValueFailure> failure;
      std::size_t refused_by = at;
      while (at < end && !takes_rest(at, token) && !takes(at, end, left, token)) {
        Filled& place = places_[at];
        if (place.refused_index == token.argv_index && place.refusal && says_more(*place.refusal, failure)) {
          failure = place.refusal;
          refused_by = at;
        }
        ++at;
      }
      if (at == end) return failure ? refuse(*failure, refused_by, token) : too_many(token);
      if (takes_rest(at, token)) return fill_rest(places_[at], tokens, i);
    }
    return {};
  }

  // find's expression goes to the slot that reads it, and no other word does.
  bool takes_rest(std::size_t at, const Operand& token) const {
    const Type* rest = rest_type(*places_[at].slot);
    return rest != nullptr && token.expression == (rest->language == Language::find);
  }

  Step fill_rest(Filled& place, const std::vector<Operand>& tokens, std::size_t from) {
    if (tokens.size() - from > place.slot->max) return too_many(tokens[from + place.slot->max]);
    std::vector<std::string> words;
    for (std::size_t i = from; i < tokens.size(); ++i) words.push_back(tokens[i].text);
    const Type& type = *rest_type(*place.slot);
    if (type.language == Language::command) {
      self_.wrapped_at_ = tokens[from].argv_index;
      return {};
    }
    auto rebuilt = self_.match_rest(type, words);
    if (!rebuilt) {
      const Operand& token = tokens[from + rebuilt.error().index];
      return self_.refuse_value(std::move(rebuilt.error().failure),
                                {place.slot->place, place.slot->name, token.argv_index}, token.text);
    }
    self_.grant_pending();
    self_.trace(place.slot->place, describe(type), std::to_string(words.size()) + " words", tokens[from].argv_index);
    for (std::string& word : *rebuilt) {
      place.taken.push_back({std::move(word), tokens[from].argv_index, place.behind, false, tokens[from].expression, place.slot});
    }
    return {};
  }

  bool takes(std::size_t at, std::size_t end, std::size_t left, const Operand& token) {
    Filled& place = places_[at];
    if (token.expression || rest_type(*place.slot) != nullptr) return false;
    if (place.taken.size() >= place.slot->max) return false;
    if (place.taken.size() >= place.slot->min && left < needed_behind(at, end)) return false;
    bool standard_input = false;
    ValueResult value = self_.match_slot(*place.slot, token.text, &standard_input);
    if (!value) {
      if (!place.refusal) {
        place.refusal = std::move(value.error());
        place.refused_index = token.argv_index;
        place.refused_token = token.text;
      }
      return false;
    }
    self_.grant_pending();
    self_.trace(place.slot->place, describe_slot(*place.slot), *value, token.argv_index);
    place.taken.push_back({std::move(*value), token.argv_index, place.behind, standard_input, false, place.slot});
    return true;
  }

  // git's own rule: without "--", a token that names an existing path begins the paths.
  bool names_path_behind(const Operand& token, std::size_t end) const {
    if (!separated_ || self_.reading_.separator) return false;
    if (self_.reading_.levels.back().syntax.name != SyntaxName::git) return false;
    for (std::size_t i = first_behind(); i < end; ++i) {
      for (const TypeRef& type : places_[i].slot->types) {
        const bool is_path = type->kind == Type::Kind::path ||
                             (type->kind == Type::Kind::language && type->language == Language::pathspec);
        if (is_path && self_.resolver_.names_existing(token.text, type->path.within)) return true;
      }
    }
    return false;
  }

  Step finish() {
    std::vector<Operand> operands;
    for (std::size_t at = 0; at < places_.size(); ++at) {
      Filled& place = places_[at];
      if (place.taken.empty()) {
        if (Step filled = take_defaults(place); !filled) return filled;
      }
      const Type* rest = rest_type(*place.slot);
      const bool wraps = rest != nullptr && rest->language == Language::command && self_.wrapped_at_ > 0;
      if (!wraps && place.taken.size() < place.slot->min) return too_few(at);
      if (place.slot->as != WrapperRole::none) {
        for (const Operand& operand : place.taken) {
          self_.carried_.push_back({place.slot, operand.text, operand.argv_index});
        }
      }
      std::move(place.taken.begin(), place.taken.end(), std::back_inserter(operands));
    }
    if (self_.wrapped_at_ == 0 && !self_.carried_.empty()) {
      const Evaluation::Carried& first = self_.carried_.front();
      return self_.refuse(DenialCode::too_few_operands,
                          title(self_.nodes_) + " needs a command behind " + shown(first.text), first.slot->place,
                          first.argv_index, first.text);
    }
    self_.reading_.operands = std::move(operands);
    return {};
  }

  Step take_defaults(Filled& place) {
    for (const std::string& text : place.slot->defaults) {
      bool standard_input = false;
      ValueResult value = self_.match_slot(*place.slot, text, &standard_input);
      if (!value) {
        return self_.refuse_value(std::move(value.error()), {place.slot->place, place.slot->name, -1}, text);
      }
      self_.grant_pending();
      if (place.slot->implied) continue;
      place.taken.push_back({std::move(*value), -1, place.behind, standard_input, false, place.slot});
    }
    return {};
  }

  Step refuse(ValueFailure failure, std::size_t at, const Operand& token) const {
    const Slot& slot = *places_[at].slot;
    return self_.refuse_value(std::move(failure), {slot.place, slot.name, token.argv_index}, token.text);
  }

  Step too_many(const Operand& token) {
    // A word that a slot needed and refused went to the next one; that is what there is to say.
    for (std::size_t at = 0; at < places_.size(); ++at) {
      if (places_[at].refusal && places_[at].taken.size() < needed(*places_[at].slot)) return too_few(at);
    }
    std::size_t most = 0;
    for (const Filled& place : places_) most += rest_type(*place.slot) == nullptr ? place.slot->max : 0;
    const std::string here = title(self_.nodes_);
    std::string message = places_.empty() ? here + " takes no operands here"
                                          : here + " takes at most " + std::to_string(most) + " operands here";
    return self_.refuse(DenialCode::too_many_operands, std::move(message), self_.leaf(), token.argv_index, token.text);
  }

  Step too_few(std::size_t at) {
    Filled& place = places_[at];
    if (place.refusal) {
      return self_.refuse_value(std::move(*place.refusal), {place.slot->place, place.slot->name, place.refused_index},
                                place.refused_token);
    }
    auto refusal = self_.refuse(DenialCode::too_few_operands,
                                title(self_.nodes_) + " needs " + std::to_string(place.slot->min) + " " +
                                    place.slot->name + ": " + describe_slot(*place.slot),
                                place.slot->place);
    std::get<Refusal>(refusal.value()).denial.expected = describe_slot(*place.slot);
    return refusal;
  }

  Evaluation& self_;
  bool separated_ = false;
  std::vector<Filled> places_;
};

Step Evaluation::fill_slots() {
  if (reading_.terminal) {
    // Nothing stands behind a terminal option; what stands before it would go unchecked and unemitted.
    if (reading_.operands.empty()) return {};
    const Operand& first = reading_.operands.front();
    const Option& last = *reading_.options.back().option;
    return refuse(DenialCode::too_many_operands, "no operand may stand beside " + last.name, last.place,
                  first.argv_index, first.text);
  }
  return SlotFiller(*this).run();
}

}  // namespace safe_exec
