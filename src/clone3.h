// Level 3. clone3(2) without libc, as syscall.h has clone(2): for a process that is to be born in a cgroup. Container profiles
// refuse it, and Linux before 5.7 does not know how.
#pragma once

#include <linux/sched.h>
#include <signal.h>

#include "syscall.h"

namespace safe_exec {

// As spawn() does, in the cgroup of which this is a descriptor of the directory (CLONE_INTO_CGROUP).
inline long spawn_into(int cgroup, Word flags, void* stack_top, void (*entry)(void*), void* argument, unsigned* tid) noexcept {
  constexpr Word kStack = 4096;  // what the kernel is told of it: it only adds it to where it begins
  auto* const top = static_cast<Word*>(stack_top) - 2;
  top[0] = word(entry);
  top[1] = word(argument);
  clone_args arguments{};
  arguments.flags = flags | CLONE_INTO_CGROUP;
  arguments.exit_signal = SIGCHLD;
  arguments.stack = word(top) - kStack;
  arguments.stack_size = kStack;
  arguments.child_tid = word(tid);
  arguments.cgroup = static_cast<unsigned>(cgroup);
#if defined(__x86_64__)
  long result;
  __asm__ volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xor %%ebp, %%ebp\n\t"
      "pop %%rax\n\t"
      "pop %%rdi\n\t"
      "call *%%rax\n\t"
      "ud2\n"
      "1:"
      : "=a"(result)
      : "0"(SYS_clone3), "D"(&arguments), "S"(sizeof arguments)
      : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = SYS_clone3;
  register Word x0 __asm__("x0") = word(&arguments);
  register Word x1 __asm__("x1") = sizeof arguments;
  __asm__ volatile(
      "svc 0\n\t"
      "cbnz x0, 1f\n\t"
      "mov x29, xzr\n\t"
      "ldp x1, x0, [sp], #16\n\t"
      "blr x1\n\t"
      "brk #0\n"
      "1:"
      : "+r"(x0), "+r"(x1)
      : "r"(x8)
      : "memory", "cc");
  return static_cast<long>(x0);
#endif
}

}  // namespace safe_exec
