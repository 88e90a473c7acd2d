// Owns the reading of tokens: which token is an option, a value, a subcommand, an operand. Never asks what a program
// would make of a token, never guesses, looks at no file; what no rule names is refused.
#include "grammar.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <unordered_map>
#include <utility>

#include "language.h"
#include "language_find.h"

namespace safe_exec {
namespace {

using Checked = tl::expected<void, Refusal>;

bool is_long(std::string_view name) {
  return name.starts_with("--");
}

bool has_name(const Option& option, std::string_view name) {
  return option.name == name || std::find(option.aliases.begin(), option.aliases.end(), name) != option.aliases.end();
}

const Option* find_in(const Node& node, std::string_view name) {
  for (const Option& option : node.options) {
    if (has_name(option, name)) return &option;
  }
  return nullptr;
}

// The options of one node by name. A few lookups scan the list; when scanning has cost as much as an index would, one is
// made: neither many options nor many tokens take quadratic time.
class NameIndex {
 public:
  explicit NameIndex(const Node& node) : node_(&node) {}

  const Option* find(std::string_view name) {
    if (names_.empty()) {
      scanned_ += node_->options.size();
      if (scanned_ <= kScans) return find_in(*node_, name);
      for (const Option& option : node_->options) {
        names_.emplace(option.name, &option);
        for (const std::string& alias : option.aliases) names_.emplace(alias, &option);
      }
    }
    const auto found = names_.find(name);
    return found == names_.end() ? nullptr : found->second;
  }

  const Option* numeric() {
    if (!numeric_) {
      const auto found = std::find_if(node_->options.begin(), node_->options.end(), [](const Option& o) { return o.numeric; });
      numeric_ = found == node_->options.end() ? nullptr : &*found;
    }
    return *numeric_;
  }

 private:
  static constexpr std::size_t kScans = 4096;

  const Node* node_;
  std::size_t scanned_ = 0;
  std::unordered_map<std::string_view, const Option*> names_;
  std::optional<const Option*> numeric_;
};

const Node* find_subcommand(const Node& node, std::string_view name) {
  for (const Node& sub : node.subcommands) {
    if (sub.name == name || std::find(sub.aliases.begin(), sub.aliases.end(), name) != sub.aliases.end()) return &sub;
  }
  return nullptr;
}

bool takes_operands(const Node& node) {
  return node.operands && !node.operands->empty();
}

// POLICY.md 3.4: the only types of which the empty string is a value.
bool accepts_empty(const Type& type) {
  return (type.kind == Type::Kind::text && type.low <= 0) || (type.kind == Type::Kind::literal && type.text.empty());
}

bool is_numeric(std::string_view token) {
  return token.size() >= 2 && token.size() <= 10 && token[0] == '-' &&
         token.find_first_not_of("0123456789", 1) == std::string_view::npos;
}

bool is_negative_number(std::string_view token) {
  if (token.size() < 2 || token.size() > 32 || token[0] != '-') return false;
  const std::size_t point = token.find('.');
  const std::string_view whole = token.substr(1, point == std::string_view::npos ? point : point - 1);
  const std::string_view part = point == std::string_view::npos ? std::string_view() : token.substr(point + 1);
  const auto digits = [](std::string_view text) { return text.find_first_not_of("0123456789") == std::string_view::npos; };
  return digits(whole) && digits(part) && !(whole.empty() && part.empty());
}

class Reader {
 public:
  Reader(std::span<const std::string> argv, const AcceptsValue& accepts) : argv_(argv), accepts_(accepts) {}

  tl::expected<Reading, Refusal> run(const Node& command) {
    if (Checked entered = enter(command); !entered) return tl::unexpected(std::move(entered.error()));
    for (at_ = 1; at_ < argv_.size();) {
      if (Checked read = token(); !read) return tl::unexpected(std::move(read.error()));
    }
    if (Checked ended = finish(); !ended) return tl::unexpected(std::move(ended.error()));
    return std::move(reading_);
  }

 private:
  const Node& node() const { return *reading_.levels.back().node; }
  const Syntax& syntax() const { return reading_.levels.back().syntax; }
  std::size_t depth() const { return reading_.levels.size() - 1; }
  std::string here() const { return title(reading_.nodes()); }

