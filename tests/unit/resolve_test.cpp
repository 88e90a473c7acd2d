#include "resolve.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <thread>

#include <doctest/doctest.h>

#include "scratch.h"

namespace {

using namespace safe_exec;
using safe_exec::test::Scratch;

Variable variable(std::string name, std::optional<std::string> value, std::vector<Root> within = {}) {
  Variable made;
  made.name = std::move(name);
  made.default_value = std::move(value);
  made.settable = !within.empty();
  made.within = std::move(within);
  return made;
}

PathType type(PathAccess access, std::vector<Root> within, PathKind kind = PathKind::any, bool missing = true) {
  PathType made;
  made.access = access;
  made.kind = kind;
  made.within = std::move(within);
  made.missing = missing;
  return made;
}

// A policy whose variable ws is the directory "ws" of the scratch directory, and a resolver started in it.
struct World {
  Scratch scratch;
  std::string ws = scratch.dir("ws");
  Policy policy;
  std::unique_ptr<PathResolver> resolver;

  explicit World(std::vector<Variable> more = {}) {
    policy.sources.push_back(json::parse("policy.json", "{}", json::Comments::allow).value());
    policy.variables.push_back(variable("ws", ws));
    for (Variable& next : more) policy.variables.push_back(std::move(next));
    const test::WorkingDirectory here(ws);
    resolver = make_system_resolver(policy, {}).value();
  }

