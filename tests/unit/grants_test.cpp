#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>

#include <doctest/doctest.h>

#include "created.h"
#include "pattern.h"
#include "resolve.h"
#include "scratch.h"

namespace {

using namespace safe_exec;
using safe_exec::test::Scratch;

Grant directory(const std::string& path, PathAccess access = PathAccess::read) {
  Grant grant;
  grant.path = path;
  grant.directory = true;
  grant.access = access;
  grant.fd = UniqueFd(::open(path.c_str(), O_PATH | O_CLOEXEC));
  REQUIRE(grant.fd);
  return grant;
}

Plan plan(const std::string& path, std::vector<std::string> globs, PathAccess access = PathAccess::read) {
  Plan made;
  made.grants.push_back(directory(path, access));
  made.deny_globs = std::move(globs);
  return made;
}

const Grant* find(const Plan& plan, const std::string& path) {
  const auto found = std::find_if(plan.grants.begin(), plan.grants.end(),
                                  [&path](const Grant& grant) { return grant.path == path; });
  return found == plan.grants.end() ? nullptr : &*found;
}

bool names_only(const Grant* grant) {
  return grant != nullptr && grant->directory && grant->access == PathAccess::stat && !grant->stat_only;
}

// Whether the content of path is granted, by itself or by a directory above it.
bool reaches(const Plan& plan, const std::string& path) {
  return std::any_of(plan.grants.begin(), plan.grants.end(), [&path](const Grant& grant) {
    if (grant.access == PathAccess::stat) return false;
    return grant.path == path || (grant.directory && path.rfind(grant.path + '/', 0) == 0);
  });
}

TEST_CASE("grants: a directory without a match is granted as it is") {
  const Scratch scratch;
  scratch.file("a/b/file");
  for (const auto& globs : {std::vector<std::string>{}, {"**/.ssh/**", "**/*.pem"}, {scratch / "none"}, {"/etc/**"}}) {
    Plan asked = plan(scratch.path(), globs);
    CHECK(grant_around_denied(asked)->state == LayerState::enforced);
    REQUIRE(asked.grants.size() == 1);
    CHECK(asked.grants[0].path == scratch.path());
    CHECK(asked.grants[0].access == PathAccess::read);
  }
}

TEST_CASE("grants: above a match only names are granted, and everything beside it one by one, parents first") {
  const Scratch scratch;
  scratch.file("a/b/.ENV");
  scratch.file("a/b/file");
  scratch.file("a/other/deep/file");
  scratch.file("top");
  scratch.file("a/.ssh/id");
  scratch.link("link", "a/b/.ENV");
  REQUIRE(::mkfifo((scratch / "fifo").c_str(), 0600) == 0);
  Plan asked = plan(scratch.path(), {"**/.ssh/**", "**/.env"}, PathAccess::write);
  REQUIRE(grant_around_denied(asked)->state == LayerState::enforced);
  for (const std::string& above : {scratch.path(), scratch / "a", scratch / "a/b"}) CHECK(names_only(find(asked, above)));
  for (const std::string& beside : {scratch / "a/b/file", scratch / "a/other", scratch / "top"}) {
    REQUIRE(find(asked, beside) != nullptr);
    CHECK(find(asked, beside)->access == PathAccess::write);
    CHECK(find(asked, beside)->fd);
  }
  CHECK(!reaches(asked, scratch / "a/b/.ENV"));
  CHECK(!reaches(asked, scratch / "a/.ssh/id"));
  CHECK(!reaches(asked, scratch / "fifo"));
  CHECK(reaches(asked, scratch / "a/other/deep/file"));
  CHECK(asked.grants.size() == 6);
  CHECK(asked.grants[0].path == scratch.path());
  REQUIRE(asked.grants[0].links.size() == 1);
  CHECK(asked.grants[0].links[0].target == "a/b/.ENV");
  CHECK(std::is_sorted(asked.grants.begin(), asked.grants.end(),
                       [](const Grant& a, const Grant& b) { return a.path < b.path; }));
}

TEST_CASE("grants: a pattern without ** needs no walk of what it cannot match") {
  const Scratch scratch;
  scratch.file("secret/key");
  scratch.file("secret/public");
  for (int i = 0; i < 50; ++i) scratch.file("large/" + std::to_string(i));
  Plan asked = plan(scratch.path(), {scratch / "secret/key"});
  asked.deny_walk.entries = 10;
  CHECK(grant_around_denied(asked)->state == LayerState::enforced);
  CHECK(!reaches(asked, scratch / "secret/key"));
  CHECK(reaches(asked, scratch / "secret/public"));
  CHECK(reaches(asked, scratch / "large/7"));
}

TEST_CASE("grants: a grant by another name keeps it, below as well") {
  const Scratch scratch;
  scratch.file("real/.env");
  scratch.file("real/file");
  Plan asked = plan(scratch / "real", {"**/.env"});
  asked.grants[0].given = scratch / "link";
  asked.grants[0].links.push_back({scratch / "link", "real"});
  REQUIRE(grant_around_denied(asked)->state == LayerState::enforced);
  REQUIRE(asked.grants.size() == 2);
  CHECK(asked.grants[0].given == scratch / "link");
  REQUIRE(asked.grants[0].links.size() == 1);
  CHECK(asked.grants[0].links[0].target == "real");
  CHECK(asked.grants[1].given == scratch / "link/file");
}

TEST_CASE("grants: a walk that does not finish refuses when the layer is required, else says so and grants the whole") {
  const Scratch scratch;
  for (int i = 0; i < 50; ++i) scratch.file("many/" + std::to_string(i));
  scratch.file(".env");
  scratch.file("x");
  const auto bounded = [&](std::int64_t entries, std::int64_t ms, const std::string& path, Requirement wanted) {
    Plan asked = plan(path, {"**/.env"});
    asked.deny_walk.entries = entries;
    asked.deny_walk.ms = ms;
    asked.layers[Layer::deny_paths] = wanted;
    const auto state = grant_around_denied(asked);
    if (!state) {
      CHECK(state.error().code == ErrorCode::sandbox_unavailable);
      CHECK(state.error().step == "deny_paths");
      return std::string("error");
    }
    if (state->state == LayerState::not_enforced) {
      CHECK(!state->detail.empty());
      CHECK(find(asked, path)->access == PathAccess::read);
    }
    return std::string(state_name(state->state));
  };
  const std::string not_enforced(state_name(LayerState::not_enforced));
  CHECK(bounded(20, 1000, scratch.path(), Requirement::require) == "error");
  CHECK(bounded(20, 1000, scratch.path(), Requirement::prefer) == not_enforced);
  CHECK(bounded(100, 1000, scratch.path(), Requirement::require) == state_name(LayerState::enforced));
  CHECK(bounded(20, 1000, scratch.path(), Requirement::off) == state_name(LayerState::off));
  for (int i = 0; i < 100; ++i) scratch.file("many/more" + std::to_string(i));
  CHECK(bounded(5000, -1, scratch.path(), Requirement::require) == "error");  // no time left
}

// A command that may write could else switch the layer off for the next one.
TEST_CASE("grants: what is nested too deeply is not granted, and the rest is looked through all the same") {
  const Scratch scratch;
  std::string deep;
  for (int i = 0; i < 300; ++i) deep += "d/";
  scratch.file(deep + ".env");
  scratch.file("x");
  scratch.file("sub/.env");
  Plan asked = plan(scratch.path(), {"**/.env"});
  CHECK(grant_around_denied(asked)->state == LayerState::enforced);
  CHECK(reaches(asked, scratch / "x"));
  CHECK(!reaches(asked, scratch / "sub/.env"));
  CHECK(!reaches(asked, scratch / (deep + ".env")));
}

TEST_CASE("grants: directories that are left out are granted unseen, unless their own name is denied") {
  const Scratch scratch;
  scratch.file("node_modules/.env");
  scratch.file("secret/file");
  Plan asked = plan(scratch.path(), {"**/.env", "**/secret/**"});
  asked.deny_walk.leave_out = {"node_modules", "secret"};
  CHECK(grant_around_denied(asked)->state == LayerState::enforced);
  CHECK(reaches(asked, scratch / "node_modules/.env"));
  CHECK(!reaches(asked, scratch / "secret/file"));
}

TEST_CASE("grants: by its place only what the policy grants for reading is left out, and it is said") {
  const Scratch scratch;
  scratch.file("system/a/.env");
  scratch.file("ws/.env");
  scratch.file("ws/file");
  const auto asked = [&](Origin origin, PathAccess access, const std::string& granted, const std::string& cwd) {
    Plan made = plan(granted, {"**/.env"}, access);
    made.grants.front().origin = origin;
    made.grants.push_back(directory(scratch / "ws", PathAccess::write));
    made.deny_walk.leave_out = {"a", scratch / "system"};
    made.cwd = cwd;
    return made;
  };
  const std::string system = scratch / "system", inside = scratch / "system/a/.env", elsewhere = scratch / "ws";
  Plan unseen = asked(Origin::policy, PathAccess::read, system, elsewhere);
  const auto state = grant_around_denied(unseen);
  REQUIRE(state.has_value());
  CHECK(state->state == LayerState::enforced);
  CHECK(state->detail == "not looked for in " + system);
  CHECK(reaches(unseen, inside));
  CHECK(!reaches(unseen, scratch / "ws/.env"));
  Plan below = asked(Origin::policy, PathAccess::read, scratch / "system/a", elsewhere);
  REQUIRE(grant_around_denied(below).has_value());
  CHECK(reaches(below, inside));
  scratch.file("system/b/.env");
  Plan all_seen[] = {asked(Origin::operand, PathAccess::read, system, elsewhere), asked(Origin::policy, PathAccess::write, system, elsewhere),
                     asked(Origin::policy, PathAccess::read, system, system + "/b"),
                     asked(Origin::policy, PathAccess::read, scratch.path(), elsewhere)};
  for (Plan& seen : all_seen) {
    const auto looked = grant_around_denied(seen);
    REQUIRE(looked.has_value());
    CHECK(looked->detail == "not looked for in a");
    CHECK(!reaches(seen, scratch / "system/b/.env"));
  }
  Plan beside = asked(Origin::policy, PathAccess::read, system, elsewhere);
  beside.grants.push_back(directory(scratch / "system/b"));  // an operand's
  REQUIRE(grant_around_denied(beside).has_value());
  CHECK(!reaches(beside, scratch / "system/b/.env"));
}

TEST_CASE("grants: a file beside what is denied is replaced where that is covered, else written in place") {
  const Scratch scratch;
  scratch.file("d/.env");
  scratch.file("d/file");
  const auto asked = [&] {
    Plan made;
    Grant file;
    file.path = scratch / "d/file";
    file.access = PathAccess::replace;
    file.fd = UniqueFd(::open(file.path.c_str(), O_PATH | O_CLOEXEC));
    file.parent = UniqueFd(::open((scratch / "d").c_str(), O_PATH | O_CLOEXEC));
    made.grants.push_back(std::move(file));
    made.deny_globs = {"**/.env"};
    return made;
  };
  Plan covered = asked();
  CHECK(grant_around_denied(covered)->state == LayerState::enforced);
  REQUIRE(covered.grants.size() == 1);
  CHECK(covered.grants[0].access == PathAccess::write);
  REQUIRE(covered.covered.size() == 1);
  CHECK(covered.covered[0].grant.access == PathAccess::replace);
  REQUIRE(covered.covered[0].matches.size() == 1);
  CHECK(covered.covered[0].matches[0].path == scratch / "d/.env");
  REQUIRE(::unlink((scratch / "d/.env").c_str()) == 0);
  REQUIRE(::symlink("file", (scratch / "d/.env").c_str()) == 0);  // nothing can be mounted on it
  Plan in_place = asked();
  CHECK(grant_around_denied(in_place)->state == LayerState::enforced);
  REQUIRE(in_place.grants.size() == 1);
  CHECK(in_place.grants[0].access == PathAccess::write);
  CHECK(in_place.covered.empty());
  Plan refused = asked();
  refused.grants[0].exists = false;
  refused.grants[0].fd = UniqueFd();
  CHECK(!grant_around_denied(refused).has_value());
}

TEST_CASE("grants: what cannot be listed but could be gone through is not granted") {
  const Scratch scratch;
  scratch.file("blind/.env");
  scratch.dir("blind", 0300);
  scratch.file("file");
  if (test::am_root()) {
    for (const std::string& path : {scratch.path(), scratch / "blind", scratch / "file"}) {
      REQUIRE(test::give_away(path));
    }
  }
  CHECK(test::in_child([&] {
          if (test::am_root() && ::setresuid(test::kForeign, test::kForeign, test::kForeign) != 0) return 2;
          Plan asked = plan(scratch.path(), {"**/.env"});
          const auto state = grant_around_denied(asked);
          return state && state->state == LayerState::enforced && reaches(asked, scratch / "file") &&
                         !reaches(asked, scratch / "blind/.env")
                     ? 0
                     : 1;
        }) == 0);
  scratch.dir("blind", 0700);
}

TEST_CASE("grants: a policy path that is denied is dropped, the command's own runtime is not") {
  const Scratch scratch;
  scratch.file(".ssh/id");
  Plan asked = plan(scratch / ".ssh", {"**/.ssh/**"});
  asked.grants.push_back(directory(scratch / ".ssh"));
  asked.grants[1].origin = Origin::runtime;
  CHECK(grant_around_denied(asked)->state == LayerState::enforced);
  REQUIRE(asked.grants.size() == 1);
  CHECK(asked.grants[0].origin == Origin::runtime);
}

TEST_CASE("grants: running out of descriptors is a walk that does not finish") {
  const Scratch scratch;
  scratch.file(".env");
  for (int i = 0; i < 100; ++i) scratch.file(std::to_string(i));
  CHECK(test::in_child([&] {
          Plan asked = plan(scratch.path(), {"**/.env"});
          asked.layers[Layer::deny_paths] = Requirement::require;
          const rlimit few{40, 40};
          if (::setrlimit(RLIMIT_NOFILE, &few) != 0) return 2;
          return grant_around_denied(asked) ? 1 : 0;
        }) == 0);
}

TEST_CASE("grants: names that come, go and change kind during the walk never open a denied one") {
  const Scratch scratch;
  const std::string secret = scratch.file("ws/deep/.env", "secret");
  const std::string outside = scratch.file("outside/.env", "secret");
  for (int i = 0; i < 20; ++i) scratch.file("ws/" + std::to_string(i) + "/file");
  std::atomic<bool> stop = false;
  std::thread changer([&] {
    std::error_code ignored;
    while (!stop) {
      std::filesystem::rename(scratch / "ws/3", scratch / "ws/4x", ignored);
      std::filesystem::rename(scratch / "outside", scratch / "ws/3", ignored);
      std::filesystem::rename(scratch / "ws/3", scratch / "outside", ignored);
      std::filesystem::rename(scratch / "ws/4x", scratch / "ws/3", ignored);
      std::filesystem::remove_all(scratch / "ws/5", ignored);
      std::filesystem::create_directories(scratch / "ws/5", ignored);
    }
  });
  for (int i = 0; i < 300; ++i) {
    Plan asked = plan(scratch / "ws", {"**/.env"});
    const auto state = grant_around_denied(asked);
    REQUIRE(state);
    if (state->state != LayerState::enforced) continue;
    CHECK(!reaches(asked, secret));
    for (const Grant& grant : asked.grants) {
      struct stat a {}, b {};
      if (grant.access == PathAccess::stat || ::stat((scratch / "outside").c_str(), &b) != 0) continue;
      // The directory that holds a denied name is never granted as a whole, whatever it was called meanwhile.
      CHECK((::fstat(grant.fd.get(), &a) != 0 || a.st_ino != b.st_ino));
    }
  }
  stop = true;
  changer.join();
}

Grant to_create(const Scratch& scratch, const std::string& leaf) {
  Grant grant;
  grant.path = scratch / leaf;
  grant.access = PathAccess::create;
  grant.exists = false;
  grant.parent = UniqueFd(::open(scratch.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  grant.leaf = leaf;
  return grant;
}

Expected<void> give_names(const Plan& plan) {
  for (const Grant& grant : plan.grants) {
    if (!grant.made) continue;
    if (auto named = give_name(grant, describe_created(grant, grant.leaf)); !named) return named;
  }
  return {};
}

TEST_CASE("created files: made so that they can be granted, and removed again when nobody wrote them") {
  const Scratch scratch;
  for (const char* fate : {"untouched", "written", "touched", "truncated", "linked", "replaced", "another", "removed"}) {
    Plan asked;
    asked.grants.push_back(to_create(scratch, fate));
    const std::string path = scratch / fate;
    {
      const auto created = CreatedFiles::make(asked);
      REQUIRE(created);
      CHECK(asked.grants[0].exists);
      CHECK(!std::filesystem::exists(path));  // until somebody knows of it
      REQUIRE(give_names(asked));
      REQUIRE(give_names(asked));  // as another attempt to launch does
      struct stat a {}, b {};
      REQUIRE((::fstat(asked.grants[0].fd.get(), &a) == 0 && ::stat(path.c_str(), &b) == 0));
      CHECK(a.st_ino == b.st_ino);
      CHECK(b.st_mtim.tv_sec == 1);  // which no writer leaves, however coarse the clock
      CHECK((::fcntl(asked.grants[0].fd.get(), F_GETFL) & O_PATH) != 0);
      const std::string_view what = fate;
      if (what == "written") scratch.file(fate, "text");
      if (what == "touched") REQUIRE(::utimensat(AT_FDCWD, path.c_str(), nullptr, 0) == 0);
      if (what == "truncated") CHECK(UniqueFd(::open(path.c_str(), O_WRONLY | O_TRUNC)));
      if (what == "linked") std::filesystem::create_hard_link(path, scratch / "second");
      if (what == "another") std::filesystem::rename(path, scratch / "elsewhere");
      if (what == "removed" || what == "replaced") std::filesystem::remove(path);
      if (what == "replaced" || what == "another") scratch.file(fate, "");
      if (what == "another") {  // as empty and as old
        const timespec times[2] = {b.st_mtim, b.st_mtim};
        REQUIRE(::utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
      }
    }
    CHECK(std::filesystem::exists(path) == (std::string_view(fate) != "untouched" && std::string_view(fate) != "removed"));
  }
}

TEST_CASE("created files: a name that was taken meanwhile, by a file or a link, is an error and stays as it is") {
  const Scratch scratch;
  Plan asked;
  asked.grants.push_back(to_create(scratch, "new"));
  asked.grants.push_back(to_create(scratch, "taken"));
  scratch.link("taken", "elsewhere");
  {
    const auto created = CreatedFiles::make(asked);
    REQUIRE(created);
    const auto named = give_names(asked);
    REQUIRE(!named);
    CHECK(named.error().code == ErrorCode::launch_failed);
    CHECK(named.error().step == "create");
    CHECK(named.error().sys_errno == EEXIST);
  }
  CHECK(!std::filesystem::exists(scratch / "new"));  // nothing is left of a launch that failed
  CHECK(!std::filesystem::exists(scratch / "elsewhere"));
  CHECK(std::filesystem::is_symlink(scratch / "taken"));
}

TEST_CASE("created files: two operands may name one new file, and other grants are left alone") {
  const Scratch scratch;
  Plan asked;
  asked.grants.push_back(to_create(scratch, "new"));
  asked.grants.push_back(to_create(scratch, "new"));
  asked.grants.push_back(to_create(scratch, "replaced"));
  asked.grants[2].access = PathAccess::replace;
  {
    CreatedFiles moved;
    auto created = CreatedFiles::make(asked);
    REQUIRE(created);
    moved = *std::move(created);
    REQUIRE(give_names(asked));
    CHECK(asked.grants[1].fd);
    CHECK(std::filesystem::exists(scratch / "new"));
  }
  CHECK(!std::filesystem::exists(scratch / "new"));
  CHECK(!std::filesystem::exists(scratch / "replaced"));
}

}  // namespace
