// Build-time program. `filter TABLE OUT` turns syscalls.txt into the seccomp filter as C++ source, `bytes NAME IN OUT`
// embeds a file. Runs on the build host only; it is where libseccomp's table of names is used.
//
// The filter is a balanced binary search over ranges of numbers with equal actions: the kernel evaluates a new filter
// for every number (its action cache), so that the length of the paths is what loading costs.

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

#if defined(__x86_64__)
constexpr std::uint32_t kAuditArch = AUDIT_ARCH_X86_64;
constexpr std::uint32_t kScmpArch = SCMP_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kAuditArch = AUDIT_ARCH_AARCH64;
constexpr std::uint32_t kScmpArch = SCMP_ARCH_AARCH64;
#else
#error "add the architecture here"
#endif
constexpr std::uint32_t kX32Bit = 0x40000000;  // __X32_SYSCALL_BIT; unused elsewhere

[[noreturn]] void die(const std::string& text) {
  std::fprintf(stderr, "generate_filter: %s\n", text.c_str());
  std::exit(1);
}

struct Row {
  std::string action, name;
};
using Table = std::map<std::uint32_t, Row>;

void add_row(Table& table, const std::string& action, const std::string& word) {
  const auto equals = word.find('=');
  const std::string name = word.substr(0, equals);
  int number = seccomp_syscall_resolve_name_arch(kScmpArch, name.c_str());
  if (equals != std::string::npos) {
    const int given = std::stoi(word.substr(equals + 1));
    if (number >= 0 && number != given) die(name + ": libseccomp says " + std::to_string(number));
    number = given;
  } else if (number == __NR_SCMP_ERROR) {
    die("unknown name " + name);
  }
  if (number < 0) return;  // not on this architecture
  if (!table.emplace(static_cast<std::uint32_t>(number), Row{action, name}).second) die("twice: " + name);
}

Table read_table(const char* path) {
  std::ifstream in(path);
  if (!in) die(std::string("cannot read ") + path);
  Table table;
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    std::string action, word;
    words >> action;
    while (words >> word) add_row(table, action, word);
  }
  for (std::uint32_t number = 0; number < 1024; ++number) {
    char* name = seccomp_syscall_resolve_num_arch(kScmpArch, static_cast<int>(number));
    if (name != nullptr && !table.contains(number)) die(std::string("not in the table: ") + name);
    std::free(name);
  }
  return table;
}

// ---- assembling. A jump names a label; its distance is filled in when all is laid out.

struct Instruction {
  std::uint16_t code;
  std::uint32_t k;
  std::string yes, no;  // labels of a conditional jump; empty: the next instruction
  std::string patch;
};

// A conditional jump goes forward, by 255 instructions at most. A name may stand for several places that do the same: the next one is
// meant.
struct TooFar {
  std::string name;
};

class Assembler {
 public:
  void label(const std::string& name) { labels_[name].push_back(out_.size()); }
  void put(std::uint16_t code, std::uint32_t k, std::string yes = "", std::string no = "", std::string patch = "") {
    out_.push_back({code, k, std::move(yes), std::move(no), std::move(patch)});
  }
  void load(std::size_t offset) { put(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset)); }
  // The low half of an argument: what the kernel looks at where the parameter is an int.
  void load_argument(unsigned index) { load(offsetof(seccomp_data, args) + 8 * index); }
  void equal(std::uint32_t k, const std::string& yes, const std::string& no = "") { put(BPF_JMP | BPF_JEQ | BPF_K, k, yes, no); }
  void any_bit(std::uint32_t k, const std::string& yes, const std::string& no, const std::string& patch = "") {
    put(BPF_JMP | BPF_JSET | BPF_K, k, yes, no, patch);
  }
  void result(const std::string& name, std::uint32_t k, const std::string& patch = "") {
    label(name);
    put(BPF_RET | BPF_K, k, "", "", patch);
  }

  struct Done {
    std::vector<sock_filter> code;
    std::vector<std::pair<std::string, std::size_t>> patches;
  };
  Done finish() const {
    Done done;
    for (std::size_t i = 0; i < out_.size(); ++i) {
      const auto& one = out_[i];
      const bool always = one.code == (BPF_JMP | BPF_JA);
      if (always) done.code.push_back({one.code, 0, 0, static_cast<std::uint32_t>(next(i, one.yes) - i - 1)});
      else done.code.push_back({one.code, distance(i, one.yes), distance(i, one.no), one.k});
      if (!one.patch.empty()) done.patches.emplace_back(one.patch, i);
    }
    return done;
  }

 private:
  std::uint8_t distance(std::size_t from, const std::string& name) const {
    if (name.empty()) return 0;
    const std::size_t to = next(from, name);
    if (to - from - 1 > 255) throw TooFar{name};
    return static_cast<std::uint8_t>(to - from - 1);
  }
  std::size_t next(std::size_t from, const std::string& name) const {
    const auto found = labels_.find(name);
    if (found == labels_.end()) die("no label " + name);
    const auto place = std::upper_bound(found->second.begin(), found->second.end(), from);
    if (place == found->second.end()) die("not ahead: " + name);
    return *place;
  }
  std::vector<Instruction> out_;
  std::map<std::string, std::vector<std::size_t>> labels_;  // ascending
};