  tl::unexpected<Refusal> refuse(DenialCode code, std::string message, Place place, std::optional<std::size_t> index) {
    Refusal refusal{{}, place, reading_.nodes()};
    refusal.denial.code = code;
    refusal.denial.message = std::move(message);
    if (index) {
      refusal.denial.argv_index = static_cast<int>(*index);
      refusal.denial.value = argv_[*index];
    }
    return tl::unexpected(std::move(refusal));
  }

  Checked enter(const Node& next) {
    const Syntax syntax = syntax_at(reading_.levels, next);
    reading_.levels.push_back({&next, syntax});
    names_.emplace_back(next);
    if (next.decision != Verdict::deny) return {};
    auto refusal = refuse(DenialCode::rule_denies, here() + " is refused by the policy", next.place, at_);
    refusal.value().denial.reason = next.reason;
    return refusal;
  }

  Checked token() {
    const std::string& text = argv_[at_];
    if (reading_.terminal) return after_terminal();
    if (reading_.separator || expression_ || wrapped_ || syntax().name == SyntaxName::raw) return operand();
    if (begins_expression(text)) {
      expression_ = true;
      return operand();
    }
    if (text == "--") return end_options();
    if (at_ == 1 && begins_traditional(text)) return traditional(text);
    if (text.size() > 1 && text[0] == '-') return option(text);
    return word(text);
  }

  // Programs ignore, print or act on what follows --version; none of it has been checked.
  Checked after_terminal() {
    const Option& last = *reading_.options.back().option;
    const bool dash = argv_[at_].size() > 1 && argv_[at_][0] == '-';
    return refuse(dash ? DenialCode::option_not_allowed : DenialCode::too_many_operands,
                  "nothing may follow " + last.name, last.place, at_);
  }

  Checked end_options() {
    if (syntax().name == SyntaxName::find) {
      return refuse(DenialCode::option_not_allowed, "-- has no place in an expression of " + here(), node().place, at_);
    }
    if (awaits_subcommand() && !node().subcommand_optional) return unknown_subcommand();
    // Options ended at the first operand, and nothing is left for it to end: to such programs it is a word like others.
    if (!syntax().permute && !reading_.operands.empty() && !has_separator(node())) return operand();
    reading_.separator = true;
    ++at_;
    return {};
  }

  bool awaits_subcommand() const { return !node().subcommands.empty() && reading_.operands.empty(); }

  Checked word(const std::string& text) {
    if (!awaits_subcommand()) return operand();
    if (const Node* sub = find_subcommand(node(), text); sub != nullptr) {
      Checked entered = enter(*sub);
      ++at_;
      return entered;
    }
    if (!node().subcommand_optional || !takes_operands(node())) return unknown_subcommand();
    return operand();
  }

  Checked unknown_subcommand() {
    auto refusal = refuse(DenialCode::subcommand_not_allowed,
                          shown(argv_[at_]) + " is not a subcommand that " + here() + " allows", node().place, at_);
    refusal.value().denial.expected = "a subcommand of " + here();
    suggest_from(refusal.value().denial, argv_[at_], subcommand_names());
    return refusal;
  }

  std::vector<std::string> subcommand_names() const {
    std::vector<std::string> names;
    for (const Node& sub : node().subcommands) {
      if (sub.decision != Verdict::deny) names.push_back(sub.name);
    }
    return names;
  }

  Checked operand() {
    reading_.operands.push_back({argv_[at_], static_cast<int>(at_), reading_.separator, false, expression_, nullptr});
    // A wrapper stops at its first operand: what follows belongs to the command behind it.
    const Type* rest = rest_type(node());
    if (rest != nullptr && rest->language == Language::command) wrapped_ = true;
    ++at_;
    return {};
  }

  // find(1) takes options, then directories; its expression begins with the first word that can be neither.
  bool begins_expression(const std::string& text) {
    const Type* rest = rest_type(node());
    if (rest == nullptr || rest->language != Language::find) return false;
    if (text == "--" || !begins_find_expression(text)) return false;
    std::size_t level = 0;
    return text[0] != '-' || !reading_.operands.empty() || find_option(text, &level) == nullptr;
  }

  bool begins_traditional(const std::string& text) const {
    return node().traditional_options && !text.empty() && text[0] != '-' && find_subcommand(node(), text) == nullptr;
  }

