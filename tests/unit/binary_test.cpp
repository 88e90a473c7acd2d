#include "binary.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <filesystem>

#include <doctest/doctest.h>

#include "digest.h"
#include "scratch.h"

namespace {

using namespace safe_exec;
using safe_exec::test::Scratch;

Command command(std::vector<std::string> paths, Trust trust = Trust::caller) {
  Command made;
  made.paths = std::move(paths);
  made.trust = trust;
  return made;
}

DenialCode refused(const Command& asked, const std::vector<std::string>& exec = {}) {
  const auto binary = identify_binary(asked, "", exec);
  if (binary) FAIL("accepted: ", binary->path);
  CHECK(!binary.error().message.empty());
  return binary.error().code;
}

// linux/capability.h, struct vfs_cap_data, revision 2: cap_net_raw, effective.
bool add_capability(const std::string& path) {
  const std::uint32_t data[5] = {0x02000001, 1U << 13, 0, 0, 0};
  return ::setxattr(path.c_str(), "security.capability", data, sizeof data, 0) == 0;
}

TEST_CASE("binary: the first path that exists is opened, or the one that the request named") {
  const Scratch scratch;
  const std::string one = scratch.file("one", "\177ELF", 0755);
  const std::string two = scratch.file("two", "\177ELF", 0755);
  const Command asked = command({scratch / "none", one, two});
  const auto binary = identify_binary(asked, "", {});
  REQUIRE(binary);
  CHECK(binary->path == one);
  CHECK(!binary->script);
  struct stat a {}, b {};
  CHECK((::fstat(binary->fd.get(), &a) == 0 && ::stat(one.c_str(), &b) == 0 && a.st_ino == b.st_ino));
  CHECK((::fcntl(binary->fd.get(), F_GETFL) & O_PATH) != 0);
  CHECK(identify_binary(asked, two, {})->path == two);
  CHECK(identify_binary(asked, scratch / "three", {}).error().code == DenialCode::binary_not_found);
  CHECK(identify_binary(asked, scratch / "none", {}).error().code == DenialCode::binary_not_found);
  CHECK(refused(command({scratch / "none", scratch / "none2"})) == DenialCode::binary_not_found);
  CHECK(refused(command({})) == DenialCode::binary_not_found);
}

TEST_CASE("binary: the first that exists decides, even when the second would do") {
  const Scratch scratch;
  const std::string open = scratch.file("open", "\177ELF", 0777);
  const std::string good = scratch.file("good", "\177ELF", 0755);
  CHECK(refused(command({open, good})) == DenialCode::binary_untrusted);
  CHECK(refused(command({scratch.link("dangling", "none"), good})) == DenialCode::binary_not_found);
}

TEST_CASE("binary: type, mode, owner and the directories above decide whether it is trusted") {
  const Scratch scratch;
  const std::string good = scratch.file("bin/good", "\177ELF", 0755);
  REQUIRE(identify_binary(command({good}), "", {}));
  CHECK(refused(command({scratch.dir("dir")})) == DenialCode::binary_untrusted);
  CHECK(refused(command({scratch.file("plain", "\177ELF", 0644)})) == DenialCode::binary_untrusted);
  CHECK(refused(command({scratch.file("text", "echo hi\n", 0755)})) == DenialCode::binary_untrusted);
  CHECK(refused(command({scratch.file("empty", "", 0755)})) == DenialCode::binary_untrusted);
  for (const mode_t mode : {mode_t{04755}, mode_t{02755}, mode_t{0775}, mode_t{0757}}) {
    REQUIRE(::chmod(good.c_str(), mode) == 0);
    CHECK(refused(command({good})) == DenialCode::binary_untrusted);
  }
  REQUIRE(::chmod(good.c_str(), 0755) == 0);
  scratch.dir("bin", 0777);
  CHECK(refused(command({good})) == DenialCode::binary_untrusted);
  scratch.dir("bin", 0755);
  const std::string strict = test::give_away(good) ? good : scratch.file("mine", "\177ELF", 0755);
  CHECK(refused(command({strict}, Trust::root)) == DenialCode::binary_untrusted);
  REQUIRE(::mkfifo((scratch / "fifo").c_str(), 0700) == 0);
  CHECK(refused(command({scratch / "fifo"})) == DenialCode::binary_untrusted);
}

TEST_CASE("binary: file capabilities refuse it") {
  const Scratch scratch;
  const std::string file = scratch.file("capable", "\177ELF", 0755);
  if (add_capability(file)) {
    CHECK(refused(command({file})) == DenialCode::binary_untrusted);
    return;
  }
  // Only root may set them; an ordinary user sees that the question is asked of what has none.
  CHECK(errno == EPERM);
  CHECK(identify_binary(command({file}), "", {}));
}

TEST_CASE("binary: what cannot be read cannot be judged") {
  const Scratch scratch;
  const std::string file = scratch.file("hidden", "\177ELF", 0111);
  REQUIRE((!test::am_root() || (test::give_away(scratch.path()) && test::give_away(file))));
  CHECK(test::in_child([&] {
          if (test::am_root() && ::setresuid(test::kForeign, test::kForeign, test::kForeign) != 0) return 2;
          const auto binary = identify_binary(command({file}), "", {});
          return !binary && binary.error().code == DenialCode::binary_untrusted ? 0 : 1;
        }) == 0);
}

TEST_CASE("binary: a pinned digest is compared with the bytes of the checked file") {
  const Scratch scratch;
  const std::string text = "\177ELF" + std::string(300000, 'x');
  const std::string file = scratch.file("tool", text, 0755);
  Sha256 digest;
  digest.add(text);
  Command asked = command({file});
  asked.sha256 = {std::string(64, '0'), digest.hex()};
  CHECK(identify_binary(asked, "", {}));
  scratch.file("tool", text + "y", 0755);
  CHECK(refused(asked) == DenialCode::binary_changed);
  asked.sha256 = {std::string(64, '0')};
  CHECK(refused(asked) == DenialCode::binary_changed);
}

TEST_CASE("binary: a script needs its interpreter in exec, by its name or by the file that it is") {
  const Scratch scratch;
  const std::string interpreter = scratch.file("bin/interp", "\177ELF", 0755);
  const std::string alias = scratch.link("bin/alias", "interp");
  const std::string script = scratch.file("script", "#! " + alias + " \t-x  y \nbody", 0755);
  const auto binary = identify_binary(command({script}), "", {"/bin/true", interpreter});
  REQUIRE(binary);
  CHECK(binary->script);
  CHECK(binary->interpreter == interpreter);
  CHECK(binary->interpreter_args == std::vector<std::string>{"-x  y"});
  CHECK(binary->interpreter_fd);
  CHECK(identify_binary(command({script}), "", {alias})->interpreter == alias);
  const auto unlisted = identify_binary(command({script}), "", {});
  REQUIRE(!unlisted);
  CHECK(unlisted.error().code == DenialCode::binary_untrusted);
  CHECK(unlisted.error().message.find("list it in the command's sandbox.exec") != std::string::npos);
  REQUIRE(::chmod(interpreter.c_str(), 0777) == 0);
  CHECK(refused(command({script}), {interpreter}) == DenialCode::binary_untrusted);
}

TEST_CASE("binary: an interpreter that is itself a script, or not named whole, is refused") {
  const Scratch scratch;
  const std::string second = scratch.file("second", "#!/bin/sh\n", 0755);
  CHECK(refused(command({scratch.file("a", "#!" + second + "\n", 0755)}), {second}) == DenialCode::binary_untrusted);
  const std::string good = scratch.file("good", "\177ELF", 0755);
  const std::string padding(260, ' ');
  for (const std::string& line : {std::string("#!"), std::string("#!\n"), std::string("#!good\n"), "#!" + good + "\r\n",
                                  "#!" + padding + good + "\n", "#!" + good + padding + "x\n",
                                  "#!" + good + std::string(1, '\0') + "\n"}) {
    CHECK(refused(command({scratch.file("s", line, 0755)}), {good}) == DenialCode::binary_untrusted);
  }
  CHECK(identify_binary(command({scratch.file("t", "#!" + good, 0755)}), "", {good}));  // no newline at the end
}

TEST_CASE("binary: env names the first entry of exec that exists") {
  const Scratch scratch;
  const std::string python = scratch.file("bin/python3", "\177ELF", 0755);
  const std::string other = scratch.file("other/python3", "\177ELF", 0755);
  const Command asked = command({scratch.file("script", "#!/usr/bin/env python3\n", 0755)});
  const auto binary = identify_binary(asked, "", {"/bin/true", python});
  REQUIRE(binary);
  CHECK(binary->interpreter == python);
  CHECK(binary->interpreter_args.empty());
  const auto first = identify_binary(asked, "", {"/nonexistent/python3", other, python});
  REQUIRE(first);
  CHECK(first->interpreter == other);
  CHECK(refused(asked, {"/nonexistent/python3"}) == DenialCode::binary_untrusted);
  CHECK(refused(asked, {"/usr/bin/env"}) == DenialCode::binary_untrusted);
  for (const char* line : {"#!/usr/bin/env -S python3\n", "#!/usr/bin/env\n", "#!/usr/bin/env A=1\n",
                           "#!/usr/bin/env ../python3\n", "#!/usr/bin/env python3 -u\n"}) {
    CHECK(refused(command({scratch.file("s", line, 0755)}), {python}) == DenialCode::binary_untrusted);
  }
}

TEST_CASE("binary: links of root's are passed, as on every merged /usr") {
  const auto binary = identify_binary(command({"/bin/sh"}, Trust::root), "", {});
  REQUIRE(binary);
  CHECK(binary->path == "/bin/sh");
}

}  // namespace
