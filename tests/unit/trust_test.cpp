#include "trust.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>

#include <doctest/doctest.h>

#include "beneath.h"
#include "scratch.h"

namespace {

using namespace safe_exec;
using safe_exec::test::Scratch;

bool writes(const std::string& path, const std::string& text) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY));
  return fd && ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

// acl(5) as it is stored (linux/posix_acl_xattr.h): owner rw-, user kForeign rw-, group r--, mask rw-, others r--.
bool add_acl(const std::string& path) {
  struct Entry {
    std::uint16_t tag, perm;
    std::uint32_t id;
  };
  struct {
    std::uint32_t version = 2;
    std::array<Entry, 5> entries{};
  } acl;
  acl.entries = {Entry{1, 6, UINT32_MAX}, Entry{2, 6, test::kForeign}, Entry{4, 4, UINT32_MAX},
                 Entry{0x10, 6, UINT32_MAX}, Entry{0x20, 4, UINT32_MAX}};
  return ::setxattr(path.c_str(), "system.posix_acl_access", &acl, sizeof acl, 0) == 0;
}

TEST_CASE("trust: a file of the caller below a sticky directory is accepted, and not where only root may own it") {
  const Scratch scratch;
  const std::string file = scratch.file("a/b/file");
  const auto walked = walk_trusted(scratch / "./a//b/file", Owners::root_or_caller);
  REQUIRE(walked);
  CHECK(walked->path == file);
  CHECK(walked->links.empty());
  CHECK(S_ISREG(walked->status.st_mode));
  const auto strict = walk_trusted(file, Owners::root);
  CHECK(strict.has_value() == test::am_root());
  if (!strict) CHECK(strict.error().problem == "is owned by uid " + std::to_string(::getuid()));
}

TEST_CASE("trust: a component that others can write is refused, sticky or not when it is the last") {
  const Scratch scratch;
  const std::string file = scratch.file("a/b/file");
  for (const mode_t mode : {mode_t{0775}, mode_t{0757}, mode_t{0777}}) {
    scratch.dir("a", mode);
    const auto walked = walk_trusted(file, Owners::root_or_caller);
    REQUIRE(!walked);
    CHECK(walked.error().sys_errno == 0);
    CHECK(walked.error().component == scratch / "a");
  }
  scratch.dir("a", 01777);
  CHECK(walk_trusted(file, Owners::root_or_caller));
  CHECK(!walk_trusted(scratch / "a", Owners::root_or_caller));
  scratch.dir("a", 0755);
  for (const mode_t mode : {mode_t{0664}, mode_t{0646}}) {
    REQUIRE(::chmod(file.c_str(), mode) == 0);
    CHECK(!walk_trusted(file, Owners::root_or_caller));
  }
}

TEST_CASE("trust: an ACL that lets somebody write shows in the mode and is refused") {
  const Scratch scratch;
  const std::string file = scratch.file("file");
  REQUIRE(walk_trusted(file, Owners::root_or_caller));
  REQUIRE(add_acl(file));
  const auto walked = walk_trusted(file, Owners::root_or_caller);
  REQUIRE(!walked);
  CHECK(walked.error().problem == "is writable by its group");
}

TEST_CASE("trust: what somebody else owns is refused, files, directories and links") {
  const Scratch scratch;
  const std::string file = scratch.file("a/file");
  const std::string link = scratch.link("link", "a/file");
  REQUIRE(walk_trusted(link, Owners::root_or_caller));
  for (const std::string& path : {file, scratch / "a", link}) {
    if (!test::give_away(path)) continue;
    const auto walked = walk_trusted(link, Owners::root_or_caller);
    REQUIRE(!walked);
    CHECK(walked.error().component == path);
    CHECK(walked.error().problem == "is owned by uid 12345");
    REQUIRE(::lchown(path.c_str(), 0, 0) == 0);
  }
  // In a user namespace without a mapping for it everybody's files belong to the overflow uid, which is nobody's.
  CHECK(test::in_child([] {
          if (::unshare(CLONE_NEWUSER) != 0) return 2;
          const auto walked = walk_trusted("/etc/passwd", Owners::root_or_caller);
          return !walked && walked.error().problem.substr(0, 21) == "is owned by uid 65534" ? 0 : 1;
        }) == 0);
}

TEST_CASE("trust: links are walked, relative, absolute and upwards, and reported in order") {
  const Scratch scratch;
  const std::string file = scratch.file("a/b/file");
  scratch.link("a/up", "../a/b");
  const std::string link = scratch.link("abs", scratch / "a/up/file");
  const auto walked = walk_trusted(link, Owners::root_or_caller);
  REQUIRE(walked);
  CHECK(walked->path == file);
  REQUIRE(walked->links.size() == 2);
  CHECK(walked->links[0].path == link);
  CHECK(walked->links[1].path == scratch / "a/up");
  CHECK(walked->links[1].target == "../a/b");
  scratch.dir("a", 0777);
  CHECK(!walk_trusted(link, Owners::root_or_caller));
}

