// Owns the ways in which a command line is respelt. Never decides anything: what a mutant means is asked of evaluation,
// and whether that is right is mutate.cpp's.
#include <algorithm>
#include <array>
#include <cstddef>
#include <set>
#include <utility>

#include "inline_text.h"
#include "mutate.h"

namespace safe_exec {
namespace {

using Argv = std::vector<std::string>;

enum class Role : std::uint8_t { command, subcommand, option, value, separator, operand };

constexpr std::size_t kMaxPlaces = 24;  // places at which "--" is inserted, operands that are replaced
constexpr std::size_t kMaxRoots = 3;

// Options that, before or behind a subcommand, have made programs read other configuration, other directories or other
// hosts (git, docker, systemctl, tar, curl, npm).
constexpr std::array<std::array<Name, 2>, 9> kGlobals{{
    {"-c", "safe.exec=mutant"}, {"--config", "/nonexistent"}, {"--config=/nonexistent", ""}, {"-C", "/"},
    {"-H", "tcp://127.0.0.1:1"}, {"--git-dir=/nonexistent", ""}, {"--exec-path=/nonexistent", ""}, {"-f", "/etc/passwd"},
    {"--context", "x"},
}};

// Never the name of anything, and those that execute, write or read in some program.
constexpr std::array<Name, 8> kAppended{"--safe-exec-mutant", "--safe-exec-mutant=x", "--output=x", "--exec=x",
                                        "--pre=x",            "--upload-pack=x",      "-exec",      "---"};

bool has_name(const Node& node, std::string_view name) {
  return std::any_of(node.options.begin(), node.options.end(), [&](const Option& option) {
    return option.name == name || std::find(option.aliases.begin(), option.aliases.end(), name) != option.aliases.end();
  });
}

bool is_long(std::string_view token) { return token.size() > 2 && token.starts_with("--"); }
bool is_letters(std::string_view token) { return token.size() > 1 && token[0] == '-' && token[1] != '-'; }

class Maker {
 public:
  Maker(const Argv& argv, const Reading& reading, const CommandLine& line, const std::vector<std::string>& roots,
        std::size_t* left_out)
      : argv_(argv), reading_(reading), line_(line), roots_(roots), left_out_(left_out) {
    seen_.insert(argv);
    assign_roles();
  }

  std::vector<Mutant> run() {
    rebuilt();
    for (std::size_t i = 1; i < argv_.size(); ++i) {
      if (roles_[i] == Role::option) respell(i);
      if (roles_[i] == Role::subcommand) rename(i);
    }
    for (std::size_t i = 0; i < reading_.options.size(); ++i) respell_value(reading_.options[i]);
    cluster();
    move();
    insert_separator();
    repeat();
    replace();
    prepend();
    append();
    return std::move(out_);
  }

 private:
  void assign_roles() {
    roles_.assign(argv_.size(), Role::subcommand);
    roles_[0] = Role::command;
    bool separated = false;
    std::set<int> values, operands;
    for (const GivenOption& given : reading_.options) values.insert(given.value_indexes.begin(), given.value_indexes.end());
    for (const GivenOption& given : reading_.options) values.erase(given.argv_index);
    for (const Operand& operand : reading_.operands) operands.insert(operand.argv_index);
    for (std::size_t i = 1; i < argv_.size(); ++i) {
      const int index = static_cast<int>(i);
      if (values.contains(index)) roles_[i] = Role::value;
      else if (operands.contains(index)) roles_[i] = Role::operand;
      else if (argv_[i] == "--" && !std::exchange(separated, true)) roles_[i] = Role::separator;
      else if (argv_[i].starts_with('-')) roles_[i] = Role::option;  // repeated flags, which are folded, too
    }
  }

  // Whether any node on the way lists this name: then it is no mutation but another option.
  bool is_listed(std::string_view name) const {
    return std::any_of(reading_.levels.begin(), reading_.levels.end(),
                       [&](const Level& level) { return has_name(*level.node, name); });
  }

  // The token of an option and those of its values.
  std::size_t unit_end(std::size_t at) const {
    std::size_t end = at + 1;
    while (end < argv_.size() && roles_[end] == Role::value) ++end;
    return end;
  }

  bool has_separator_token() const { return std::find(roles_.begin(), roles_.end(), Role::separator) != roles_.end(); }

