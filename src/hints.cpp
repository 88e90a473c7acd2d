#include "hints.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <set>

#include "bundles.h"
#include "confine/landlock.h"
#include "inline_text.h"
#include "pattern.h"
#include "resolve.h"

namespace safe_exec {
namespace {

// What programs look for and mostly do without, below each.
constexpr std::array<Name, 23> kOftenAbsent{"/etc/ld.so.preload", "/usr/lib/locale", "/usr/share/locale", "/usr/share/locale-langpack", "/etc/selinux",
                                            "/sys", "/proc/self", "/proc/thread-self", "/proc/mounts", "/proc/filesystems", "/proc/meminfo", "/proc/cpuinfo",
                                            "/proc/stat", "/proc/sys", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/localtime", "/etc/gitconfig",
                                            "/usr/lib/ssl/openssl.cnf", "/etc/ssl/openssl.cnf", "/etc/services", "/usr/share/zoneinfo"};
constexpr std::array<Name, 5> kOftenAbsentAsSuch{"/", "/run", "/usr/local", "/usr/local/include", "/dev/tty"};
constexpr std::array<Name, 4> kOftenAbsentBelow{"/glibc-hwcaps", "-linux-gnu/gconv/", "/dist-packages", "/sitecustomize"};

// As strerror(3) or strsignal(3) has it, in whatever case (Go's are small), or by its name (node's).
bool says(const std::string& text, int error) {
  const auto same_letter = [](unsigned char a, unsigned char b) { return std::tolower(a) == std::tolower(b); };
  const std::string_view words = error < 0 ? ::sigdescr_np(-error) : ::strerrordesc_np(error);
  const bool described = std::ranges::search(text, words, same_letter).size() > 0;
  if (error < 0) return described || text.find(std::string("SIG") + ::sigabbrev_np(-error)) != std::string::npos;  // python: "Signals.SIGXCPU"
  return described || names_file(text, ::strerrorname_np(error));
}

// The bundles that grant it to be read, as the policy names them; empty: none.
std::string bundles_of(const Plan& plan, const std::string& path) {
  struct Named {
    Bundle bundle;
    Name name;
  };
  constexpr std::array<Named, 6> kNamed{{{Bundle::nss, "nss"}, {Bundle::dns, "dns"}, {Bundle::tls, "tls"}, {Bundle::tz, "tz"}, {Bundle::term, "term"}, {Bundle::locale, "locale"}}};
  const std::string_view file = std::string_view(path).substr(path.rfind('/') + 1);
  std::string found;
  for (const auto& [bundle, name] : kNamed) {
    const BundleFiles files = bundle_files(bundle);
    const bool holds = std::ranges::any_of(files.paths, [&](std::string_view place) { return is_within(path, place); }) ||
                       std::ranges::any_of(files.libraries, [&](std::string_view library) { return library == file; });
    if (!holds) continue;
    if (std::ranges::find(plan.bundles, bundle) != plan.bundles.end()) return "";  // then it is not that
    found.append(found.empty() ? "sandbox.bundles \"" : " or \"").append(name).append("\"");
  }
  return found;
}

// As a shell looks for one in all of PATH.
bool is_program(const std::string& path) {
  struct stat status {};
  const bool in_bin = path.find("/bin/") != std::string::npos || path.find("/sbin/") != std::string::npos;
  return in_bin && ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & 0111) != 0;
}

// Why no Unix socket can be had though the policy names some; empty: it is not so.
std::string_view lost_unix_sockets(const Plan& plan, const Launch& launch) {
  if (plan.unix_sockets.empty()) return "";
  if (!launch.wanted.namespaces.mount) return kNoBoundSockets;
  return launch.unreached.find(kNoUnixSockets) != std::string::npos ? kNoUnixSockets : "";
}

// One of them; empty: there is none.
std::string directory_among(const Plan& plan, const std::set<std::string>& fixed, const std::string& directory) {
  if (!directory.empty()) return fixed.contains(physical(directory)) ? directory : "";
  return fixed.contains(plan.cwd) ? plan.cwd : fixed.empty() ? "" : *fixed.begin();
}

}  // namespace