TEST_CASE("trust: a circle of links, a missing file and a relative path are errors with a number") {
  const Scratch scratch;
  scratch.link("x", "y");
  scratch.link("y", "x");
  CHECK(walk_trusted(scratch / "x", Owners::root_or_caller).error().sys_errno == ELOOP);
  CHECK(walk_trusted(scratch / "none", Owners::root_or_caller).error().sys_errno == ENOENT);
  CHECK(walk_trusted(scratch / "none/../x", Owners::root_or_caller).error().sys_errno == ENOENT);
  CHECK(walk_trusted("etc/passwd", Owners::root_or_caller).error().sys_errno == EINVAL);
  CHECK(walk_trusted("", Owners::root_or_caller).error().sys_errno == EINVAL);
  CHECK(walk_trusted(std::string("/etc\0/x", 7), Owners::root_or_caller).error().sys_errno == EINVAL);
}

TEST_CASE("trust: a root may be anybody's, but links are passed only where root alone can change them") {
  const Scratch scratch;
  scratch.dir("real");
  scratch.link("link", "real");
  scratch.dir("open", 0777);
  CHECK(walk_root(scratch / "real"));
  CHECK(walk_root(scratch / "open"));
  scratch.link("open/link", "../real");
  CHECK(!walk_root(scratch / "open/link"));
  // The scratch directory is the caller's: for root a trusted one, for anybody else not.
  CHECK(walk_root(scratch / "link").has_value() == test::am_root());
  if (test::give_away(scratch.path())) CHECK(!walk_root(scratch / "link"));
}

