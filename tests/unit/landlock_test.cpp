#include "confine/landlock.h"

#include <doctest/doctest.h>

#include <bit>

using namespace safe_exec;
namespace ll = safe_exec::landlock;

namespace {

Grant grant(PathAccess access, bool directory) {
  Grant made;
  made.path = "/x";
  made.access = access;
  made.directory = directory;
  return made;
}

}  // namespace

TEST_CASE("landlock: every ABI handles exactly the rights that its kernel knows") {
  struct Row {
    int abi;
    std::uint64_t fs, net, scoped;
    std::size_t size;
  };
  // From landlock(7): the number of file rights, the TCP rights and the scopes of each ABI.
  constexpr Row rows[] = {{0, 0, 0, 0, 8},       {1, 0x1FFF, 0, 0, 8},  {2, 0x3FFF, 0, 0, 8},  {3, 0x7FFF, 0, 0, 8},
                          {4, 0x7FFF, 3, 0, 16}, {5, 0xFFFF, 3, 0, 16}, {6, 0xFFFF, 3, 3, 24}, {7, 0xFFFF, 3, 3, 24}};
  for (const Row& row : rows) {
    CAPTURE(row.abi);
    const ll::Handled handled = ll::handled_by(row.abi, Network::Kind::none);
    CHECK(handled.fs == row.fs);
    CHECK(handled.net == row.net);
    CHECK(handled.scoped == row.scoped);
    CHECK(ll::attribute_size(row.abi) == row.size);
  }
}

TEST_CASE("landlock: only a whole network, the host's or its own, leaves TCP unhandled") {
  CHECK(ll::handled_by(7, Network::Kind::host).net == 0);
  CHECK(ll::handled_by(7, Network::Kind::loopback).net == 0);
  CHECK(ll::handled_by(7, Network::Kind::connect_tcp).net == 3);
  CHECK(ll::handled_by(7, Network::Kind::host).scoped == 3);
  CHECK(ll::handled_by(7, Network::Kind::loopback).scoped == 3);
}

TEST_CASE("landlock: what an older ABI does not restrict is said") {
  CHECK(ll::missing_in(7).empty());
  CHECK(ll::unfixed_in(ll::kWriteTree, 0x7).empty());
  CHECK(ll::unfixed_in(ll::kReadTree | ll::kWriteFile, 0).empty());
  CHECK(ll::unfixed_in(ll::kWriteTree, 0x3).starts_with("erratum 3 is not fixed"));
  CHECK(ll::unfixed_in(ll::kWriteTree, 0).starts_with("erratum 3 is not fixed"));
  CHECK(ll::missing_in(6).empty());
  CHECK(ll::missing_in(5) == "not restricted at this ABI: signals and abstract Unix sockets");
  CHECK(ll::missing_in(2) ==
        "not restricted at this ABI: truncation, TCP ports, device ioctls, signals and abstract Unix sockets");
}

TEST_CASE("landlock: the ABI in use is never above the newest tested one") {
  CHECK(ll::abi_in_use() >= 0);
  CHECK(ll::abi_in_use() <= ll::kNewestTested);
}

TEST_CASE("landlock: a grant gives the rights of its access and kind and no others") {
  CHECK(ll::rights_of(grant(PathAccess::read, false)) == ll::kReadFile);
  CHECK(ll::rights_of(grant(PathAccess::read, true)) == (ll::kReadFile | ll::kReadDir));
  CHECK(ll::rights_of(grant(PathAccess::stat, true)) == ll::kReadDir);
  CHECK(ll::rights_of(grant(PathAccess::stat, false)) == 0);
  CHECK(ll::rights_of(grant(PathAccess::write, false)) == (ll::kReadFile | ll::kWriteFile | ll::kTruncate));
  CHECK(ll::rights_of(grant(PathAccess::create, false)) == ll::rights_of(grant(PathAccess::write, false)));
  const std::uint64_t tree = ll::rights_of(grant(PathAccess::write, true));
  CHECK((tree & ll::kMakeReg) != 0);
  CHECK((tree & (ll::kMakeChar | ll::kMakeBlock | ll::kMakeSock | ll::kIoctlDev | ll::kExecute)) == 0);
}

TEST_CASE("landlock: a name without content, or of nothing, gives no right even when executable") {
  Grant name = grant(PathAccess::read, true);
  name.executable = true;
  name.stat_only = true;
  CHECK(ll::rights_of(name) == 0);
  name.stat_only = false;
  name.exists = false;
  CHECK(ll::rights_of(name) == 0);
}

TEST_CASE("landlock: a program may be executed, and a directory's right is never given to a file") {
  Grant program = grant(PathAccess::read, false);
  program.executable = true;
  CHECK(ll::rights_of(program) == (ll::kReadFile | ll::kExecute));
  constexpr std::uint64_t file_rights = ll::kExecute | ll::kWriteFile | ll::kReadFile | ll::kTruncate | ll::kIoctlDev;
  for (const auto access : {PathAccess::stat, PathAccess::read, PathAccess::write, PathAccess::create, PathAccess::replace}) {
    CHECK((ll::rights_of(grant(access, false)) & ~file_rights) == 0);
  }
}

TEST_CASE("landlock: a device may be read and written, not configured") {
  Grant device = grant(PathAccess::read, false);
  device.origin = Origin::device;
  CHECK(ll::rights_of(device) == (ll::kReadFile | ll::kWriteFile));
}
