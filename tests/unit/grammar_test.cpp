// Property tests of the grammar: over many generated grammars and lines (fixed seed), what is emitted is read back as
// the same line, and the programs' own parsers read it as we did: getopt_long(3) itself, and pflag's algorithm.
#include "grammar.h"

#include <getopt.h>

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "matcher.h"
#include "value.h"

namespace safe_exec {
namespace {

using Words = std::vector<std::string>;

class Dice {
 public:
  explicit Dice(std::uint32_t seed) : engine_(seed) {}
  std::size_t below(std::size_t n) { return engine_() % n; }
  bool one_in(std::size_t n) { return below(n) == 0; }
  template <class T>
  const T& pick(const std::vector<T>& all) {
    return all[below(all.size())];
  }

 private:
  std::mt19937 engine_;  // its sequence is fixed by the standard, unlike that of the distributions
};

TypeRef text_type() {
  auto type = std::make_shared<Type>();
  type->kind = Type::Kind::text;
  type->low = 0;
  type->high = 40;
  return type;
}

TypeRef word_type() {
  auto type = std::make_shared<Type>();
  type->kind = Type::Kind::regex;
  type->text = "[a-z]+";
  return type;
}

const Words kLong{"--all", "--alpha", "--beta", "--be", "--count", "--output", "--sort", "--x-y"};
const Words kLetters{"-a", "-b", "-c", "-l", "-n", "-o", "-x", "-1"};
const Words kValues{"", "v", "=v", "-v", "--", "a=b", "x y", "--all", "-a", "1", "sub"};
const Words kOperands{"file", "-", "a=b", "+5", "@f", "sub", "other", "x"};

Option random_option(Dice& dice, std::string name, std::vector<std::string> aliases) {
  Option option;
  option.name = std::move(name);
  option.aliases = std::move(aliases);
  if (dice.one_in(2)) option.values.push_back(dice.one_in(3) ? word_type() : text_type());
  if (!option.values.empty()) {
    option.optional = dice.one_in(4);
    option.separate = option.optional && dice.one_in(3);
    option.dash_value = dice.one_in(2);
    option.max = 1 + static_cast<std::uint32_t>(dice.below(3));
    if (dice.one_in(5) && !option.optional) option.spelling = Spelling::separate;
    if (dice.one_in(10) && !option.optional) option.values.push_back(text_type());
  } else {
    option.terminal = dice.one_in(12);
    option.always = !option.terminal && dice.one_in(8);
  }
  option.persistent = dice.one_in(4);
  return option;
}

// Names are used once a level and never again below a persistent one, as the loader demands.
void add_options(Dice& dice, Node& node, std::set<std::string>& used) {
  std::set<std::string> here;
  const std::size_t count = 1 + dice.below(5);
  bool numeric = false;
  for (std::size_t i = 0; i < count; ++i) {
    std::string name = dice.one_in(3) ? dice.pick(kLetters) : dice.pick(kLong);
    Words aliases;
    if (name.size() > 2 && dice.one_in(2)) aliases.push_back(dice.pick(kLetters));
    const auto taken = [&](const std::string& n) { return used.count(n) + here.count(n) > 0; };
    if (taken(name) || std::any_of(aliases.begin(), aliases.end(), taken)) continue;
    here.insert(name);
    here.insert(aliases.begin(), aliases.end());
    Option option = random_option(dice, name, aliases);
    if (!numeric && option.values.size() == 1 && !option.optional && dice.one_in(4)) numeric = option.numeric = true;
    node.options.push_back(std::move(option));
  }
  used.insert(here.begin(), here.end());
}

void add_slots(Dice& dice, Node& node) {
  std::vector<Slot> slots;
  Slot slot;
  slot.name = "w";
  slot.types = {text_type()};
  slot.min = 0;
  slot.max = 4;
  if (dice.one_in(3)) {
    slots.push_back(slot);
    Slot separator;
    separator.separator = true;
    slots.push_back(separator);
  }
  slots.push_back(slot);
  if (!dice.one_in(5)) node.operands = std::move(slots);
}

Node random_node(Dice& dice, std::string name, int depth, std::set<std::string> used) {
  Node node;
  node.name = std::move(name);
  add_options(dice, node, used);
  add_slots(dice, node);
  if (dice.one_in(4)) node.inject = Words{"--injected", "value"};
  if (dice.one_in(5)) node.permute = dice.one_in(2);
  if (dice.one_in(6)) node.end_of_options = dice.one_in(2);
  if (dice.one_in(8)) node.spelling = Spelling::separate;
  if (depth > 0 && dice.one_in(2)) {
    node.subcommand_optional = dice.one_in(3);
    node.subcommands.push_back(random_node(dice, "sub", depth - 1, used));
    node.subcommands.push_back(random_node(dice, "other", depth - 1, used));
  }
  return node;
}

void names_below(const Node& node, Words& names) {
  for (const Option& option : node.options) {
    names.push_back(option.name);
    names.insert(names.end(), option.aliases.begin(), option.aliases.end());
  }
  for (const Node& sub : node.subcommands) names_below(sub, names);
}

std::string random_token(Dice& dice, const Words& names) {
  switch (dice.below(9)) {
    case 0:
      return dice.pick(kOperands);
    case 1:
      return dice.one_in(2) ? "sub" : "other";
    case 2:
      return "--";
    case 3:
      return "-" + std::to_string(dice.below(200));
    case 4:
      return names.empty() ? "-z" : dice.pick(names) + "=" + dice.pick(kValues);
    case 5:
      return "-" + dice.pick(kLetters).substr(1) + dice.pick(kLetters).substr(1);
    case 6:
      return dice.pick(kLetters) + dice.pick(kValues);
    default:
      return names.empty() ? "word" : dice.pick(names);
  }
}

Words random_line(Dice& dice, const Node& node) {
  Words names;
  names_below(node, names);
  Words line{"prog"};
  for (std::size_t i = dice.below(7); i > 0; --i) line.push_back(random_token(dice, names));
  return line;
}

Policy policy_of(Node node) {
  Policy policy;
  Command command;
  command.paths = {"/bin/prog"};
  command.node = std::move(node);
  policy.commands.push_back(std::move(command));
  return policy;
}

// What a program makes of its tokens: canonical option names with their values, then operands.
struct Meaning {
  std::vector<std::pair<std::string, std::string>> options;
  Words operands;
  bool failed = false;