  // nullptr: left out, or made already.
  Mutant* add(std::string_view how, Argv argv) {
    if (!seen_.insert(argv).second) return &spare_;
    if (out_.size() >= kMaxMutants) {
      ++*left_out_;
      return &spare_;
    }
    Mutant mutant;
    mutant.how = how;
    mutant.argv = std::move(argv);
    out_.push_back(std::move(mutant));
    return &out_.back();
  }

  Argv with(std::size_t at, std::size_t count, const Argv& instead) const {
    Argv argv(argv_.begin(), argv_.begin() + static_cast<std::ptrdiff_t>(at));
    argv.insert(argv.end(), instead.begin(), instead.end());
    argv.insert(argv.end(), argv_.begin() + static_cast<std::ptrdiff_t>(at + count), argv_.end());
    return argv;
  }

  // What was emitted, without what the policy adds of its own accord, is one more way to write the example.
  void rebuilt() {
    Argv argv;
    for (std::size_t i = 0; i < line_.argv.size(); ++i) {
      if (!line_.injected[i]) argv.push_back(line_.argv[i]);
    }
    if (!argv.empty()) add("rebuilt", std::move(argv))->must_be_same = true;
  }

  // Abbreviations, another case, a line break: no name of any option.
  void respell(std::size_t i) {
    const std::string& token = argv_[i];
    const std::size_t equals = token.find('=');
    const std::string name = token.substr(0, equals);
    const std::string rest = equals == std::string::npos ? "" : token.substr(equals);
    for (std::size_t length = name.size() - 1; is_long(name) && length > 2; --length) {
      const std::string cut = name.substr(0, length);
      if (!is_listed(cut)) add("abbreviate", with(i, 1, {cut + rest}));
    }
    std::string other = name;
    for (char& c : other) {
      if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
      else if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    if (is_long(name) && !is_listed(other)) add("case", with(i, 1, {other + rest}));
    if (is_long(name)) add("newline", with(i, 1, {name + "\n" + rest}))->must_deny = true;
    if (is_long(name) && !is_listed("--no-" + name.substr(2))) add("negate", with(i, 1, {"--no-" + name.substr(2) + rest}));
    if (is_long(name) && !is_listed(name.substr(1, 2)) && !is_listed(name.substr(1))) {
      add("one dash", with(i, 1, {token.substr(1)}))->must_deny = true;
    }
  }

  void rename(std::size_t i) {
    const std::string& word = argv_[i];
    for (std::size_t length = word.size() - 1; length > 0; --length) {
      if (!is_subcommand(word.substr(0, length))) add("abbreviate", with(i, 1, {word.substr(0, length)}));
    }
    add("newline", with(i, 1, {word + "\n"}))->must_deny = true;
    add("repeat", with(i, 1, {word, word}))->may_add_operands = true;
  }

  bool is_subcommand(std::string_view word) const {
    for (const Level& level : reading_.levels) {
      for (const Node& sub : level.node->subcommands) {
        if (sub.name == word || std::find(sub.aliases.begin(), sub.aliases.end(), word) != sub.aliases.end()) return true;
      }
    }
    return false;
  }

  // Every listed name in every spelling that some program has for a value: =v, v as the next token, glued, -x=v.
  void respell_value(const GivenOption& given) {
    const std::size_t at = static_cast<std::size_t>(given.argv_index);
    const std::string& token = argv_[at];
    if (given.values.size() != 1) return;
    const bool separate = given.value_indexes[0] != given.argv_index;
    const std::size_t equals = token.find('=');
    std::string name = token.substr(0, is_long(token) ? equals : std::string::npos);
    std::string value;
    if (separate) {
      value = argv_[static_cast<std::size_t>(given.value_indexes[0])];
    } else if (is_long(token)) {
      value = equals == std::string::npos ? "" : token.substr(equals + 1);
    } else if (name = token.substr(0, 2); has_name_of(*given.option, name)) {
      value = token.substr(2);
    } else {
      return;  // -20, or the end of a cluster
    }
    if (!has_name_of(*given.option, name)) return;
    const std::size_t count = separate ? 2 : 1;
    std::vector<std::string> names{given.option->name};
    names.insert(names.end(), given.option->aliases.begin(), given.option->aliases.end());
    for (const std::string& spelling : names) {
      // An optional value is one only when it is attached: as a token of its own it is an operand, or a subcommand.
      Mutant* apart = add("swap", with(at, count, {spelling, value}));
      apart->may_add_operands = given.option->optional;
      add("swap", with(at, count, {spelling + "=" + value}));
      if (!is_long(spelling) && !value.empty()) add("glue", with(at, count, {spelling + value}))->may_lose_options = true;
      const std::string run_on = spelling + value.substr(0, value.find('='));
      if (is_long(spelling) && !value.empty() && !is_listed(run_on)) {
        add("glue", with(at, count, {spelling + value}))->must_deny = true;
      }
    }
  }

  static bool has_name_of(const Option& option, std::string_view name) {
    return option.name == name || std::find(option.aliases.begin(), option.aliases.end(), name) != option.aliases.end();
  }

  void cluster() {
    for (std::size_t i = 1; i < argv_.size(); ++i) {
      if (roles_[i] != Role::option || !is_letters(argv_[i]) || (argv_[i].size() > 2 && is_listed(argv_[i]))) continue;
      // The first letter may take the second for its value, as programs do; then the second option is lost.
      if (i + 1 < argv_.size() && roles_[i + 1] == Role::option && is_letters(argv_[i + 1])) {
        add("cluster", with(i, 2, {argv_[i] + argv_[i + 1].substr(1)}))->may_lose_options = true;
      }
      for (std::size_t cut = 2; cut < flags_end(i) && cut < 8; ++cut) {
        const std::string rest = "-" + argv_[i].substr(cut);
        Mutant* split = add("split", with(i, 1, {argv_[i].substr(0, cut), rest}));
        split->may_lose_options = true;
      }
    }
  }

  // Where the letters of a cluster end: an attached value is none of them.
  std::size_t flags_end(std::size_t i) const {
    std::size_t end = argv_[i].size();
    for (const GivenOption& given : reading_.options) {
      if (given.argv_index != static_cast<int>(i) || given.value_indexes.empty() || given.value_indexes[0] != given.argv_index) continue;
      for (std::size_t at = 1; at < end; ++at) {
        if (has_name_of(*given.option, std::string{'-', argv_[i][at]})) end = at + 1;
      }
    }
    return end;
  }

  // All options of the line behind its operands: where programs permute they mean the same, behind "--" they are operands.
  void move() {
    std::size_t leaf = 1;
    for (std::size_t i = 1; i < argv_.size(); ++i) {
      if (roles_[i] == Role::subcommand) leaf = i + 1;
    }
    Argv kept(argv_.begin(), argv_.begin() + static_cast<std::ptrdiff_t>(leaf)), moved, head, tail;
    for (std::size_t i = leaf; i < argv_.size(); ++i) {
      const bool option = roles_[i] == Role::option || roles_[i] == Role::value;
      const bool behind = !tail.empty() || roles_[i] == Role::separator;
      (option ? moved : behind ? tail : head).push_back(argv_[i]);
    }
    if (moved.empty()) return;
    add("move", joined({kept, head, moved, tail}));
    if (!tail.empty()) {
      Mutant* past = add("move", joined({kept, head, tail, moved}));
      past->may_lose_options = past->may_add_operands = true;
      past->tail = static_cast<int>(kept.size() + head.size() + 1);
    }
    if (leaf == 1 || !outer_lists_none(leaf)) return;
    add("move", joined({{argv_[0]}, moved, {argv_.begin() + 1, argv_.begin() + static_cast<std::ptrdiff_t>(leaf)}, head, tail}));
  }

  // Whether the options of the leaf mean nothing to the nodes above it: else moving them up makes others of them.
  bool outer_lists_none(std::size_t leaf) const {
    for (std::size_t i = leaf; i < argv_.size(); ++i) {
      if (roles_[i] != Role::option) continue;
      const std::string name = is_long(argv_[i]) ? argv_[i].substr(0, argv_[i].find('=')) : argv_[i].substr(0, 2);
      for (std::size_t level = 0; level + 1 < reading_.levels.size(); ++level) {
        if (has_name(*reading_.levels[level].node, name)) return false;
      }
    }
    return true;
  }

  static Argv joined(const std::vector<Argv>& parts) {
    Argv argv;
    for (const Argv& part : parts) argv.insert(argv.end(), part.begin(), part.end());
    return argv;
  }

  void insert_separator() {
    for (std::size_t i = 1; i <= std::min(argv_.size(), kMaxPlaces); ++i) {
      // The value of an option that takes anything would be "--", and what was its value an option.
      if (i < argv_.size() && roles_[i] == Role::value && argv_[i].starts_with('-')) continue;
      Mutant* made = add("insert --", with(i, 0, {"--"}));
      made->may_lose_options = made->may_add_operands = true;
      made->tail = i < argv_.size() && roles_[i] == Role::value ? -1 : static_cast<int>(i + 1);
    }
  }

  void repeat() {
    for (std::size_t i = 1; i < argv_.size() && i < kMaxPlaces; ++i) {
      if (roles_[i] == Role::option) {
        const std::size_t end = unit_end(i);
        add("repeat", with(end, 0, Argv(argv_.begin() + static_cast<std::ptrdiff_t>(i), argv_.begin() + static_cast<std::ptrdiff_t>(end))));
      } else if (roles_[i] == Role::operand) {
        add("repeat", with(i, 0, {argv_[i]}))->may_add_operands = true;
      }
    }
  }

  // Names that leave a root, in place of each operand and value.
  Argv escapes(const std::string& text) const {
    Argv out{"./" + text, "../" + text, text + "/../../../../../../../etc/passwd", "/etc/passwd", "../workspace-evil/x",
             "./" + std::string(kAbsoluteLink), "./" + std::string(kClimbingLink), std::string(kClimbingLink) + "/x"};
    for (std::size_t i = 0; i < std::min(roots_.size(), kMaxRoots); ++i) {
      out.push_back(roots_[i] + "-evil/x");
      out.push_back(roots_[i] + "/../etc/passwd");
      out.push_back(roots_[i] + "/" + std::string(kAbsoluteLink));
      out.push_back(roots_[i] + "/" + std::string(kClimbingLink));
    }
    return out;
  }

  void replace() {
    for (std::size_t i = 1; i < argv_.size() && i < kMaxPlaces; ++i) {
      const std::string& token = argv_[i];
      const std::size_t equals = token.find('=');
      const bool attached = roles_[i] == Role::option && is_long(token) && equals != std::string::npos;
      if (roles_[i] != Role::operand && roles_[i] != Role::value && !attached) continue;
      const std::string front = attached ? token.substr(0, equals + 1) : "";
      const std::string text = attached ? token.substr(equals + 1) : token;
      for (const std::string& escape : escapes(text)) add("escape", with(i, 1, {front + escape}));
      add("newline", with(i, 1, {front + text + "\n" + text}));
      // As a token that begins with "-", an operand is an option that nobody listed (where it is not behind "--").
      if (!attached && !is_listed("-" + text.substr(0, 1)) && !text.starts_with('-')) {
        add("dash", with(i, 1, {"-" + text}));
        add("dash", with(i, 1, {"--" + text}));
      }
    }
  }

  void prepend() {
    for (const auto& [global, value] : kGlobals) {
      const std::string_view name = global;
      if (is_listed(name.substr(0, name.find('=')))) continue;
      Argv tokens{std::string(name)};
      if (!value.empty()) tokens.emplace_back(value);
      add("global", with(1, 0, tokens))->must_deny = true;
    }
  }

  void append() {
    const bool behind = has_separator_token();
    Argv appended(kAppended.begin(), kAppended.end());
    for (char letter = 'a'; letter <= 'z'; ++letter) {
      if (is_listed(std::string{'-', letter})) continue;
      appended.push_back(std::string{'-', letter});
      break;
    }
    for (const std::string& token : appended) {
      if (is_listed(token.substr(0, token.find('='))) || is_listed(token.substr(0, 2))) continue;
      Mutant* made = add("append", with(argv_.size(), 0, {token}));
      made->must_deny = !behind;
      made->may_add_operands = behind;
      if (!behind) {
        Mutant* operand = add("append", with(argv_.size(), 0, {"--", token}));
        operand->may_add_operands = true;
        operand->tail = static_cast<int>(argv_.size() + 1);
      }
    }
  }

  const Argv& argv_;
  const Reading& reading_;
  const CommandLine& line_;
  const std::vector<std::string>& roots_;
  std::size_t* left_out_;
  std::vector<Role> roles_;
  std::set<Argv> seen_;
  std::vector<Mutant> out_;
  Mutant spare_;  // takes the marks of a mutant that is not made
};

}  // namespace

std::vector<Mutant> make_mutants(const std::vector<std::string>& argv, const Reading& reading, const CommandLine& line,
                                 const std::vector<std::string>& roots, std::size_t* left_out) {
  return Maker(argv, reading, line, roots, left_out).run();
}

}  // namespace safe_exec
