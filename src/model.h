// Level 0. The types on the line  Policy + Request -> Decision (Plan | Denial) -> Outcome.  Read this first.
// Plain values; no system calls. Strings are UTF-8 unless said otherwise; durations are milliseconds and
// sizes are bytes unless the name says another unit.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <tl/expected.hpp>

#include "fd.h"
#include "json.h"

namespace safe_exec {

// ---------------------------------------------------------------------------------------------------------
// Errors (bad input, I/O, confinement not available) and denials (a verdict). Neither turns into the other.

enum class ErrorCode : std::uint8_t {
  usage, request_invalid, policy_invalid, policy_untrusted, sandbox_unavailable, launch_failed, internal,
};
[[nodiscard]] std::string_view code_name(ErrorCode code) noexcept;

struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string message;
  std::string step;    // phase, or the child's set-up step, that failed
  int sys_errno = 0;   // 0: none
  std::string hint;    // the remedy, for the usual causes
  std::optional<Location> location;
  std::string expected;
  std::string found;
  std::string nearest;  // nearest known name, when an unknown one was met
  int signal = 0;       // by which safe-exec was told to stop; 0: it was not
};

template <class T>
using Expected = tl::expected<T, Error>;

enum class DenialCode : std::uint8_t {
  command_not_allowed, binary_not_found, binary_untrusted, binary_changed, subcommand_not_allowed,
  subcommand_missing, option_not_allowed, option_value_invalid, option_value_missing, option_repeated,
  option_missing, option_after_operand, operand_invalid, too_many_operands, too_few_operands,
  argument_too_long, too_many_arguments, control_character, path_outside, path_denied, path_not_found,
  path_wrong_kind, env_not_allowed, cwd_not_allowed, stdin_not_allowed, shell_syntax, rate_limited,
  rule_denies, needs_approval, pattern_limit,
};
inline constexpr int kDenialCodeCount = static_cast<int>(DenialCode::pattern_limit) + 1;
[[nodiscard]] std::string_view code_name(DenialCode code) noexcept;
[[nodiscard]] std::optional<DenialCode> denial_code(std::string_view name) noexcept;

struct Denial {
  DenialCode code = DenialCode::command_not_allowed;
  std::string message;  // says what is allowed; never how to get around the policy
  std::string rule;     // JSON pointer of the node or key that decided
  int argv_index = -1;  // -1: not about one token
  std::string value;    // the token (report escapes it and cuts it at 200 bytes); never from env or stdin
  std::string expected;
  std::vector<std::string> allowed;  // at most 20
  std::string suggestion;            // the nearest allowed name
  std::vector<std::string> instead;  // an argv that the policy allows
  std::string reason;                // the policy author's words
  std::optional<Location> location;
};

// ---------------------------------------------------------------------------------------------------------
// Policy (POLICY.md). Built by policy.h, read by grammar and evaluate, and by nobody after evaluation.

// Where in the policy's sources something is written; Policy::locate turns it into a Location.
struct Place {
  std::uint32_t source = 0;  // index into Policy::sources
  std::uint32_t node = 0;    // json node in it
};

// "${workspace}/sub" is {variable: "workspace", path: "sub"}; "/opt/x" is {variable: "", path: "/opt/x"}.
struct Root {
  std::string variable;
  std::string path;
  Place place;
};

enum class PathAccess : std::uint8_t { stat, read, write, create, replace };
enum class PathKind : std::uint8_t { file, dir, any };

struct PathType {
  PathAccess access = PathAccess::read;
  PathKind kind = PathKind::any;
  std::vector<Root> within;
  std::string match;     // RE2 on the token as given; empty: anything
  bool missing = true;   // may be absent
};

struct UrlType {
  std::vector<std::string> schemes;
  std::vector<std::string> hosts;  // exact, or "*.example.org"
  std::vector<std::int64_t> ports;
  std::string path;  // RE2, full match; empty: any
};

enum class Language : std::uint8_t;  // language.h

struct Type;
using TypeRef = std::shared_ptr<const Type>;