  bool operator==(const Meaning& other) const {
    return options == other.options && operands == other.operands && failed == other.failed;
  }
};

std::string text_of(const Meaning& meaning) {
  std::string text = meaning.failed ? "failed" : "";
  for (const auto& [name, value] : meaning.options) text += " " + name + "(" + value + ")";
  text += " |";
  for (const std::string& operand : meaning.operands) text += " [" + operand + "]";
  return text;
}

// getopt_long(3) over the node's options and some that the policy does not list.
Meaning read_by_getopt(const Node& node, Words line, bool permute) {
  std::string letters = permute ? "" : "+";
  std::vector<struct option> longs;
  const auto has_arg = [](const Option& o) {
    return o.values.empty() ? no_argument : o.optional ? optional_argument : required_argument;
  };
  const auto add_name = [&](const std::string& name, const Option& o, int index) {
    if (name.size() == 2) {
      letters += name[1];
      letters += has_arg(o) == no_argument ? "" : has_arg(o) == required_argument ? ":" : "::";
    } else {
      longs.push_back({name.c_str() + 2, has_arg(o), nullptr, 1000 + index});
    }
  };
  for (std::size_t i = 0; i < node.options.size(); ++i) {
    add_name(node.options[i].name, node.options[i], static_cast<int>(i));
    for (const std::string& alias : node.options[i].aliases) add_name(alias, node.options[i], static_cast<int>(i));
  }
  for (const char* unlisted : {"output-file", "allow", "exec"})
    longs.push_back({unlisted, required_argument, nullptr, 1});
  letters += "zO:";
  longs.push_back({nullptr, 0, nullptr, 0});
  std::vector<char*> argv;
  for (std::string& token : line) argv.push_back(token.data());
  argv.push_back(nullptr);
  Meaning meaning;
  optind = 0;  // glibc: start anew
  opterr = 0;
  for (int found = 0; (found = getopt_long(static_cast<int>(line.size()), argv.data(), letters.c_str(), longs.data(),
                                           nullptr)) != -1;) {
    const Option* option = nullptr;
    if (found >= 1000) option = &node.options[static_cast<std::size_t>(found - 1000)];
    const std::string letter = found < 256 ? std::string{'-', static_cast<char>(found)} : "";
    for (const Option& o : node.options) {
      if (o.name == letter || std::find(o.aliases.begin(), o.aliases.end(), letter) != o.aliases.end()) option = &o;
    }
    if (option == nullptr) {
      meaning.failed = true;
      break;
    }
    meaning.options.emplace_back(option->name, optarg == nullptr ? "" : optarg);
  }
  for (auto i = static_cast<std::size_t>(optind); i < line.size(); ++i) meaning.operands.emplace_back(argv[i]);
  return meaning;
}

// pflag v1.0.5, flag.go: parseArgs, parseLongArg, parseShortArg, parseSingleShortArg.
class Pflag {
 public:
  explicit Pflag(const Node& node) : node_(node) {}

