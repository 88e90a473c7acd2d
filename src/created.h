// Level 2. A file that was made so that it can be granted, how it gets its name, and how it goes again when nobody has written
// it. For code after the fork as well: system calls only.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include "syscall.h"

namespace safe_exec {

struct CreatedFile {
  int parent = -1;             // its directory
  const char* leaf = nullptr;  // its name there
  struct stat status {};       // as it was made

  // Of a file that has none, whose descriptor this is: link(2), once whoever removes it knows of it. 0 or the negative error;
  // also 0 when it has that name already.
  [[nodiscard]] long give_name(int fd) const noexcept {
    char link[32] = "/proc/self/fd/";
    char* end = link + 14;
    for (int power = 1000000000; power > 0; power /= 10) {
      if (fd >= power || power == 1) *end++ = static_cast<char>('0' + fd / power % 10);
    }
    struct stat now {};
    if (look(now) && is(now)) return 0;
    return call(SYS_linkat, AT_FDCWD, static_cast<const char*>(link), parent, leaf, AT_SYMLINK_FOLLOW);
  }

  // Between the look and the unlink another file may take the name; only one that the command itself could put
  // there, since the directory is the same.
  void remove_untouched() const noexcept {
    struct stat now {};
    if (!look(now)) return;
    const bool untouched = is(now) && S_ISREG(now.st_mode) && now.st_size == 0 && now.st_nlink == 1 &&
                           now.st_mtim.tv_sec == status.st_mtim.tv_sec && now.st_mtim.tv_nsec == status.st_mtim.tv_nsec;
    if (untouched) call(SYS_unlinkat, parent, leaf, 0);
  }

 private:
  [[nodiscard]] bool look(struct stat& now) const noexcept {  // libc's struct is the kernel's, on both architectures
    return call(SYS_newfstatat, parent, leaf, &now, AT_SYMLINK_NOFOLLOW) == 0;
  }
  [[nodiscard]] bool is(const struct stat& now) const noexcept { return now.st_ino == status.st_ino && now.st_dev == status.st_dev; }
};

}  // namespace safe_exec
