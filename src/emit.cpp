// Owns the one spelling in which a reading becomes an argv again (POLICY.md section 6). Never decides what is
// allowed; refuses only what it cannot spell so that every program reads it as it was meant.
#include <algorithm>
#include <cstddef>
#include <utility>

#include "grammar.h"

namespace safe_exec {
namespace {

// How an option's name ends its token: "--long" takes "=value", "-x" is glued, "-word" (find, java) has no joined form.
enum class NameForm : std::uint8_t { long_name, letter, word };

NameForm form_of(std::string_view name) {
  if (name.starts_with("--")) return NameForm::long_name;
  return name.size() == 2 ? NameForm::letter : NameForm::word;
}

class Emitter {
 public:
  explicit Emitter(const Reading& reading) : reading_(reading) {}

  tl::expected<CommandLine, Refusal> run(std::string_view path) {
    add(std::string(path));
    for (std::size_t level = 0; level < reading_.levels.size(); ++level) {
      const Node& node = *reading_.levels[level].node;
      if (level > 0) add(node.name);
      add_injected(node);
      add_always(level);
      add_options(level);
    }
    if (!reading_.terminal) add_operands();
    if (!refused_) check_bare_options();
    if (refused_) return tl::unexpected(std::move(*refused_));
    return std::move(line_);
  }

 private:
  void add(std::string token, bool injected = false) {
    line_.argv.push_back(std::move(token));
    line_.injected.push_back(injected);
  }

  void add_injected(const Node& node) {
    if (!node.inject) return;
    for (const std::string& token : *node.inject) add(token, true);
  }

  void add_always(std::size_t level) {
    for (const Option& option : reading_.levels[level].node->options) {
      if (!option.always) continue;
      std::vector<std::string> values;
      for (const TypeRef& type : option.values) values.push_back(type->text);  // literals
      spell(option, values, reading_.levels[level].syntax);
    }
  }

  // A terminal option ends the line, so it stands where it was given and not where it is listed.
  void add_options(std::size_t level) {
    for (const GivenOption& given : reading_.options) {
      if (given.option->chdir || given.option->always) continue;
      if ((given.option->terminal ? given.given : given.declared) != level) continue;
      spell(*given.option, given.values, reading_.levels[given.declared].syntax);
      const bool bare = given.option->optional && given.option->separate && given.values.empty();
      if (bare) bare_.emplace_back(line_.argv.size(), &given);
    }
  }

  void spell(const Option& option, const std::vector<std::string>& values, const Syntax& syntax) {
    line_.options.push_back({&option, values});
    if (values.empty()) return add(option.name);
    const NameForm form = form_of(option.name);
    // An optional value is always read as one when it is attached; an empty one cannot be glued to a letter.
    const bool stands_alone =
        !option.optional || (option.separate && !values.front().empty() && values.front()[0] != '-');
    const bool wants_separate = option.spelling.value_or(syntax.spelling) == Spelling::separate && stands_alone;
    const bool unglueable = form == NameForm::letter && values.front().empty();
    if (values.size() > 1 || wants_separate || unglueable || form == NameForm::word) {
      add(option.name);
      for (const std::string& value : values) add(value);
      return;
    }
    // pflag and clap drop one '=' behind a letter, so there it is always written.
    const bool equals = form == NameForm::long_name || syntax.short_equals;
    add(option.name + (equals ? "=" : "") + values.front());
  }

  // Tokens of slots before the separator, "--", the rest. Without a separator all of them stand behind "--".
  void add_operands() {
    const Level& leaf = reading_.levels.back();
    const bool separated = has_separator(*leaf.node);
    const bool any_behind = std::any_of(reading_.operands.begin(), reading_.operands.end(),
                                        [](const Operand& operand) { return operand.behind; });
    const bool marks = leaf.syntax.end_of_options || (separated && any_behind);
    if (!reading_.operands.empty()) check_first(reading_.operands.front());
    if (separated || !marks) {
      for (const Operand& operand : reading_.operands) {
        if (!separated || !operand.behind) add_unprotected(operand);
      }
    }
    if (marks) add("--");
    if (!marks) return;
    for (const Operand& operand : reading_.operands) {
      if (!separated || operand.behind) add(operand.text);
    }
  }

