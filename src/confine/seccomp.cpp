#include "confine/seccomp.h"

#include <errno.h>
#include <linux/seccomp.h>

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

}  // namespace safe_exec