struct Range {
  std::uint32_t first;
  std::string action;  // also the label it jumps to
};

std::vector<Range> ranges_of(const Table& table) {
  std::vector<Range> ranges;
  const auto add = [&](std::uint32_t first, const std::string& action) {
    if (ranges.empty() || ranges.back().action != action) ranges.push_back({first, action});
  };
  std::uint32_t next = 0;
  for (const auto& [number, row] : table) {
    if (number > next || (next == 0 && number > 0)) add(next, "enosys");
    add(number, row.action);
    next = number + 1;
  }
  add(next, "enosys");
  add(kX32Bit, "kill");
  return ranges;
}

using Names = std::set<std::string>;
std::string step_to(const std::string& name) { return "to " + name; }

// far: what is reached by a jump of its own.
void emit_search(Assembler& out, const std::vector<Range>& ranges, std::size_t low, std::size_t high, int& names, const Names& far) {
  const std::size_t middle = (low + high + 1) / 2;  // numbers from ranges[middle].first on go right
  const auto action = [&](std::size_t at) { return far.contains(ranges[at].action) ? step_to(ranges[at].action) : ranges[at].action; };
  const auto target = [&](std::size_t from, std::size_t to) {
    return from == to ? action(from) : "node" + std::to_string(names++);
  };
  const std::string right = target(middle, high);
  const std::string left = low == middle - 1 ? action(low) : "";
  out.put(BPF_JMP | BPF_JGE | BPF_K, ranges[middle].first, right, left);
  if (low < middle - 1) emit_search(out, ranges, low, middle - 1, names, far);
  if (middle < high) {
    out.label(right);
    emit_search(out, ranges, middle, high, names, far);
  }
}