// A Unix socket: libc asks a daemon for names, if there is one.
bool is_done_without(const Observed& seen) {
  if (seen.family == AF_UNIX || std::ranges::any_of(kOftenAbsentAsSuch, [&](std::string_view name) { return seen.path == name; })) return true;
  return !seen.writes && !seen.executes && (std::ranges::any_of(kOftenAbsent, [&](std::string_view place) { return is_within(seen.path, place); }) ||
                                            std::ranges::any_of(kOftenAbsentBelow, [&](std::string_view part) { return seen.path.find(part) != std::string::npos; }));
}

bool is_granted(const Plan& plan, std::string_view path, PathAccess least) {
  return std::ranges::any_of(plan.grants, [&](const Grant& grant) {
    if (grant.access < least) return false;
    const auto below = [&](const std::string& name) {
      return !name.empty() && (grant.directory ? is_within(path, name) : path == name);
    };
    return below(grant.path) || below(grant.given);
  });
}

bool is_absent(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) != 0 && (errno == ENOENT || errno == ENOTDIR);
}

std::string parent_of(const std::string& path) { return path.substr(0, std::max<std::size_t>(path.rfind('/'), 1)); }

bool is_of_proc(std::string_view path) {
  return is_within(path, "/proc") || is_within(path, "/dev/fd") || path == "/dev/stdin" || path == "/dev/stdout" || path == "/dev/stderr";
}

std::string physical(const std::string& path) {
  std::array<char, PATH_MAX> buffer;
  std::string real = path;
  while (!real.empty() && ::realpath(real.c_str(), buffer.data()) == nullptr) real.resize(real.rfind('/'));
  return (real.empty() ? "" : buffer.data()) + path.substr(real.size());
}

std::string place_of(const Observed& seen) { return seen.names ? parent_of(seen.path) : seen.path; }

std::optional<Cause> lost_grant(const Plan& plan, const Launch& launch, const Observed& seen) {
  if (is_granted(plan, place_of(seen), seen.writes ? PathAccess::write : PathAccess::read)) return std::nullopt;
  const bool of_tmp = is_within(seen.path, "/tmp") || is_within(seen.path, "/dev/shm");
  if (of_tmp && plan.tmp == Tmp::private_dir && !launch.wanted.namespaces.mount) return Cause{Layer::mount_namespace, kNoTmp};
  const auto proc = is_of_proc(seen.path) && !seen.writes ? withheld_proc(plan, launch.wanted) : std::nullopt;
  return proc ? std::optional<Cause>(Cause{proc->layer, proc->what}) : std::nullopt;
}

std::optional<Cause> cause_of_fixed(const Plan& plan, const Launch& launch, const std::string& directory) {
  const bool mounts = launch.wanted.namespaces.mount;
  const auto text = [&](const std::string& what, const std::string& place, const char* why) {
    return what + " something in " + place + why + " nothing in it can be created, removed or renamed";
  };
  const std::set<std::string> read_only(launch.ruleset.fixed.begin(), launch.ruleset.fixed.end());
  if (const std::string kept = directory_among(plan, read_only, directory); !kept.empty()) {
    return Cause{Layer::landlock, text("read_only names", kept, mounts ? " that is not there, and mount_namespace is required:" : ", and without a mount namespace")};
  }
  const std::string denied = mounts || !launch.wanted.landlock ? "" : directory_among(plan, fixed_by_denied(plan), directory);
  if (denied.empty()) return std::nullopt;
  return Cause{Layer::deny_paths, text("deny_paths match", denied, ", and without a mount namespace")};
}

bool is_shut_device(const Launch& launch, const Observed& seen) {
  struct stat status {};
  return launch.wanted.namespaces.mount && seen.is_known() && ::stat(seen.path.c_str(), &status) == 0 && (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode));
}