  Meaning read(const Words& line) {
    args_ = Words(line.begin() + 1, line.end());
    while (!args_.empty() && !out_.failed) {
      const std::string s = next();
      if (s.empty() || s[0] != '-' || s.size() == 1) {
        out_.operands.push_back(s);
      } else if (s == "--") {
        out_.operands.insert(out_.operands.end(), args_.begin(), args_.end());
        break;
      } else if (s[1] == '-') {
        long_arg(s);
      } else {
        for (std::string rest = s.substr(1); !rest.empty() && !out_.failed;) rest = letter(rest);
      }
    }
    return out_;
  }

 private:
  std::string next() {
    std::string s = args_.front();
    args_.erase(args_.begin());
    return s;
  }
  const Option* find(const std::string& name) {
    for (const Option& o : node_.options) {
      if (o.name == name || std::find(o.aliases.begin(), o.aliases.end(), name) != o.aliases.end()) return &o;
    }
    out_.failed = true;
    return nullptr;
  }
  void set(const Option& o, std::string value) { out_.options.emplace_back(o.name, std::move(value)); }
  void from_next(const Option& o) {
    if (args_.empty()) {
      out_.failed = true;
    } else {
      set(o, next());
    }
  }
  void long_arg(const std::string& s) {
    const std::size_t equals = s.find('=');
    const Option* o = find(s.substr(0, equals));
    if (o == nullptr) return;
    if (equals != std::string::npos) return set(*o, s.substr(equals + 1));
    if (o->values.empty() || o->optional) return set(*o, "");  // NoOptDefVal
    from_next(*o);
  }
  std::string letter(const std::string& rest) {
    const Option* o = find({'-', rest[0]});
    if (o == nullptr) return "";
    if (rest.size() > 2 && rest[1] == '=') {
      set(*o, rest.substr(2));
      return "";
    }
    if (o->values.empty() || o->optional) {
      set(*o, "");
      return rest.substr(1);
    }
    if (rest.size() > 1) {
      set(*o, rest.substr(1));
    } else {
      from_next(*o);
    }
    return "";
  }