  Grant granted(std::string_view text, PathAccess access = PathAccess::read, PathKind kind = PathKind::any) {
    auto grant = resolver->path(text, type(access, {{"ws", "", {}}}, kind));
    if (!grant) FAIL(text, ": ", grant.error().message);
    return *std::move(grant);
  }
  DenialCode denied(std::string_view text, PathAccess access = PathAccess::read, PathKind kind = PathKind::any,
                    bool missing = true) {
    const auto grant = resolver->path(text, type(access, {{"ws", "", {}}}, kind, missing));
    if (grant) FAIL(text, " is granted as ", grant->path);
    CHECK(!grant.error().message.empty());
    return grant.error().code;
  }
};

bool is_inode(const Grant& grant, const std::string& path) {
  struct stat a {}, b {};
  return ::fstat(grant.fd.get(), &a) == 0 && ::stat(path.c_str(), &b) == 0 && a.st_ino == b.st_ino &&
         a.st_dev == b.st_dev && (::fcntl(grant.fd.get(), F_GETFL) & O_PATH) != 0 &&
         (::fcntl(grant.fd.get(), F_GETFD) & FD_CLOEXEC) != 0;
}

TEST_CASE("resolve: relative, absolute and untidy names of one file lead to its inode") {
  World world;
  const std::string file = world.scratch.file("ws/a/file");
  for (const std::string& name : {std::string("a/file"), std::string("./a//file"), std::string("a/../a/file"), file,
                                  world.scratch / "/./ws//a/file", world.ws + "/a/./file"}) {
    const Grant grant = world.granted(name);
    CHECK(is_inode(grant, file));
    CHECK(grant.path == file);
    CHECK(grant.exists);
    CHECK(!grant.directory);
  }
  CHECK(world.granted("a/../a/file").given == world.ws + "/a/../a/file");
  CHECK(world.granted("./a//file").given.empty());
  CHECK(world.granted("a").directory);
  CHECK(world.granted(".").path == world.ws);
  CHECK(world.granted(world.ws + "/").path == world.ws);
}

TEST_CASE("resolve: a name outside of the roots is path_outside, and the answer does not tell what exists there") {
  World world;
  world.scratch.file("secret");
  world.scratch.dir("ws-evil");
  world.scratch.dir("ws/a");
  world.scratch.link("ws/out", "../secret");
  world.scratch.link("ws/nowhere", "../missing");
  const auto answer = [&world](const std::string& text) {
    const auto grant = world.resolver->path(text, type(PathAccess::read, {{"ws", "", {}}}));
    REQUIRE(!grant);
    CHECK(grant.error().code == DenialCode::path_outside);
    return grant.error().message + '|' + grant.error().expected;
  };
  CHECK(answer("../secret") == answer("../missing"));
  CHECK(answer(world.scratch / "secret") == answer(world.scratch / "missing"));
  CHECK(answer(world.scratch / "secret/x") == answer(world.scratch / "missing"));
  CHECK(answer("out") == answer("nowhere"));
  CHECK(answer("a/../../secret") == answer("none/../../secret"));
  CHECK(answer(world.ws + "-evil") == answer("/etc/shadow"));
  CHECK(answer(world.ws + "/../ws/a") == answer("/"));
  CHECK(answer("/proc/self/root" + world.ws) == answer("/etc"));
  CHECK(answer("../ws/a") == answer(".."));
}

TEST_CASE("resolve: links stay inside, relative ones pass and are listed, absolute and circular ones are refused") {
  World world;
  const std::string file = world.scratch.file("ws/a/file");
  world.scratch.link("ws/link", "a");
  world.scratch.link("ws/a/back", "../link/file");
  world.scratch.link("ws/abs", file);
  world.scratch.link("ws/circle", "circle");
  world.scratch.link("ws/proc", "/proc/self/cwd");
  const Grant grant = world.granted("a/back");
  CHECK(grant.path == file);
  CHECK(grant.given == world.ws + "/a/back");
  REQUIRE(grant.links.size() == 2);
  CHECK(grant.links[0].path == world.ws + "/a/back");
  CHECK(grant.links[0].target == "../link/file");
  CHECK(grant.links[1].path == world.ws + "/link");
  CHECK(world.denied("abs") == DenialCode::path_outside);
  CHECK(world.denied("circle") == DenialCode::path_outside);
  CHECK(world.denied("proc/a") == DenialCode::path_outside);
}

TEST_CASE("resolve: what a link takes out of one root may lie in another") {
  World world;
  const std::string file = world.scratch.file("ws/b/file");
  world.scratch.dir("ws/a");
  world.scratch.link("ws/a/link", "../b/file");
  const PathType narrow = type(PathAccess::read, {{"ws", "a", {}}});
  CHECK(world.resolver->path("a/link", narrow).error().code == DenialCode::path_outside);
  CHECK(world.resolver->path("a/link", type(PathAccess::read, {{"ws", "a", {}}, {"ws", "", {}}}))->path == file);
}

TEST_CASE("resolve: kinds, special files and the empty name") {
  World world;
  world.scratch.file("ws/file");
  world.scratch.dir("ws/dir");
  REQUIRE(::mkfifo((world.ws + "/fifo").c_str(), 0600) == 0);
  for (const PathAccess access : {PathAccess::stat, PathAccess::read, PathAccess::write}) {
    CHECK(world.denied("file", access, PathKind::dir) == DenialCode::path_wrong_kind);
    CHECK(world.denied("dir", access, PathKind::file) == DenialCode::path_wrong_kind);
    CHECK(world.denied("fifo", access) == DenialCode::path_wrong_kind);
  }
  CHECK(world.denied("") == DenialCode::path_not_found);
  CHECK(world.denied(std::string_view("file\0x", 6)) == DenialCode::path_not_found);
  CHECK(world.denied(std::string(300, 'a'), PathAccess::create) == DenialCode::path_not_found);
  CHECK(world.granted("file", PathAccess::stat).stat_only);
  const auto device = world.resolver->path("/dev/null", type(PathAccess::read, {{"", "/dev", {}}}));
  CHECK(device.error().code == DenialCode::path_wrong_kind);
}

TEST_CASE("resolve: a missing file is a grant of nothing where the type lets it be missing, else path_not_found") {
  World world;
  world.scratch.dir("ws/real");
  world.scratch.file("ws/file");
  world.scratch.link("ws/link", "real");
  const Grant grant = world.granted("link/sub/none");
  CHECK(!grant.exists);
  CHECK(!grant.fd);
  CHECK(grant.path == world.ws + "/real/sub/none");
  CHECK(!world.granted("file/x").exists);
  CHECK(world.denied("none", PathAccess::read, PathKind::any, false) == DenialCode::path_not_found);
  CHECK(world.denied("none", PathAccess::write, PathKind::any, false) == DenialCode::path_not_found);
}

TEST_CASE("resolve: writing refuses roots and files with other names") {
  World world;
  world.scratch.file("ws/file");
  world.scratch.file("ws/twice");
  world.scratch.dir("ws/dir");
  std::filesystem::create_hard_link(world.ws + "/twice", world.scratch / "other");
  for (const PathAccess access : {PathAccess::write, PathAccess::create, PathAccess::replace}) {
    if (access != PathAccess::create) CHECK(world.granted("file", access).access == access);
    CHECK(world.denied("twice", access) == DenialCode::path_wrong_kind);
    CHECK(world.denied(".", access) == DenialCode::path_wrong_kind);
    CHECK(world.denied("dir/..", access) == DenialCode::path_wrong_kind);
    CHECK(world.denied(world.ws, access) == DenialCode::path_wrong_kind);
  }
  CHECK(world.granted("twice").exists);  // reading is no danger
  CHECK(world.granted("dir", PathAccess::write).directory);
}

TEST_CASE("resolve: create takes a missing name in an existing directory, and never through a link") {
  World world;
  world.scratch.dir("ws/dir");
  world.scratch.link("ws/in", "dir");
  world.scratch.link("ws/dangling", "dir/none");
  world.scratch.link("ws/out", "../outside");
  const Grant grant = world.granted("in/new", PathAccess::create, PathKind::file);
  CHECK(!grant.exists);
  CHECK(!grant.fd);
  CHECK(grant.leaf == "new");
  CHECK(grant.path == world.ws + "/dir/new");
  CHECK(grant.given == world.ws + "/in/new");
  REQUIRE(grant.parent);
  CHECK(::faccessat(grant.parent.get(), "new", F_OK, AT_SYMLINK_NOFOLLOW) != 0);
  CHECK(world.denied("dangling", PathAccess::create) == DenialCode::path_wrong_kind);
  CHECK(world.denied("out", PathAccess::create) == DenialCode::path_outside);
  CHECK(world.denied("out/new", PathAccess::create) == DenialCode::path_outside);
  CHECK(world.denied("none/new", PathAccess::create) == DenialCode::path_not_found);
  CHECK(world.denied("none/..", PathAccess::create) == DenialCode::path_not_found);
  CHECK(world.denied("new/", PathAccess::create) == DenialCode::path_wrong_kind);
  CHECK(world.denied("new", PathAccess::create, PathKind::dir) == DenialCode::path_wrong_kind);
  CHECK(world.denied("../new", PathAccess::create) == DenialCode::path_outside);
}

TEST_CASE("resolve: create never takes a file that is there already") {
  World world;
  world.scratch.file("ws/file");
  world.scratch.link("ws/link", "file");
  CHECK(world.denied("file", PathAccess::create, PathKind::file) == DenialCode::path_wrong_kind);
  CHECK(world.denied("link", PathAccess::create, PathKind::file) == DenialCode::path_wrong_kind);
  CHECK(world.granted("file", PathAccess::replace, PathKind::file).exists);
  CHECK(!world.granted("other", PathAccess::create, PathKind::file).exists);
}

TEST_CASE("resolve: the name of a missing path begins with the deepest directory there is, however long it is") {
  World world;
  world.scratch.dir("ws/a/b");
  world.scratch.link("ws/in", "a");
  world.scratch.file("ws/a/f");
  CHECK(world.granted("in/b/c/d").path == world.ws + "/a/b/c/d");
  CHECK(world.granted("in/f/d").path == world.ws + "/a/f/d");
  CHECK(world.granted("in/c").path == world.ws + "/a/c");
  CHECK(world.granted("c").path == world.ws + "/c");
  // In processor time, the least of several: eight times the length is eight times the work and not sixty-four.
  const auto cost = [&](int components) {
    std::string deep;
    for (int i = 0; i < components; ++i) deep += "/c";
    CHECK(world.granted("in" + deep).path == world.ws + "/a" + deep);
    std::clock_t least = 0;
    for (int run = 0; run < 5; ++run) {
      const std::clock_t start = std::clock();
      for (int i = 0; i < 8; ++i) (void)world.granted("in" + deep);
      const std::clock_t took = std::clock() - start + 1;
      if (run == 0 || took < least) least = took;
    }
    return least;
  };
  CHECK(cost(2000) < 30 * cost(250));
}

TEST_CASE("resolve: replace grants the directory of the name itself") {
  World world;
  const std::string file = world.scratch.file("ws/dir/file");
  world.scratch.link("ws/link", "dir/file");
  const Grant grant = world.granted("dir/file", PathAccess::replace, PathKind::file);
  CHECK(is_inode(grant, file));
  CHECK(grant.leaf == "file");
  REQUIRE(grant.parent);
  CHECK(::faccessat(grant.parent.get(), "file", F_OK, 0) == 0);
  CHECK(world.denied("link", PathAccess::replace) == DenialCode::path_wrong_kind);
  CHECK(!world.granted("dir/new", PathAccess::replace).exists);
}

TEST_CASE("resolve: relative names start where the request is, and start_dir is no request's to change") {
  World world;
  const std::string file = world.scratch.file("ws/a/file");
  world.scratch.dir("outside");
  world.scratch.link("ws/out", "../outside");
  const std::vector<Root> within{{"ws", "", {}}};
  const auto entered = world.resolver->enter("a", within);
  REQUIRE(entered);
  CHECK(entered->path == world.ws + "/a");
  CHECK(entered->fd);
  CHECK(world.granted("file").path == file);
  CHECK(world.granted("../a/file").path == file);
  CHECK(world.denied("../../outside") == DenialCode::path_outside);
  CHECK(world.resolver->enter("..", within)->path == world.ws);
  CHECK(world.resolver->enter("../outside", within).error().code == DenialCode::cwd_not_allowed);
  CHECK(world.resolver->enter("out", within).error().code == DenialCode::cwd_not_allowed);
  CHECK(world.resolver->enter("a", {}).error().code == DenialCode::cwd_not_allowed);
  CHECK(world.resolver->enter("a/file", within).error().code == DenialCode::path_wrong_kind);
  CHECK(world.resolver->enter("none", within).error().code == DenialCode::path_not_found);
  CHECK(world.resolver->enter(std::nullopt, {})->path == world.ws);
  CHECK(world.resolver->expand({"start_dir", "", {}}).value() == world.ws);
}

TEST_CASE("resolve: roots that are missing or reached through somebody's link match nothing") {
  World world;
  world.scratch.file("real/file");
  world.scratch.link("link", "real");
  world.scratch.dir("ws/in");
  world.scratch.link("ws/sub", "in");
  CHECK(world.resolver->path(world.scratch / "none/x", type(PathAccess::read, {{"", world.scratch / "none", {}}}))
            .error()
            .code == DenialCode::path_outside);
  CHECK(world.resolver->path("sub", type(PathAccess::read, {{"ws", "sub", {}}})).error().code ==
        DenialCode::path_outside);
  CHECK(world.resolver->path("x", type(PathAccess::read, {{"nobody", "", {}}})).error().code ==
        DenialCode::path_outside);
  (void)test::give_away(world.scratch.path());  // else it is the caller's, who is not root
  const auto through = world.resolver->path(world.scratch / "link/file",
                                            type(PathAccess::read, {{"", world.scratch / "link", {}}}));
  CHECK(through.error().code == DenialCode::path_outside);
  const PathType physical = type(PathAccess::read, {{"", world.scratch / "real", {}}});
  CHECK(world.resolver->path(world.scratch / "real/file", physical));
  // root's own links: /bin on every merged /usr, else a directory; both names reach it
  CHECK(world.resolver->path("/bin/sh", type(PathAccess::stat, {{"", "/bin", {}}}))->exists);
}

TEST_CASE("resolve: names_existing asks as git does") {
  World world;
  world.scratch.file("ws/file");
  world.scratch.file("outside");
  world.scratch.link("ws/dangling", "nowhere");
  const std::vector<Root> within{{"ws", "", {}}};
  CHECK(world.resolver->names_existing("file", within));
  CHECK(world.resolver->names_existing("dangling", within));
  CHECK(!world.resolver->names_existing("none", within));
  CHECK(!world.resolver->names_existing("../outside", within));
  CHECK(!world.resolver->names_existing("", within));
}

TEST_CASE("resolve: a root that is one file grants that file alone") {
  World world;
  const std::string file = world.scratch.file("one");
  world.scratch.file("two");
  const PathType only = type(PathAccess::read, {{"", file, {}}});
  CHECK(is_inode(*world.resolver->path(file, only), file));
  CHECK(world.resolver->path(world.scratch / "two", only).error().code == DenialCode::path_outside);
  CHECK(!world.resolver->path(file + "/x", only)->exists);
}

TEST_CASE("resolve: the policy's own paths; programs meet the rule of binaries, sockets only where they are asked for") {
  World world;
  world.scratch.file("ws/data");
  world.scratch.file("ws/tool", "\177ELF", 0755);
  world.scratch.file("ws/open", "\177ELF", 0777);
  REQUIRE(::mkfifo((world.ws + "/fifo").c_str(), 0600) == 0);
  const UniqueFd bound(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, (world.ws + "/socket").c_str(), sizeof address.sun_path - 1);
  REQUIRE(::bind(bound.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  const auto path = [&world](std::string name, PathAccess access, bool executable = false) {
    return world.resolver->policy_path({"ws", std::move(name), {}}, access, executable);
  };
  const auto data = path("data", PathAccess::read);
  REQUIRE(data);
  CHECK(data->origin == Origin::policy);
  CHECK(!data->executable);
  CHECK(path("", PathAccess::write)->directory);
  CHECK(!path("none", PathAccess::read));
  CHECK(!path("fifo", PathAccess::read));
  CHECK(!path("socket", PathAccess::read));
  CHECK(path("socket", PathAccess::write));
  CHECK(!path("open", PathAccess::read, true));
  CHECK(!path("data", PathAccess::read, true));
  CHECK(path("tool", PathAccess::read, true).has_value() == test::am_root());  // trust is root until a command says else
  Command mine;
  mine.trust = Trust::caller;
  (void)world.resolver->binary(mine, "", {}, true);
  CHECK(path("tool", PathAccess::read, true)->executable);
}

TEST_CASE("resolve: a program that was replaced since its root was opened is not granted") {
  World world;
  const std::string tool = world.scratch.file("tool", "\177ELF", 0755);
  Command mine;
  mine.trust = Trust::caller;
  (void)world.resolver->binary(mine, "", {}, true);
  CHECK(world.resolver->policy_path({"", tool, {}}, PathAccess::read, true));
  std::filesystem::rename(world.scratch.file("other", "\177ELF", 0755), tool);
  CHECK(!world.resolver->policy_path({"", tool, {}}, PathAccess::read, true));
}

TEST_CASE("resolve: the request's stdin file is opened for reading from the checked inode") {
  World world;
  world.scratch.file("ws/file", "first");
  const Grant grant = world.granted("file");
  std::filesystem::rename(world.ws + "/file", world.ws + "/moved");
  world.scratch.file("ws/file", "other");
  const auto fd = world.resolver->open_stdin_file(grant);
  REQUIRE(fd);
  char text[8]{};
  CHECK(::read(fd->get(), text, sizeof text) == 5);
  CHECK(std::string_view(text) == "first");
  CHECK(world.resolver->open_stdin_file(world.granted("none")).error().code == DenialCode::path_not_found);
  world.scratch.dir("ws/dir");
  CHECK(world.resolver->open_stdin_file(world.granted("dir")).error().code == DenialCode::path_wrong_kind);
}

TEST_CASE("resolve: variables are set only where the policy lets them, and inside of their within") {
  World world;
  const std::string inside = world.scratch.dir("free/inside");
  world.scratch.dir("other");
  world.scratch.file("free/file");
  world.policy.variables.push_back(variable("set", "${ws}", {{"", world.scratch / "free", {}}}));
  const auto code = [&world](const char* name, const std::string& value) {
    const auto made = make_system_resolver(world.policy, {{name, value}});
    REQUIRE(!made);
    return made.error().code;
  };
  CHECK(make_system_resolver(world.policy, {{"set", inside}}).value()->expand({"set", "x", {}}).value() == inside + "/x");
  CHECK(make_system_resolver(world.policy, {}).value()->expand({"set", "", {}}).value() == world.ws);
  CHECK(code("set", world.scratch / "other") == ErrorCode::usage);
  CHECK(code("set", inside + "/../../other") == ErrorCode::usage);
  CHECK(code("set", world.scratch / "free/file") == ErrorCode::usage);
  CHECK(code("set", world.scratch / "free/none") == ErrorCode::usage);
  CHECK(code("set", "") == ErrorCode::usage);
  CHECK(code("ws", inside) == ErrorCode::usage);
  CHECK(code("start_dir", inside) == ErrorCode::usage);
}

TEST_CASE("resolve: a variable that holds the policy, the home or the system is refused unless written literally") {
  World world;
  const auto made = [&world](std::string value, const std::map<std::string, std::string>& set = {}) {
    Policy policy = world.policy;
    policy.variables = {variable("root", "/"), variable("v", std::move(value), {{"", "/", {}}})};
    policy.file = world.scratch / "ws/p/policy.json";
    const auto resolver = make_system_resolver(policy, set);
    return resolver ? "" : resolver.error().message;
  };
  world.scratch.file("ws/p/policy.json");
  CHECK(made(world.ws) == "");
  CHECK(made("/") == "");
  CHECK(made("/usr") == "");
  for (const char* wide : {"${root}", "${root}/usr", "${root}/etc", "${root}/proc"}) CHECK(made(wide) != "");
  for (const std::string& wide : {std::string("/"), std::string("/var"), world.ws, world.ws + "/p"}) {
    CHECK(made(world.ws, {{"v", wide}}) != "");
  }
  world.scratch.dir("free");
  CHECK(made(world.ws, {{"v", world.scratch / "free"}}) == "");
  CHECK(made("${nobody}") != "");
  CHECK(made("${v}") != "");
  CHECK(made(world.scratch / "none") != "");
  const test::WorkingDirectory here("/");
  CHECK(made("${start_dir}") != "");
  const auto resolver = make_system_resolver(world.policy, {}).value();
  CHECK(resolver->enter(std::nullopt, {}));  // running there is no grant
  CHECK(!resolver->path("etc", type(PathAccess::read, {{"start_dir", "", {}}})));
}

TEST_CASE("resolve: a policy below what its commands may write is untrusted") {
  World world;
  world.policy.file = world.scratch.file("ws/p/policy.json");
  world.scratch.dir("ws/p/commands");
  world.scratch.dir("ws/other");
  Command command;
  command.node.operands.emplace();
  Slot slot;
  const auto check = [&](PathAccess access, std::string below) {
    Type made;
    made.kind = Type::Kind::path;
    made.path = type(access, {{"ws", std::move(below), {}}});
    Type list;
    list.kind = Type::Kind::list;
    list.of = std::make_shared<const Type>(made);
    slot.types = {std::make_shared<const Type>(list)};
    Command next = command;
    next.node.operands = std::vector<Slot>{slot};
    Command outer;
    outer.node.subcommands = {next.node};
    world.policy.commands = {outer};
    const auto safe = check_policy_not_writable(world.policy, *world.resolver);
    return safe ? "safe" : std::string(code_name(safe.error().code));
  };
  CHECK(check(PathAccess::read, "") == "safe");
  CHECK(check(PathAccess::write, "other") == "safe");
  CHECK(check(PathAccess::write, "none") == "safe");
  for (const PathAccess access : {PathAccess::write, PathAccess::create, PathAccess::replace}) {
    CHECK(check(access, "") == "policy_untrusted");
    CHECK(check(access, "p") == "policy_untrusted");
    CHECK(check(access, "p/policy.json") == "policy_untrusted");
    CHECK(check(access, "p/commands") == "policy_untrusted");
  }
  command.node.sandbox.write = std::vector<Root>{{"ws", "", {}}};
  world.policy.commands = {command};
  CHECK(!check_policy_not_writable(world.policy, *world.resolver));
  // A directory's policy.json may be a link; its commands/ are beside that.
  world.scratch.file("shared/commands/ls.json");
  world.policy.file = world.scratch.link("shared/policy.json", "../ws/p/policy.json");
  const auto writes = [&](const std::string& path) {
    command.node.sandbox.write = std::vector<Root>{{"", path, {}}};
    world.policy.commands = {command};
    return !check_policy_not_writable(world.policy, *world.resolver);
  };
  CHECK(writes(world.scratch / "shared/commands"));
  CHECK(writes(world.scratch / "shared"));
  CHECK_FALSE(writes(world.scratch / "ws/other"));
  // What would go before it must not be made.
  world.policy.passed_over = {world.scratch / "ws/other/not/there/policy.json"};
  CHECK(writes(world.scratch / "ws/other"));
  CHECK_FALSE(writes(world.scratch / "ws/there"));
  world.scratch.link("ws/link", "other");
  world.policy.passed_over = {world.scratch / "ws/link/policy.json"};
  CHECK(writes(world.scratch / "ws/other"));
  world.scratch.link("xdg", "ws/other/absent");
  world.policy.passed_over = {world.scratch / "xdg/safe-exec/policy.json"};
  CHECK(writes(world.scratch / "ws/other"));
  world.policy.passed_over.clear();
  world.policy.file = world.scratch.link("ws/other/link.json", "../p/policy.json");
  command.node.sandbox.write = std::vector<Root>{{"ws", "other", {}}};
  world.policy.commands = {command};
  CHECK(!check_policy_not_writable(world.policy, *world.resolver));
}

TEST_CASE("resolve: no path of the policy leaves by a link what a command may write") {
  if (!test::am_root()) return;  // links of anybody else are not followed there: see trust_test
  World world;
  world.scratch.dir("out/deep");
  world.scratch.dir("ws/dir");
  world.scratch.link("ws/dir/out", "../../out");
  world.scratch.link("ws/dir/in", "../../ws");
  world.scratch.link("to_ws", "ws/dir/in");
  const auto asked = [&](const std::string& place, const std::string& path) {
    auto resolver = make_system_resolver(world.policy, {}).value();
    resolver->distrust({world.scratch / place}, false);
    (void)resolver->policy_path({"", world.scratch / path, {}}, PathAccess::read, false);
    const auto late = resolver->broken();
    auto early = make_system_resolver(world.policy, {}).value();
    (void)early->policy_path({"", world.scratch / path, {}}, PathAccess::read, false);
    early->distrust({world.scratch / place}, false);
    CHECK(late.has_value() == early->broken().has_value());
    return late ? std::string(code_name(late->code)) : "passed";
  };
  CHECK(asked("ws", "ws/dir/out/deep") == "policy_untrusted");
  CHECK(asked("ws", "ws/dir/out") == "policy_untrusted");
  CHECK(asked("ws/dir", "ws/dir/in") == "policy_untrusted");
  CHECK(asked("ws", "ws/dir/in/dir") == "passed");
  CHECK(asked("ws", "to_ws") == "passed");
  world.scratch.link("beside", "out");
  CHECK(asked("ws", "beside/deep") == "passed");
  World variables({variable("v", world.scratch / "ws/dir/out")});
  auto resolver = make_system_resolver(variables.policy, {}).value();
  CHECK(!resolver->broken());
  resolver->distrust({world.ws}, false);
  CHECK(resolver->broken().has_value());
  World beneath({variable("w", world.ws)});
  resolver = make_system_resolver(beneath.policy, {}).value();
  resolver->distrust({}, false);
  (void)resolver->policy_path({"", world.scratch / "ws/dir/out/deep", {}}, PathAccess::read, false);
  CHECK(resolver->broken().has_value());
}

TEST_CASE("resolve: without descriptors left everything is refused and nothing crashes") {
  World world;
  world.scratch.file("ws/a/file");
  CHECK(test::in_child([&world] {
          const rlimit none{3, 3};
          if (::setrlimit(RLIMIT_NOFILE, &none) != 0) return 2;
          const auto grant = world.resolver->path("a/file", type(PathAccess::read, {{"ws", "", {}}}));
          if (grant || grant.error().code != DenialCode::path_not_found) return 1;
          return world.resolver->enter("a", {{"ws", "", {}}}) ? 1 : 0;
        }) == 0);
}

// Swaps two names as fast as it can while the resolver looks: whatever it opens lies inside of the root.
void race(World& world, const std::string& inside, const std::string& outside, std::string_view text, ino_t secret) {
  std::atomic<bool> stop = false;
  std::thread swapper([&] {
    while (!stop) {
      (void)::syscall(SYS_renameat2, AT_FDCWD, inside.c_str(), AT_FDCWD, outside.c_str(), 2);  // RENAME_EXCHANGE
    }
  });
  int granted = 0;
  for (int i = 0; i < 10000; ++i) {
    const auto grant = world.resolver->path(text, type(PathAccess::read, {{"ws", "", {}}}));
    if (!grant || !grant->fd) continue;
    ++granted;
    struct stat status {};
    CHECK_MESSAGE((::fstat(grant->fd.get(), &status) == 0 && status.st_ino != secret), grant->path);
    CHECK(grant->path.rfind(world.ws + '/', 0) == 0);
  }
  stop = true;
  swapper.join();
  CHECK(granted > 0);
}

TEST_CASE("resolve: swapping a link, a directory or a parent between check and use never leads outside") {
  World world;
  struct stat status {};
  const std::string secret = world.scratch.file("out/d/file", "secret");
  REQUIRE(::stat(secret.c_str(), &status) == 0);
  world.scratch.file("ws/real/d/file", "fine");
  SUBCASE("a link that leads outside takes the place of a directory") {
    world.scratch.file("ws/x/d/file", "fine");
    world.scratch.link("ws/evil", "../out");
    race(world, world.ws + "/x", world.ws + "/evil", "x/d/file", status.st_ino);
  }
  SUBCASE("a link that leads outside takes the place of a link") {
    world.scratch.link("ws/x", "real");
    world.scratch.link("ws/evil", world.scratch / "out");
    race(world, world.ws + "/x", world.ws + "/evil", "x/d/file", status.st_ino);
  }
  SUBCASE("a link that leads outside takes the place of the file") {
    world.scratch.file("ws/x");
    world.scratch.link("ws/evil", "../out/d/file");
    race(world, world.ws + "/x", world.ws + "/evil", "x", status.st_ino);
  }
  SUBCASE("the directory is moved out of the root while .. is resolved") {
    world.scratch.file("ws/x/d/file", "fine");
    world.scratch.dir("other/d");
    race(world, world.ws + "/x", world.scratch / "other", "x/d/../d/file", status.st_ino);
  }
}

}  // namespace
