#include "diagnose.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <utility>

#include "beneath.h"
#include "binary.h"
#include "confine/seccomp.h"
#include "hints.h"
#include "inline_text.h"
#include "pattern.h"
#include "supervise.h"

namespace safe_exec {
namespace {

constexpr std::size_t kMaxBlocked = 20, kMaxPassed = 5;
constexpr std::string_view kKept = "the sandbox keeps it where it is: the policy names it, or what lies in it (read_only, deny_paths), or it is granted itself";
constexpr std::string_view kApart = "nothing is moved or linked from one grant to another, out of a directory that is kept, nor to another file system; a copy can be made";
constexpr std::string_view kNoSpecial = "a command makes no device, and no socket that has a name: no grant lets it";

bool holds(const Outcome& outcome, Layer layer) {
  const auto found = std::ranges::find(outcome.layers, layer, &LayerStatus::layer);
  return found != outcome.layers.end() && found->state != LayerState::not_enforced && found->state != LayerState::off;
}

std::string error_name(int error) {
  const char* const name = ::strerrorname_np(error);  // glibc 2.32
  return name != nullptr ? name : std::to_string(error);
}

// ---- one observed call

std::string socket_path(const RefusedCall& refused) {
  sockaddr_un address{};
  static_assert(sizeof address <= sizeof refused.text);
  std::memcpy(&address, refused.text, sizeof address);
  if (address.sun_family != AF_UNIX) return {};
  const std::size_t size = ::strnlen(address.sun_path, sizeof address.sun_path);
  return std::string(address.sun_path, size);
}

Observed read(const Plan& plan, const RefusedCall& refused) {
  Observed seen;
  seen.call = syscall_name(refused.number);
  seen.is_socket = seen.call == "connect" || seen.call == "bind" || seen.call == "socket";
  seen.executes = seen.call == "execve" || seen.call == "execveat";
  if (seen.call == "connect" || seen.call == "bind") seen.path = socket_path(refused);
  else if (std::memchr(refused.text, '\0', sizeof refused.text - 1) != nullptr) seen.path = refused.text;  // else it was cut
  if (seen.call == "socket") seen.family = static_cast<int>(refused.arguments[0]);
  const bool accesses = seen.call.find("access") != std::string::npos;
  seen.looks = accesses || seen.call.find("stat") != std::string::npos || seen.call.starts_with("readlink") || seen.call == "chdir";
  seen.another = seen.call.starts_with("rename") || seen.call.starts_with("link");
  constexpr std::array<Name, 7> kNaming{"rename", "link", "symlink", "unlink", "mkdir", "mknod", "rmdir"};
  seen.names = std::ranges::any_of(kNaming, [&](std::string_view name) { return seen.call.starts_with(name); });
  if (seen.call.starts_with("mknod")) {
    const auto mode = static_cast<mode_t>(refused.arguments[seen.call == "mknod" ? 1 : 2]);
    seen.special = S_ISCHR(mode) || S_ISBLK(mode) || S_ISSOCK(mode);
  }
  if (seen.call == "bind") seen.special = true;
  const bool opens = seen.call == "open" || seen.call == "openat" || seen.call == "creat";
  if (opens) {
    const std::uint64_t flags = seen.call == "creat" ? O_WRONLY | O_CREAT | O_TRUNC : refused.arguments[seen.call == "open" ? 1 : 2];
    seen.writes = (flags & (O_ACCMODE | O_CREAT)) != 0;
    seen.names = (flags & O_CREAT) != 0;
  } else seen.writes = seen.call != "openat2" && !seen.executes && !seen.looks;
  if (accesses) seen.asks = refused.arguments[seen.call == "access" ? 1 : 2] & 7U;
  seen.writes |= (seen.asks & W_OK) != 0;
  while (seen.path.size() > 1 && seen.path.ends_with('/')) seen.path.pop_back();
  // A descriptor whose directory has no name has an empty one, which is not known; the working directory's is another matter.
  const int at = directory_argument(refused.number);
  const std::string_view from = refused.directory;
  const bool known = at >= 0 && static_cast<int>(refused.arguments[at]) != AT_FDCWD ? from.starts_with('/') : from != kUnknownDirectory;
  if (!seen.path.empty() && seen.path.front() != '/' && known) {
    seen.path = child_path(from.starts_with('/') ? std::string(from) : from.empty() ? plan.cwd : child_path(plan.cwd, from), seen.path);
  }
  if (seen.path.starts_with('/') && !seen.is_socket) {
    seen.path = '/' + join_components(components_of(seen.path), 0);  // find -execdir says "./name"
    if (seen.path.ends_with("/.")) seen.path.resize(std::max<std::size_t>(seen.path.size() - 2, 1));
    const bool climbs = (seen.path + '/').find("/../") != std::string::npos;
    if (climbs) seen.path = seen.names ? child_path(physical(parent_of(seen.path)), seen.path.substr(seen.path.rfind('/') + 1)) : physical(seen.path);
  }
  if (opens && seen.is_known() && !is_absent(seen.path)) seen.names = false;  // nothing is made
  return seen;
}

// Whether a call that sets owners names one beside the command's own, of which it has one each. -1 leaves it as it is.
bool gives_other_id(const RefusedCall& refused, std::string_view call) {
  const bool sets_owner = call.find("chown") != std::string_view::npos;
  const std::size_t first = !sets_owner ? 0 : call == "fchownat" ? 2 : 1;
  const std::size_t count = sets_owner || call.starts_with("setre") ? call.starts_with("setres") ? 3 : 2 : 1;
  for (std::size_t i = 0; i < count; ++i) {
    const auto id = static_cast<std::uint32_t>(refused.arguments[first + i]);
    const bool of_group = sets_owner ? i == 1 : call.ends_with("gid");
    if (id != UINT32_MAX && id != (of_group ? ::getegid() : ::geteuid())) return true;
  }
  return false;
}

// Whether a mount lies over it: what is there on the host says nothing then.
bool is_covered(const Plan& plan, const Launch& launch, const std::string& path) {
  if (plan.covered.empty() || !path.starts_with('/') || !launch.wanted.namespaces.mount) return false;
  const std::string real = physical(path);
  return std::ranges::any_of(plan.covered, [&](const Covered& covered) {
    return std::ranges::any_of(covered.matches, [&](const Covered::Match& match) { return is_within(real, match.path); });
  });
}

// Whether it is left out of what is granted around it.
bool is_left_out(const Plan& plan, const std::string& path) {
  std::string real = physical(path);
  for (; real.size() > 1; real.resize(std::max<std::size_t>(real.rfind('/'), 1))) {
    if (std::ranges::any_of(plan.deny_globs, [&](const std::string& glob) { return glob_matches(glob, real); })) return true;
  }
  return false;
}

// ---- what this host says of it, without a sandbox

bool is_mounted_read_only(std::string path) {
  while (path.size() > 1 && is_absent(path)) path = parent_of(path);
  struct statvfs mounted {};
  return ::statvfs(path.c_str(), &mounted) == 0 && (mounted.f_flag & ST_RDONLY) != 0;
}

bool is_in_group(gid_t group) {
  std::array<gid_t, 1024> groups;  // of NGROUPS_MAX 65536
  const int count = ::getgroups(static_cast<int>(groups.size()), groups.data());
  return group == ::getegid() || (count > 0 && std::find(groups.begin(), groups.begin() + count, group) != groups.begin() + count);
}

// Whether the modes let this user, without capabilities, do it: of the directories on the way, and of the file or, for a name that is
// made or removed, of its directory. nullopt: it cannot be looked at.
std::optional<bool> modes_allow(const Observed& seen) {
  const auto permits = [](const std::string& path, unsigned wanted) -> std::optional<bool> {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) return std::nullopt;
    const unsigned shift = status.st_uid == ::geteuid() ? 6 : is_in_group(status.st_gid) ? 3 : 0;
    return (status.st_mode >> shift & wanted) == wanted;
  };
  if (!seen.is_known()) return std::nullopt;
  for (std::size_t at = 1; (at = seen.path.find('/', at)) != std::string::npos; ++at) {
    if (const auto passes = permits(seen.path.substr(0, at), 1); passes != true) return passes;
  }
  return seen.names ? permits(parent_of(seen.path), 2) : permits(seen.path, seen.looks ? seen.asks : seen.executes ? 1 : seen.writes ? 2 : 4);
}

void judge_read_only(const Plan& plan, const Launch& launch, const Observed& seen, Blocked& out) {
  out.layer = layer_name(Layer::mount_namespace);
  out.hint = "mounted read-only: the policy grants no write here";
  if (const std::string kept = kept_by(plan, seen); !kept.empty()) {
    out.hint = "read_only of the policy keeps " + kept + " as it is";
    return;
  }
  if (launch.wanted.namespaces.mount && !is_granted(plan, place_of(seen), PathAccess::write)) {
    out.hint += " (" + key_for(plan, launch, seen) + ')';
    return;
  }
  if (seen.is_known() && is_mounted_read_only(seen.path)) {
    out.layer = "kernel";
    out.hint = "its file system is mounted read-only on this host";
  } else if (seen.another) {
    out.path.clear();
    out.hint = "the other path is mounted read-only: the policy grants no write there";
  }
}

void judge_absent(const Plan& plan, const Launch& launch, const Observed& seen, Blocked& out) {
  if (!launch.wanted.namespaces.mount || !seen.is_known()) return;
  if (is_granted(plan, seen.path)) {
    if (is_absent(seen.path)) return;
    const std::string real = physical(seen.path);
    const bool leads_out = real != seen.path && !is_granted(plan, real) && !is_absent(real);
    const std::string interpreter = seen.executes ? interpreter_of(real) : "";
    if (!seen.another && !leads_out && interpreter.empty()) return;
    if (!interpreter.empty()) out.hint = "its interpreter " + interpreter + ", or what that needs, is not granted (sandbox.exec)";
    else if (seen.another) out.path.clear();
    else out.hint = "it leads to " + real + ", which is not granted";
  } else if (is_absent(seen.names ? parent_of(seen.path) : seen.path) && !(is_of_proc(seen.path) && plan.proc == Proc::none)) {
    return;  // without a sandbox as well
  }
  out.layer = layer_name(Layer::mount_namespace);
  if (out.hint.empty()) {
    out.hint = out.path.empty() ? "the other path is not there, or not granted"
                                : "not granted, so it is not there for the command (" + key_for(plan, launch, seen) + ')';
  }
}

// What is mounted cannot be moved or removed, nor anything be moved or linked to another mount.
void judge_mounted(const Launch& launch, const Observed& seen, int error, Blocked& out) {
  if (!seen.names || (!launch.wanted.namespaces.mount && error == EBUSY)) return;
  out.layer = layer_name(launch.wanted.namespaces.mount ? Layer::mount_namespace : Layer::landlock);
  if (error == EXDEV) out.path.clear();
  out.hint = error == EBUSY ? kKept : kApart;
}

// EACCES, of a path.
void judge_access(const Plan& plan, const Launch& launch, const Observed& seen, Blocked& out) {
  const std::optional<bool> allowed = modes_allow(seen);
  const bool left_out = allowed == true && is_left_out(plan, seen.path);
  const std::string kept = allowed == true && !left_out ? kept_by(plan, seen) : "";
  if (!kept.empty()) {
    out.layer = layer_name(Layer::landlock);
    out.hint = "read_only of the policy keeps " + kept + " as it is";
    return;
  }
  const auto fixed = allowed == true && seen.names ? cause_of_fixed(plan, launch, parent_of(seen.path)) : std::nullopt;
  if (left_out || fixed) {
    out.layer = layer_name(left_out ? Layer::deny_paths : fixed->layer);
    out.hint = left_out ? "deny_paths of the policy matches it" : fixed->hint;
    return;
  }
  if (allowed == true && !seen.looks && is_shut_device(launch, seen) && is_granted(plan, seen.path)) {
    out.layer = layer_name(Layer::mount_namespace);
    out.hint = "mounted without devices: no grant opens one";
    return;
  }
  if (allowed == true && seen.looks && (seen.asks & X_OK) != 0 && launch.wanted.namespaces.mount) {
    out.layer = layer_name(Layer::mount_namespace);
    out.hint = "mounted without execution: the policy grants none of it (sandbox.exec)";
    return;
  }
  const bool by_mode = allowed == false || seen.looks || !launch.wanted.landlock;
  out.layer = by_mode ? "file_permissions" : std::string(layer_name(Layer::landlock));
  if (by_mode) {
    out.hint = "its own mode or access list, or that of a directory above it, refuses it to this user";
  } else if (!allowed) {
    out.hint = "the policy grants no such access to it, or its own mode does not";
    out.observed = false;
  } else if (seen.another && is_granted(plan, place_of(seen), PathAccess::write)) {
    out.path.clear();
    const auto beside = cause_of_fixed(plan, launch, "");
    out.hint = (beside ? beside->hint + "; or " : "") + "the policy grants no write of the other path";
  } else if (const std::string interpreter = seen.executes && is_granted(plan, seen.path) ? interpreter_of(seen.path) : ""; !interpreter.empty()) {
    out.hint = "its interpreter " + interpreter + ", or what that needs, is not granted (sandbox.exec)";
  } else {
    out.hint = std::string("the policy grants no ") +
               (seen.call == "openat2" ? "such access to it" : seen.executes ? "execution of it" : seen.writes ? "write of it" : "read of it") +
               " (" + key_for(plan, launch, seen) + ')';
  }
}

// What no grant changes.
std::optional<Cause> cause_of_any(const Plan& plan, const Launch& launch, const RefusedCall& refused, const Observed& seen) {
  switch (refused.error_number) {
    case EINVAL:
      if (!launch.wanted.namespaces.user || !gives_other_id(refused, seen.call)) return std::nullopt;
      return Cause{Layer::user_namespace, "only the command's own user and group exist in its user namespace: nothing can be given to another"};
    case EROFS:
      if (seen.special) return Cause{Layer::mount_namespace, std::string(kNoSpecial)};
      return std::nullopt;
    case EACCES:
      if (seen.special && launch.wanted.landlock) return Cause{Layer::landlock, std::string(kNoSpecial)};
      return lost_grant(plan, launch, seen);
    case ENOENT: return launch.wanted.namespaces.mount ? lost_grant(plan, launch, seen) : std::nullopt;  // else it is not there at all
    default: return std::nullopt;
  }
}

// Whether a filter of the command's answers the call with this error.
bool is_filtered(const Launch& launch, const RefusedCall& refused) {
  seccomp_data about{static_cast<int>(refused.number), refused.architecture, refused.instruction, {}};
  std::copy(std::begin(refused.arguments), std::end(refused.arguments), about.args);
  const auto as_the_filter = SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(refused.error_number);
  const auto answers = [&](const std::vector<sock_filter>& filter) { return !filter.empty() && filter_verdict(filter, about) == as_the_filter; };
  return answers(launch.filter) || answers(launch.mode_filter);
}

// Empty layer: not the confinement's doing.
Blocked judge(const Plan& plan, const Launch& launch, const RefusedCall& refused, const Observed& seen) {
  Blocked out{"", seen.call, seen.path, error_name(refused.error_number), "", true};
  if (refused.kind == RefusedCall::killed) {
    out.layer = layer_name(Layer::seccomp);
    out.error = "SIGSYS";
    out.call.clear();  // its number is of that architecture
    out.hint = "a system call of another architecture ends the command";
    return out;
  }
  if (const std::string_view limit = limit_behind(plan, refused.error_number); !limit.empty()) {
    out.layer = layer_name(Layer::limits);
    out.path.clear();
    out.hint = limit;
    return out;
  }
  if (refused.error_number == ENOSYS && seen.call == "clone3") return out;  // libc goes on with clone(2)
  if (refused.error_number == EACCES && seen.call == "ioctl") return out;  // whether a device is a terminal: Landlock lets nobody ask
  if (is_filtered(launch, refused)) {
    if (seen.executes && seen.is_known() && is_absent(seen.path)) return out;  // one of the places where a program is looked for
    out.layer = layer_name(Layer::seccomp);
    out.hint = hint_of_filter(plan, launch, seen);
    return out;
  }
  if (is_covered(plan, launch, seen.path)) {
    out.layer = layer_name(Layer::deny_paths);
    out.hint = "covered: deny_paths of the policy matches it";
    return out;
  }
  if (const auto cause = cause_of_any(plan, launch, refused, seen)) {
    out.layer = layer_name(cause->layer);
    out.hint = cause->hint;
    return out;
  }
  switch (refused.error_number) {
    case EROFS: judge_read_only(plan, launch, seen, out); return out;
    case ENOENT: judge_absent(plan, launch, seen, out); return out;
    case EBUSY:
    case EXDEV: judge_mounted(launch, seen, refused.error_number, out); return out;
    case ENETUNREACH:
      if (plan.network.kind != Network::Kind::loopback) return out;
      out.layer = "network";
      out.hint = "the command has a network of its own, in which there is only its loopback (sandbox.network)";
      return out;
    case EACCES:
    case EPERM: break;
    default: return out;
  }
  if (std::string hint = hint_of_domain(plan, launch, seen, refused.error_number); !hint.empty()) {
    out.layer = layer_name(Layer::landlock);
    out.hint = std::move(hint);
    return out;
  }
  if (seen.path.empty() || refused.error_number == EPERM) {
    out.layer = "kernel";
    out.hint = "the command has no capability and no rights over what is not its own";
    return out;
  }
  judge_access(plan, launch, seen, out);
  return out;
}

bool same(const Blocked& a, const Blocked& b) {
  return a.layer == b.layer && a.call == b.call && a.path == b.path && a.error == b.error && a.hint == b.hint;
}

void add_once(std::vector<Blocked>& list, Blocked one) {
  if (std::ranges::none_of(list, [&](const Blocked& known) { return same(known, one); })) list.push_back(std::move(one));
}

void add_name(std::vector<std::string>& names, const std::string& name) {
  if (std::ranges::find(names, name) == names.end()) names.push_back(name);
}

// A file that is covered is a device to the command, and a directory an empty one: what it says of that tells no cause.
void conclude_covered(const Covered& covered, const Outcome& outcome, std::vector<Blocked>& blocked) {
  for (const Covered::Match& match : covered.matches) {
    const std::string_view file = std::string_view(match.path).substr(match.path.rfind('/') + 1);
    if (blocked.size() == kMaxBlocked || !names_file(outcome.err, file)) continue;
    add_once(blocked, {std::string(layer_name(Layer::deny_paths)), "", match.path, "",
                       "deny_paths of the policy protects it: do without it, or leave it out", false});
  }
}

// Whether its modes let this user have what is granted. What is created was made already.
bool modes_refuse(const Grant& grant) {
  const bool written = grant.access > PathAccess::read;
  Observed access;
  access.names = grant.access == PathAccess::replace || (written && grant.directory);
  access.call = access.names ? "rename" : "open";
  access.path = written && grant.directory ? child_path(grant.path, ".") : grant.path;
  access.writes = written;
  return grant.access != PathAccess::create && modes_allow(access) == false;
}

// Of the operands, and of what else is granted to be written, what its modes refuse. Returns whether an operand is among it, which
// says enough.
bool conclude_modes(const Plan& plan, std::vector<Blocked>& blocked) {
  bool operand = false;
  const auto add = [&](const Grant& grant) {
    const bool named = grant.origin == Origin::operand || (grant.origin == Origin::policy && grant.access > PathAccess::read);
    if (!named || blocked.size() == kMaxBlocked || !modes_refuse(grant)) return;
    const bool beside = grant.access == PathAccess::replace && !grant.directory;
    const std::string whom = ::geteuid() == 0 ? "root, who has no capability in the sandbox: start safe-exec as its owner" : "this user";
    add_once(blocked, {"file_permissions", "", grant.path, error_name(EACCES),
                       std::string(beside ? "owner and mode of its directory" : "its owner and mode") + " refuse it to " + whom, false});
    operand |= grant.origin == Origin::operand;
  };
  for (const Covered& covered : plan.covered) add(covered.grant);
  for (const Grant& grant : plan.grants) {
    const auto holds = [&](const Covered& covered) { return is_within(grant.path, covered.grant.path); };
    if (std::ranges::none_of(plan.covered, holds)) add(grant);  // else it stands for a part of that
  }
  return operand;
}

}  // namespace