std::string key_for(const Plan& plan, const Launch& launch, const Observed& seen) {
  const auto lies_in = [&](std::string_view place) { return is_within(seen.path, place); };
  if (is_of_proc(seen.path)) return plan.proc == Proc::none ? "sandbox.proc gives a /proc" : "what is there belongs to another process, or to the kernel";
  if (lies_in("/tmp") && plan.tmp == Tmp::none) return "sandbox.tmp \"private\" gives a /tmp";
  if (lies_in("/dev/shm") && plan.tmp == Tmp::none) return "sandbox.tmp \"private\" gives a /dev/shm, which is its /tmp, with a mount namespace";
  if (seen.executes || (!seen.writes && is_program(seen.path))) return "sandbox.exec";
  if (seen.writes && seen.path.rfind('/') == 0 && (seen.path == "/" || is_absent(seen.path))) return "nothing is made in / itself: name another directory; a variable, as HOME, may be empty";
  if (const std::string bundles = seen.writes ? "" : bundles_of(plan, seen.path); !bundles.empty()) return bundles;
  if (seen.names) return "sandbox.write, of its directory " + parent_of(seen.path) + (seen.another ? " and that of the other name" : "");
  if (is_shut_device(launch, seen)) return "no grant opens a device";
  return seen.writes ? "sandbox.write" : "sandbox.read";
}

std::string kept_by(const Plan& plan, const Observed& seen) {
  if (!seen.writes && !seen.names) return {};
  const auto kept = std::ranges::find_if(plan.read_only, [&](const ReadOnlyPath& one) {
    return is_within(seen.path, one.path) || (seen.names && is_within(one.path, seen.path));
  });
  return kept == plan.read_only.end() ? std::string() : kept->path;
}

std::string hint_of_missing(const Plan& plan, const Observed& seen) {
  const auto missing = std::ranges::find_if(plan.missing, [&](const MissingPath& one) {
    if (one.access == PathAccess::stat) return seen.family == AF_UNIX || (seen.is_socket && seen.path == one.path);
    if (seen.is_socket || (seen.writes && one.access < PathAccess::write)) return false;
    return is_within(seen.path, one.path) || (seen.names && is_within(one.path, seen.path));
  });
  if (missing == plan.missing.end()) return {};
  if (!missing->problem.empty()) return "the policy names " + missing->path + " (sandbox.exec), but it is not executed: " + missing->problem;
  return "the policy names " + missing->path + ", but it was not there when the run began: nothing more has to be granted";
}

std::string hint_of_filter(const Plan& plan, const Launch& launch, const Observed& seen) {
  if (seen.family == AF_UNIX) {
    const std::string_view lost = lost_unix_sockets(plan, launch);
    return std::string(!lost.empty() ? lost : "no Unix socket is granted (sandbox.unix_sockets)");
  }
  if (seen.call == "socket" && seen.family != AF_INET && seen.family != AF_INET6) return "sockets of this family are not granted";
  if (seen.is_socket && plan.network.kind != Network::Kind::none && !launch.unreached.empty()) return launch.unreached;
  if (seen.is_socket) return "no socket of this kind is granted (sandbox.network, sandbox.unix_sockets)";
  if (seen.executes) return "no further program may be executed (sandbox.exec)";
  if (seen.call.find("chmod") < 2 || seen.call.find("chown") < 3 || seen.call.find("utime") != std::string::npos ||
      seen.call.find("xattr") != std::string::npos) {
    return "metadata may be changed only where the policy grants a write, and in a minimal root; set-user-ID never";
  }
  if (seen.call == "mmap" || seen.call == "mprotect" || seen.call == "memfd_create") {
    return "memory that was written may not be executed (sandbox.syscalls \"jit\" lets it)";
  }
  return "the system call filter refuses this call";
}