  // The first word of tar(1) without a dash: every letter is an option, and the values of those that take one are the
  // words behind it, in the order of the letters.
  Checked traditional(const std::string& text) {
    const std::size_t word_at = at_;
    std::size_t next = at_ + 1;
    for (const char c : text) {
      const std::string name{'-', c};
      std::size_t level = 0;
      const Option* letter = find_option(name, &level);
      if (letter == nullptr) return unknown_option(text, name);
      if (reading_.terminal) return after_terminal();
      std::vector<std::string> values;
      std::vector<int> indexes;
      for (std::size_t i = 0; i < letter->values.size() && !letter->optional; ++i) {
        if (next == argv_.size()) return missing_value(*letter, word_at);
        at_ = next++;
        if (Checked fits = check_value(*letter, argv_[at_]); !fits) return fits;
        add_next(values, indexes);
      }
      at_ = word_at;
      if (Checked kept = keep(*letter, level, std::move(values), std::move(indexes)); !kept) return kept;
    }
    at_ = next;
    return {};
  }

  // POLICY.md 3.3, in its order: (a) a listed name, (b) a number, (c) letter by letter.
  Checked option(const std::string& text) {
    std::size_t level = 0;
    if (node().negative_numbers && is_negative_number(text) && find_option(text, &level) == nullptr &&
        find_numeric(&level) == nullptr) {
      return operand();
    }
    if (!syntax().permute && !reading_.operands.empty()) {
      return refuse(DenialCode::option_after_operand, "options of " + here() + " stand before its operands",
                    node().place, at_);
    }
    if (const Option* named = find_option(text, &level)) return take(*named, level, std::nullopt);
    const std::size_t equals = text.find('=');
    if (is_long(text) && equals != std::string::npos) {
      const std::string name = text.substr(0, equals);
      const Option* named = find_option(name, &level);
      if (named == nullptr) return unknown_option(name, name);
      return take(*named, level, text.substr(equals + 1));
    }
    if (is_long(text) || syntax().name == SyntaxName::find) return unknown_option(text, text);
    if (is_numeric(text)) {
      if (const Option* number = find_numeric(&level)) return take(*number, level, text.substr(1));
    }
    return cluster(text);
  }

  // The option that a name or alias means here: the node's own, else a persistent one from above, nearest first. level
  // is set to where it is listed.
  const Option* find_option(std::string_view name, std::size_t* level) {
    for (std::size_t i = reading_.levels.size(); i-- > 0;) {
      const Option* option = names_[i].find(name);
      if (option == nullptr || (i != depth() && !option->persistent)) continue;
      *level = i;
      return option;
    }
    return nullptr;
  }

  const Option* find_numeric(std::size_t* level) {
    for (std::size_t i = reading_.levels.size(); i-- > 0;) {
      const Option* option = names_[i].numeric();
      if (option == nullptr || (i != depth() && !option->persistent)) continue;
      *level = i;
      return option;
    }
    return nullptr;
  }

  Checked cluster(const std::string& text) {
    for (std::size_t i = 1; i < text.size(); ++i) {
      const std::string name{'-', text[i]};
      std::size_t level = 0;
      const Option* letter = find_option(name, &level);
      if (letter == nullptr) return unknown_option(text, name);
      if (reading_.terminal) return after_terminal();
      std::string_view rest = std::string_view(text).substr(i + 1);
      if (letter->values.empty() || (letter->optional && rest.empty() && !letter->separate)) {
        if (Checked kept = keep(*letter, level, {}, {}); !kept) return kept;
        continue;
      }
      if (rest.empty()) return take(*letter, level, std::nullopt);
      if (syntax().short_equals && rest.front() == '=') rest.remove_prefix(1);
      return take(*letter, level, std::string(rest));
    }
    ++at_;
    return {};
  }

  Checked unknown_option(const std::string& typed, const std::string& name) {
    const bool part = name != typed && !is_long(name);
    std::string message =
        (part ? shown(name) + " in " + shown(typed) : shown(name)) + " is not an option that " + here() + " allows";
    for (std::size_t i = 0; i < depth(); ++i) {
      if (find_in(*reading_.levels[i].node, name) != nullptr) {
        message += " there; it stands before " + reading_.levels[i + 1].node->name;
        break;
      }
    }
    auto refusal = refuse(DenialCode::option_not_allowed, std::move(message), node().place, at_);
    const std::vector<std::string> names = option_names();
    refusal.value().denial.expected = names.empty() ? "no option" : "an option of " + here();
    suggest_from(refusal.value().denial, typed, names);
    return refusal;
  }