std::vector<Blocked> explain_refused(const Plan& plan, const Launch& launch, const std::vector<RefusedCall>& refused, const Captured& said,
                                     std::string& without) {
  const auto names = [&](std::string_view text) { return names_file(said, text); };
  std::vector<std::string> errors;  // that the command complains of
  std::vector<Blocked> found, absent, sockets;
  std::vector<std::string> passed;
  for (auto one = refused.rbegin(); one != refused.rend(); ++one) {  // the last ones are the nearest to the failure
    const Observed seen = read(plan, *one);
    Blocked blocked = judge(plan, launch, *one, seen);
    if (blocked.layer.empty()) continue;
    const bool by_grant = blocked.layer == layer_name(Layer::mount_namespace) || blocked.layer == layer_name(Layer::landlock);
    const std::string missing = (by_grant && kept_by(plan, seen).empty()) || seen.family == AF_UNIX ? hint_of_missing(plan, seen) : "";
    if (!missing.empty()) blocked.hint = missing;
    const bool of_proc = is_of_proc(seen.path) && names("/proc");  // as ps(1) complains
    const bool of_missing = seen.family == AF_UNIX && std::ranges::any_of(plan.missing, [&](const MissingPath& each) { return names(each.path); });
    const bool told = of_proc || of_missing || (!seen.path.empty() && (names(seen.path) || tells_of(said, seen.path)));
    constexpr int kMild[] = {ENOENT, ENOSYS, EXDEV};  // many programs do without
    if (says(said, one->error_number)) add_name(errors, blocked.error);
    if (seen.path.empty() && is_done_without(seen) && !told) add_once(sockets, std::move(blocked));
    else if (is_done_without(seen) && !told) add_name(passed, seen.path);
    else add_once(std::ranges::find(kMild, one->error_number) != std::end(kMild) ? absent : found, std::move(blocked));
  }
  const bool of_sockets = contains(said, "socket") || contains(said, "connect");
  for (Blocked& one : sockets) {  // what it complains of, where nothing else was refused like that
    const auto alike = [&](const Blocked& other) { return other.error == one.error && (!of_sockets || other.call == one.call); };
    if (std::ranges::find(errors, one.error) != errors.end() && std::ranges::none_of(found, alike)) found.push_back(std::move(one));
    else add_name(passed, "a Unix socket");
  }
  std::ranges::move(absent, std::back_inserter(found));
  // What the command itself complains of comes first.
  std::ranges::stable_partition(found, [&](const Blocked& one) { return std::ranges::find(errors, one.error) != errors.end(); });
  std::ranges::stable_partition(found, [&](const Blocked& one) { return !one.path.empty() && names(one.path.substr(one.path.rfind('/') + 1)); });
  if (found.size() > kMaxBlocked) found.erase(found.begin() + kMaxBlocked, found.end());
  for (std::size_t i = 0; i < std::min(passed.size(), kMaxPassed); ++i) without += (without.empty() ? "" : ", ") + passed[i];
  if (passed.size() > kMaxPassed) without += " and more";
  return found;
}

