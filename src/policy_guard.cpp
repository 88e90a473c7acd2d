// Owns one question: may a command write the policy that governs it, or where its paths lead? Opens nothing for reading.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "beneath.h"
#include "pattern.h"
#include "resolve.h"
#include "trust.h"

namespace safe_exec {

namespace {

bool writes(PathAccess access) {
  switch (access) {
    case PathAccess::stat:
    case PathAccess::read: return false;
    case PathAccess::write:
    case PathAccess::create:
    case PathAccess::replace: return true;
  }
  return true;
}

using Roots = std::vector<const Root*>;

void add_roots(const std::vector<Root>& roots, Roots& found) {
  for (const Root& root : roots) found.push_back(&root);
}

void add_type(const TypeRef& type, Roots& found) {
  for (const Type* next = type.get(); next != nullptr; next = next->of.get()) {  // a list of paths writes as well
    if (next->kind == Type::Kind::path && writes(next->path.access)) add_roots(next->path.within, found);
  }
}

void add_sandbox(const Sandbox& sandbox, Roots& found) {
  if (sandbox.write) add_roots(*sandbox.write, found);
}

void add_node(const Node& node, Roots& found) {
  for (const Option& option : node.options) {
    for (const TypeRef& type : option.values) add_type(type, found);
  }
  for (const Slot& slot : node.operands.value_or(std::vector<Slot>())) {
    for (const TypeRef& type : slot.types) add_type(type, found);
  }
  if (node.stdin_rule) add_type(node.stdin_rule->path, found);
  add_sandbox(node.sandbox, found);
  for (const Node& below : node.subcommands) add_node(below, found);
}

Error untrusted(std::string message) {
  Error error;
  error.code = ErrorCode::policy_untrusted;
  error.message = std::move(message);
  error.step = "policy";
  return error;
}

struct Guarded {
  std::vector<std::string> files;        // what must stay as it is
  std::vector<std::string> directories;  // what nothing may be added to: commands are read when they are asked for
  std::vector<std::string> places;       // what must not be made: it would be the policy
};

// The directory of a policy.json, which may have commands/ in it; nullopt: it is another file.
std::optional<std::string> home_of(std::string_view file) {
  constexpr std::string_view kFile = "/policy.json";
  if (!file.ends_with(kFile)) return std::nullopt;
  return std::string(file.substr(0, std::max<std::size_t>(file.size() - kFile.size(), 1)));
}

// A file of the policy, every link by which it was reached, and the commands/ beside it.
Expected<void> guard(const std::string& file, Guarded& guarded) {
  auto walked = walk_trusted(file, Owners::root_or_caller);
  if (!walked) return tl::unexpected(untrusted("the policy changed after it was read: " + describe(walked.error())));
  for (Symlink& link : walked->links) guarded.files.push_back(std::move(link.path));
  guarded.files.push_back(std::move(walked->path));
  const std::optional<std::string> home = home_of(file);
  if (!home) return {};
  // Not where the file is, which may be a link.
  const UniqueFd directory(::open(home->c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const std::optional<std::string> path = directory ? path_of(directory.get()) : std::nullopt;
  if (!path) return tl::unexpected(untrusted("the policy changed after it was read: " + file));
  guarded.directories.push_back(child_path(*path, "commands"));
  return {};
}

// Nothing is there yet: what would be, by the name that the links on the way give it, and these links.
void add_place(const std::string& place, std::vector<std::string>& places) {
  std::string at = "/", left = place;
  for (int links = 0; !left.empty();) {
    left.erase(0, left.find_first_not_of('/'));
    const std::string name = left.substr(0, left.find('/'));
    left.erase(0, name.size());
    if (name.empty() || name == ".") continue;
    if (name == "..") {
      at.resize(std::max<std::size_t>(at.rfind('/'), 1));
      continue;
    }
    const std::string next = child_path(at, name);
    std::string target(4096, '\0');  // PATH_MAX
    const ssize_t size = ::readlink(next.c_str(), target.data(), target.size());
    if (size <= 0 || ++links > kMaxLinks) {
      at = next;
      continue;
    }
    places.push_back(next);
    target.resize(static_cast<std::size_t>(size));
    left.insert(0, target + "/");
    if (target.front() == '/') at = "/";
  }
  places.push_back(std::move(at));
}

// Of a policy in the form of a directory only the command that was asked for is read.
bool has_other_commands(const Policy& policy) {
  const auto has = [](std::string_view file) {
    const std::optional<std::string> home = home_of(file);
    return home && (::access(child_path(*home, "commands").c_str(), F_OK) == 0 || errno != ENOENT);
  };
  return has(policy.file) || std::ranges::any_of(policy.sources, [&](const auto& source) { return source != nullptr && has(source->file()); });
}

Expected<void> distrust(const Policy& policy, std::vector<std::string> writable, PathResolver& resolver) {
  resolver.distrust(std::move(writable), ::geteuid() == 0 && has_other_commands(policy));
  if (std::optional<Error> broken = resolver.broken()) return tl::unexpected(*std::move(broken));
  return {};
}

}  // namespace

Expected<void> check_policy_not_writable(const Policy& policy, PathResolver& resolver) {
  Roots roots;
  for (const Command& command : policy.commands) {
    add_node(command.node, roots);
    if (command.defaults) add_sandbox(command.defaults->sandbox, roots);
  }
  if (roots.empty()) return distrust(policy, {}, resolver);
  Guarded guarded;
  if (auto done = guard(policy.file, guarded); !done) return done;
  for (const auto& source : policy.sources) {
    if (source == nullptr || source->file().substr(0, 1) != "/" || source->file() == policy.file) continue;
    if (auto done = guard(source->file(), guarded); !done) return done;
  }
  for (const std::string& place : policy.passed_over) add_place(place, guarded.places);
  std::vector<std::string> writable;
  for (const Root* const root : roots) {
    const std::optional<Grant> grant = resolver.policy_path(*root, PathAccess::write, false);
    if (!grant) continue;  // matches nothing
    writable.push_back(grant->path);
    const bool reached = std::ranges::any_of(guarded.files, [&](const std::string& file) { return is_within(file, grant->path); });
    const bool added = std::ranges::any_of(guarded.directories, [&](const std::string& directory) { return is_within(grant->path, directory); });
    const auto place = std::ranges::find_if(guarded.places, [&](const std::string& file) { return is_within(file, grant->path); });
    const bool made = place != guarded.places.end();
    if (!reached && !added && !made) continue;
    Error error = untrusted("the policy lets a command write below " + grant->path +
                            (made ? ", where it could make " + *place + ", which would be the policy then" : ", where the policy itself lies"));
    error.location = policy.locate(root->place);
    error.hint = made ? "name the policy (--policy, SAFE_EXEC_POLICY), or start safe-exec elsewhere" : "move the policy out of what its commands may write";
    return tl::unexpected(std::move(error));
  }
  return distrust(policy, std::move(writable), resolver);
}

}  // namespace safe_exec
