// Owns the file system of examples: nothing of the host, every path beneath a root a file unless the policy's fixture
// says otherwise. Never opens anything; its descriptors are empty.
#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <utility>

#include "examples.h"

namespace safe_exec {
namespace {

constexpr int kMaxLinks = 40;      // path_resolution(7)
constexpr int kMaxExpansions = 8;  // variables in variables

using Components = std::vector<std::string>;

Components split(std::string_view path) {
  Components components;
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    const std::string_view component = path.substr(0, slash);
    if (!component.empty() && component != ".") components.emplace_back(component);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
  }
  return components;
}

std::string join(const Components& components) {
  std::string path;
  for (const std::string& component : components) path.append("/").append(component);
  return path.empty() ? "/" : path;
}

bool begins_with(const Components& path, const Components& root) {
  return path.size() >= root.size() && std::equal(root.begin(), root.end(), path.begin());
}

// What only a directory can be called.
bool means_directory(std::string_view text) {
  return text.ends_with('/') || text == "." || text == ".." || text.ends_with("/.") || text.ends_with("/..");
}

tl::unexpected<PathFailure> fail(DenialCode code) {
  return tl::unexpected(PathFailure{code, "", "", 0});
}

enum class FileKind : std::uint8_t { file, directory, link };

struct Entry {
  FileKind kind = FileKind::file;
  std::string target;  // link
};

class FixtureResolver final : public PathResolver {
 public:
  explicit FixtureResolver(const Policy& policy) : policy_(policy) {
    for (const FixtureEntry& entry : policy.fixture) {
      Components path = split(absolute_in(split(kFixtureStartDir), entry.path));
      const FileKind kind = entry.directory             ? FileKind::directory
                            : entry.link_target.empty() ? FileKind::file
                                                        : FileKind::link;
      entries_[path] = {kind, entry.link_target};
      while (!path.empty()) {  // what something lies in is a directory
        path.pop_back();
        entries_.try_emplace(path, Entry{FileKind::directory, ""});
      }
    }
  }

  PathResult<Binary> binary(const Command& command, std::string_view as_named, const std::vector<Root>&,
                            bool) override {
    Binary binary;
    binary.path = !as_named.empty() ? std::string(as_named) : command.paths.front();
    return binary;
  }

  PathResult<Directory> enter(std::optional<std::string_view> text, const std::vector<Root>& within) override {
    if (!text) {
      cwd_ = split(kFixtureStartDir);
      return Directory{join(cwd_), UniqueFd()};
    }
    PathType directory;
    directory.access = PathAccess::stat;
    directory.kind = PathKind::dir;
    directory.within = within;
    PathResult<Grant> found = path(*text, directory);
    if (!found) {
      const bool outside = found.error().code == DenialCode::path_outside;
      return fail(outside ? DenialCode::cwd_not_allowed : found.error().code);
    }
    cwd_ = split(found->path);
    return Directory{found->path, UniqueFd()};
  }

  PathResult<Grant> path(std::string_view text, const PathType& type) override {
    const std::string name = absolute_in(cwd_, text);
    const Components wanted = split(name);
    PathResult<Grant> result = fail(DenialCode::path_outside);
    for (const Root& root : type.within) {
      const std::optional<std::string> top = expand(root);
      if (!top || !begins_with(wanted, split(*top))) continue;
      result = beneath(split(*top), wanted, means_directory(text), type);
      if (result || result.error().code != DenialCode::path_outside) break;
    }
    if (result && changes(type.access) && is_root(result->path, type.within)) return fail(DenialCode::path_wrong_kind);
    if (result && join(wanted) != result->path) result->given = join(wanted);
    return result;
  }

  // Only what the fixture lists: otherwise no token could ever be a revision.
  bool names_existing(std::string_view text, const std::vector<Root>& within) override {
    PathType any;
    any.access = PathAccess::stat;
    any.within = within;
    return entries_.count(split(absolute_in(cwd_, text))) > 0 && path(text, any).has_value();
  }

  std::optional<Grant> policy_path(const Root& root, PathAccess access, bool executable) override {
    const std::optional<std::string> text = expand(root);
    if (!text) return std::nullopt;
    Grant grant;
    grant.path = join(split(*text));
    grant.directory = !executable;
    grant.executable = executable;
    grant.access = access;
    grant.origin = Origin::policy;
    return grant;
  }