// The calls that are judged by an argument. Low halves only, exactly where the kernel's parameter is 32 bits wide:
// a 64-bit compare is passed by setting a bit that the kernel drops (CVE-2019-10063).
void emit_checks(Assembler& out) {
  out.label("clone");
  out.load_argument(0);
  out.any_bit(0x7E020000, "deny", "allow");  // CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}

  out.label("ioctl");
  out.load_argument(1);
  for (const std::uint32_t command : {0x5412U, 0x541CU, 0x5423U, 0x541DU}) out.equal(command, "deny");  // TIOCSTI
  // TIOCLINUX, TIOCSETD, TIOCCONS. The commands of file systems change metadata through a read-only descriptor: of those that only
  // read, or write where the descriptor has to be writable, pass: FS_IOC_GETFLAGS, FS_IOC_GETVERSION, FS_IOC_FIEMAP,
  // FS_IOC_FSGETXATTR, FICLONE, FICLONERANGE, FIDEDUPERANGE.
  for (const std::uint32_t command : {0x80086601U, 0x80087601U, 0xC020660BU, 0x801C581FU, 0x40049409U, 0x4020940DU, 0xC0189436U}) {
    out.equal(command, "allow");
  }
  // FS_IOC_FSSETXATTR, FS_IOC_SETFLAGS, FS_IOC_SETVERSION, FS_IOC_ENABLE_VERITY. The others of these types freeze, trim, allocate as
  // fallocate(2) does, take keys away from who reads encrypted files, and of Btrfs make snapshots, in which nothing is covered.
  for (const std::uint32_t command : {0x401C5820U, 0x40086602U, 0x40087602U, 0x40806685U}) out.equal(command, "metadata");
  out.put(BPF_ALU | BPF_AND | BPF_K, 0xFF00);  // _IOC_TYPE
  for (const std::uint32_t type : {0x5800U, 0x6600U, 0x7600U}) out.equal(type, "deny");
  out.equal(0x9400U, "deny", "allow");

  out.label("fcntl");
  out.load_argument(1);
  out.equal(1024, "deny");           // F_SETLEASE: makes others who open the file wait
  out.equal(1040, "deny", "allow");  // F_SETDELEG

  // No memory is executable that was or can be written. The loader maps code from files, privately, and never makes it
  // executable afterwards (only DT_TEXTREL and executable stacks want that). What is shared could be written by a second view.
  // Huge pages of the host's pool, which others reserved, are in nobody's resident memory.
  out.label("mmap");
  out.load_argument(3);
  out.any_bit(0x40000, "deny", "");  // MAP_HUGETLB
  out.load_argument(2);
  out.put(BPF_ALU | BPF_AND | BPF_K, 6);  // PROT_WRITE | PROT_EXEC
  out.equal(6, "generated");
  out.any_bit(4, "", "allow");
  out.load_argument(3);
  out.any_bit(1, "generated", "allow");  // MAP_SHARED, MAP_SHARED_VALIDATE

  out.label("memfd_create");
  out.load_argument(1);
  out.any_bit(4, "deny", "generated");  // MFD_HUGETLB

  out.label("mprotect");
  out.load_argument(2);
  out.any_bit(4, "generated", "allow");  // PROT_EXEC

  out.label("own_kind");  // a process or, of setpriority(2), a group; not all of a user's, the reaper among them
  out.load_argument(0);
  out.put(BPF_JMP | BPF_JGE | BPF_K, 2, "deny");
  out.load_argument(1);
  out.equal(1, "deny");  // the reaper, in a pid namespace
  out.equal(0, "allow", "others");

  out.label("own");
  out.load_argument(0);
  out.equal(1, "deny");
  out.equal(0, "allow", "others");

  // Whoever joins the reaper's process group sends signals to it with its own, and changes its priority.
  out.label("setpgid");
  out.load_argument(1);
  out.put(BPF_JMP | BPF_JEQ | BPF_K, 0, "deny", "allow", "reaper");

  // Who may read a file could move those that wait for a word in it to another word, for good. Within a process it may.
  out.label("futex");
  out.load_argument(1);
  out.any_bit(0x80, "allow", "");           // FUTEX_PRIVATE_FLAG
  out.put(BPF_ALU | BPF_AND | BPF_K, 0x7F);  // FUTEX_CMD_MASK, but for FUTEX_CLOCK_REALTIME
  for (const std::uint32_t command : {3U, 4U}) out.equal(command, "deny");  // FUTEX_REQUEUE, FUTEX_CMP_REQUEUE
  out.equal(12, "deny", "allow");                                          // FUTEX_CMP_REQUEUE_PI

  out.label("personality");
  out.load_argument(0);
  for (const std::uint32_t value : {0U, 8U, 0x20000U, 0x20008U}) out.equal(value, "allow");
  out.equal(0xFFFFFFFFU, "allow", "deny");

  out.label("prctl");
  out.load_argument(0);
  out.equal(35, "deny");           // PR_SET_MM
  out.equal(78, "deny");           // PR_FUTEX_HASH: half a GiB of the kernel's memory at a call
  out.equal(62, "deny", "allow");  // PR_SCHED_CORE: who shares no core with others takes it from them

  // One's own. Where a crash is told to a handler of the host's the limit of core dumps stays 1, which keeps it from that, as 0 does
  // not (core(5), fs/coredump.c). Who sets another is answered as if it were done: gpg ends itself where it is refused.
  out.label("prlimit64");
  out.load_argument(0);
  out.equal(0, "", "deny");
  out.load_argument(1);
  out.equal(4, "", "allow");  // RLIMIT_CORE
  out.load_argument(2);
  out.equal(0, "", "core");
  out.load(offsetof(seccomp_data, args) + 8 * 2 + 4);
  out.equal(0, "allow", "core");

  out.label("setrlimit");
  out.load_argument(0);
  out.equal(4, "core", "allow");

  // What is allocated behind the end of a file, or moves it, is in no limit of its size (vfs_fallocate, ext4 of Linux 6.18).
  out.label("fallocate");
  out.load_argument(1);
  out.any_bit(0x20, "unsupported", "");   // FALLOC_FL_INSERT_RANGE
  out.put(BPF_ALU | BPF_AND | BPF_K, 3);  // FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
  out.equal(1, "unsupported", "allow");

  out.label("seccomp");
  out.load_argument(1);
  out.any_bit(SECCOMP_FILTER_FLAG_NEW_LISTENER, "deny", "allow");

  // Sending with MSG_FASTOPEN connects, and Landlock, which looks at connect(2), does not see it.
  out.label("sendmsg");
  out.load_argument(2);
  out.any_bit(0x20000000, "deny", "allow");
  out.label("sendto");
  out.load_argument(3);
  out.any_bit(0x20000000, "deny", "allow");

  // TCP_ULP (31) of SOL_TCP turns a TCP socket into one of SMC, whose ports Landlock does not see. Who joins a group has a packet
  // sent, with the group's address, from any socket of IP: IP_ADD_MEMBERSHIP to MCAST_MSFILTER, IPV6_ADD_MEMBERSHIP and the like.
  out.label("setsockopt");
  out.load_argument(1);
  out.equal(0, "ip_option");
  out.equal(41, "ipv6_option");
  out.equal(6, "", "allow");
  out.load_argument(2);
  out.equal(31, "deny", "allow");
  out.label("ip_option");
  out.load_argument(2);
  out.put(BPF_JMP | BPF_JGE | BPF_K, 35, "up_to_48", "allow");
  out.label("ipv6_option");
  out.load_argument(2);
  for (const std::uint32_t option : {20U, 21U, 27U, 28U}) out.equal(option, "groups");
  out.put(BPF_JMP | BPF_JGE | BPF_K, 42, "up_to_48", "allow");
  out.label("up_to_48");
  out.put(BPF_JMP | BPF_JGT | BPF_K, 48, "allow", "groups");

  out.label("socketpair");
  out.load_argument(0);
  out.equal(1, "", "deny");  // AF_UNIX: between the command's own processes
  out.load_argument(1);
  out.put(BPF_ALU | BPF_AND | BPF_K, 0xF);  // SOCK_TYPE_MASK
  out.equal(1, "allow");
  out.equal(5, "allow", "deny");  // SOCK_STREAM, SOCK_SEQPACKET: a datagram pair can be sent to any socket by name

  out.label("socket");
  out.load_argument(0);
  out.put(BPF_JMP | BPF_JGE | BPF_K, 32, "deny");
  out.put(BPF_MISC | BPF_TAX, 0);
  out.put(BPF_LD | BPF_IMM, 1);
  out.put(BPF_ALU | BPF_LSH | BPF_X, 0);
  out.any_bit(0, "open_family", "", "families");
  out.any_bit(0, "", "deny", "tcp_families");
  out.load_argument(1);
  out.put(BPF_ALU | BPF_AND | BPF_K, 0xF);  // SOCK_TYPE_MASK
  out.equal(1, "", "deny");                 // SOCK_STREAM
  out.load_argument(2);
  out.equal(0, "allow");
  out.equal(6, "allow", "deny");  // IPPROTO_TCP; not MPTCP (262), which Landlock does not see

  out.label("open_family");
  out.load_argument(0);
  out.equal(1, "allow");  // AF_UNIX
  out.equal(16, "route");
  // AF_INET, AF_INET6: for what else there is (SCTP, DCCP, UDP-Lite) the kernel loads a module when anybody asks for it.
  out.load_argument(1);
  out.put(BPF_ALU | BPF_AND | BPF_K, 0xF);  // SOCK_TYPE_MASK
  out.put(BPF_JMP | BPF_JGE | BPF_K, 3, "deny");  // above SOCK_STREAM and SOCK_DGRAM
  out.load_argument(2);
  out.put(BPF_JMP | BPF_JGE | BPF_K, 2, "", "allow");                                // 0, IPPROTO_ICMP
  for (const std::uint32_t protocol : {6U, 17U, 58U}) out.equal(protocol, "allow");  // IPPROTO_TCP, UDP, ICMPV6
  out.equal(262, "allow", "deny");                                                   // IPPROTO_MPTCP
  out.label("route");  // AF_NETLINK: only NETLINK_ROUTE (0), which getaddrinfo(3) asks
  out.load_argument(2);
  out.equal(0, "allow", "deny");

  out.label("execveat");
  out.load_argument(5);
  out.put(BPF_JMP | BPF_JEQ | BPF_K, 0, "", "deny", "magic_low");
  out.load(offsetof(seccomp_data, args) + 8 * 5 + 4);
  out.put(BPF_JMP | BPF_JEQ | BPF_K, 0, "allow", "deny", "magic_high");
}

