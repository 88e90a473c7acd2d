// An evaluator of classic BPF as seccomp(2) runs it, for filters under test. Any instruction or jump that the kernel's
// verifier would refuse ends in nullopt.
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

namespace safe_exec::test {

inline std::optional<std::uint32_t> evaluate(std::span<const sock_filter> filter, const seccomp_data& data) {
  std::uint32_t a = 0, x = 0;
  for (std::size_t at = 0; at < filter.size(); ++at) {
    const sock_filter& one = filter[at];
    switch (one.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        if (one.k % 4 != 0 || one.k >= sizeof data) return std::nullopt;
        std::memcpy(&a, reinterpret_cast<const char*>(&data) + one.k, sizeof a);
        break;
      case BPF_LD | BPF_IMM: a = one.k; break;
      case BPF_MISC | BPF_TAX: x = a; break;
      case BPF_ALU | BPF_AND | BPF_K: a &= one.k; break;
      case BPF_ALU | BPF_LSH | BPF_X:
        if (x > 31) return std::nullopt;  // undefined in C, masked by the kernel: a filter must not rely on it
        a <<= x;
        break;
      case BPF_JMP | BPF_JEQ | BPF_K: at += a == one.k ? one.jt : one.jf; break;
      case BPF_JMP | BPF_JGE | BPF_K: at += a >= one.k ? one.jt : one.jf; break;
      case BPF_JMP | BPF_JGT | BPF_K: at += a > one.k ? one.jt : one.jf; break;
      case BPF_JMP | BPF_JA: at += one.k; break;
      case BPF_JMP | BPF_JSET | BPF_K: at += (a & one.k) != 0 ? one.jt : one.jf; break;
      case BPF_RET | BPF_K: return one.k;
      default: return std::nullopt;
    }
  }
  return std::nullopt;  // ran off the end
}

}  // namespace safe_exec::test