  std::vector<std::string> option_names() const {
    std::vector<std::string> names, aliases;
    for (std::size_t i = reading_.levels.size(); i-- > 0;) {
      for (const Option& option : reading_.levels[i].node->options) {
        if (i != depth() && (!option.persistent || option.chdir)) continue;
        names.push_back(option.name);
        aliases.insert(aliases.end(), option.aliases.begin(), option.aliases.end());
      }
    }
    names.insert(names.end(), std::make_move_iterator(aliases.begin()), std::make_move_iterator(aliases.end()));
    return names;
  }

  // The option stands at at_; its values follow as its kind has them (POLICY.md 3.4).
  Checked take(const Option& option, std::size_t level, std::optional<std::string> attached) {
    const std::size_t name_at = at_;
    if (option.chdir && level != depth()) {
      return refuse(DenialCode::option_not_allowed, option.name + " stands before the subcommand", option.place, at_);
    }
    if (attached && option.values.size() != 1) {
      return bad_value(option, option.values.empty() ? option.name + " takes no value"
                                                     : option.name + " takes its values as tokens of their own");
    }
    std::vector<std::string> values;
    std::vector<int> indexes;
    if (attached) {
      if (Checked fits = check_value(option, *attached); !fits) return fits;
      values.push_back(std::move(*attached));
      indexes.push_back(static_cast<int>(at_));
    } else if (option.optional) {
      if (option.separate && next_is_value(option)) ++at_, add_next(values, indexes);
    } else {
      for (std::size_t i = 0; i < option.values.size(); ++i) {
        if (++at_ == argv_.size()) return missing_value(option, name_at);
        if (Checked fits = check_value(option, argv_[at_]); !fits) return fits;
        add_next(values, indexes);
      }
    }
    const std::size_t last = std::exchange(at_, name_at);
    Checked kept = keep(option, level, std::move(values), std::move(indexes));
    at_ = last + 1;
    return kept;
  }

  void add_next(std::vector<std::string>& values, std::vector<int>& indexes) const {
    values.push_back(argv_[at_]);
    indexes.push_back(static_cast<int>(at_));
  }

  // An optional value that is a token of its own never begins with '-': programs that allow it take such a token
  // for the next option (clap, argparse).
  bool next_is_value(const Option& option) const {
    if (at_ + 1 >= argv_.size()) return false;
    const std::string& next = argv_[at_ + 1];
    return !next.empty() && next[0] != '-' && accepts_(*option.values.front(), next);
  }

  Checked check_value(const Option& option, std::string_view value) {
    if (value.starts_with('-') && !option.dash_value && !(option.dash && value == "-")) {
      return bad_value(option, "the value of " + option.name + " does not begin with -");
    }
    if (!value.empty()) return {};
    const bool typed = std::any_of(option.values.begin(), option.values.end(),
                                   [](const TypeRef& type) { return accepts_empty(*type); });
    // Nothing spells an empty optional value of a letter: "-x" alone says that there is none.
    if (!typed || (option.optional && !is_long(option.name))) {
      return bad_value(option, "the value of " + option.name + " is not empty");
    }
    return {};
  }

  Checked bad_value(const Option& option, std::string message) {
    return refuse(DenialCode::option_value_invalid, std::move(message), option.place, at_);
  }

  Checked missing_value(const Option& option, std::size_t name_at) {
    const std::size_t count = option.values.size();
    return refuse(DenialCode::option_value_missing,
                  option.name + (count == 1 ? " needs a value" : " needs " + std::to_string(count) + " values"),
                  option.place, name_at);
  }

  // Folds what a flag has more of than it may, counts repeated values: that the first or the last wins never matters.
  Checked keep(const Option& option, std::size_t level, std::vector<std::string> values, std::vector<int> indexes) {
    if (option.chdir && level != depth()) {
      return refuse(DenialCode::option_not_allowed, option.name + " stands before the subcommand", option.place, at_);
    }
    std::uint32_t& count = given_[&option];
    if (option.terminal) reading_.terminal = true;
    if (count >= option.max && option.values.empty()) return {};
    if (count >= option.max) {
      return refuse(DenialCode::option_repeated,
                    option.name + " may be given " + (option.max == 1 ? "once" : std::to_string(option.max) + " times"),
                    option.place, at_);
    }
    ++count;
    reading_.options.push_back({&option, level, depth(), static_cast<int>(at_), std::move(values), std::move(indexes)});
    return {};
  }