// Near to where they are asked for.
void emit_results(Assembler& out, std::initializer_list<const char*> names) {
  for (const std::string name : names) {
    if (name == "allow") out.result(name, SECCOMP_RET_ALLOW);
    else if (name == "kill") out.result(name, SECCOMP_RET_KILL_PROCESS);
    else if (name == "deny") out.result(name, SECCOMP_RET_ERRNO | EPERM);
    else if (name == "enosys") out.result(name, SECCOMP_RET_ERRNO | ENOSYS);
    else if (name == "unsupported") out.result(name, SECCOMP_RET_ERRNO | EOPNOTSUPP);
    else out.result(name, SECCOMP_RET_ERRNO | EPERM, name);  // until a launch fills it in
  }
}

Assembler::Done build(const Table& table, const Names& far) {
  Assembler out;
  out.load(offsetof(seccomp_data, arch));
  out.equal(kAuditArch, "", "kill");
  out.load(offsetof(seccomp_data, nr));
  const auto ranges = ranges_of(table);
  int names = 0;
  emit_search(out, ranges, 0, ranges.size() - 1, names, far);
  emit_results(out, {"kill", "allow", "deny", "enosys", "metadata", "names", "generated", "listen", "execve"});
  for (const std::string& name : far) {
    out.label(step_to(name));
    out.put(BPF_JMP | BPF_JA, 0, name);
  }
  emit_checks(out);
  emit_results(out, {"allow", "deny", "unsupported", "core", "metadata", "others", "generated", "groups"});
  return out.finish();
}