struct Type {
  enum class Kind : std::uint8_t { literal, enumeration, integer, regex, text, path, list, host, port, url, language };
  Kind kind = Kind::literal;
  std::string name;   // when it is a named type, for messages
  std::string text;   // literal; regex pattern; list separator
  std::vector<std::string> choices;          // enumeration
  std::int64_t low = 0, high = 0;            // integer; text length in bytes
  std::int64_t max = 0;                      // list: elements
  std::int64_t max_len = 4096;               // regex: bytes
  bool multiline = false;                    // text
  bool rest = false;                         // language: takes all remaining tokens
  Language language{};
  PathType path;                             // path; languages that hold paths (within)
  UrlType url;
  TypeRef of;                                // list
  Place place;
};

enum class Spelling : std::uint8_t { joined, separate };
// raw: no word is read as an option; they are emitted as given, in their order.
enum class SyntaxName : std::uint8_t { gnu, posix, git, pflag, clap, find, raw };

// A preset of four switches, each overridable on a node.
struct Syntax {
  SyntaxName name = SyntaxName::gnu;
  bool permute = true;          // options may follow operands
  bool end_of_options = true;   // emit "--"
  Spelling spelling = Spelling::joined;
  bool short_equals = false;    // -x=v means v
};

struct Option {
  std::string name;  // canonical spelling, with its dashes
  std::vector<std::string> aliases;
  std::vector<TypeRef> values;  // empty: a flag; several: takes that many tokens
  bool optional = false;        // the value may be absent
  bool separate = false;        // an optional value may also be the next token, if its type accepts it
  std::optional<Spelling> spelling;
  bool dash_value = false;      // the value may begin with '-'
  bool dash = false;            // the value "-" means standard input
  bool numeric = false;         // -20 means this option with value 20
  std::uint32_t max = 1;        // how often; what a flag has more of is folded
  bool required = false;
  bool terminal = false;        // ends the parse
  bool persistent = false;      // accepted at its node and below
  bool always = false;          // always emitted (a flag, or an option whose value is a literal)
  bool chdir = false;           // its value becomes the cwd; not emitted
  Place place;
};

// What an operand of a wrapper (timeout, env) means for the command that it wraps.
enum class WrapperRole : std::uint8_t { none, timeout, env };

struct Slot {
  bool separator = false;  // this entry is "--"
  std::string name;
  std::vector<TypeRef> types;  // the first that accepts
  std::uint32_t min = 1, max = 1;
  std::vector<std::string> defaults;  // tokens used when nothing was given
  bool implied = false;               // the program takes the default itself: granted, and not emitted
  std::vector<std::string> requires_options, excludes, replaced_by;  // option names
  bool dash = false;  // "-" means standard input
  WrapperRole as = WrapperRole::none;
  Place place;
};

enum class Verdict : std::uint8_t { allow, ask, deny };

struct Hint {
  std::string token;
  std::string reason;
  std::vector<std::string> instead;
  Place place;
};

struct EnvRule {
  std::string name;
  std::string value;  // when fixed, or when the caller sets none and has_default
  TypeRef caller;     // when set: the caller's value, of this type
  bool has_default = false;
  Place place;
};

struct StdinRule {
  enum class Kind : std::uint8_t { none, text, path };
  Kind kind = Kind::none;
  TypeRef path;  // kind path
};

// Absent: not set here (inherited, then the built-in default).
struct Limits {
  std::optional<std::int64_t> cpu_s, memory_mib, data_mib, processes, file_mib, tmp_mib, open_files;
};

enum class Requirement : std::uint8_t { require, prefer, off };

// The layers of confinement, in the order in which results list them.
enum class Layer : std::uint8_t {
  no_new_privs, capabilities, landlock, seccomp, user_namespace, pid_namespace, mount_namespace, ipc_namespace,
  uts_namespace, limits, descriptors, environment, tree_kill, deny_paths,
};
inline constexpr int kLayerCount = static_cast<int>(Layer::deny_paths) + 1;
[[nodiscard]] std::string_view layer_name(Layer layer) noexcept;
[[nodiscard]] std::optional<Layer> layer_of(std::string_view name) noexcept;
// prefer for landlock and the namespaces (one of landlock and mount_namespace must hold in any case) and for
// deny_paths; require for the others, and no_new_privs, capabilities, descriptors, environment and tree_kill
// cannot be switched off (the loader refuses "off" for them).
[[nodiscard]] Requirement default_requirement(Layer layer) noexcept;