std::vector<Blocked> conclude_blocked(const Plan& plan, const Launch& launch, const Outcome& outcome) {
  if (const auto* signaled = std::get_if<Signaled>(&outcome.ending); signaled != nullptr && signaled->number == SIGSYS) {
    return {{std::string(layer_name(Layer::seccomp)), "", "", "SIGSYS",
             "a system call of another architecture ends the command", false}};
  }
  const bool ended_itself = std::holds_alternative<Exited>(outcome.ending) || std::holds_alternative<Signaled>(outcome.ending);
  if (is_success(plan, outcome.ending) || !ended_itself) return {};
  const std::string more = plan.repeatable ? "; --diagnose says which call, and on what" : "";
  const bool landlock = holds(outcome, Layer::landlock);
  const auto fixed = cause_of_fixed(plan, launch, "");
  const std::string filtered = (launch.unreached.empty() ? "" : launch.unreached + "; or ") + "the system call filter, or a missing capability, refuses it" + more;
  const std::string denied = (fixed ? fixed->hint + "; or " : "") + "the policy grants no such access to the file, or its own mode does not" + more;
  const std::string files(layer_name(landlock ? Layer::landlock : Layer::mount_namespace));
  const std::array<std::pair<int, Blocked>, 11> known{{
      {EMFILE, {std::string(layer_name(Layer::limits)), "", "", "EMFILE", "limits.open_files may have been reached", false}},
      {EAGAIN, {std::string(layer_name(Layer::limits)), "", "", "EAGAIN", "limits.processes may have been reached", false}},
      {ENOMEM, {std::string(layer_name(Layer::limits)), "", "", "ENOMEM", "limits.memory_mib or data_mib may have been reached", false}},
      {EFBIG, {std::string(layer_name(Layer::limits)), "", "", "EFBIG", "a file may not become larger than limits.file_mib" + more, false}},
      {-SIGXFSZ, {std::string(layer_name(Layer::limits)), "", "", "SIGXFSZ", "a file may not become larger than limits.file_mib", false}},
      {-SIGXCPU, {std::string(layer_name(Layer::limits)), "", "", "SIGXCPU", "a process may not take more processor time than limits.cpu_s", false}},
      {EACCES, {files, "", "", "EACCES", denied, false}},
      {EPERM, {std::string(layer_name(Layer::seccomp)), "", "", "EPERM", filtered, false}},
      {EROFS, {std::string(layer_name(Layer::mount_namespace)), "", "", "EROFS", "mounted read-only: the policy grants no write there" + more, false}},
      {EBUSY, {std::string(layer_name(Layer::mount_namespace)), "", "", "EBUSY", std::string(kKept) + more, false}},
      {EXDEV, {std::string(layer_name(Layer::mount_namespace)), "", "", "EXDEV", std::string(kApart) + more, false}},
  }};
  std::vector<Blocked> blocked;
  for (const Covered& covered : plan.covered) conclude_covered(covered, outcome, blocked);
  for (const char* const place : {"/tmp", "/proc"}) {
    const bool granted = std::ranges::any_of(plan.grants, [&](const Grant& grant) { return is_within(grant.path, place); });
    Observed named;
    named.path = place;
    const auto lost = granted || !names_file(outcome.err, place) ? std::nullopt : lost_grant(plan, launch, named);
    if (lost) blocked.push_back({std::string(layer_name(lost->layer)), "", place, "", lost->hint, false});
  }
  const bool limited = holds(outcome, Layer::limits);
  for (const auto& [error, one] : known) {
    if (one.layer == layer_name(Layer::limits) && (!limited || limit_behind(plan, error).empty())) continue;
    if (one.layer == layer_name(Layer::mount_namespace) && !holds(outcome, Layer::mount_namespace)) continue;
    if (!says(outcome.err, error)) continue;
    if (error != EACCES || !conclude_modes(plan, blocked)) blocked.push_back(one);
  }
  return blocked;
}

