// Owns the runtime closure: which files a program's loader will want to read. Never runs ldd or the loader, never
// grants a library that somebody else can change, never decides what the loader takes.
#include "runtime.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "beneath.h"
#include "bundles.h"
#include "elf_file.h"
#include "inline_text.h"
#include "pattern.h"
#include "trust.h"

namespace safe_exec {

namespace {

constexpr std::size_t kMaxLibraries = 1024;
constexpr std::size_t kMaxPrograms = 2048;  // files of one directory in exec
constexpr std::size_t kMaxAsked = 4096;     // names of libraries that those of anybody ask for, all together
constexpr std::size_t kMaxCache = 16U << 20;
constexpr const char* kCache = "/etc/ld.so.cache";

// The loaders of glibc and of musl.
#if defined(__x86_64__)
constexpr const char* kLoaders[] = {"/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1"};
#elif defined(__aarch64__)
constexpr const char* kLoaders[] = {"/lib/ld-linux-aarch64.so.1", "/lib/ld-musl-aarch64.so.1"};
#else
constexpr const char* kLoaders[] = {"/lib64/ld64.so.1"};
#endif

// ld.so(8), the multiarch directories of Debian, and the ones of musl.
#if defined(__x86_64__)
constexpr std::array<Name, 7> kDefaultDirectories{
    "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib"};
#elif defined(__aarch64__)
constexpr std::array<Name, 7> kDefaultDirectories{
    "/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib"};
#else
constexpr std::array<Name, 5> kDefaultDirectories{"/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib"};
#endif

Error failed(std::string message, int number = 0) {
  Error error;
  error.code = ErrorCode::launch_failed;
  error.message = std::move(message);
  error.step = "runtime";
  error.sys_errno = number;
  return error;
}

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

bool is_absolute(std::string_view text) { return !text.empty() && text.front() == '/'; }

// "$ORIGIN/../lib:/opt/lib" as directories. Relative ones mean the caller's working directory: never.
std::vector<std::string> search_directories(std::string_view list, const std::string& origin) {
  std::vector<std::string> directories;
  while (!list.empty()) {
    const std::size_t colon = list.find(':');
    std::string directory(list.substr(0, colon));
    list.remove_prefix(colon == std::string_view::npos ? list.size() : colon + 1);
    for (const std::string_view token : {std::string_view("${ORIGIN}"), std::string_view("$ORIGIN")}) {
      if (directory.compare(0, token.size(), token) == 0) directory.replace(0, token.size(), origin);
    }
    if (is_absolute(directory) && directory.find('$') == std::string::npos) directories.push_back(directory);
  }
  return directories;
}

// A file's bytes without a copy. ldconfig(8) renames a new cache over the old one, so what is mapped never shrinks.
class Mapping {
 public:
  Mapping() = default;
  ~Mapping() {
    if (size_ > 0) (void)::munmap(start_, size_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  void open(int fd) {
    struct stat status {};
    if (::fstat(fd, &status) != 0 || status.st_size <= 0 || static_cast<std::size_t>(status.st_size) > kMaxCache) return;
    void* const start = ::mmap(nullptr, static_cast<std::size_t>(status.st_size), PROT_READ, MAP_PRIVATE, fd, 0);
    if (start == MAP_FAILED) return;
    start_ = start;
    size_ = static_cast<std::size_t>(status.st_size);
  }
  [[nodiscard]] std::string_view bytes() const { return {static_cast<const char*>(start_), size_}; }

 private:
  void* start_ = nullptr;
  std::size_t size_ = 0;
};

// Who says what the headers of a program say. What one says that anybody may have written, the requester too, opens nothing but what
// every program of the system finds: its libraries, by their names.
enum class Says : std::uint8_t { root, named, anybody };  // named: the policy names the program, which need not be root's

class Closure {
 public:
  Closure(const Plan& plan, std::vector<Grant>& grants) : plan_(plan), grants_(grants) {}

  // The closure of one program, whose file is granted elsewhere. physical: for $ORIGIN.
  Expected<void> add_program(int readable, const std::string& physical, Says says) {
    auto object = elf::read_object(readable);
    if (!object) return tl::unexpected(failed(physical + " cannot be started: " + object.error()));
    // A program of another machine needs a loader that this host may not even have; 32 bits would be refused anyway,
    // since only the native system call table is filtered.
    if (object->identity.machine != elf::own_machine()) {
      return tl::unexpected(failed(physical + " is built for another machine"));
    }
    if (object->interpreter.empty()) return {};  // static
    if (says != Says::root && !is_loader(object->interpreter)) {
      return tl::unexpected(failed(physical + " is not root's and asks for " + object->interpreter + ": list that in sandbox.exec"));
    }
    // One that the policy lists is granted already, by the descriptor that was checked: by its name another may be met by now.
    if (!names_.contains(object->interpreter) && (says == Says::root || is_system_loader(object->interpreter))) {
      auto loader = add_file(object->interpreter, true);
      if (!loader) {
        return tl::unexpected(failed(physical + " needs " + describe(loader.error()), loader.error().sys_errno));
      }
    }
    // The loader is loaded already when a library asks for it by its bare name.
    found_by_name_.insert(object->interpreter.substr(object->interpreter.rfind('/') + 1));
    add_cache();
    if (!identity_) identity_ = object->identity;
    waiting_.push_back({*std::move(object), directory_of(physical), {}, says});
    add_waiting();
    return {};
  }

  // For programs that are not looked at.
  void add_loaders() {
    for (const char* const loader : kLoaders) {
      if (names_.contains(loader)) continue;
      if (const auto added = add_file(loader, true); !added) miss(added.error().sys_errno);
    }
    add_cache();
  }
  // Where a loader looks for what a program does not say the place of.
  [[nodiscard]] std::vector<std::string> library_directories() {
    add_cache();
    std::vector<std::string> directories = elf::cached_directories(cache_->bytes());
    directories.insert(directories.end(), kDefaultDirectories.begin(), kDefaultDirectories.end());
    return directories;
  }

  // What programs load and read without naming it. Libraries only where a loader is that could.
  void add_bundle(Bundle bundle) {
    const BundleFiles files = bundle_files(bundle);
    for (const std::string_view path : files.paths) add_place(std::string(path));
    if (!identity_) return;
    for (const std::string_view name : files.libraries) {
      Loaded user;
      user.object.identity = *identity_;
      add_library(std::string(name), user);
      add_waiting();
    }
  }

  // What is not there need not be. What could not be opened for want of descriptors or memory may be there.
  void miss(int error) {
    if (error == EMFILE || error == ENFILE || error == ENOMEM) spent_ = error;
  }
  [[nodiscard]] int spent() const { return spent_; }  // such an error; 0: none

  // Opened under the ownership walk, and granted.
  tl::expected<UniqueFd, WalkFailure> add_file(const std::string& name, bool executable) {
    auto walked = walks_.walk(name, Owners::root_or_caller, Contents::read);
    if (!walked) return tl::unexpected(std::move(walked.error()));
    if (!S_ISREG(walked->status.st_mode)) return tl::unexpected(WalkFailure{0, name, "is not a regular file"});
    UniqueFd readable = take_contents(*walked);
    if (!readable) return tl::unexpected(WalkFailure{errno, name, {}});
    names_.insert(name);
    grant(*std::move(walked), name, executable, Origin::runtime);
    return readable;
  }

  void grant(Walked walked, const std::string& name, bool executable, Origin origin) {
    Grant grant;
    grant.directory = S_ISDIR(walked.status.st_mode);
    grant.executable = executable;
    grant.origin = origin;
    grant.fd = std::move(walked.fd);
    grant.path = std::move(walked.path);
    if (grant.path != name) {
      grant.given = name;
      grant.links = std::move(walked.links);
    }
    grants_.push_back(std::move(grant));
  }

  TrustedWalks& walks() { return walks_; }

 private:
  struct Loaded {
    elf::Object object{};
    std::string origin{};                   // its directory
    std::vector<std::string> inherited{};   // DT_RPATH of what loaded it
    Says says = Says::root;
  };

  [[nodiscard]] static bool is_system_loader(const std::string& name) { return std::ranges::find(kLoaders, name) != std::end(kLoaders); }
  // Or what the policy itself lets be executed, by its name and not as a part of a directory.
  [[nodiscard]] bool is_loader(const std::string& name) const {
    if (is_system_loader(name)) return true;
    return std::ranges::any_of(plan_.grants, [&](const Grant& grant) {
      return grant.executable && !grant.directory && !grant.split && (grant.path == name || grant.given == name);
    });
  }

  [[nodiscard]] bool is_denied(const std::string& path) const {
    return std::ranges::any_of(plan_.deny_globs, [&](const std::string& glob) { return glob_matches(glob, path); });
  }

  // A breadth-first walk, as the loader's own.
  void add_waiting() {
    for (std::size_t i = 0; i < waiting_.size() && libraries_ < kMaxLibraries; ++i) {
      const Loaded next = std::move(waiting_[i]);
      for (const std::string& name : next.object.needed) add_library(name, next);
    }
    waiting_.clear();
  }

  // A file or directory of a bundle. Data, not code: /etc/resolv.conf often leads to a file of its resolver's user, but
  // only root's links lead anywhere.
  void add_place(const std::string& path) {
    if (!names_.insert(path).second) return;
    auto walked = walk_root(path);
    if (!walked) miss(walked.error().sys_errno);
    if (!walked || (!S_ISREG(walked->status.st_mode) && !S_ISDIR(walked->status.st_mode))) return;
    grant(*std::move(walked), path, false, Origin::runtime);
  }

  void add_cache() {
    if (cache_) return;
    cache_.emplace();
    const auto fd = add_file(kCache, false);
    if (fd) cache_->open(fd->get());
    else miss(fd.error().sys_errno);
  }

  void add_library(const std::string& name, const Loaded& user) {
    if (user.says == Says::anybody) {
      if (asked_.size() < kMaxAsked && asked_.insert(name).second) add_by_name(name, user, user.inherited);
      return;
    }
    std::vector<std::string> rpath = user.inherited;
    // ld.so(8): DT_RPATH counts only without DT_RUNPATH, and for what is loaded further on as well.
    if (user.object.runpath.empty()) {
      const auto own = search_directories(user.object.rpath, user.origin);
      rpath.insert(rpath.begin(), own.begin(), own.end());
    }
    const auto own = search_directories(user.object.runpath, user.origin);
    const bool searched = !rpath.empty() || !own.empty();
    // Without a search path of its own the answer is the same for every user of the library.
    if (!searched && !found_by_name_.insert(name).second) return;
    if (name.find('/') != std::string::npos) {
      if (is_absolute(name)) (void)try_library(name, user, rpath, user.says);
      return;
    }
    for (const std::vector<std::string>& list : {rpath, own}) {
      for (const std::string& directory : list) {
        if (try_library(child_path(directory, name), user, rpath, user.says)) return;
      }
    }
    add_by_name(name, user, rpath);
  }

  // Where every program finds it. What is there is root's, but where it searches in turn may be what the program said.
  void add_by_name(const std::string& name, const Loaded& user, const std::vector<std::string>& rpath) {
    if (name.find('/') != std::string::npos) return;
    const Says says = rpath.empty() ? Says::root : user.says;
    bool found = false;  // several: of the same name, for different processors (glibc-hwcaps)
    for (const std::string& path : elf::cached_paths(cache_->bytes(), name)) found |= try_library(path, user, rpath, says);
    for (const std::string_view directory : kDefaultDirectories) {
      if (found) return;
      found = try_library(child_path(directory, name), user, rpath, says);
    }
  }

  // Whether the loader would take this file: there, trusted, and of the user's machine.
  bool try_library(const std::string& path, const Loaded& user, const std::vector<std::string>& rpath, Says says) {
    if (names_.find(path) != names_.end()) return true;
    auto walked = walks_.walk(path, Owners::root_or_caller, Contents::read);
    if (!walked) miss(walked.error().sys_errno);
    if (!walked || !S_ISREG(walked->status.st_mode)) return false;
    if (says != Says::root && (is_denied(walked->path) || is_denied(path))) return false;
    const UniqueFd readable = take_contents(*walked);
    if (!readable) miss(errno);
    if (!readable) return false;
    auto object = elf::read_object(readable.get());
    if (!object || !(object->identity == user.object.identity)) return false;
    const std::string origin = directory_of(path);  // of the name, as the loader has it, and not of what it leads to
    names_.insert(path);
    ++libraries_;
    grant(*std::move(walked), path, false, Origin::runtime);
    waiting_.push_back({*std::move(object), origin, rpath, says});
    return true;
  }

  const Plan& plan_;
  std::vector<Grant>& grants_;
  TrustedWalks walks_;
  std::optional<Mapping> cache_;
  std::set<std::string, std::less<>> names_;
  std::set<std::string, std::less<>> found_by_name_, asked_;
  std::vector<Loaded> waiting_;
  std::size_t libraries_ = 0;
  int spent_ = 0;
  std::optional<elf::Identity> identity_;  // of the first program that has a loader
};

// What is executed, or the script that it reads, as a grant by the descriptor that was checked.
Expected<void> add_checked(Grant grant, int fd, const std::string& name, std::vector<Grant>& grants) {
  grant.fd = UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!grant.fd) return tl::unexpected(failed(name + " cannot be granted", errno));
  grant.origin = Origin::runtime;
  if (grant.path != name) grant.given = name;
  else grant.links.clear();
  grants.push_back(std::move(grant));
  return {};
}

Expected<void> add_script(const Binary& binary, std::vector<Grant>& grants) {
  std::optional<std::string> path = path_of(binary.fd.get());
  if (!path) return tl::unexpected(failed(binary.path + " changed after it was checked", ENOENT));
  Grant grant;
  grant.path = *std::move(path);
  grant.links = links_on(binary.path);
  return add_checked(std::move(grant), binary.fd.get(), binary.path, grants);
}

Expected<void> add_executed(const Binary& binary, std::vector<Grant>& grants) {
  Grant grant;
  grant.path = binary.physical;
  grant.links = binary.links;
  grant.executable = true;
  const bool script = binary.script;
  return add_checked(std::move(grant), script ? binary.interpreter_fd.get() : binary.fd.get(),
                     script ? binary.interpreter : binary.path, grants);
}

// A file that is not named but found in a directory of exec. What cannot be read or is no program needs no closure.
void add_found(Closure& closure, int checked, const std::string& path, bool trusted) {
  struct stat status {};
  if (::fstat(checked, &status) != 0 || !S_ISREG(status.st_mode)) return;
  if ((status.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)) == 0) return;
  const UniqueFd readable = reopen(checked, O_RDONLY);
  const bool roots_own = trusted && status.st_uid == 0 && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
  if (readable) (void)closure.add_program(readable.get(), path, roots_own ? Says::root : Says::anybody);
  else closure.miss(errno);
}

// Programs directly in a directory of exec.
void add_directory(Closure& closure, int directory, const std::string& path, bool trusted) {
  UniqueFd fd = reopen(directory, O_RDONLY | O_DIRECTORY);
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(fd ? ::fdopendir(fd.get()) : nullptr, &::closedir);
  if (!stream) return closure.miss(errno);
  (void)fd.release();  // fdopendir(3): the stream owns it now
  std::set<ino_t> seen;  // /usr/lib/git-core has some 150 names of one file
  std::size_t count = 0;
  while (const dirent* const entry = ::readdir(stream.get())) {
    if (++count > kMaxPrograms) return;
    if (entry->d_type != DT_REG && entry->d_type != DT_UNKNOWN) continue;
    if (!seen.insert(entry->d_ino).second) continue;
    const UniqueFd checked(::openat(::dirfd(stream.get()), entry->d_name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (checked) add_found(closure, checked.get(), child_path(path, entry->d_name), trusted);
    else closure.miss(errno);
  }
}

// Whether all around a place is granted, not the programs alone, and may be code.
bool is_granted(const Plan& plan, const std::string& physical) {
  return std::any_of(plan.grants.begin(), plan.grants.end(), [&](const Grant& grant) {
    return grant.directory && grant.origin == Origin::policy && !grant.data && !grant.executable &&
           !grant.stat_only && grant.access != PathAccess::stat && is_within(physical, grant.path);
  });
}

// Whether the plan grants every directory in which a loader looks, so that no program has to be looked at for it: in
// /usr/bin there are thousands.
bool grants_libraries(const Plan& plan, Closure& closure) {
  const std::vector<std::string> directories = closure.library_directories();
  return std::all_of(directories.begin(), directories.end(), [&](const std::string& directory) {
    const std::unique_ptr<char, decltype(&std::free)> physical(::realpath(directory.c_str(), nullptr), std::free);
    return physical ? is_granted(plan, physical.get()) : errno == ENOENT || errno == ENOTDIR;
  });
}

bool names_locale(const std::vector<std::string>& env) {
  return std::any_of(env.begin(), env.end(), [](const std::string& variable) {
    return variable.compare(0, 3, "LC_") == 0 || variable.compare(0, 5, "LANG=") == 0;
  });
}

void add_device(Closure& closure, std::vector<Grant>& grants, const char* name, unsigned minor, PathAccess access) {
  struct stat status {};
  Grant grant;
  grant.fd = UniqueFd(::open(name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!grant.fd) closure.miss(errno);
  if (!grant.fd || ::fstat(grant.fd.get(), &status) != 0) return;
  if (!S_ISCHR(status.st_mode) || status.st_rdev != ::makedev(1, minor)) return;  // mem(4), null(4), random(4)
  grant.path = name;
  grant.access = access;
  grant.origin = Origin::device;
  grants.push_back(std::move(grant));
}

}  // namespace

Expected<void> add_runtime(Plan& plan) {
  std::vector<Grant> added;
  Closure closure(plan, added);
  const Binary& binary = plan.binary;
  if (binary.script) {
    if (auto done = add_script(binary, added); !done) return done;
  }
  if (auto done = add_executed(binary, added); !done) return done;
  if (auto done = closure.add_program(binary.readable.get(), binary.physical, binary.trusted ? Says::root : Says::named); !done) return done;
  std::optional<bool> all_granted;
  for (const Grant& grant : plan.grants) {
    if (!grant.executable || !grant.fd) continue;
    if (grant.directory && is_granted(plan, grant.path)) {
      if (!all_granted) all_granted = grants_libraries(plan, closure);
      if (*all_granted) closure.add_loaders();
      else add_directory(closure, grant.fd.get(), grant.path, grant.trusted);
    } else if (grant.directory) {
      add_directory(closure, grant.fd.get(), grant.path, grant.trusted);
    } else if (grant.split) {
      add_found(closure, grant.fd.get(), grant.path, grant.trusted);
    } else if (const UniqueFd readable = reopen(grant.fd.get(), O_RDONLY); readable) {
      // A helper may be a script, whose interpreter stands in exec by itself.
      if (elf::read_identity(readable.get()).word == 0) continue;
      if (auto done = closure.add_program(readable.get(), grant.path, grant.trusted ? Says::root : Says::named); !done) return done;
    }
  }
  for (const Bundle bundle : plan.bundles) closure.add_bundle(bundle);
  constexpr const char* kLocale = "/usr/lib/locale/C.utf8";
  if (names_locale(plan.env)) {  // else setlocale(3) finds "C", which is built in
    auto locale = closure.walks().walk(kLocale, Owners::root);
    if (locale && S_ISDIR(locale->status.st_mode)) closure.grant(*std::move(locale), kLocale, false, Origin::runtime);
  }
  add_device(closure, added, "/dev/null", 3, PathAccess::write);
  add_device(closure, added, "/dev/zero", 5, PathAccess::write);
  add_device(closure, added, "/dev/full", 7, PathAccess::write);
  add_device(closure, added, "/dev/random", 8, PathAccess::read);
  add_device(closure, added, "/dev/urandom", 9, PathAccess::read);
  if (closure.spent() != 0) return tl::unexpected(failed("what " + binary.physical + " needs cannot be opened", closure.spent()));
  std::move(added.begin(), added.end(), std::back_inserter(plan.grants));
  return {};
}

}  // namespace safe_exec
