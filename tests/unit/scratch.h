// A private directory for one test, gone with it; and the few things that tests do in it.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace safe_exec::test {

inline constexpr uid_t kForeign = 12345;

inline bool am_root() { return ::geteuid() == 0; }

class Scratch {
 public:
  Scratch() {
    char name[] = "/tmp/safe-exec-test-XXXXXX";
    if (::mkdtemp(name) == nullptr) std::abort();
    path_ = name;
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string operator/(std::string_view name) const { return path_ + '/' + std::string(name); }

  std::string dir(std::string_view name, mode_t mode = 0755) const {
    const std::string made = *this / name;
    std::filesystem::create_directories(made);
    if (::chmod(made.c_str(), mode) != 0) std::abort();
    return made;
  }
  std::string file(std::string_view name, std::string_view text = "x", mode_t mode = 0644) const {
    const std::string made = *this / name;
    std::filesystem::create_directories(std::filesystem::path(made).parent_path());
    std::FILE* const out = std::fopen(made.c_str(), "w");
    if (out == nullptr || std::fwrite(text.data(), 1, text.size(), out) != text.size()) std::abort();
    (void)std::fclose(out);
    if (::chmod(made.c_str(), mode) != 0) std::abort();
    return made;
  }
  std::string link(std::string_view name, const std::string& target) const {
    const std::string made = *this / name;
    if (::symlink(target.c_str(), made.c_str()) != 0) std::abort();
    return made;
  }

 private:
  std::string path_;
};

// Makes path somebody else's. As an ordinary user nothing can be given away; then the answer is false and the test
// uses what is somebody else's from its own point of view.
inline bool give_away(const std::string& path) {
  return am_root() && ::lchown(path.c_str(), kForeign, kForeign) == 0;
}

// The exit status of body, run in a process of its own.
inline int in_child(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}

// The working directory for as long as this lives.
class WorkingDirectory {
 public:
  explicit WorkingDirectory(const std::string& path) : old_(std::filesystem::current_path()) {
    std::filesystem::current_path(path);
  }
  WorkingDirectory(const WorkingDirectory&) = delete;
  WorkingDirectory& operator=(const WorkingDirectory&) = delete;
  ~WorkingDirectory() { std::filesystem::current_path(old_); }

 private:
  std::filesystem::path old_;
};

}  // namespace safe_exec::test