  const Node& node_;
  Words args_;
  Meaning out_;
};

// What the policy checked, in the same shape.
Meaning meant(const Node& node, const Words& line, const AcceptsValue& accepts) {
  const tl::expected<Reading, Refusal> reading = read_tokens(node, line, accepts);
  Meaning meaning;
  if (!reading) {
    meaning.failed = true;
    return meaning;
  }
  for (const GivenOption& given : reading->options) {
    meaning.options.emplace_back(given.option->name, given.values.empty() ? "" : given.values.front());
  }
  for (const Operand& operand : reading->operands) meaning.operands.push_back(operand.text);
  return meaning;
}

// A flag that is given twice is read as one.
Meaning folded(const Node& node, Meaning meaning) {
  std::set<std::string> flags;
  std::erase_if(meaning.options, [&](const auto& given) {
    const bool flag = std::any_of(node.options.begin(), node.options.end(),
                                  [&](const Option& option) { return option.name == given.first && option.values.empty(); });
    return flag && !flags.insert(given.first).second;
  });
  return meaning;
}

// What the policy reads in another way than pflag does, who meant to give a value: behind "-x=", and to a letter of which the
// value is optional.
bool gives_letter_a_value(const Node& node, const Words& line) {
  return std::any_of(line.begin(), line.end(), [&](const std::string& word) {
    if (word.size() < 3 || word[0] != '-' || word[1] == '-') return false;
    return word.back() == '=' || std::any_of(node.options.begin(), node.options.end(), [&](const Option& option) {
      return option.optional && std::any_of(option.aliases.begin(), option.aliases.end(), [&](const std::string& alias) {
        return alias.size() == 2 && word.find(alias[1]) != std::string::npos;
      });
    });
  });
}

bool gives_number(const Node& node, const Words& line) {
  const bool known = std::any_of(node.options.begin(), node.options.end(), [](const Option& option) { return option.numeric; });
  return known && std::any_of(line.begin(), line.end(), [](const std::string& word) {
           return word.size() > 1 && word[0] == '-' && std::isdigit(static_cast<unsigned char>(word[1])) != 0;
         });
}

const AcceptsValue kAccepts = [](const Type& type, std::string_view token) {
  PatternCache patterns;
  return match_value(type, token, patterns, nullptr).has_value();
};

}  // namespace

TEST_CASE("grammar: an emitted line is read back as itself, over generated grammars and lines") {
  Dice dice(20240607);
  std::size_t accepted = 0;
  for (int round = 0; round < 1500 / matcher::kOneOf; ++round) {
    Node node = random_node(dice, "prog", 2, {});
    node.syntax = static_cast<SyntaxName>(dice.below(5));
    const Policy policy = policy_of(std::move(node));
    for (int i = 0; i < 25; ++i) {
      const Words line = random_line(dice, policy.commands[0].node);
      const matcher::Answer answer = matcher::decide(policy, line);
      const std::string given = matcher::joined(line);
      CAPTURE(given);
      REQUIRE(!answer.code.starts_with("error"));  // rebuilt and read differently
      if (answer.code != "allow") continue;
      ++accepted;
      Words again;
      for (std::size_t at = 0; at < answer.argv.size(); ++at) {  // what is injected no caller may give
        if (answer.argv[at] == "--injected") {
          ++at;
        } else {
          again.push_back(answer.argv[at]);
        }
      }
      const matcher::Answer second = matcher::decide(policy, again);
      CHECK(second.code == "allow");
      CHECK(matcher::joined(second.argv) == matcher::joined(answer.argv));
    }
  }
  CHECK(accepted > 3000 / matcher::kOneOf);
}

TEST_CASE("grammar: getopt_long and pflag read an emitted line as the policy did") {
  Dice dice(977);
  std::size_t compared = 0;
  for (int round = 0; round < 6000 / matcher::kOneOf; ++round) {
    Node node;
    node.name = "prog";
    std::set<std::string> used;
    add_options(dice, node, used);
    for (Option& option : node.options) {
      option.terminal = option.separate = false;
      if (option.values.size() > 1) option.values.resize(1);
    }
    Slot slot;
    slot.name = "w";
    slot.types = {text_type()};
    slot.min = 0;
    slot.max = 9;
    node.operands = std::vector<Slot>{slot};
    const bool go = round % 3 == 2;
    node.syntax = go ? SyntaxName::pflag : round % 3 == 1 ? SyntaxName::posix : SyntaxName::gnu;
    // pflag reads letters with an optional value only as flags: such a value has a long name there.
    if (go) {
      for (Option& option : node.options) option.optional = option.optional && option.name.starts_with("--");
    }
    const Policy policy = policy_of(std::move(node));
    const Node& root = policy.commands[0].node;
    for (int i = 0; i < 10; ++i) {
      const Words line = random_line(dice, root);
      const matcher::Answer answer = matcher::decide(policy, line);
      if (answer.code != "allow") continue;
      ++compared;
      const std::string given = matcher::joined(line), emitted = matcher::joined(answer.argv);
      CAPTURE(given);
      CAPTURE(emitted);
      const Meaning ours = meant(root, answer.argv, kAccepts);
      const Meaning theirs =
          go ? Pflag(root).read(answer.argv) : read_by_getopt(root, answer.argv, root.syntax == SyntaxName::gnu);
      CHECK(text_of(theirs) == text_of(ours));
      // What the caller wrote is read as well as it is by the program, so that nothing is made of it that it did not say.
      if (gives_number(root, line) || (go && gives_letter_a_value(root, line))) continue;  // no getopt knows numbers
      const Meaning written = go ? Pflag(root).read(line) : read_by_getopt(root, line, root.syntax == SyntaxName::gnu);
      CHECK(text_of(folded(root, written)) == text_of(meant(root, line, kAccepts)));
      // Under the other GNU mode too: POSIXLY_CORRECT changes nothing in what is emitted.
      if (!go) CHECK(text_of(read_by_getopt(root, answer.argv, root.syntax != SyntaxName::gnu)) == text_of(ours));
    }
  }
  CHECK(compared > 3000 / matcher::kOneOf);
}

TEST_CASE("grammar: every spelling of one request becomes one argv") {
  const Policy policy = matcher::with_commands(R"("c": {"path": "/b/c", "options": {"--num": {"aliases": ["-n"],
    "value": "n", "numeric": true}, "--all": {"aliases": ["-a"]}, "-z": {}}, "operands": [{"name": "w", "type": "word",
    "count": [0, 3]}]})");
  const std::string one = "[/b/c] [--all] [--num=5] [--] [w]";
  for (const Words& line : std::vector<Words>{{"c", "--all", "--num=5", "w"},
                                              {"c", "--all", "--num", "5", "w"},
                                              {"c", "-a", "-n5", "w"},
                                              {"c", "-an5", "w"},
                                              {"c", "-an", "5", "w"},
                                              {"c", "-a", "-5", "w"},
                                              {"c", "w", "-a", "-5"},
                                              {"c", "-a", "w", "-n", "5"},
                                              {"c", "-a", "-a", "--all", "-5", "--", "w"},
                                              {"/b/c", "-a", "-5", "w", "--"}}) {
    const std::string given = matcher::joined(line);
    CAPTURE(given);
    CHECK(matcher::joined(matcher::decide(policy, line).argv) == one);
  }
}

TEST_CASE("grammar: two options that one token could mean make no line at all") {
  // The loader refuses such a policy; a Policy built by hand shows that the rebuilt line is checked as well.
  Node node;
  node.name = "prog";
  Option letter;
  letter.name = "-n";
  letter.values = {text_type()};
  Option word;
  word.name = "-name";
  node.options = {letter, word};
  const Policy policy = policy_of(std::move(node));
  CHECK(matcher::decide(policy, {"prog", "-n", "ame"}).code == "error:policy_invalid");
  CHECK(matcher::decide(policy, {"prog", "-n", "x"}).code == "allow");
}

}  // namespace safe_exec