struct Network {
  enum class Kind : std::uint8_t { none, connect_tcp, loopback, host };  // loopback: a network of its own, of which nothing leads out
  Kind kind = Kind::none;
  std::vector<std::int64_t> ports;  // connect_tcp
};
enum class Proc : std::uint8_t { none, own, all };
enum class Tmp : std::uint8_t { none, private_dir };
enum class Syscalls : std::uint8_t { standard, jit };  // jit: memory that was written may be executed
// What programs load or read without saying so in their ELF headers.
enum class Bundle : std::uint8_t { base, nss, dns, tls, tz, term, locale };

// Every member is optional so that inheritance can work member by member.
struct Sandbox {
  std::optional<std::vector<Root>> read, write, read_only, exec, unix_sockets;
  bool exec_self = false;  // "self" stood in exec
  std::optional<Network> network;
  std::optional<Proc> proc;
  std::optional<Tmp> tmp;
  std::optional<Syscalls> syscalls;
  std::optional<std::vector<Bundle>> bundles;
  std::map<Layer, Requirement> layers;
};

struct Examples {
  struct Allow { std::vector<std::string> argv; Place place; };
  struct Deny { std::vector<std::string> argv; DenialCode code; Place place; };
  std::vector<Allow> allow;
  std::vector<Allow> ask;
  std::vector<Deny> deny;
};

// A finding of `policy lint` that the author has looked at and keeps, and why.
struct LintIgnore {
  std::string rule;
  std::string reason;
  Place place;
};

// A command or a subcommand. std::optional and empty mean "as the parent" where POLICY.md section 2 inherits.
struct Node {
  std::string name;
  std::vector<std::string> aliases;
  std::string description;
  std::optional<SyntaxName> syntax;
  std::optional<bool> permute, end_of_options, short_equals;
  std::optional<Spelling> spelling;
  bool traditional_options = false;  // of a command: tar xzf FILE
  bool negative_numbers = false;     // -1 and -0.5 are operands where no option is named so
  std::vector<Option> options;  // "use"d sets are already joined in
  std::optional<std::vector<Slot>> operands;
  std::optional<std::int64_t> max_args;
  std::vector<Node> subcommands;
  bool subcommand_optional = false;
  std::optional<std::vector<std::string>> inject;
  Verdict decision = Verdict::allow;
  std::string reason;  // with decision ask or deny: the hint under the node's own name, if there is one
  std::vector<Hint> hints;
  std::vector<EnvRule> env;
  std::optional<std::vector<std::string>> unsafe_env;
  std::optional<StdinRule> stdin_rule;
  std::optional<std::vector<Root>> cwd;
  std::optional<std::int64_t> timeout_ms, stdout_bytes, stderr_bytes;
  Limits limits;
  Sandbox sandbox;
  std::optional<std::vector<int>> exit_ok;
  std::optional<bool> repeatable;  // may be run a second time to find out why it failed
  Examples examples;
  std::vector<LintIgnore> lint_ignore;  // here and below; decides nothing
  Place place;
};

enum class Trust : std::uint8_t { root, caller };
enum class ExecBy : std::uint8_t { fd, path };

// How the matches of deny_paths in granted directories are looked for.
struct DenyWalk {
  std::int64_t entries = 50000;
  std::int64_t ms = 200;
  std::vector<std::string> leave_out;  // names of directories not walked into; absolute paths, of which only what is read
};

// Defaults of one file (section 2: a command keeps the defaults of its own file).
struct Defaults {
  std::optional<std::int64_t> timeout_ms, stdout_bytes, stderr_bytes;
  std::optional<StdinRule> stdin_rule;
  std::vector<EnvRule> env;
  std::optional<std::vector<std::string>> unsafe_env;
  Limits limits;
  Sandbox sandbox;
  std::optional<bool> repeatable;
  std::optional<DenyWalk> deny_walk;
};

