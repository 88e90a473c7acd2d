#include "confine/seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cstring>

namespace safe_exec {
namespace {

std::uint32_t patched(Patch patch, const FilterChoice& choice) {
  constexpr std::uint32_t refuse = SECCOMP_RET_ERRNO | EPERM, unknown = SECCOMP_RET_ERRNO | EOPNOTSUPP;
  switch (patch) {
    case Patch::metadata: return choice.metadata ? SECCOMP_RET_ALLOW : refuse;
    case Patch::names: return choice.names ? SECCOMP_RET_ALLOW : unknown;
    case Patch::others: return choice.others ? SECCOMP_RET_ALLOW : refuse;
    case Patch::execve: return choice.execve ? SECCOMP_RET_ALLOW : refuse;
    case Patch::generated: return choice.generated ? SECCOMP_RET_ALLOW : refuse;
    case Patch::listen: return choice.listen ? SECCOMP_RET_ALLOW : refuse;
    case Patch::core: return choice.core ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO;  // 0: done
    case Patch::groups: return (choice.families & (1U << AF_INET | 1U << AF_INET6)) != 0 ? SECCOMP_RET_ALLOW : refuse;
    case Patch::reaper: return choice.reaper;
    case Patch::families: return choice.families;
    case Patch::tcp_families: return choice.tcp_families;
    case Patch::magic_low: return static_cast<std::uint32_t>(choice.magic);
    case Patch::magic_high: return static_cast<std::uint32_t>(choice.magic >> 32);
  }
  return refuse;
}

}  // namespace

std::vector<sock_filter> make_filter(const FilterChoice& choice) {
  const auto from = filter_template();
  std::vector<sock_filter> filter(from.begin(), from.end());
  for (const auto& point : filter_patches()) filter[point.instruction].k = patched(point.patch, choice);
  return filter;
}

std::uint32_t filter_verdict(std::span<const sock_filter> filter, const seccomp_data& about) noexcept {
  std::uint32_t a = 0, x = 0;
  for (std::size_t at = 0; at < filter.size(); ++at) {
    const sock_filter& one = filter[at];
    const std::uint32_t operand = BPF_SRC(one.code) == BPF_X ? x : one.k;
    bool taken = false;
    switch (BPF_CLASS(one.code)) {
      case BPF_RET: return BPF_RVAL(one.code) == BPF_A ? a : one.k;
      case BPF_MISC: x = a; break;  // TAX, the only one that the template has
      case BPF_LD:
        if (BPF_MODE(one.code) == BPF_IMM) a = one.k;
        else if (one.k <= sizeof about - sizeof a) std::memcpy(&a, reinterpret_cast<const char*>(&about) + one.k, sizeof a);
        else return SECCOMP_RET_KILL_PROCESS;
        break;
      case BPF_ALU:
        if (BPF_OP(one.code) == BPF_AND) a &= operand;
        else if (BPF_OP(one.code) == BPF_LSH && operand < 32) a <<= operand;
        else return SECCOMP_RET_KILL_PROCESS;
        break;
      case BPF_JMP:
        if (BPF_OP(one.code) == BPF_JA) {
          at += one.k;
          break;
        }
        taken = BPF_OP(one.code) == BPF_JEQ ? a == operand : BPF_OP(one.code) == BPF_JGE ? a >= operand
                : BPF_OP(one.code) == BPF_JGT ? a > operand : (a & operand) != 0;
        at += taken ? one.jt : one.jf;
        break;
      default: return SECCOMP_RET_KILL_PROCESS;
    }
  }
  return SECCOMP_RET_KILL_PROCESS;
}

std::vector<sock_filter> make_fallback_filter(const Fallback& fallback) {
  constexpr std::uint16_t kLoad = BPF_LD | BPF_W | BPF_ABS, kEqual = BPF_JMP | BPF_JEQ | BPF_K, kReturn = BPF_RET | BPF_K;
  constexpr std::uint32_t kNumber = offsetof(seccomp_data, nr), kFirst = offsetof(seccomp_data, args), kNext = 8;
  constexpr std::uint32_t kRefuse = SECCOMP_RET_ERRNO | EPERM, kUnknown = SECCOMP_RET_ERRNO | ENOSYS;
#if defined(SYS_open)
  constexpr std::uint32_t kOpen = SYS_open;
#else
  constexpr std::uint32_t kOpen = SYS_openat;  // an architecture without open(2): met already
#endif
  return {
      {kLoad, 0, 0, kNumber},
      {kEqual, 24, 0, SYS_pidfd_send_signal},  // whose descriptor it is cannot be seen
      {kEqual, 20, 0, SYS_kill},
      {kEqual, 19, 0, SYS_tkill},
      {kEqual, 18, 0, SYS_tgkill},
      {kEqual, 17, 0, SYS_rt_sigqueueinfo},
      {kEqual, 16, 0, SYS_rt_tgsigqueueinfo},
      {kEqual, 4, 0, SYS_fcntl},
      {kEqual, 3, 0, SYS_ioctl},
      {kEqual, 18, 0, SYS_openat2},  // its flags cannot be seen
      {kEqual, 8, 0, SYS_openat},
      {kEqual, 5, 17, kOpen},
      // Who gets a descriptor's signals. No such command of fcntl is one of ioctl, nor the reverse.
      {kLoad, 0, 0, kFirst + kNext},
      {kEqual, 12, 0, F_SETOWN},
      {kEqual, 11, 0, F_SETOWN_EX},
      {kEqual, 10, 0, FIOSETOWN},
      {kEqual, 9, 12, SIOCSPGRP},
      // Truncation by a descriptor that is not for writing; one for writing Landlock judges at every ABI.
      {kLoad, 0, 0, kFirst + kNext},
      {kEqual, 1, 1, 0},  // over the next
      {kLoad, 0, 0, kFirst + 2 * kNext},
      {BPF_ALU | BPF_AND | BPF_K, 0, 0, O_TRUNC | O_ACCMODE},
      {kEqual, 5, 0, O_TRUNC | O_RDONLY},
      {kEqual, 4, 6, O_TRUNC | O_ACCMODE},
      {kLoad, 0, 0, kFirst},
      {kEqual, 4, 0, 0},  // kOwnPid
      {kEqual, 3, 0, 0},  // kill(2): the own process group
      {kReturn, 0, 0, fallback.signals ? kRefuse : SECCOMP_RET_ALLOW},
      {kReturn, 0, 0, fallback.truncation ? kRefuse : SECCOMP_RET_ALLOW},
      {kReturn, 0, 0, fallback.truncation ? kUnknown : SECCOMP_RET_ALLOW},
      {kReturn, 0, 0, SECCOMP_RET_ALLOW},
  };
}

std::vector<sock_filter> make_mode_filter() {
  constexpr std::uint16_t kLoad = BPF_LD | BPF_W | BPF_ABS, kEqual = BPF_JMP | BPF_JEQ | BPF_K, kReturn = BPF_RET | BPF_K;
  constexpr std::uint16_t kAnyBit = BPF_JMP | BPF_JSET | BPF_K;
  constexpr std::uint32_t kFirst = offsetof(seccomp_data, args), kNext = 8;
  constexpr std::uint32_t kMakes = O_CREAT | (O_TMPFILE & ~O_DIRECTORY), kSetId = S_ISUID | S_ISGID;
  struct Call {
    std::uint32_t number, mode, flags;  // which argument; flags 0: it always makes or changes a file
  };
  constexpr std::uint32_t kFchmodat2 = 452;
  constexpr Call kCalls[] = {
#if defined(SYS_open)
      {SYS_open, 2, 1}, {SYS_creat, 1, 0}, {SYS_mkdir, 1, 0}, {SYS_mknod, 1, 0}, {SYS_chmod, 1, 0},
#endif
      {SYS_openat, 3, 2}, {SYS_mkdirat, 2, 0}, {SYS_mknodat, 2, 0}, {SYS_fchmod, 1, 0}, {SYS_fchmodat, 2, 0}, {kFchmodat2, 2, 0},
  };
  std::vector<sock_filter> filter{{kLoad, 0, 0, offsetof(seccomp_data, nr)},
                                  {kEqual, 0, 1, SYS_openat2},
                                  {kReturn, 0, 0, SECCOMP_RET_ERRNO | ENOSYS}};
  for (const Call& one : kCalls) {
    const auto size = static_cast<std::uint8_t>(one.flags > 0 ? 6 : 4);
    filter.push_back({kEqual, 0, size, one.number});
    if (one.flags > 0) {
      filter.push_back({kLoad, 0, 0, kFirst + kNext * one.flags});
      filter.push_back({kAnyBit, 0, 2, kMakes});
    }
    filter.push_back({kLoad, 0, 0, kFirst + kNext * one.mode});
    filter.push_back({kAnyBit, 1, 0, kSetId});
    filter.push_back({kReturn, 0, 0, SECCOMP_RET_ALLOW});
    filter.push_back({kReturn, 0, 0, SECCOMP_RET_ERRNO | EPERM});
  }
  filter.push_back({kReturn, 0, 0, SECCOMP_RET_ALLOW});
  return filter;
}

}  // namespace safe_exec
