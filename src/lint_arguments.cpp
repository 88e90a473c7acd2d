// Owns the rules about programs and what may be said to them. What is known about programs is in lint_tables.cpp.
#include <algorithm>
#include <array>

#include "inline_text.h"
#include "lint_node.h"
#include "lint_tables.h"
#include "refusal.h"

namespace safe_exec {
namespace {

bool is_free_text(const Type& type) {
  if (type.kind == Type::Kind::list) return type.of && is_free_text(*type.of);
  return type.kind == Type::Kind::text;
}

bool is_fixed(const Type& type) {
  switch (type.kind) {
    case Type::Kind::literal:
    case Type::Kind::enumeration:
    case Type::Kind::integer:
    case Type::Kind::port: return true;
    case Type::Kind::list: return type.of && is_fixed(*type.of);
    case Type::Kind::regex:
    case Type::Kind::text:
    case Type::Kind::path:
    case Type::Kind::host:
    case Type::Kind::url:
    case Type::Kind::language: return false;
  }
  return false;
}

bool is_written(const Type& type) {
  if (type.kind == Type::Kind::list) return type.of && is_written(*type.of);
  return type.kind == Type::Kind::path && type.path.access != PathAccess::stat && type.path.access != PathAccess::read;
}

bool is_path(const Type& type) {
  if (type.kind == Type::Kind::list) return type.of && is_path(*type.of);
  return type.kind == Type::Kind::path || type.kind == Type::Kind::language;
}

template <class Predicate>
bool all_of(const std::vector<TypeRef>& types, Predicate predicate) {
  return std::all_of(types.begin(), types.end(), [&](const TypeRef& type) { return predicate(*type); });
}
template <class Predicate>
bool any_of(const std::vector<TypeRef>& types, Predicate predicate) {
  return std::any_of(types.begin(), types.end(), [&](const TypeRef& type) { return predicate(*type); });
}

bool has_name(const Option& option, std::string_view name) {
  return option.name == name || std::find(option.aliases.begin(), option.aliases.end(), name) != option.aliases.end();
}

std::vector<const Slot*> slots_of(const Node& node) {
  std::vector<const Slot*> slots;
  if (!node.operands) return slots;
  for (const Slot& slot : *node.operands) {
    if (!slot.separator) slots.push_back(&slot);
  }
  return slots;
}

// A type that reads all remaining words decides them itself: a language, or the command behind a wrapper.
bool is_decided_whole(const Node& node) {
  const std::vector<const Slot*> slots = slots_of(node);
  return std::any_of(slots.begin(), slots.end(), [](const Slot* slot) {
    return any_of(slot->types, [](const Type& type) { return type.kind == Type::Kind::language && type.rest; });
  });
}

// Whether more can be said to it than fixed words: "python3 --version" interprets nothing.
bool takes_words(const Node& node) {
  const auto free = [](const std::vector<TypeRef>& types) { return !all_of(types, is_fixed); };
  for (const Option& option : node.options) {
    if (!option.always && !option.chdir && free(option.values)) return true;
  }
  for (const Slot* slot : slots_of(node)) {
    if (free(slot->types)) return true;
  }
  return (node.stdin_rule && node.stdin_rule->kind != StdinRule::Kind::none) ||
         std::any_of(node.subcommands.begin(), node.subcommands.end(), takes_words);
}

void interpreter_granted(const LintNode& in) {
  if (in.top() && in.is_program(is_interpreter) && takes_words(in.node())) in.report(in.node().place, "it runs code that its arguments or files hold");
}

void wrapper_granted(const LintNode& in) {
  if (in.top() && in.is_program(is_wrapper) && takes_words(in.node()) && !is_decided_whole(in.node())) {
    in.report(in.node().place, "it runs the command that its arguments name");
  }
}

bool may_execute_or_write(const LintNode& in) {
  const auto given = [](const std::vector<Root>* roots) { return roots != nullptr && !roots->empty(); };
  if (given(in.settings.exec) || in.settings.exec_self || given(in.settings.write)) return true;
  for (const Slot* slot : slots_of(in.node())) {
    if (any_of(slot->types, is_written)) return true;
  }
  return std::any_of(in.node().options.begin(), in.node().options.end(), [](const Option& option) { return any_of(option.values, is_written); });
}

void gtfobins_function(const LintNode& in) {
  if (!in.is_program(is_gtfobin) || in.is_program(is_interpreter) || in.is_program(is_wrapper) || !may_execute_or_write(in)) return;
  for (const Option& option : in.node().options) {
    if (any_of(option.values, is_free_text)) in.report(option.place, "free text in " + option.name + ", where " + in.nodes[0]->name + " may execute or write");
  }
  for (const Slot* slot : slots_of(in.node())) {
    if (any_of(slot->types, is_free_text)) in.report(slot->place, "free text in " + slot->name + ", where " + in.nodes[0]->name + " may execute or write");
  }
}

void report_options(const LintNode& in, OptionDanger danger, const std::string& what) {
  for (const Option& option : in.node().options) {
    if (option.always) continue;
    for (const DangerousOption& row : dangerous_options()) {
      if (row.danger != danger || !has_name(option, row.option)) continue;
      if (!row.program.empty() && !in.is_program([&](std::string_view program) { return program == row.program; })) continue;
      if (row.option == "--output" && in.is_program(output_is_a_format)) continue;
      const bool harmless = option.values.empty() ? !row.flag
                            : danger == OptionDanger::writes  ? all_of(option.values, [](const Type& t) { return is_written(t) || is_fixed(t); })
                            : danger == OptionDanger::reads   ? all_of(option.values, [](const Type& t) { return is_path(t) || is_fixed(t); })
                                                              : all_of(option.values, is_fixed);
      if (harmless) continue;
      in.report(option.place, option.name + " " + what);
      break;
    }
  }
}

void exec_option_listed(const LintNode& in) { report_options(in, OptionDanger::executes, "makes the program execute another"); }
void write_option_listed(const LintNode& in) {
  report_options(in, OptionDanger::writes, "writes, and its value is no path that may be written");
}
void read_option_listed(const LintNode& in) { report_options(in, OptionDanger::reads, "reads a file, and its value is no path"); }

void operand_is_output(const LintNode& in) {
  const std::vector<const Slot*> slots = slots_of(in.node());
  for (const OutputOperand& row : output_operands()) {
    const int index = row.slot < 0 ? static_cast<int>(slots.size()) - 1 : row.slot;
    if (index < 0 || index >= static_cast<int>(slots.size())) continue;
    if (!in.is_program([&](std::string_view program) { return program == row.program; })) continue;
    const Slot& slot = *slots[static_cast<std::size_t>(index)];
    if (!all_of(slot.types, is_written)) in.report(slot.place, slot.name + " is what " + std::string(row.program) + " writes");
  }
}

void git_entry_without_guards(const LintNode& in) {
  if (!in.is_program([](std::string_view program) { return program == "git"; })) return;
  std::string missing;
  const auto need = [&](bool there, std::string_view what) {
    if (!there) (missing += missing.empty() ? "" : ", ") += what;
  };
  if (in.top()) {
    for (const std::string_view key : {"core.fsmonitor", "core.hooksPath", "safe.bareRepository"}) need(in.is_injected(key), key);
    for (const std::string_view name : {"GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_GLOBAL"}) {
      need(std::any_of(in.settings.env.begin(), in.settings.env.end(),
                       [&](const EnvRule* rule) { return rule->name == name && !rule->caller; }), name);
    }
  } else {
    const std::string& name = in.node().name;
    const bool diffs = name == "diff" || name == "log" || name == "show" || name == "whatchanged" || name == "format-patch";
    if (diffs) need(in.is_injected("--no-ext-diff"), "--no-ext-diff");
    if (diffs || name == "blame" || name == "grep") need(in.is_injected("--no-textconv"), "--no-textconv");
  }
  if (!missing.empty()) in.report(in.node().place, "not fixed by the entry: " + missing);
}

void docker_dangerous(const LintNode& in) {
  if (!in.is_program(is_container_client)) return;
  if (!in.top() && is_container_escape(in.node().name)) in.report(in.node().place, "the subcommand " + in.node().name);
  for (const Option& option : in.node().options) {
    const bool listed = is_container_escape(option.name) || std::any_of(option.aliases.begin(), option.aliases.end(), is_container_escape);
    // Behind a subcommand, -v and -H are flags of no consequence as often as not.
    if (listed && (!option.values.empty() || in.top()) && !option.always && !option.terminal) in.report(option.place, "the option " + option.name);
  }
}

// What a pattern accepts that its author may not have thought of. A word with a blank or a leading "-" is one word still,
// and no option where it stands ("--" is before it, or the option's name): they are told beside the rest only.
std::string too_wide(const LintNode& in, const Type& type) {
  if (type.kind == Type::Kind::list) return type.of ? too_wide(in, *type.of) : std::string();
  if (type.kind != Type::Kind::regex) return {};
  struct Probe { Name text, what; };
  static constexpr std::array<Probe, 12> kProbes{{
      {"/", "a leading \"/\""}, {"/a", "a leading \"/\""}, {"/etc/passwd", "a leading \"/\""}, {"../x", "\"../\""},
      {"../../etc/passwd", "\"../\""}, {"a/../b", "\"../\""}, {"-x", "a leading \"-\""}, {"-1", "a leading \"-\""},
      {"--x=y", "a leading \"-\""}, {" ", "a blank"}, {"a b", "a blank"}, {"1 2", "a blank"}}};
  std::string out;
  for (const Probe& probe : kProbes) {
    const bool alone_harmless = probe.what == "a blank" || std::string_view(probe.text).starts_with('-');
    if (out.find(probe.what) != std::string::npos || (alone_harmless && out.empty())) continue;
    if (in.facts.patterns.full_match(type.text, probe.text) != PatternCache::Match::yes) continue;
    (out += out.empty() ? "" : ", ") += probe.what;
  }
  return out;
}

void regex_too_wide(const LintNode& in) {
  const auto look = [&](const std::vector<TypeRef>& types, Place place, const std::string& name) {
    for (const TypeRef& type : types) {
      const std::string what = too_wide(in, *type);
      if (!what.empty()) in.report(place, "the pattern of " + name + " accepts " + what);
    }
  };
  for (const Option& option : in.node().options) look(option.values, option.place, option.name);
  for (const Slot* slot : slots_of(in.node())) look(slot->types, slot->place, slot->name);
}

void text_without_separator(const LintNode& in) {
  if (in.emits_separator()) return;
  for (const Slot* slot : slots_of(in.node())) {
    if (any_of(slot->types, is_free_text)) in.report(slot->place, "no \"--\" stands before the free text of " + slot->name);
  }
}

void dash_value_apart(const LintNode& in) {
  for (const Option& option : in.node().options) {
    const bool apart = option.spelling == Spelling::separate || (!option.spelling && in.node().spelling == Spelling::separate);
    if (option.dash_value && apart && !all_of(option.values, is_fixed)) {
      in.report(option.place, "a value of " + option.name + " that begins with \"-\" is a word of its own");
    }
  }
}

constexpr Severity kError = Severity::error;
constexpr Severity kWarning = Severity::warning;
constexpr Severity kNote = Severity::note;

constexpr LintCheck kChecks[]{
    {{"interpreter-granted", "An interpreter or a build tool runs whatever its arguments or files say.",
      "python3 -c 'import os; os.system(...)', awk 'BEGIN{system(...)}', make -f evil.mk: then only the sandbox is a boundary.", kWarning}, interpreter_granted},
    {{"wrapper-granted", "A wrapper runs another command, which no rule decides.",
      "env sh, xargs rm, timeout 1 sh -c ..., nice -n 0 sh: every program of the host is one argument away.", kWarning}, wrapper_granted},
    {{"gtfobins-function", "A program that GTFOBins lists takes free text where it may execute or write.",
      "git commit -m with an alias, tar with --checkpoint-action, find with -exec: text is where such functions are hidden.", kWarning}, gtfobins_function},
    {{"exec-option-listed", "An option makes the program execute what its value names.",
      "rg --pre=./evil x, sort --compress-program=./evil, git grep -O./evil, tar -I ./evil", kError}, exec_option_listed},
    {{"write-option-listed", "An option writes a file that no write type bounds.",
      "sort -o ~/.bashrc, git log --output=.git/hooks/post-commit, curl -o /usr/local/bin/x", kError}, write_option_listed},
    {{"read-option-listed", "An option reads a file that no path type bounds.",
      "wc --files0-from=/etc/shadow, grep -f /etc/shadow, git blame --contents=/etc/passwd: messages and matches tell the content.", kWarning}, read_option_listed},
    {{"operand-is-output", "An operand is the file that the program writes, and no write type bounds it.",
      "uniq in.txt ~/.bashrc, cp evil ~/.profile, xxd a b", kError}, operand_is_output},
    {{"git-entry-without-guards", "git executes what the configuration of a repository names.",
      "git status in a clone whose .git/config has core.fsmonitor=./evil; git diff with a textconv driver", kError}, git_entry_without_guards},
    {{"docker-dangerous", "A client of a container daemon or a cluster gets to something that is as good as root.",
      "docker run -v /:/host alpine chroot /host, docker -H tcp://evil ps, docker --config ./evil ps, kubectl exec", kError}, docker_dangerous},
    {{"regex-too-wide", "A pattern accepts what begins an option, an absolute path or a way up.",
      ".* accepts --output=x, /etc/shadow, ../../x and \"a b\"; most programs read at least one of them as something else.", kWarning}, regex_too_wide},
    {{"text-without-separator", "Free text stands where no \"--\" protects it.",
      "+cmd for less and vim, @file for curl and gcc, name=value for make and dd: not every option begins with \"-\".", kNote}, text_without_separator},
    {{"dash-value-apart", "A value that may begin with \"-\" is emitted as a word of its own.",
      "a program that takes no value there after all reads -x as an option; \"spelling\": \"joined\" leaves no doubt.", kNote}, dash_value_apart},
};

}  // namespace

std::span<const LintCheck> argument_checks() { return kChecks; }

}  // namespace safe_exec