struct Command {
  std::vector<std::string> paths;  // the first that exists
  Trust trust = Trust::root;
  std::vector<std::string> sha256;  // lower-case hex; empty: not pinned
  ExecBy exec_by = ExecBy::fd;
  std::map<std::string, std::vector<std::string>> effects;  // reads, writes, network, executes: told to agents
  std::shared_ptr<const Defaults> defaults;
  Node node;
};

struct Variable {
  std::string name;
  enum class Kind : std::uint8_t { dir } kind = Kind::dir;
  std::optional<std::string> default_value;  // may begin with ${other}
  bool settable = false;
  std::vector<Root> within;
  Place place;
};

// What the hermetic resolver of examples holds beside its defaults (section 9).
struct FixtureEntry {
  std::string path;
  std::string link_target;  // "a -> b"
  bool directory = false;   // "a/"
  Place place;
};

struct Policy {
  std::string name;
  std::string description;
  std::string file;    // policy.json as it was opened, absolute
  std::vector<std::string> passed_over;  // places that go before that one, at which nothing is (find_policy)
  std::vector<std::shared_ptr<const json::Document>> sources;  // all that was read, in that order
  std::vector<std::string> source_pointers;  // one a source: where its root stands in the whole ("/commands/ls")
  std::vector<Variable> variables;
  std::vector<Root> deny_paths;  // globs; a variable may be the first component
  std::optional<DenyWalk> deny_walk;  // of the file that was asked for
  std::vector<FixtureEntry> fixture;
  std::string by_path;  // the command that takes programs by their path; empty: none does
  Place by_path_place;
  std::vector<Command> commands;  // all, or the one requested (directory form)

  [[nodiscard]] Location locate(Place place, bool of_key = false) const;
  // In the whole policy, whichever file it stands in; the pointer of locate() is the one in that file.
  [[nodiscard]] std::string pointer(Place place) const;
  [[nodiscard]] const Command* find(std::string_view command_name) const;
};

// ---------------------------------------------------------------------------------------------------------
// Request (CONTRACT.md section 3)

enum class Encoding : std::uint8_t { utf8, base64 };

struct StdinSource {
  enum class Kind : std::uint8_t { none, text, file, inherit };  // inherit: safe-exec's own ("-"), relayed
  Kind kind = Kind::none;
  std::string text;  // bytes of text, or the file's path
};

struct Request {
  std::string id;
  std::vector<std::string> argv;
  std::optional<std::string> cwd;
  std::vector<std::pair<std::string, std::string>> env;
  StdinSource stdin_source;
  std::optional<std::int64_t> timeout_ms, max_stdout_bytes, max_stderr_bytes;
  Encoding encoding = Encoding::utf8;
  std::vector<std::pair<std::string, std::string>> meta;
};

// ---------------------------------------------------------------------------------------------------------
// Plan: the complete grant. After evaluation nobody reads the policy again.

enum class Origin : std::uint8_t { operand, policy, runtime, device };

struct Symlink {
  std::string path;    // absolute path of the link as it was met
  std::string target;  // its text
};

// One thing in the file system that the command may reach. fd is O_PATH on the inode that was checked; it is
// empty in hermetic resolvers, and for create while the file does not exist yet (then parent and leaf say where).
struct Grant {
  std::string path;   // physical, absolute
  std::string given;  // absolute path under which the command will name it; empty: same as path
  UniqueFd fd;
  bool directory = false;
  bool exists = true;
  bool made = false;        // create: by us, for this run
  bool executable = false;  // may be executed
  bool stat_only = false;   // reached by name, no content
  bool data = false;        // granted through a variable, and no exec: never mapped as code
  bool trusted = false;     // exec: only root has put it there, so that its headers may say what else it needs
  bool split = false;       // stands for a part of a directory in which something is denied
  PathAccess access = PathAccess::read;  // stat without stat_only: a directory's names (READ_DIR), nothing in it
  Origin origin = Origin::operand;
  UniqueFd parent;  // create, replace: O_PATH on the parent directory
  std::string leaf;
  std::vector<Symlink> links;  // symlinks passed on the way, so that a minimal root can rebuild them
};