  std::optional<std::string> expand(const Root& root) override { return expand(root.variable, root.path, 0); }

  PathResult<UniqueFd> open_stdin_file(const Grant&) override { return UniqueFd(); }

 private:
  static bool changes(PathAccess access) { return access != PathAccess::stat && access != PathAccess::read; }

  static std::string absolute_in(const Components& directory, std::string_view text) {
    return text.starts_with('/') ? std::string(text) : join(directory) + "/" + std::string(text);
  }

  bool is_root(std::string_view path, const std::vector<Root>& within) {
    return std::any_of(within.begin(), within.end(), [&](const Root& root) {
      const std::optional<std::string> top = expand(root);
      return top && join(split(*top)) == path;
    });
  }

  std::optional<std::string> expand(std::string_view variable, std::string_view path, int depth) const {
    if (variable.empty()) return std::string(path);
    std::optional<std::string> value;
    if (variable == "start_dir") value = std::string(kFixtureStartDir);
    for (const Variable& known : policy_.variables) {
      if (known.name == variable) value = value_of(known, depth);
    }
    if (!value) return std::nullopt;
    return path.empty() ? *value : *value + "/" + std::string(path);
  }

  std::optional<std::string> value_of(const Variable& variable, int depth) const {
    if (!variable.default_value) {
      return variable.settable ? std::optional("/" + variable.name) : std::nullopt;
    }
    const std::string_view text = *variable.default_value;
    if (!text.starts_with("${")) return std::string(text);
    const std::size_t end = text.find('}');
    if (end == std::string_view::npos || depth == kMaxExpansions) return std::nullopt;
    std::string_view rest = text.substr(end + 1);
    if (rest.starts_with('/')) rest.remove_prefix(1);
    return expand(text.substr(2, end - 2), rest, depth + 1);
  }

  // Component by component below root, ".." and links included, as openat2(2) with RESOLVE_BENEATH goes.
  PathResult<Grant> beneath(const Components& root, const Components& wanted, bool must_be_directory,
                            const PathType& type) const {
    Components pending(wanted.rbegin(), wanted.rend() - static_cast<std::ptrdiff_t>(root.size()));
    Components at = root;
    Entry last{FileKind::directory, ""};
    bool listed = true;
    for (int links = 0; !pending.empty();) {
      if (last.kind != FileKind::directory && listed) return fail(DenialCode::path_not_found);  // ENOTDIR
      const std::string component = std::move(pending.back());
      pending.pop_back();
      if (component == "..") {
        if (at.size() == root.size()) return fail(DenialCode::path_outside);
        at.pop_back();
        last.kind = FileKind::directory;
        continue;
      }
      at.push_back(component);
      const auto entry = entries_.find(at);
      listed = entry != entries_.end();
      last = listed ? entry->second : Entry{};
      if (last.kind != FileKind::link) continue;
      if (last.target.starts_with('/')) return fail(DenialCode::path_outside);
      if (++links > kMaxLinks) return fail(DenialCode::path_not_found);
      at.pop_back();
      const Components target = split(last.target);
      pending.insert(pending.end(), target.rbegin(), target.rend());
      last.kind = FileKind::directory;
    }
    return grant(at, last.kind == FileKind::directory, listed, must_be_directory, type);
  }

  static PathResult<Grant> grant(const Components& path, bool is_directory, bool listed, bool must_be_directory,
                                 const PathType& type) {
    const bool directory = is_directory || (must_be_directory && !listed);
    const bool wanted = directory ? type.kind != PathKind::file : type.kind != PathKind::dir && !must_be_directory;
    const bool taken = listed && !directory && type.access == PathAccess::create;
    if (!wanted || taken) return fail(DenialCode::path_wrong_kind);
    Grant grant;
    grant.path = join(path);
    grant.directory = directory;
    grant.exists = type.access != PathAccess::create || listed;
    grant.access = type.access;
    return grant;
  }

  const Policy& policy_;
  std::map<Components, Entry> entries_;
  Components cwd_ = split(kFixtureStartDir);
};

}  // namespace

std::unique_ptr<PathResolver> make_fixture_resolver(const Policy& policy) {
  return std::make_unique<FixtureResolver>(policy);
}

}  // namespace safe_exec