TEST_CASE("policy files: only regular files of trusted owners are read, and nothing blocks") {
  const Scratch scratch;
  const auto files = make_policy_files();
  const std::string good = scratch.file("policy.json", "{}");
  CHECK(files->read(good).value() == "{}");
  CHECK(files->find(scratch.path()).value().directory);
  CHECK(!files->find(good).value().directory);
  // Beside a file in /tmp there are no commands unless somebody made some, and then it is asked who.
  scratch.file("sticky/policy.json", "{}");
  CHECK(::chmod((scratch / "sticky").c_str(), 01777) == 0);
  CHECK(make_policy_files()->read_command(scratch / "sticky", "ls").value() == std::nullopt);
  scratch.file("sticky/commands/ls.json", "{}");
  CHECK_FALSE(make_policy_files()->read_command(scratch / "sticky", "ls").has_value());

  const auto code = [&](const std::string& path) {
    const auto text = files->read(path);
    REQUIRE(!text);
    CHECK(text.error().step == "policy");
    CHECK(!text.error().message.empty());
    return text.error().code;
  };
  CHECK(code(scratch.path()) == ErrorCode::policy_invalid);
  REQUIRE(::mkfifo((scratch / "fifo").c_str(), 0600) == 0);
  CHECK(code(scratch / "fifo") == ErrorCode::policy_invalid);
  const UniqueFd bound(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, (scratch / "socket").c_str(), sizeof address.sun_path - 1);
  const mode_t mask = ::umask(077);
  REQUIRE(::bind(bound.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  (void)::umask(mask);
  CHECK(code(scratch / "socket") == ErrorCode::policy_invalid);
  CHECK(code("/dev/null") == ErrorCode::policy_untrusted);  // everybody writes to it
  CHECK(files->read(scratch / "missing").error().sys_errno == ENOENT);
  CHECK(code(scratch.file("shared", "{}", 0666)) == ErrorCode::policy_untrusted);
  const std::string below = scratch.file("wide/policy.json", "{}");
  scratch.dir("wide", 0777);
  CHECK(code(below) == ErrorCode::policy_untrusted);
}

TEST_CASE("policy files: 8 MiB are read, one byte more is refused, an unreadable file is an error with its number") {
  const Scratch scratch;
  const auto files = make_policy_files();
  const std::string text(json::kMaxBytes, ' ');
  CHECK(files->read(scratch.file("full", text)).value().size() == json::kMaxBytes);
  const auto large = files->read(scratch.file("large", text + ' '));
  REQUIRE(!large);
  CHECK(large.error().code == ErrorCode::policy_invalid);
  CHECK(large.error().message.find("8 MiB") != std::string::npos);
  // Capabilities let root read what has no permission bits, so an ordinary user asks.
  const std::string secret = scratch.file("secret", "{}", 0000);
  REQUIRE((!test::am_root() || ::chown(scratch.path().c_str(), test::kForeign, test::kForeign) == 0));
  REQUIRE((!test::am_root() || ::chown(secret.c_str(), test::kForeign, test::kForeign) == 0));
  CHECK(test::in_child([&] {
          if (test::am_root() && ::setresuid(test::kForeign, test::kForeign, test::kForeign) != 0) return 2;
          const auto refused = files->read(secret);
          return !refused && refused.error().sys_errno == EACCES && refused.error().code == ErrorCode::policy_invalid ? 0
                                                                                                                      : 1;
        }) == 0);
}

TEST_CASE("policy files: commands are read beneath the directory, without links, and listed in order") {
  const Scratch scratch;
  const auto files = make_policy_files();
  CHECK(files->list_commands(scratch.path()).value().empty());
  CHECK(!files->read_command(scratch.path(), "ls").value());
  scratch.file("commands/ls.json", "1");
  scratch.file("commands/cat.json", "2");
  scratch.file("commands/README.md", "");
  scratch.file("commands/.json", "");
  CHECK(files->list_commands(scratch.path()).value() == std::vector<std::string>{"cat", "ls"});
  CHECK(files->read_command(scratch.path(), "ls").value() == "1");
  CHECK(!files->read_command(scratch.path(), "none").value());
  CHECK(!files->read_command(scratch.path(), "../commands/ls").value());
  CHECK(!files->read_command(scratch.path(), "").value());
  scratch.link("commands/link.json", "ls.json");
  CHECK(files->read_command(scratch.path(), "link").error().code == ErrorCode::policy_untrusted);
  scratch.file("commands/shared.json", "3", 0664);
  CHECK(files->read_command(scratch.path(), "shared").error().code == ErrorCode::policy_untrusted);
  scratch.dir("commands", 0777);
  CHECK(files->read_command(scratch.path(), "ls").error().code == ErrorCode::policy_untrusted);
  CHECK(files->list_commands(scratch.path()).error().code == ErrorCode::policy_untrusted);
}

TEST_CASE("policy files: a file that is written again is read as it is now") {
  const Scratch scratch;
  const auto files = make_policy_files();
  const std::string file = scratch.file("policy.json", "old");
  CHECK(files->read(file).value() == "old");
  REQUIRE(writes(file, "new"));
  CHECK(files->read(file).value() == "new");
}

TEST_CASE("find_policy: the option wins, the environment counts only when absolute, servers ignore the user's places") {
  const Scratch scratch;
  const std::string mine = scratch.file("mine.json", "{}");
  const std::string credential = scratch.file("credentials/safe-exec.policy", "{}");
  const std::string config = scratch.file("config/safe-exec/policy.json", "{}");
  const auto place = [](std::string_view option, bool requester_facing) { return find_policy(option, requester_facing).value_or(PolicyPlace{}); };
  CHECK(place("/p", true).path == "/p");
  {
    const test::WorkingDirectory here(scratch.path());
    CHECK(place("p/q.json", false).path == scratch / "p/q.json");
  }
  CHECK(test::in_child([&] {
          (void)::setenv("SAFE_EXEC_POLICY", mine.c_str(), 1);
          (void)::setenv("CREDENTIALS_DIRECTORY", (scratch / "credentials").c_str(), 1);
          (void)::setenv("XDG_CONFIG_HOME", (scratch / "config").c_str(), 1);
          if (place("", false).path != mine) return 1;
          if (place("", true).path != credential) return 2;
          (void)::setenv("SAFE_EXEC_POLICY", "mine.json", 1);
          if (place("", false).path != credential || !place("", false).passed_over.empty()) return 3;
          (void)::setenv("CREDENTIALS_DIRECTORY", (scratch / "none").c_str(), 1);
          if (place("", false).path != config) return 4;
          if (place("", false).passed_over != std::vector<std::string>{scratch / "none/safe-exec.policy"}) return 5;
          // What the operator names is never another one's to be.
          (void)::setenv("SAFE_EXEC_POLICY", (scratch / "nothing.json").c_str(), 1);
          if (place("", false).path != scratch / "nothing.json") return 6;
          const auto served = find_policy("", true);  // /etc's, where there is one
          return !served || served->path == "/etc/safe-exec/policy.json" ? 0 : 7;
        }) == 0);
}

TEST_CASE("trust: a file is read only as the one that was looked at") {
  const Scratch scratch;
  struct stat one {}, other {};
  REQUIRE((::stat(scratch.file("one").c_str(), &one) == 0 && ::stat(scratch.file("other").c_str(), &other) == 0));
  const UniqueFd directory(::open(scratch.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  CHECK(open_same(directory.get(), "one", one));
  CHECK_FALSE(open_same(directory.get(), "one", other));
}

}  // namespace
