// Level 5. doctor: launches safe-exec itself under the default confinement, by the one launcher, and says what held,
// what did not, who is in the way and what mends it.
#include <cerrno>
#include <fcntl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <string>
#include <vector>

#define JSON_NO_IO 1
#include <nlohmann/json.hpp>

#include "attempts.h"
#include "confine/census.h"
#include "confine/failure.h"
#include "output.h"
#include "report.h"
#include "resolve.h"
#include "runtime.h"
#include "supervise.h"
#include "trust.h"
#include "verbs.h"

namespace safe_exec {
namespace {

using Json = nlohmann::ordered_json;

struct Obstacle {
  std::string who;
  std::string remedy;
};

// The first bytes of a small file of the kernel's; empty when it is not there.
std::string read_small(const char* path) {
  const UniqueFd fd(::open(path, O_RDONLY | O_CLOEXEC));
  std::array<char, 4096> buffer{};
  const ssize_t got = fd ? ::read(fd.get(), buffer.data(), buffer.size()) : -1;
  return got > 0 ? std::string(buffer.data(), static_cast<std::size_t>(got)) : std::string();
}

bool starts_with_digit(const char* path, char digit) {
  const std::string text = read_small(path);
  return !text.empty() && text.front() == digit;
}

bool filtered() { return read_small("/proc/self/status").find("Seccomp:\t2") != std::string::npos; }

// The AppArmor profile or SELinux context of this process; empty: unconfined, or none.
std::string profile() {
  std::string text = read_small("/proc/self/attr/current");
  text.resize(std::min(text.size(), text.find_first_of(std::string_view("\0\n", 2))));
  return text == "unconfined" ? std::string() : text;
}

// Who usually refuses namespaces. Each is looked at; all that apply are named.
std::vector<Obstacle> namespace_obstacles() {
  std::vector<Obstacle> out;
  for (const std::string& name : namespaces_of_none()) out.push_back({"sysctl " + name + " is 0", "sysctl -w " + name + "=15000"});
  if (!out.empty()) return out;  // reason enough; of those below it is not known what they refuse
  if (starts_with_digit("/proc/sys/kernel/unprivileged_userns_clone", '0')) {
    out.push_back({"sysctl kernel.unprivileged_userns_clone is 0", "sysctl -w kernel.unprivileged_userns_clone=1"});
  }
  if (starts_with_digit("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", '1')) {
    out.push_back({"AppArmor restricts unprivileged user namespaces",
                   "load an AppArmor profile that grants userns to this binary (flags=(unconfined) { userns, })"});
  }
  if (const std::string name = profile(); !name.empty()) {
    out.push_back({"this process is confined by the security profile " + name, "let that profile allow user namespaces and mounts"});
  }
  if (filtered()) {
    out.push_back({"a seccomp filter is already in force (a container's profile?)",
                   "run the container with a seccomp profile that allows clone, unshare and mount in user namespaces"});
  }
  if (::access("/.dockerenv", F_OK) == 0 || ::access("/run/.containerenv", F_OK) == 0) {
    out.push_back({"this is a container, whose runtime may refuse namespaces and mounts",
                   "allow them for this container, or accept the Landlock and seccomp mode"});
  }
  // user_namespaces(7): EPERM for a process whose root is not that of its mount namespace. Nothing tells it so.
  if (out.empty()) {
    out.push_back({"nothing that can be looked at: perhaps this is a chroot, or a security module refuses",
                   "use pivot_root(2) in place of chroot(2), or accept the Landlock and seccomp mode"});
  }
  return out;
}

// Namespaces can be had, mounts in them not.
std::vector<Obstacle> mount_obstacles() {
  const char* const who = filtered() ? "a seccomp filter that is already in force, an outer Landlock domain (it forbids mounts) or a security module"
                                     : "an outer sandbox (a Landlock domain forbids mounts) or a security module";
  return {{who, "start safe-exec outside of it, or accept the Landlock and seccomp mode"}};
}

std::vector<Obstacle> landlock_obstacles() {
  if (filtered()) {
    return {{"a seccomp filter is already in force (a container's profile?)",
             "run the container with a seccomp profile that allows the landlock_ calls; else Linux 5.13 with Landlock is missing"}};
  }
  const std::string modules = read_small("/sys/kernel/security/lsm");
  if (!modules.empty() && modules.find("landlock") == std::string::npos) {
    return {{"Landlock is not among the active security modules (" + modules + ")", "boot with lsm=landlock," + modules}};
  }
  return {{"this kernel has no usable Landlock", "use Linux 5.13 or later, built with CONFIG_SECURITY_LANDLOCK"}};
}

std::vector<Obstacle> limits_obstacles() {
  if (!Census::possible()) {
    return {{"/proc does not show the processes of others (hidepid), or is that of another pid namespace",
             "mount /proc without hidepid, or with gid= a group of the caller, and for this pid namespace; or delegate a cgroup"}};
  }
  return {{"no cgroup of version 2 is delegated to this process, and rlimits do not bind all of a tree",
           "delegate one (in a unit of systemd: Delegate=memory pids, DelegateSubgroup=main), or allow user namespaces"}};
}

std::vector<Obstacle> obstacles(const LayerStatus& status) {
  if (status.layer == Layer::mount_namespace && status.detail.substr(0, 6) == "mount_") return mount_obstacles();
  switch (status.layer) {
    case Layer::user_namespace:
    case Layer::pid_namespace:
    case Layer::mount_namespace:
    case Layer::ipc_namespace:
    case Layer::uts_namespace:
    case Layer::tree_kill: return namespace_obstacles();
    case Layer::landlock: return landlock_obstacles();
    case Layer::limits: return limits_obstacles();
    case Layer::no_new_privs:
    case Layer::capabilities:
    case Layer::seccomp:
    case Layer::descriptors:
    case Layer::environment:
    case Layer::deny_paths: return {};
  }
  return {};
}

// By the calls that decide every request; what they find does not matter, only whether the host answers.
Expected<void> look_up(const std::string& path) {
  auto resolver = make_system_resolver(Policy{}, {});
  if (!resolver) return tl::make_unexpected(resolver.error());
  Command command;
  command.paths = {path};
  command.trust = Trust::caller;
  PathType type;
  type.within = {Root{"", "/", {}}};
  (void)(*resolver)->binary(command, "", {}, false);
  (void)(*resolver)->path(path, type);
  if (auto broken = (*resolver)->broken()) return tl::make_unexpected(*std::move(broken));
  return {};
}

Requirement by_default(Layer layer) { return default_requirement(layer); }
Requirement if_possible(Layer) { return Requirement::prefer; }

Expected<Outcome> probe(Requirement (*wanted)(Layer)) {
  if (auto shown = require_proc(); !shown) return tl::make_unexpected(shown.error());
  Plan plan;
  plan.command = "doctor";
  std::array<char, PATH_MAX> path{};
  const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size());
  plan.binary.fd.reset(::open("/proc/self/exe", O_PATH | O_CLOEXEC));
  plan.cwd_fd.reset(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  plan.binary.readable.reset(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  if (length <= 0 || !plan.binary.fd || !plan.binary.readable || !plan.cwd_fd) {
    Error error;
    error.code = ErrorCode::sandbox_unavailable;
    error.message = "the probe cannot open its own binary";
    error.step = "open /proc/self/exe";
    error.sys_errno = errno;
    return tl::make_unexpected(std::move(error));
  }
  plan.binary.path.assign(path.data(), static_cast<std::size_t>(length));
  plan.binary.physical = plan.binary.path;
  if (auto looked = look_up(plan.binary.path); !looked) return tl::make_unexpected(looked.error());
  plan.cwd = "/";
  plan.argv = {std::string(kAttemptsName), std::to_string(::getpid())};
  for (int i = 0; i < kLayerCount; ++i) {
    const auto layer = static_cast<Layer>(i);
    plan.layers[layer] = wanted(layer);
  }
  if (auto added = add_runtime(plan); !added) return tl::make_unexpected(added.error());
  LayerStatus environment{Layer::environment, LayerState::enforced, "", 0};
  LayerStatus deny_paths{Layer::deny_paths, LayerState::enforced, "", 0};
  return execute(plan, {environment, deny_paths});
}

// Where anybody could have written what is executed, no policy and no program is trusted, however well the sandbox holds.
Expected<void> trusts_the_system() {
  for (const char* const path : {"/", "/usr/bin"}) {
    const auto walked = walk_trusted(path, Owners::root);
    if (walked || walked.error().sys_errno != 0) continue;  // not there: nothing is run from it
    Error error;
    error.code = ErrorCode::policy_untrusted;
    error.message = describe(walked.error());
    error.step = "trust";
    error.hint = "policies and programs below it are refused: let root own it, and nobody else write it";
    return tl::make_unexpected(std::move(error));
  }
  return {};
}

// What the attempts found open; of a command that did not end well, that.
std::vector<std::string> found_open(const Outcome& outcome) {
  const auto* exited = std::get_if<Exited>(&outcome.ending);
  if (exited == nullptr || exited->code != 0) return {"the probe did not end by itself"};
  return open_attempts(outcome.out.head + outcome.out.tail);
}

bool ran_well(const Expected<Outcome>& outcome) { return outcome && found_open(*outcome).empty(); }

struct Finding {
  Expected<Outcome> by_default;
  Expected<Outcome> shown;  // where that was refused: with what layers there are, so that it is seen which are not
};

Finding examine() {
  Finding finding{probe(by_default), {}};
  const bool refused = !finding.by_default && finding.by_default.error().code == ErrorCode::sandbox_unavailable;
  finding.shown = refused ? probe(if_possible) : finding.by_default;
  if (auto trusted = trusts_the_system(); finding.by_default && !trusted) finding.by_default = tl::make_unexpected(trusted.error());
  if (!finding.by_default) add_hint(finding.by_default.error());
  return finding;
}

bool missing(const LayerStatus& status) {
  return status.state == LayerState::not_enforced || status.state == LayerState::partial;
}

std::string doctor_json(const Finding& finding, const utsname& kernel) {
  const Expected<Outcome>& outcome = finding.by_default;
  Json layers = Json::object();
  Json in_the_way = Json::array();
  if (finding.shown) {
    for (const LayerStatus& status : finding.shown->layers) {
      Json entry{{"status", state_name(status.state)}};
      if (status.abi != 0) entry["abi"] = status.abi;
      if (!status.detail.empty()) entry["detail"] = status.detail;
      layers[std::string(layer_name(status.layer))] = std::move(entry);
      if (!missing(status)) continue;
      for (const Obstacle& obstacle : obstacles(status)) {
        in_the_way.push_back({{"layer", layer_name(status.layer)}, {"who", obstacle.who}, {"remedy", obstacle.remedy}});
      }
    }
  }
  Json json{{"schema", "safe-exec/doctor/v1"},
            {"healthy", ran_well(outcome)},
            {"kernel", std::string(kernel.release)},
            {"layers", std::move(layers)},
            {"in_the_way", std::move(in_the_way)},
            {"open", finding.shown ? found_open(*finding.shown) : std::vector<std::string>()}};
  json["error"] = outcome ? Json(nullptr)
                          : Json{{"code", code_name(outcome.error().code)},
                                 {"message", outcome.error().message},
                                 {"step", outcome.error().step},
                                 {"errno", outcome.error().sys_errno},
                                 {"hint", outcome.error().hint}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string doctor_text(const Finding& finding, const utsname& kernel) {
  const Expected<Outcome>& outcome = finding.by_default;
  std::string out = "kernel " + std::string(kernel.release) + "\n";
  std::vector<std::string> told;  // one obstacle is in the way of several layers
  if (!outcome) out += error_text(outcome.error());
  if (!outcome && finding.shown) out += "what would be left here:\n";
  if (finding.shown) {
    for (const LayerStatus& status : finding.shown->layers) {
      std::string name(layer_name(status.layer));
      name.resize(18, ' ');
      out += name + std::string(state_name(status.state));
      if (status.abi != 0) out += " (ABI " + std::to_string(status.abi) + ")";
      if (!status.detail.empty()) out += ": " + status.detail;
      out += "\n";
      if (!missing(status)) continue;
      for (const Obstacle& obstacle : obstacles(status)) {
        if (std::find(told.begin(), told.end(), obstacle.who) != told.end()) continue;
        told.push_back(obstacle.who);
        out += "    in the way: " + obstacle.who + "\n    remedy: " + obstacle.remedy + "\n";
      }
    }
    for (const std::string& name : found_open(*finding.shown)) out += "open inside the sandbox: " + name + "\n";
  }
  out += ran_well(outcome) ? "healthy: a command under the default confinement runs here\n"
                           : "unhealthy: a command under the default confinement is refused here\n";
  return out;
}

}  // namespace

int doctor_verb(const Invocation& in) {
  utsname kernel{};
  (void)::uname(&kernel);  // fails only on a bad pointer
  const Finding finding = examine();
  const std::string text = in.output == Output::json ? doctor_json(finding, kernel) : doctor_text(finding, kernel);
  if (!write_answer(text)) return 2;
  return ran_well(finding.by_default) ? 0 : 1;
}

}  // namespace safe_exec
