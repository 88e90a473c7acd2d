#include "runtime.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>
#include <set>

#include <doctest/doctest.h>

#include "beneath.h"
#include "elf_file.h"
#include "scratch.h"

namespace {

using namespace safe_exec;
using safe_exec::test::Scratch;

UniqueFd path_fd(const std::string& path) { return UniqueFd(::open(path.c_str(), O_PATH | O_CLOEXEC)); }

// A directory of exec.
Grant programs_in(const std::string& directory) {
  Grant grant;
  grant.path = directory;
  grant.fd = path_fd(directory);
  grant.directory = grant.executable = true;
  grant.origin = Origin::policy;
  return grant;
}

void execute_as(Binary& binary, const std::string& program) {
  const UniqueFd fd = path_fd(program);
  REQUIRE(fd);
  binary.physical = path_of(fd.get()).value_or("");
  binary.links = links_on(program);
  binary.readable = UniqueFd(::open(program.c_str(), O_RDONLY | O_CLOEXEC));
}

Plan plan_for(const std::string& program) {
  Plan plan;
  plan.binary.path = program;
  plan.binary.fd = path_fd(program);
  plan.binary.trusted = true;
  execute_as(plan.binary, program);
  return plan;
}

const Grant* named(const Plan& plan, std::string_view name) {
  const auto found = std::find_if(plan.grants.begin(), plan.grants.end(), [name](const Grant& grant) {
    return grant.given == name || grant.path == name;
  });
  return found == plan.grants.end() ? nullptr : &*found;
}

const Grant* ending(const Plan& plan, std::string_view end) {
  const auto found = std::find_if(plan.grants.begin(), plan.grants.end(), [end](const Grant& grant) {
    const std::string& name = grant.given.empty() ? grant.path : grant.given;
    return name.size() >= end.size() && name.compare(name.size() - end.size(), end.size(), end) == 0;
  });
  return found == plan.grants.end() ? nullptr : &*found;
}

// What the program's own loader says that it would load (ld.so(8), --list; the system's own programs only).
std::vector<std::string> listed(const std::string& loader, const std::string& program) {
  std::vector<std::string> paths;
  const std::string command = loader + " --list " + program;
  std::FILE* const out = ::popen(command.c_str(), "r");
  REQUIRE(out != nullptr);
  char line[4096];
  while (std::fgets(line, sizeof line, out) != nullptr) {
    const std::string text = line;
    const std::size_t begin = text.find('/'), end = text.find(" (");
    if (begin != std::string::npos && end != std::string::npos && end > begin) {
      paths.push_back(text.substr(begin, end - begin));
    }
  }
  CHECK(::pclose(out) == 0);
  return paths;
}

// A little-endian 64-bit file of one PT_LOAD, one PT_DYNAMIC and, when asked for, one PT_INTERP.
std::string make_elf(const std::string& interpreter, const std::vector<std::pair<std::int64_t, std::string>>& strings) {
  std::string table(1, '\0');
  std::vector<Elf64_Dyn> dynamic;
  for (const auto& [tag, text] : strings) {
    dynamic.push_back({tag, {table.size()}});
    table += text + '\0';
  }
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_type = ET_DYN;
  header.e_machine = elf::own_machine();
  header.e_phoff = sizeof header;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = interpreter.empty() ? 2 : 3;
  const std::size_t strings_at = sizeof header + 3 * sizeof(Elf64_Phdr);
  const std::size_t interpreter_at = strings_at + table.size();
  const std::size_t dynamic_at = interpreter_at + interpreter.size() + 1;
  dynamic.push_back({DT_STRTAB, {0x1000 + strings_at}});
  dynamic.push_back({DT_STRSZ, {table.size()}});
  dynamic.push_back({DT_NULL, {0}});
  const std::size_t size = dynamic_at + dynamic.size() * sizeof(Elf64_Dyn);
  Elf64_Phdr segments[3]{};
  segments[0] = {PT_LOAD, PF_R, 0, 0x1000, 0x1000, size, size, 1};
  segments[1] = {PT_DYNAMIC, PF_R, dynamic_at, 0x1000 + dynamic_at, 0, size - dynamic_at, size - dynamic_at, 1};
  segments[2] = {PT_INTERP, PF_R, interpreter_at, 0, 0, interpreter.size() + 1, interpreter.size() + 1, 1};
  std::string file(reinterpret_cast<const char*>(&header), sizeof header);
  file.append(reinterpret_cast<const char*>(segments), sizeof segments);
  file += table + interpreter + '\0';
  file.append(reinterpret_cast<const char*>(dynamic.data()), dynamic.size() * sizeof(Elf64_Dyn));
  return file;
}

tl::expected<elf::Object, std::string> parsed(const Scratch& scratch, const std::string& bytes) {
  const UniqueFd fd(::open(scratch.file("object", bytes).c_str(), O_RDONLY));
  return elf::read_object(fd.get());
}

std::string own_loader() {
  const UniqueFd fd(::open("/bin/sh", O_RDONLY));
  return elf::read_object(fd.get()).value().interpreter;
}

TEST_CASE("runtime: the closure of system programs is what their own loader lists") {
  for (const char* const program : {"/bin/true", "/bin/sh", "/bin/ls", "/usr/bin/env", "/bin/tar"}) {
    Plan plan = plan_for(program);
    REQUIRE(add_runtime(plan));
    const std::string loader = own_loader();
    for (const std::string& library : listed(loader, program)) CHECK_MESSAGE(named(plan, library), program, library);
    const Grant* const interpreter = named(plan, loader);
    REQUIRE(interpreter != nullptr);
    CHECK(interpreter->executable);
    const Grant* const itself = named(plan, program);
    REQUIRE(itself != nullptr);
    CHECK(itself->executable);
    const Grant* const libc = ending(plan, "/libc.so.6");
    REQUIRE(libc != nullptr);
    CHECK(!libc->executable);
    for (const Grant& grant : plan.grants) {
      CHECK(grant.fd);
      CHECK((grant.origin == Origin::runtime || grant.origin == Origin::device));
      CHECK(grant.path == path_of(grant.fd.get()).value_or(""));
      struct stat a {}, b {};
      const std::string& name = grant.given.empty() ? grant.path : grant.given;
      CHECK((::fstat(grant.fd.get(), &a) == 0 && ::stat(name.c_str(), &b) == 0 && a.st_ino == b.st_ino));
      if (grant.path.rfind("/usr/", 0) == 0 && !grant.given.empty()) CHECK(!grant.links.empty());
    }
  }
}

TEST_CASE("runtime: the cache, the locale and five devices, and nothing that is only code to be loaded on demand") {
  Plan bare = plan_for("/bin/true");
  REQUIRE(add_runtime(bare));
  CHECK(named(bare, "/usr/lib/locale/C.utf8") == nullptr);  // no variable names a locale
  Plan plan = plan_for("/bin/true");
  plan.env = {"LC_ALL=C.UTF-8"};
  REQUIRE(add_runtime(plan));
  CHECK((named(plan, "/etc/ld.so.cache") != nullptr) == std::filesystem::exists("/etc/ld.so.cache"));
  CHECK((named(plan, "/usr/lib/locale/C.utf8") != nullptr) == std::filesystem::exists("/usr/lib/locale/C.utf8"));
  CHECK(std::count_if(plan.grants.begin(), plan.grants.end(),
                      [](const Grant& grant) { return grant.origin == Origin::device; }) == 5);
  CHECK(named(plan, "/dev/null")->access == PathAccess::write);
  CHECK(named(plan, "/dev/urandom")->access == PathAccess::read);
  for (const Grant& grant : plan.grants) CHECK(grant.path.find("gconv") == std::string::npos);
}

TEST_CASE("runtime: a script gets itself to read, and its interpreter's closure") {
  const Scratch scratch;
  const std::string script = scratch.file("script", "#!/bin/sh\n", 0755);
  Plan plan = plan_for(script);
  plan.binary.script = true;
  plan.binary.interpreter = "/bin/sh";
  plan.binary.interpreter_fd = path_fd("/bin/sh");
  execute_as(plan.binary, "/bin/sh");
  REQUIRE(add_runtime(plan));
  REQUIRE(named(plan, script) != nullptr);
  CHECK(!named(plan, script)->executable);
  CHECK(named(plan, "/bin/sh")->executable);
  CHECK(ending(plan, "/libc.so.6") != nullptr);
}

TEST_CASE("runtime: programs are not looked at where all directories of libraries are granted") {
  const Scratch scratch;
  scratch.dir("helpers");
  std::filesystem::copy_file(std::filesystem::canonical("/bin/tar"), scratch / "helpers/tar");
  const auto planned = [&](const std::vector<std::string>& granted, bool data) {
    Plan plan = plan_for("/bin/true");
    for (const std::string& path : granted) {
      Grant whole;
      whole.path = path;
      whole.fd = path_fd(path);
      whole.directory = true;
      whole.data = data;
      whole.origin = Origin::policy;
      plan.grants.push_back(std::move(whole));
    }
    plan.grants.push_back(programs_in(scratch / "helpers"));
    REQUIRE(add_runtime(plan));
    return plan;
  };
  const auto looked_at = [](const Plan& plan) { return ending(plan, "/libacl.so.1") != nullptr; };
  CHECK(looked_at(planned({}, false)));
  CHECK(looked_at(planned({"/usr"}, false)));             // helpers are elsewhere, and $ORIGIN with them
  CHECK(looked_at(planned({scratch / "helpers"}, false)));  // the libraries are
  CHECK(looked_at(planned({"/"}, true)));                 // data is not code
  const Plan all = planned({"/"}, false);
  CHECK(!looked_at(all));
  CHECK(std::any_of(all.grants.begin(), all.grants.end(), [](const Grant& grant) {
    return grant.executable && grant.path.find("/ld-") != std::string::npos;
  }));
}

TEST_CASE("runtime: helpers bring their closures, a directory of them each file once") {
  const Scratch scratch;
  const std::string tar = std::filesystem::canonical("/bin/tar");
  Plan plan = plan_for("/bin/true");
  std::filesystem::copy_file(tar, scratch / "helpers-tar");
  scratch.dir("helpers");
  std::filesystem::copy_file(tar, scratch / "helpers/tar");
  for (int i = 0; i < 50; ++i) {
    std::filesystem::create_hard_link(scratch / "helpers/tar", scratch / ("helpers/" + std::to_string(i)));
  }
  scratch.file("helpers/script", "#!/bin/sh\n", 0755);
  scratch.file("helpers/broken", "\177ELF" + std::string(60, 2), 0755);
  plan.grants.push_back(programs_in(scratch / "helpers"));
  REQUIRE(add_runtime(plan));
  for (const std::string& library : listed(own_loader(), tar)) CHECK(named(plan, library) != nullptr);
  CHECK(plan.grants.size() < 30);

  Plan broken = plan_for("/bin/true");
  Grant helper;
  helper.path = scratch / "helpers/broken";
  helper.fd = path_fd(helper.path);
  helper.executable = true;
  broken.grants.push_back(std::move(helper));
  const auto refused = add_runtime(broken);
  REQUIRE(!refused);
  CHECK(refused.error().code == ErrorCode::launch_failed);
}

TEST_CASE("runtime: search paths, $ORIGIN, and libraries that are missing or that somebody else can change") {
  const Scratch scratch;
  const std::string program = scratch.file(
      "bin/program",
      make_elf(own_loader(), {{DT_NEEDED, "libown.so"}, {DT_NEEDED, "libgone.so"}, {DT_NEEDED, "libopen.so"},
                              {DT_NEEDED, "relative/lib.so"}, {DT_RUNPATH, "relative:$ORIGIN/../lib:${ORIGIN}/../open"}}),
      0755);
  const std::string own = scratch.file("lib/libown.real", make_elf("", {{DT_NEEDED, "libnext.so"}, {DT_RUNPATH, "$ORIGIN"}}));
  scratch.link("lib/libown.so", "libown.real");
  scratch.file("lib/libnext.so", make_elf("", {{DT_NEEDED, "libown.so"}, {DT_RUNPATH, "$ORIGIN"}}));  // a circle
  scratch.file("open/libopen.so", make_elf("", {}), 0666);
  scratch.file("relative/lib.so", make_elf("", {}));
  const test::WorkingDirectory here(scratch.path());
  Plan plan = plan_for(program);
  REQUIRE(add_runtime(plan));
  const Grant* const found = named(plan, own);
  REQUIRE(found != nullptr);
  CHECK(found->given == scratch / "bin/../lib/libown.so");
  REQUIRE(found->links.size() == 1);
  CHECK(found->links[0].path == scratch / "lib/libown.so");
  CHECK(ending(plan, "/libnext.so") != nullptr);
  CHECK(ending(plan, "/libgone.so") == nullptr);
  CHECK(ending(plan, "/libopen.so") == nullptr);
  CHECK(ending(plan, "relative/lib.so") == nullptr);
}

TEST_CASE("runtime: DT_RPATH is inherited, and DT_RUNPATH switches it off") {
  const Scratch scratch;
  scratch.file("lib/liba.so", make_elf("", {{DT_NEEDED, "libb.so"}}));
  scratch.file("lib/libb.so", make_elf("", {}));
  for (const bool runpath : {false, true}) {
    std::vector<std::pair<std::int64_t, std::string>> strings{{DT_NEEDED, "liba.so"}, {DT_RPATH, scratch / "lib"}};
    if (runpath) strings.emplace_back(DT_RUNPATH, scratch / "none");
    Plan plan = plan_for(scratch.file("program", make_elf(own_loader(), strings), 0755));
    REQUIRE(add_runtime(plan));
    CHECK((ending(plan, "/libb.so") != nullptr) == !runpath);
  }
}

TEST_CASE("runtime: what is no program of this machine cannot be launched; static ones need nothing") {
  const Scratch scratch;
  const auto refused = [&](const std::string& bytes) {
    Plan plan = plan_for(scratch.file("program", bytes, 0755));
    const auto added = add_runtime(plan);
    REQUIRE(!added);
    CHECK(added.error().code == ErrorCode::launch_failed);
    CHECK(added.error().step == "runtime");
    return added.error().message;
  };
  CHECK(refused("").find("not an ELF file") != std::string::npos);
  CHECK(refused("plain text").find("not an ELF file") != std::string::npos);
  std::string other = make_elf("", {});
  other[offsetof(Elf64_Ehdr, e_machine)] = EM_SPARCV9;
  CHECK(refused(other).find("another machine") != std::string::npos);
  CHECK(refused(make_elf(scratch / "no-loader", {})).find("no-loader") != std::string::npos);
  CHECK(refused(make_elf(scratch.file("loader", "x", 0777), {})).find("writable") != std::string::npos);
  CHECK(refused(make_elf("relative", {})).find("absolute") != std::string::npos);

  Plan plan = plan_for(scratch.file("program", make_elf("", {}), 0755));
  REQUIRE(add_runtime(plan));
  CHECK(named(plan, "/etc/ld.so.cache") == nullptr);
  CHECK(named(plan, scratch / "program")->executable);
}

TEST_CASE("elf: hostile headers are an error and never read outside of the file") {
  const Scratch scratch;
  const std::string good = make_elf("/lib/ld.so", {{DT_NEEDED, "liba.so"}, {DT_RUNPATH, "/x"}});
  const auto object = parsed(scratch, good);
  REQUIRE(object);
  CHECK(object->interpreter == "/lib/ld.so");
  CHECK(object->needed == std::vector<std::string>{"liba.so"});
  CHECK(object->runpath == "/x");

  const auto changed = [&](std::size_t offset, std::uint64_t value, std::size_t size) {
    std::string bytes = good;
    std::memcpy(bytes.data() + offset, &value, size);
    return parsed(scratch, bytes).has_value();
  };
  constexpr std::size_t kSegments = sizeof(Elf64_Ehdr);
  constexpr std::size_t kDynamic = kSegments + sizeof(Elf64_Phdr);
  constexpr std::size_t kInterp = kDynamic + sizeof(Elf64_Phdr);
  for (const std::uint64_t huge : {UINT64_MAX, UINT64_MAX - 4096, std::uint64_t{1} << 62, std::uint64_t{1} << 40}) {
    CHECK(!changed(offsetof(Elf64_Ehdr, e_phoff), huge, 8));
    CHECK(!changed(kSegments + offsetof(Elf64_Phdr, p_offset), huge, 8));
    CHECK(!changed(kDynamic + offsetof(Elf64_Phdr, p_offset), huge, 8));
    CHECK(!changed(kDynamic + offsetof(Elf64_Phdr, p_filesz), huge, 8));
    CHECK(!changed(kInterp + offsetof(Elf64_Phdr, p_offset), huge, 8));
  }
  CHECK(!changed(offsetof(Elf64_Ehdr, e_phnum), 0xffff, 2));
  CHECK(!changed(offsetof(Elf64_Ehdr, e_phentsize), 8, 2));
  CHECK(!changed(offsetof(Elf64_Ehdr, e_type), ET_CORE, 2));
  CHECK(!changed(EI_DATA, ELFDATA2MSB, 1));
  CHECK(!changed(EI_CLASS, 7, 1));
  for (std::size_t size = 0; size < good.size() - sizeof(Elf64_Dyn); ++size) {
    CHECK(!parsed(scratch, good.substr(0, size)).has_value());
  }
}

TEST_CASE("elf: ten thousand random changes of a file end in an answer") {
  const Scratch scratch;
  const std::string good = make_elf("/lib/ld.so", {{DT_NEEDED, "liba.so"}, {DT_NEEDED, "libb.so"}, {DT_RPATH, "/x"}});
  const UniqueFd fd(::open(scratch.file("object", good).c_str(), O_RDWR));
  std::mt19937 random(1);
  int accepted = 0;
  for (int i = 0; i < 10000; ++i) {
    std::string bytes = good;
    for (int changes = 0; changes < 3; ++changes) bytes[random() % bytes.size()] = static_cast<char>(random());
    REQUIRE(::pwrite(fd.get(), bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
    const auto object = elf::read_object(fd.get());
    if (!object) continue;
    ++accepted;
    CHECK(object->needed.size() <= 512);
  }
  CHECK(accepted > 0);
  CHECK(accepted < 10000);
}

void put_word(std::string& bytes, std::size_t offset, std::uint32_t value) {
  std::memcpy(bytes.data() + offset, &value, sizeof value);
}

std::string make_cache(const std::string& name, const std::string& path) {
  std::string cache("glibc-ld.so.cache1.1");
  cache.resize(48 + 24);
  put_word(cache, 20, 1);
#if defined(__x86_64__)
  put_word(cache, 48, 0x0303);  // FLAG_ELF_LIBC6 | FLAG_X8664_LIB64
#elif defined(__aarch64__)
  put_word(cache, 48, 0x0a03);  // FLAG_ELF_LIBC6 | FLAG_AARCH64_LIB64
#endif
  put_word(cache, 48 + 4, 72);
  put_word(cache, 48 + 8, static_cast<std::uint32_t>(72 + name.size() + 1));
  return cache + name + '\0' + path + '\0';
}

TEST_CASE("runtime: bundles grant data and modules for reading, never a secret, a program or anything twice") {
  constexpr Bundle kAll[] = {Bundle::base, Bundle::nss, Bundle::dns, Bundle::tls, Bundle::tz, Bundle::term, Bundle::locale};
  Plan bare = plan_for("/usr/bin/env");
  REQUIRE(add_runtime(bare));
  Plan plan = plan_for("/usr/bin/env");
  plan.bundles.assign(std::begin(kAll), std::end(kAll));
  REQUIRE(add_runtime(plan));
  for (const std::string_view name : {"/etc/passwd", "/etc/hosts", "/etc/ssl/certs", "/usr/share/zoneinfo", "/usr/lib/locale"}) {
    CHECK(named(bare, name) == nullptr);
    CHECK((named(plan, name) != nullptr) == std::filesystem::exists(name));
  }
  std::set<std::string> names;
  for (const Grant& grant : plan.grants) {
    const std::string& name = grant.given.empty() ? grant.path : grant.given;
    CHECK_MESSAGE(names.insert(name).second, name);
    CHECK(grant.access == (grant.origin == Origin::device ? grant.access : PathAccess::read));
    CHECK_MESSAGE((!grant.executable || named(bare, name) != nullptr), name);
    for (const std::string_view secret : {"/etc/shadow", "/etc/ssl/private/x", "/etc/gshadow", "/etc/machine-id"}) {
      CHECK_MESSAGE(secret.rfind(grant.path + '/', 0) != 0, grant.path);
      CHECK(secret != grant.path);
    }
  }
}

TEST_CASE("elf: ld.so.cache, new and behind an old table, and broken ones list nothing") {
  const std::string cache = make_cache("liba.so", "/lib/liba.so");
  const std::vector<std::string> found{"/lib/liba.so"};
  CHECK(elf::cached_paths(cache, "liba.so") == found);
  CHECK(elf::cached_paths(cache, "lib").empty());
  std::string old("ld.so-1.7.0");
  old.resize(16 + 12 + 4);  // one old entry, padded to eight bytes
  put_word(old, 12, 1);
  CHECK(elf::cached_paths(old + cache, "liba.so") == found);
  for (std::size_t size = 0; size < cache.size(); ++size) CHECK(elf::cached_paths(cache.substr(0, size), "liba.so").empty());
  for (const std::uint32_t bad : {0xffffffffU, 0x7fffffffU, 1000U}) {
    std::string broken = cache;
    put_word(broken, 48 + 8, bad);
    CHECK(elf::cached_paths(broken, "liba.so").empty());
    broken = cache;
    put_word(broken, 20, bad);
    CHECK(elf::cached_paths(broken, "liba.so") == found);
    put_word(old, 12, bad);
    CHECK(elf::cached_paths(old + cache, "liba.so").empty());
  }
  CHECK(elf::cached_paths(make_cache("liba.so", "relative"), "liba.so").empty());
}

}  // namespace