namespace {

// What the first run met of limits the second may not meet, and no call is refused for a cover. A process that was killed says so;
// what the command said may have had another cause, which was seen.
std::vector<Blocked> with_guesses(std::vector<Blocked> seen, std::vector<Blocked> first) {
  std::vector<Blocked> all, last;
  for (Blocked& one : first) {
    const bool of_limits = one.layer == layer_name(Layer::limits);
    const bool of_cover = one.layer == layer_name(Layer::deny_paths) && !one.path.empty();
    const bool known = std::ranges::any_of(seen, [&](const Blocked& other) {
      return other.layer == one.layer && (of_limits ? other.error == one.error : other.path == one.path);
    });
    if (known || (!of_limits && !of_cover)) continue;
    (of_limits && (one.observed || one.error.starts_with("SIG")) ? all : last).push_back(std::move(one));
  }
  for (Blocked& one : seen) add_once(all, std::move(one));
  std::ranges::move(last, std::back_inserter(all));
  return all;
}

}  // namespace

void diagnose(Plan& plan, const std::vector<LayerStatus>& already, Outcome& outcome) {
  if (!plan.repeatable) {
    outcome.diagnosis = "not made: the policy does not say that this command may be repeated";
    return;
  }
  if (plan.stdin_plan.kind == StdinPlan::Kind::inherit) {
    outcome.diagnosis = "not made: standard input cannot be read twice";
    return;
  }
  if (std::holds_alternative<Cancelled>(outcome.ending)) {
    outcome.diagnosis = "not made: safe-exec was told to stop";
    return;
  }
  if (plan.stdin_plan.file) (void)::lseek(plan.stdin_plan.file.get(), 0, SEEK_SET);
  plan.observed = true;
  auto again = execute(plan, already);
  plan.observed = false;
  if (!again) {
    outcome.diagnosis = "not made: " + again.error().step + ": " + again.error().message;
    return;
  }
  const bool seen = !again->blocked.empty();
  outcome.blocked = with_guesses(std::move(again->blocked), std::move(outcome.blocked));
  const bool ended_itself = std::holds_alternative<Exited>(again->ending) || std::holds_alternative<Signaled>(again->ending);
  const bool stopped = std::holds_alternative<Cancelled>(again->ending);
  const bool unexplained = outcome.blocked.empty() && !stopped && !is_success(plan, again->ending);
  if (stopped) outcome.diagnosis = "the second run was interrupted: safe-exec was told to stop";
  else if (is_success(plan, again->ending)) outcome.diagnosis = "the second run did not fail";
  else if (seen) outcome.diagnosis = "seen in a second run";
  else if (!outcome.blocked.empty()) outcome.diagnosis = "the second run was refused nothing else: what is blocked was concluded from what the command said";
  else if (!ended_itself) outcome.diagnosis = "the second run was ended for a limit too, and refused nothing else";
  else outcome.diagnosis = "the second run failed too, and the confinement refused it nothing";
  if (again->diagnosis.empty()) return;
  outcome.diagnosis += unexplained ? " but" : "; beside it";
  outcome.diagnosis += " what programs mostly do without: " + again->diagnosis;
}

}  // namespace safe_exec