std::string hint_of_domain(const Plan& plan, const Launch& launch, const Observed& seen, int error) {
  if (!launch.wanted.landlock || !seen.path.empty()) return "";
  if (seen.is_socket && error == EACCES && plan.network.kind == Network::Kind::connect_tcp) return "no such port is granted (sandbox.network, connect_tcp)";
  if (launch.ruleset.abi < landlock::kScopes || error != EPERM) return "";
  if (seen.is_socket || seen.call.starts_with("send")) return "abstract Unix sockets of others stay shut (sandbox.unix_sockets names files)";
  if (seen.call.ends_with("kill") || seen.call.find("sig") != std::string::npos) return "only the command's own processes may be signalled";
  return "";
}

std::string_view limit_behind(const Plan& plan, int error) {
  const EffectiveLimits& limits = plan.limits;
  switch (error) {
    case EMFILE: return limits.open_files > 0 ? "limits.open_files may have been reached" : "";
    case -SIGXCPU: return limits.cpu_s > 0 ? "a process may not take more processor time than limits.cpu_s" : "";
    case -SIGXFSZ:
    case EFBIG: return limits.file_mib > 0 ? "a file may not become larger than limits.file_mib" : "";
    case EAGAIN: return limits.processes > 0 ? "limits.processes may have been reached" : "";
    case ENOMEM: return limits.memory_mib > 0 || limits.data() > 0 ? "limits.memory_mib or data_mib may have been reached" : "";
    default: return "";
  }
}

bool names_file(const std::string& text, std::string_view file) {
  const auto ends = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0 && std::string_view("._-").find(c) == std::string_view::npos; };
  for (std::size_t at = text.find(file); at != std::string::npos; at = text.find(file, at + 1)) {
    const std::size_t end = at + file.size();
    if ((at == 0 || ends(text[at - 1])) && (end == text.size() || ends(text[end]))) return true;
  }
  return false;
}

bool names_file(const Captured& captured, std::string_view file) { return names_file(captured.head, file) || names_file(captured.tail, file); }

bool contains(const Captured& captured, std::string_view words) {
  return captured.head.find(words) != std::string::npos || captured.tail.find(words) != std::string::npos;
}

bool tells_of(const Captured& captured, std::string_view path) {
  struct Told {
    Name path, words;
  };
  constexpr std::array<Told, 16> kTold{{{"/etc/passwd", "user ID"}, {"/etc/passwd", "getpwuid"}, {"/etc/passwd", "getpwnam"}, {"/etc/passwd", "uid not found"},
                                       {"/etc/passwd", "os_get_passwd"}, {"/etc/group", "group ID"}, {"/etc/group", "getgrgid"}, {"/etc/group", "getgrnam"},
                                        {"/etc/passwd", "no such user"}, {"/etc/passwd", "invalid user"}, {"/etc/passwd", "unknown user"}, {"/etc/passwd", "known user"},
                                        {"/etc/group", "invalid group"}, {"/etc/group", "unknown group"}, {"/etc/group", "existing group"},
                                        {"/proc/self/exe", "loading shared libraries"}}};  // $ORIGIN, ld.so(8)
  constexpr std::string_view kZones = "/usr/share/zoneinfo/";
  return (path.starts_with(kZones) && names_file(captured, path.substr(kZones.size()))) ||
         std::ranges::any_of(kTold, [&](const Told& one) { return path == one.path && contains(captured, one.words); });
}

bool says(const Captured& captured, int error) {
  struct Other {
    int error;
    Name words;
  };
  // What shells, perl, python and others say instead.
  constexpr std::array<Other, 4> kOthers{{{EAGAIN, "Cannot fork"}, {ENOMEM, "Out of memory"}, {ENOMEM, "out of memory"}, {ENOMEM, "MemoryError"}}};
  const auto other = [&](const Other& one) { return one.error == error && contains(captured, one.words); };
  return says(captured.head, error) || says(captured.tail, error) || std::ranges::any_of(kOthers, other);
}

}  // namespace safe_exec