struct Binary {
  std::string path;  // the policy's, byte for byte; argv[0]
  UniqueFd fd;       // O_PATH
  bool script = false;
  std::string interpreter;                     // script: what the #! line names, as the policy lists it
  UniqueFd interpreter_fd;
  std::vector<std::string> interpreter_args;   // script: the optional argument of the #! line
  bool trusted = false;        // as Grant::trusted, of what is executed
  // Of what is executed, the program itself or its interpreter:
  std::string physical;        // absolute, where the walk from its path ended
  std::vector<Symlink> links;  // passed on that way
  UniqueFd readable;           // O_RDONLY
};

struct StdinPlan {
  enum class Kind : std::uint8_t { none, text, file, inherit };
  Kind kind = Kind::none;
  std::string text;
  UniqueFd file;  // O_RDONLY
};

struct EffectiveLimits {  // 0: not limited
  std::int64_t cpu_s = 30, memory_mib = 512, processes = 100, file_mib = 64, tmp_mib = 64, open_files = 256;
  std::optional<std::int64_t> data_mib = std::nullopt;

  // What one process may reserve. Who takes too much is to be met by the count of the tree, and not told apart by luck.
  [[nodiscard]] std::int64_t data() const { return data_mib.value_or(memory_mib * 2); }
};

// What no grant lets be written, whatever lies around it: with all below.
struct ReadOnlyPath {
  std::string path;  // physical, absolute; a symbolic link's own, and what it leads to follows
  UniqueFd fd;       // O_PATH, not through a link; empty: nothing is there, or the resolver is hermetic
};

// What may be written as if nothing denied lay in it, or beside it, where mounts can cover that: a directory as a whole, a
// file that is replaced. In force where they cannot: grants around, under which nothing new can be made in a directory that
// holds something denied; the file, to be written in place.
struct Covered {
  struct Match {
    std::string path;  // physical
    bool directory = false;
  };
  Grant grant;
  std::vector<Match> matches;
};

// What the policy names, and is not there: it grants nothing in this run, though it is made meanwhile.
struct MissingPath {
  std::string path;
  PathAccess access = PathAccess::read;  // stat: a socket
  std::string problem;                   // of a program that is there and may not be executed; empty: nothing is there
};

struct Plan {
  std::string command;
  std::string rule;  // JSON pointer of the node
  Binary binary;
  ExecBy exec_by = ExecBy::fd;
  std::vector<std::string> argv;
  std::vector<std::string> env;  // NAME=value
  std::string cwd;               // physical, absolute
  UniqueFd cwd_fd;
  std::vector<Grant> grants;     // operands first, then policy, runtime, devices
  std::vector<Covered> covered;  // what some of them stand for
  std::vector<MissingPath> missing;
  // Denied directories and sockets below what others are granted around, and sockets beside the granted ones: neither are names in
  // them shown, nor is connect(2) anything that Landlock rules.
  std::vector<Covered::Match> hidden;
  // The directories on the way to what is covered or hidden, from the granted one on: where they may be written they cannot be
  // renamed, so that no walk for another command, which goes on meanwhile, misses what lies in them.
  std::set<std::string> held;
  std::vector<std::string> deny_globs;  // expanded; a granted directory is granted around what they match
  DenyWalk deny_walk;
  std::vector<ReadOnlyPath> read_only;
  std::vector<std::string> apart;  // may be written, but nothing is moved into it or out of it, where there are mounts
  StdinPlan stdin_plan;
  std::int64_t timeout_ms = 30000;
  std::int64_t stdout_bytes = 50000, stderr_bytes = 10000;
  EffectiveLimits limits;
  Network network;
  std::vector<std::string> unix_sockets;  // paths of grants for stat
  std::string sockets_in_reach;           // why there may be others, for people; empty: the search for them went to its end
  Proc proc = Proc::none;
  Tmp tmp = Tmp::none;
  Syscalls syscalls = Syscalls::standard;
  std::vector<Bundle> bundles;
  bool one_exec = true;  // no program may be executed after the command itself
  std::map<Layer, Requirement> layers;  // every layer
  std::set<Layer> demanded;  // those that the policy itself requires: of these a part is not enough
  std::vector<int> exit_ok{0};
  bool repeatable = false;
  bool may_run_again = false;  // in this process: what was created for it stays until then
  bool observed = false;  // the command's refused calls are looked at (--diagnose)
  Encoding encoding = Encoding::utf8;
  // request key -> {asked, used}, for limits that were above the policy's
  std::map<std::string, std::pair<std::int64_t, std::int64_t>> clamped;
};

