// Owns the files that are made so that they can be granted. Never touches a file that it did not make, and removes
// only what nobody has written.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "beneath.h"
#include "resolve.h"

namespace safe_exec {

namespace {

// A file is made with this modification time: whatever writes or touches it sets another one, even within the tick
// of a coarse file system clock (and a truncation to the same size counts as writing, open(2)).
constexpr timespec kUntouched{1, 0};

Error failed(const Grant& grant, int number) {
  Error error;
  error.code = ErrorCode::launch_failed;
  error.message = grant.path + " cannot be created: " + errno_text(number);
  error.step = "create";
  error.sys_errno = number;
  return error;
}

}  // namespace

struct CreatedFiles::Entry {
  UniqueFd parent;
  std::string leaf;
  struct stat status {};

  // Between the look and the unlink another file may take the name; only one that the command itself could put
  // there, since the directory is the same.
  void remove_untouched() const {
    struct stat now {};
    if (!parent || ::fstatat(parent.get(), leaf.c_str(), &now, AT_SYMLINK_NOFOLLOW) != 0) return;
    const bool untouched = same_inode(now, status) && S_ISREG(now.st_mode) && now.st_size == 0 && now.st_nlink == 1 &&
                           now.st_mtim.tv_sec == status.st_mtim.tv_sec && now.st_mtim.tv_nsec == status.st_mtim.tv_nsec;
    if (untouched) (void)::unlinkat(parent.get(), leaf.c_str(), 0);
  }
};

CreatedFiles::CreatedFiles() = default;
CreatedFiles::CreatedFiles(CreatedFiles&&) noexcept = default;

CreatedFiles& CreatedFiles::operator=(CreatedFiles&& other) noexcept {
  for (const Entry& entry : entries_) entry.remove_untouched();
  entries_ = std::exchange(other.entries_, {});
  return *this;
}

CreatedFiles::~CreatedFiles() {
  for (const Entry& entry : entries_) entry.remove_untouched();
}

// Two operands may name one new file.
bool CreatedFiles::take_again(Grant& grant) const {
  struct stat status {};
  UniqueFd fd(::openat(grant.parent.get(), grant.leaf.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!fd || ::fstat(fd.get(), &status) != 0) return false;
  for (const Entry& entry : entries_) {
    if (!same_inode(entry.status, status)) continue;
    grant.fd = std::move(fd);
    grant.exists = true;
    return true;
  }
  errno = EEXIST;
  return false;
}

Expected<CreatedFiles> CreatedFiles::make(Plan& plan) {
  CreatedFiles created;
  for (Grant& grant : plan.grants) {
    if (grant.access != PathAccess::create || grant.exists) continue;
    constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY;
    const UniqueFd file(::openat(grant.parent.get(), grant.leaf.c_str(), kFlags, 0666));
    if (!file && errno == EEXIST && created.take_again(grant)) continue;
    if (!file) return tl::unexpected(failed(grant, errno));
    Entry entry;
    entry.leaf = grant.leaf;
    entry.parent = UniqueFd(::fcntl(grant.parent.get(), F_DUPFD_CLOEXEC, 3));
    const timespec times[2] = {{0, UTIME_OMIT}, kUntouched};
    // Where the time cannot be set, the one that the file has must do.
    (void)::futimens(file.get(), times);
    const bool known = entry.parent && ::fstat(file.get(), &entry.status) == 0;
    grant.fd = known ? reopen(file.get(), O_PATH) : UniqueFd();
    const int number = errno;
    if (!known && !entry.parent) (void)::unlinkat(grant.parent.get(), grant.leaf.c_str(), 0);
    if (known) created.entries_.push_back(std::move(entry));
    if (!grant.fd) return tl::unexpected(failed(grant, number));
    grant.exists = true;
  }
  return created;
}

}  // namespace safe_exec
