// Real launches for tests: hand-made plans, each executed in a forked child of the test, as root and as an ordinary
// user, on hosts that an outer filter makes poorer. Nothing hostile runs outside the sandbox under test.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "model.h"

namespace safe_exec::test {

enum class Who : std::uint8_t { caller, ordinary };  // ordinary: uid 65534 where the caller is root

// The same plan on every host; the shell may start the programs of /usr, so that a script can try things.
[[nodiscard]] Plan plan_of(std::vector<std::string> argv);
[[nodiscard]] Plan shell(const std::string& script);  // bash with /usr readable and executable
[[nodiscard]] Grant grant_of(const std::string& path, PathAccess access);

// System calls that the host refuses: number and errno. kNamespaces stands for clone with CLONE_NEW* flags.
inline constexpr int kNamespaces = -1;
struct Refusal {
  int number;
  int error;
};

struct Ran {
  std::string ending;  // "exited 0", "signaled 6", "timed_out wall", "limit_exceeded file_size", "cancelled 15", or
                       // "error CODE STEP: message (hint)"
  std::string out{}, err{};
  std::string layers{};  // lines "layer: state detail"
  std::int64_t duration_ms = 0, out_bytes = 0, out_omitted = 0, rss_growth_kib = 0;
};

struct Host {
  Who who = Who::ordinary;
  std::vector<Refusal> refusals;
  std::function<void()> before = [] {};  // runs in the child, after the identity was taken
};

[[nodiscard]] Ran run(const std::function<Plan()>& make, const Host& host = {});
[[nodiscard]] bool has(const std::string& text, const std::string& part);
// Processes whose command line contains the text, counted over all of /proc.
[[nodiscard]] int processes_with(const std::string& text);
[[nodiscard]] bool none_left(const std::string& text, int within_ms);

// A directory of its own, of the ordinary user, removed at the end.
class Directory {
 public:
  Directory();
  ~Directory();
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  [[nodiscard]] std::string path(const std::string& name = "") const;
  void write(const std::string& name, const std::string& text) const;

 private:
  std::string path_;
};
[[nodiscard]] std::string read_text(const std::string& path);

}  // namespace safe_exec::test