// One line of check --explain: the rule looked at, what it expected, what it found.
struct TraceStep {
  std::string rule;  // JSON pointer
  std::string expected;
  std::string found;
  bool accepted = true;
  int argv_index = -1;
  std::optional<Location> location = {};
};
using Trace = std::vector<TraceStep>;

using Decision = std::variant<Plan, Denial>;

// ---------------------------------------------------------------------------------------------------------
// Outcome

struct Exited { int code = 0; };
struct Signaled { int number = 0; bool core_dumped = false; };
struct TimedOut { std::string limit; std::int64_t limit_ms = 0; };  // limit: "wall" or "cpu"
struct LimitExceeded { std::string resource; };
struct Cancelled { int signal = 0; };  // the signal by which safe-exec was told to stop
using Ending = std::variant<Exited, Signaled, TimedOut, LimitExceeded, Cancelled>;

struct Captured {
  std::string head, tail;    // raw bytes; all of it when omitted is 0 (then tail continues head)
  std::uint64_t bytes = 0;   // written by the command
  std::uint64_t omitted = 0; // bytes between head and tail
};

enum class LayerState : std::uint8_t { enforced, partial, not_enforced, off };
[[nodiscard]] std::string_view state_name(LayerState state) noexcept;

struct LayerStatus {
  Layer layer = Layer::no_new_privs;
  LayerState state = LayerState::not_enforced;
  std::string detail;  // why not, or what part is missing
  int abi = 0;         // landlock
};

// What the confinement refused a command that failed.
struct Blocked {
  std::string layer;  // a layer's name, or "file_permissions", "kernel"
  std::string call;   // system call; empty: not known
  std::string path;   // as the command named it; empty: none
  std::string error;  // "EACCES"
  std::string hint;
  bool observed = false;  // seen to happen; else concluded from what the command said
};

struct Usage {
  std::int64_t cpu_user_ms = 0, cpu_system_ms = 0, max_rss_kib = 0;
};

struct Outcome {
  Ending ending;
  std::int64_t duration_ms = 0;
  std::optional<Usage> usage;  // nullopt: the command was killed, and not yet gone
  std::vector<LayerStatus> layers;
  std::vector<Blocked> blocked;
  std::string diagnosis;  // what came of --diagnose
  Captured out, err;
};

[[nodiscard]] bool is_success(const Plan& plan, const Ending& ending) noexcept;

// The process of a sandbox that goes last, and the memory that it uses until then.
struct LastProcess {
  UniqueFd pidfd;
  std::shared_ptr<void> launch;
  bool sweeps = false;  // without a pid namespace it is who ends the rest, and is not to be killed
};

// The complete answer to one request; report.h turns it into JSON.
struct Result {
  std::string id;
  std::optional<Plan> plan;        // what was granted, when it came to that
  std::optional<Denial> denied;
  std::optional<Error> error;
  std::optional<Outcome> outcome;  // when a command ran
  LastProcess last;                // what supervise.h's await_end() waits for
  std::string command;             // name, when known
  std::string policy_name, policy_sha256;
  std::vector<std::shared_ptr<const json::Document>> policy_sources;  // what was read of it; empty: it was not loaded
};

}  // namespace safe_exec