  Checked finish() {
    if (reading_.terminal) return {};
    if (awaits_subcommand() && !reading_.separator && !node().subcommand_optional) {
      auto refusal = refuse(DenialCode::subcommand_missing, here() + " needs a subcommand", node().place, std::nullopt);
      refusal.value().denial.expected = "a subcommand of " + here();
      suggest_from(refusal.value().denial, "", subcommand_names());
      return refusal;
    }
    for (const Level& level : reading_.levels) {
      for (const Option& option : level.node->options) {
        if (!option.required || option.always || was_given(option)) continue;
        return refuse(DenialCode::option_missing, here() + " needs " + option.name, option.place, std::nullopt);
      }
    }
    return {};
  }

  bool was_given(const Option& option) const { return given_.contains(&option); }

  std::span<const std::string> argv_;
  const AcceptsValue& accepts_;
  Reading reading_;
  std::vector<NameIndex> names_;  // one a level
  std::unordered_map<const Option*, std::uint32_t> given_;
  std::size_t at_ = 0;
  bool expression_ = false;  // find's has begun
  bool wrapped_ = false;     // a wrapper's options are over
};

}  // namespace

std::vector<const Node*> Reading::nodes() const {
  std::vector<const Node*> nodes;
  nodes.reserve(levels.size());
  for (const Level& level : levels) nodes.push_back(level.node);
  return nodes;
}

Syntax preset(SyntaxName name) noexcept {
  switch (name) {  //                              permute  "--"   spelling           -x=v
    case SyntaxName::gnu:
      return {name, true, true, Spelling::joined, false};
    case SyntaxName::posix:
      return {name, false, true, Spelling::joined, false};
    case SyntaxName::git:
      return {name, true, true, Spelling::joined, false};
    case SyntaxName::pflag:
      return {name, true, true, Spelling::joined, true};
    case SyntaxName::clap:
      return {name, true, true, Spelling::joined, true};
    case SyntaxName::find:
    case SyntaxName::raw:
      return {name, false, false, Spelling::separate, false};
  }
  return {};
}

// Key by key, the nearest node that sets it (POLICY.md section 2).
Syntax syntax_at(const std::vector<Level>& above, const Node& node) {
  std::optional<SyntaxName> name;
  std::optional<bool> permute, end_of_options, short_equals;
  std::optional<Spelling> spelling;
  const auto take = [&](const Node& from) {
    if (from.syntax) name = from.syntax;
    if (from.permute) permute = from.permute;
    if (from.end_of_options) end_of_options = from.end_of_options;
    if (from.short_equals) short_equals = from.short_equals;
    if (from.spelling) spelling = from.spelling;
  };
  for (const Level& level : above) take(*level.node);
  take(node);
  Syntax syntax = preset(name.value_or(SyntaxName::gnu));
  syntax.permute = permute.value_or(syntax.permute);
  syntax.end_of_options = end_of_options.value_or(syntax.end_of_options);
  syntax.short_equals = short_equals.value_or(syntax.short_equals);
  syntax.spelling = spelling.value_or(syntax.spelling);
  return syntax;
}

bool has_separator(const Node& node) {
  return node.operands &&
         std::any_of(node.operands->begin(), node.operands->end(), [](const Slot& slot) { return slot.separator; });
}

const Type* rest_type(const Slot& slot) {
  return !slot.types.empty() && slot.types.front()->rest ? slot.types.front().get() : nullptr;
}

const Type* rest_type(const Node& node) {
  return node.operands && !node.operands->empty() ? rest_type(node.operands->back()) : nullptr;
}

bool is_present(const Reading& reading, std::string_view name) {
  for (const Level& level : reading.levels) {
    for (const Option& option : level.node->options) {
      if (option.always && has_name(option, name)) return true;
    }
  }
  return std::any_of(reading.options.begin(), reading.options.end(),
                     [&](const GivenOption& given) { return has_name(*given.option, name); });
}

tl::expected<Reading, Refusal> read_tokens(const Node& command, std::span<const std::string> argv,
                                           const AcceptsValue& accepts) {
  return Reader(argv, accepts).run(command);
}

}  // namespace safe_exec