  // Behind "--" too: getopt(3) drops the "--", and then the first operand is what names the subcommand.
  void check_first(const Operand& operand) {
    const Node& node = *reading_.levels.back().node;
    const bool subcommand = std::any_of(node.subcommands.begin(), node.subcommands.end(), [&](const Node& sub) {
      return sub.name == operand.text ||
             std::find(sub.aliases.begin(), sub.aliases.end(), operand.text) != sub.aliases.end();
    });
    if (subcommand)
      refuse(operand.argv_index, operand.text, "it would be read as a subcommand of " + here(), node.place);
  }

  // "-" alone is no option to any reader; what else it is, the policy says by naming it or by standard input.
  static bool named_dash(const Operand& operand) {
    if (operand.text != "-") return false;
    if (operand.standard_input || operand.slot == nullptr) return operand.standard_input;
    return std::ranges::any_of(operand.slot->types, [](const TypeRef& type) {
      return type->kind == Type::Kind::literal && type->text == "-";
    });
  }

  // No "--" stands before this one: it must not be readable as an option.
  void add_unprotected(const Operand& operand) {
    const Node& node = *reading_.levels.back().node;
    // Where no word is read as an option, whatever one reads as is meant.
    const bool raw = reading_.levels.back().syntax.name == SyntaxName::raw || operand.expression;
    const bool dash = operand.text.starts_with('-') && !named_dash(operand);
    if (dash && !raw)
      refuse(operand.argv_index, operand.text, "an operand of " + here() + " does not begin with - here", node.place);
    add(operand.text);
  }

  // A program that takes an optional value as the next token would take whatever stands behind a bare one.
  void check_bare_options() {
    for (const auto& [next, given] : bare_) {
      if (next >= line_.argv.size() || (line_.argv[next].size() > 1 && line_.argv[next][0] == '-')) continue;
      refuse(given->argv_index, given->option->name, given->option->name + " needs its value spelt out here",
             given->option->place);
      refused_->denial.code = DenialCode::option_value_missing;
      return;
    }
  }

  void refuse(int argv_index, std::string_view value, std::string message, Place place) {
    if (refused_) return;
    refused_ = Refusal{{}, place, reading_.nodes()};
    refused_->denial.code = DenialCode::operand_invalid;
    refused_->denial.message = std::move(message);
    refused_->denial.argv_index = argv_index;
    refused_->denial.value = value;
  }

  std::string here() const { return title(reading_.nodes()); }

  const Reading& reading_;
  CommandLine line_;
  std::vector<std::pair<std::size_t, const GivenOption*>> bare_;  // index of the token behind it
  std::optional<Refusal> refused_;
};

}  // namespace

tl::expected<CommandLine, Refusal> emit(const Reading& reading, std::string_view path) {
  return Emitter(reading).run(path);
}

bool reads_back(const Reading& reading, const CommandLine& line, const AcceptsValue& accepts) {
  std::vector<std::string> plain;
  plain.reserve(line.argv.size());
  for (std::size_t i = 0; i < line.argv.size(); ++i) {
    if (!line.injected[i]) plain.push_back(line.argv[i]);
  }
  const tl::expected<Reading, Refusal> again = read_tokens(*reading.levels.front().node, plain, accepts);
  if (!again || again->nodes() != reading.nodes()) return false;
  const bool separated = has_separator(*reading.levels.back().node);
  return std::equal(again->options.begin(), again->options.end(), line.options.begin(), line.options.end(),
                    [](const GivenOption& read, const CommandLine::Spelled& meant) {
                      return read.option == meant.option && read.values == meant.values;
                    }) &&
         std::equal(again->operands.begin(), again->operands.end(), reading.operands.begin(), reading.operands.end(),
                    [separated](const Operand& read, const Operand& meant) {
                      return read.text == meant.text && read.expression == meant.expression &&
                             (!separated || read.behind == meant.behind);
                    });
}

}  // namespace safe_exec
