// Owns what check --explain says of a plan. Never decides anything; names of files are escaped as in every report.
#include "confinement.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#define JSON_NO_IO 1  // keeps the stream classes, and what they cost at start-up, out of the binary
#include <nlohmann/json.hpp>

#include "inline_text.h"
#include "pattern.h"
#include "report.h"

namespace safe_exec {
namespace {

using Json = nlohmann::ordered_json;

std::string_view access_name(PathAccess access) {
  switch (access) {
    case PathAccess::stat:
      return "stat";
    case PathAccess::read:
      return "read";
    case PathAccess::write:
      return "write";
    case PathAccess::create:
      return "create";
    case PathAccess::replace:
      return "replace";
  }
  return "stat";
}

std::string_view origin_name(Origin origin) {
  switch (origin) {
    case Origin::operand:
      return "operand";
    case Origin::policy:
      return "policy";
    case Origin::runtime:
      return "runtime";
    case Origin::device:
      return "device";
  }
  return "operand";
}

std::string_view requirement_name(Requirement requirement) {
  switch (requirement) {
    case Requirement::require:
      return "require";
    case Requirement::prefer:
      return "prefer";
    case Requirement::off:
      return "off";
  }
  return "require";
}

// The directory that a grant opens; empty: none. That of a file that is replaced is granted with it.
std::string directory_of(const Grant& grant) {
  if (grant.directory) return grant.path;
  return grant.access == PathAccess::replace ? grant.path.substr(0, std::max<std::size_t>(grant.path.rfind('/'), 1)) : std::string();
}

void add_directory(Json& entry, const Grant& grant) {
  if (grant.access == PathAccess::replace && !grant.directory) entry["directory"] = printable_text(directory_of(grant));
}

// Where what is hidden is found missing: the granted directory that it lies in, the nearest one.
std::map<const Grant*, Json> hidden_by_grant(const Plan& plan) {
  std::map<const Grant*, Json> hidden;
  for (const Covered::Match& match : plan.hidden) {
    const Grant* nearest = nullptr;
    std::size_t size = 0;
    const auto look = [&](const Grant& grant) {
      const std::string directory = directory_of(grant);
      if (directory.size() <= size || !is_within(match.path, directory)) return;
      nearest = &grant;
      size = directory.size();
    };
    std::ranges::for_each(plan.grants, look);
    for (const Covered& covered : plan.covered) look(covered.grant);
    if (nearest != nullptr) hidden[nearest].push_back(printable_text(match.path));
  }
  return hidden;
}

Json grants_json(const Plan& plan) {
  Json out = Json::array();
  std::map<const Grant*, Json> hidden = hidden_by_grant(plan);
  for (const Grant& grant : plan.grants) {
    Json entry{{"path", printable_text(grant.path)},
               {"access", grant.stat_only ? "stat" : access_name(grant.access)},
               {"kind", grant.directory ? "dir" : "file"},
               {"origin", origin_name(grant.origin)}};
    if (!grant.given.empty() && grant.given != grant.path) entry["given"] = printable_text(grant.given);
    if (grant.executable) entry["execute"] = true;
    if (!grant.exists) entry["exists"] = false;
    add_directory(entry, grant);
    if (const auto found = hidden.find(&grant); found != hidden.end()) entry["hidden"] = std::move(found->second);
    out.push_back(std::move(entry));
  }
  for (const Covered& covered : plan.covered) {  // in place of those around the matches, where there is a mount namespace
    Json matches = Json::array();
    for (const auto& match : covered.matches) matches.push_back(printable_text(match.path));
    Json entry{{"path", printable_text(covered.grant.path)}, {"access", access_name(covered.grant.access)},
               {"kind", covered.grant.directory ? "dir" : "file"}, {"origin", origin_name(covered.grant.origin)}};
    add_directory(entry, covered.grant);
    entry["covered"] = std::move(matches);
    if (const auto found = hidden.find(&covered.grant); found != hidden.end()) entry["hidden"] = std::move(found->second);
    out.push_back(std::move(entry));
  }
  return out;
}

Json network_json(const Network& network) {
  switch (network.kind) {
    case Network::Kind::none:
      return "none";
    case Network::Kind::loopback:
      return "loopback";
    case Network::Kind::host:
      return "host";
    case Network::Kind::connect_tcp:
      return {{"connect_tcp", network.ports}};
  }
  return "none";
}

Json limits_json(const Plan& plan) {
  return {{"timeout_ms", plan.timeout_ms},        {"stdout_bytes", plan.stdout_bytes},
          {"stderr_bytes", plan.stderr_bytes},    {"cpu_s", plan.limits.cpu_s},
          {"memory_mib", plan.limits.memory_mib}, {"data_mib", plan.limits.data()},
          {"processes", plan.limits.processes},   {"file_mib", plan.limits.file_mib},
          {"tmp_mib", plan.limits.tmp_mib},       {"open_files", plan.limits.open_files}};
}

Json read_only_json(const Plan& plan) {
  Json out = Json::array();
  for (const ReadOnlyPath& kept : plan.read_only) out.push_back(printable_text(kept.path));
  return out;
}

Json texts(const std::vector<std::string>& list) {
  Json out = Json::array();
  for (const std::string& item : list) out.push_back(printable_text(item));
  return out;
}

}  // namespace

Json confinement_json(const Plan& plan) {
  static constexpr std::array<Name, 3> kProc{"none", "own", "all"};
  static constexpr std::array<Name, 7> kBundles{"base", "nss", "dns", "tls", "tz", "term", "locale"};
  Json bundles = Json::array();
  for (const Bundle bundle : plan.bundles) bundles.push_back(kBundles[static_cast<std::size_t>(bundle)]);
  Json layers = Json::object();
  for (const auto& [layer, requirement] : plan.layers)
    layers[std::string(layer_name(layer))] = requirement_name(requirement);
  Json out{{"binary", plan.binary.path},
           {"interpreter", plan.binary.interpreter.empty() ? Json(nullptr) : Json(printable_text(plan.binary.interpreter))},
           {"env", texts(plan.env)},
           {"grants", grants_json(plan)},
           {"deny_paths", texts(plan.deny_globs)},
           {"read_only", read_only_json(plan)},
           {"one_exec", plan.one_exec},
           {"network", network_json(plan.network)},
           {"unix_sockets", texts(plan.unix_sockets)},
           {"proc", kProc[static_cast<std::size_t>(plan.proc)]},
           {"tmp", plan.tmp == Tmp::none ? "none" : "private"},
           {"syscalls", plan.syscalls == Syscalls::jit ? "jit" : "default"},
           {"bundles", std::move(bundles)},
           {"limits", limits_json(plan)},
           {"layers", std::move(layers)}};
  for (const MissingPath& missing : plan.missing) {
    const std::string path = printable_text(missing.path);
    if (missing.problem.empty()) out["missing"].push_back(path);
    else out["untrusted"].push_back({{"path", path}, {"reason", printable_text(missing.problem)}});
  }
  return out;
}

}  // namespace safe_exec