Assembler::Done build(const Table& table) {
  Names far;
  for (;;) {
    try {
      return build(table, far);
    } catch (const TooFar& target) {
      if (!far.insert(target.name).second) die("too far: " + target.name);
    }
  }
}

void write_filter(const Table& table, const char* path) {
  const auto done = build(table);
  std::ofstream out(path);
  out << "// Generated by generate_filter from syscalls.txt.\n#include \"confine/seccomp.h\"\n\n"
         "namespace safe_exec {\nnamespace {\nconstexpr sock_filter kFilter[] = {\n";
  for (const auto& one : done.code) {
    out << "  {" << one.code << ", " << unsigned{one.jt} << ", " << unsigned{one.jf} << ", " << one.k << "u},\n";
  }
  out << "};\nconstexpr PatchPoint kPatches[] = {\n";
  for (const auto& [name, at] : done.patches) out << "  {Patch::" << name << ", " << at << "},\n";
  out << "};\nconstexpr SyscallRow kTable[] = {\n";
  for (const auto& [number, row] : table) {
    out << "  {" << number << ", \"" << row.action << "\", \"" << row.name << "\"},\n";
  }
  out << "};\n}  // namespace\n\nstd::span<const sock_filter> filter_template() noexcept { return kFilter; }\n"
         "std::span<const PatchPoint> filter_patches() noexcept { return kPatches; }\n"
         "std::span<const SyscallRow> syscall_table() noexcept { return kTable; }\n\n";
  // Names without pointers, which a position-independent program would have to relocate at every start.
  out << "std::string_view syscall_name(std::uint32_t number) noexcept {\n  static constexpr char kNames[] =\n";
  for (const auto& [number, row] : table) out << "      \"" << number << ' ' << row.name << ";\"\n";
  out << "      ;\n  std::string_view rest(kNames);\n"
         "  while (!rest.empty()) {\n"
         "    const std::string_view entry = rest.substr(0, rest.find(';'));\n"
         "    rest.remove_prefix(entry.size() + 1);\n"
         "    std::uint32_t value = 0;\n"
         "    std::size_t at = 0;\n"
         "    for (; entry[at] != ' '; ++at) value = value * 10 + static_cast<std::uint32_t>(entry[at] - '0');\n"
         "    if (value == number) return entry.substr(at + 1);\n"
         "  }\n  return {};\n}\n}  // namespace safe_exec\n";
  out.close();
  if (!out) die(std::string("cannot write ") + path);
}

void write_bytes(const std::string& name, const char* from, const char* to) {
  std::ifstream in(from, std::ios::binary);
  if (!in) die(std::string("cannot read ") + from);
  const std::string bytes((std::istreambuf_iterator<char>(in)), {});
  std::ofstream out(to);
  out << "// Generated by generate_filter.\n#include <string_view>\n\nnamespace safe_exec {\n"
         "std::string_view " << name << "() noexcept;\n"
         "namespace {\nconstexpr unsigned char kBytes[] = {";
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    out << (i % 24 == 0 ? "\n" : "") << unsigned{static_cast<unsigned char>(bytes[i])} << ',';
  }
  out << "0};\n}  // namespace\nstd::string_view " << name
      << "() noexcept { return {reinterpret_cast<const char*>(kBytes), sizeof kBytes - 1}; }\n}  // namespace safe_exec\n";
  out.close();
  if (!out) die(std::string("cannot write ") + to);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "filter" && argc == 4) write_filter(read_table(argv[2]), argv[3]);
  else if (mode == "bytes" && argc == 5) write_bytes(argv[2], argv[3], argv[4]);
  else die("usage: generate_filter filter TABLE OUT | bytes NAME IN OUT");
  return 0;
}
