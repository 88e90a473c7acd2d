// The command of sandbox/random_test.py: says what it can read, write, list and connect to, after it did what it could to get
// more. Static; it goes nowhere but to the names that it is told of and to what lies below them.
//
// Standard input: SEED, BASE and then names, each ended by NUL. Seed 0: nothing is changed. Lines: "read MARK", "write MARK" of
// each file's first eight bytes, "list N" and "connect N" of the Nth name, "did ..." of what was changed, and "end".
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <random>
#include <string>
#include <vector>

namespace {

constexpr int kDeep = 16, kChanges = 70;

void tell_of(const char* what, int fd) {
  char mark[9] = {};
  struct stat status {};
  if (fd < 0) return;
  if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && pread(fd, mark, 8, 0) == 8) printf("%s %s\n", what, mark);
  close(fd);
}

void look_at(const std::string& path, int directory = AT_FDCWD) {
  tell_of("read", openat(directory, path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  tell_of("write", openat(directory, path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
}

bool lists(const std::string& path, std::vector<std::string>* names = nullptr) {
  DIR* const directory = opendir(path.c_str());
  if (directory == nullptr) return false;
  while (const dirent* entry = readdir(directory)) {
    if (names != nullptr && strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) names->push_back(entry->d_name);
  }
  closedir(directory);
  return true;
}

void walk(const std::string& path, int depth) {
  struct stat status {};
  if (depth > kDeep || lstat(path.c_str(), &status) != 0) return;
  if (!S_ISDIR(status.st_mode)) return look_at(path);
  std::vector<std::string> names;
  lists(path, &names);
  for (const std::string& name : names) walk(path + '/' + name, depth + 1);
}

bool connects(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0 || path.size() >= sizeof address.sun_path) return false;
  memcpy(address.sun_path, path.c_str(), path.size());
  const bool done = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  close(fd);
  return done;
}

// By its name, by one that goes up and down again, below its opened directory, and through /proc where there is one.
void look_all_ways(const std::string& path) {
  look_at(path);
  const std::size_t slash = path.rfind('/');
  const std::string above = path.substr(0, slash), name = path.substr(slash + 1);
  look_at(above + "/.." + above.substr(above.rfind('/')) + '/' + name);
  look_at("/proc/self/root" + path);
  const int directory = open(above.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0) look_at(name, directory);
  const int held = open(path.c_str(), O_PATH | O_CLOEXEC);
  if (held >= 0) look_at("/proc/self/fd/" + std::to_string(held));
  if (directory >= 0) close(directory);
  if (held >= 0) close(held);
}

void change(const std::vector<std::string>& names, unsigned seed) {
  std::minstd_rand random(seed);
  const auto pick = [&](std::size_t size) { return static_cast<std::size_t>(random()) / 7 % size; };
  constexpr mode_t kModes[] = {0, 0100, 0200, 0300, 0400, 0500, 0600, 0700, 0755, 0777, 0644, 0666};
  for (int i = 0; i < kChanges; ++i) {
    const std::string& from = names[pick(names.size())];
    const std::string& other = names[pick(names.size())];
    const std::string to = pick(3) == 0 ? other + "/h" + std::to_string(pick(4)) : other;
    const char* const a = from.c_str();
    const char* const b = to.c_str();
    const char* what = "";
    bool done = false;
    switch (pick(12)) {
      case 0:
      case 1: what = "chmod", done = chmod(a, kModes[pick(12)]) == 0; break;
      case 2: what = "rename", done = rename(a, b) == 0; break;
      case 3: what = "exchange", done = syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 2U) == 0; break;
      case 4: what = "symlink", done = symlink(a, b) == 0; break;
      case 5: what = "symlink beside", done = symlink(a + from.rfind('/') + 1, b) == 0; break;
      case 6: what = "link", done = link(a, b) == 0; break;
      case 7: what = "mkdir", done = mkdir(b, 0755) == 0; break;
      case 8: what = "remove", done = pick(3) == 0 && (unlink(a) == 0 || rmdir(a) == 0); break;
      case 9: what = "truncate", done = pick(3) == 0 && truncate(a, 3) == 0; break;
      case 10: what = "utime", done = utimensat(AT_FDCWD, a, nullptr, 0) == 0; break;
      default: {
        const int fd = open(b, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        what = "create", done = fd >= 0 && write(fd, "own", 3) == 3;
        if (fd >= 0) close(fd);
      }
    }
    if (done) printf("did %s %s %s\n", what, a, b);
  }
}

}  // namespace

int main() {
  std::vector<std::string> words(1);
  char buffer[1 << 16];
  for (ssize_t size = 0; (size = read(STDIN_FILENO, buffer, sizeof buffer)) > 0;) {
    for (ssize_t i = 0; i < size; ++i) {
      if (buffer[i] != '\0') words.back() += buffer[i];
      else words.emplace_back();
    }
  }
  words.pop_back();
  if (words.size() < 3) return 2;
  setvbuf(stdout, nullptr, _IOFBF, 1 << 20);
  const unsigned seed = static_cast<unsigned>(atoi(words[0].c_str()));
  const std::string base = words[1];
  words.erase(words.begin(), words.begin() + 2);
  if (seed != 0) change(words, seed);
  for (std::size_t i = 0; i < words.size(); ++i) {
    look_all_ways(words[i]);
    if (lists(words[i])) printf("list %zu\n", i);
    if (connects(words[i])) printf("connect %zu\n", i);
  }
  walk(base, 0);
  walk(".", 0);
  puts("end");
  return 0;
}
