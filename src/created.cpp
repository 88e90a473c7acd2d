// Owns the files that are made so that they can be granted. Never touches a file that it did not make, and removes
// only what nobody has written.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "beneath.h"
#include "created.h"
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

// An outer sandbox may refuse linkat(2), which else would say that this is no descriptor.
bool may_link() { return ::linkat(-1, "", -1, "", 0) == 0 || errno == EBADF || errno == ENOENT; }

}  // namespace

struct CreatedFiles::Entry {
  UniqueFd parent;
  std::string leaf;
  int file;  // the grant's
  struct stat status {};

  void remove_untouched() const { CreatedFile{parent.get(), leaf.c_str(), status}.remove_untouched(); }
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

CreatedFile describe_created(const Grant& grant, const std::string& leaf) {
  CreatedFile file{grant.parent.get(), leaf.c_str(), {}};
  (void)::fstat(grant.fd.get(), &file.status);  // what cannot be looked at is nobody's that is met under the name
  return file;
}

Expected<void> give_name(const Grant& grant, const CreatedFile& file) {
  const long result = file.give_name(grant.fd.get());
  if (result < 0) return tl::unexpected(failed(grant, static_cast<int>(-result)));
  return {};
}

// Two operands may name one new file.
bool CreatedFiles::take_again(Grant& grant) const {
  struct stat parent {};
  if (::fstat(grant.parent.get(), &parent) != 0) return false;
  for (const Entry& entry : entries_) {
    struct stat other {};
    if (entry.leaf != grant.leaf || ::fstat(entry.parent.get(), &other) != 0 || !same_inode(parent, other)) continue;
    grant.fd = UniqueFd(::fcntl(entry.file, F_DUPFD_CLOEXEC, 3));
    return grant.exists = static_cast<bool>(grant.fd);
  }
  return false;
}

Expected<CreatedFiles> CreatedFiles::make(Plan& plan) {
  CreatedFiles created;
  for (Grant& grant : plan.grants) {
    if (grant.access != PathAccess::create || grant.exists) continue;
    if (created.take_again(grant)) continue;
    UniqueFd file(may_link() ? ::openat(grant.parent.get(), ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0644) : -1);
    const bool named = !file;  // at once, where there are no others; who is killed before the launch leaves it
    constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY;
    if (named) file = UniqueFd(::openat(grant.parent.get(), grant.leaf.c_str(), kFlags, 0644));
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
    if (named && !entry.parent) (void)::unlinkat(grant.parent.get(), grant.leaf.c_str(), 0);
    entry.file = grant.fd.get();
    if (known) created.entries_.push_back(std::move(entry));
    if (!grant.fd) return tl::unexpected(failed(grant, number));
    grant.exists = grant.made = true;
  }
  return created;
}

}  // namespace safe_exec
