// Level 2. System calls without libc, for code that shares its memory with another process: no errno, which both would
// write, and no allocation, lock or thread-local variable behind it. Linux on x86-64 and aarch64.
#pragma once

#include <sys/syscall.h>

namespace safe_exec {

using Word = unsigned long;

template <class T>
inline Word word(T value) noexcept {
  if constexpr (requires { reinterpret_cast<Word>(value); }) return reinterpret_cast<Word>(value);
  else return static_cast<Word>(value);
}
inline Word word(decltype(nullptr)) noexcept { return 0; }

// The result, or the negative error number, as syscall(2) describes the kernel's own convention.
inline long raw_call(long number, Word a, Word b, Word c, Word d, Word e, Word f) noexcept {
#if defined(__x86_64__)
  long result;
  register Word r10 __asm__("r10") = d;
  register Word r8 __asm__("r8") = e;
  register Word r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = number;
  register Word x0 __asm__("x0") = a;
  register Word x1 __asm__("x1") = b;
  register Word x2 __asm__("x2") = c;
  register Word x3 __asm__("x3") = d;
  register Word x4 __asm__("x4") = e;
  register Word x5 __asm__("x5") = f;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory", "cc");
  return static_cast<long>(x0);
#else
#error "no system call convention for this architecture"
#endif
}

template <class A = long, class B = long, class C = long, class D = long, class E = long, class F = long>
inline long call(long number, A a = 0, B b = 0, C c = 0, D d = 0, E e = 0, F f = 0) noexcept {
  return raw_call(number, word(a), word(b), word(c), word(d), word(e), word(f));
}

// clone(2) onto a stack of its own (stack_top is aligned to 16): there the new process calls entry(argument), which must
// not return. pidfd is for CLONE_PIDFD, tid for CLONE_CHILD_SETTID and CLONE_CHILD_CLEARTID.
inline long spawn(Word flags, void* stack_top, void (*entry)(void*), void* argument, int* pidfd, unsigned* tid) noexcept {
  auto* const top = static_cast<Word*>(stack_top) - 2;
  top[0] = word(entry);
  top[1] = word(argument);
#if defined(__x86_64__)
  long result;
  register Word r10 __asm__("r10") = word(tid);
  register Word r8 __asm__("r8") = 0;
  __asm__ volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xor %%ebp, %%ebp\n\t"  // the outermost frame
      "pop %%rax\n\t"
      "pop %%rdi\n\t"
      "call *%%rax\n\t"
      "ud2\n"
      "1:"
      : "=a"(result)
      : "0"(SYS_clone), "D"(flags), "S"(top), "d"(pidfd), "r"(r10), "r"(r8)
      : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = SYS_clone;
  register Word x0 __asm__("x0") = flags;
  register Word x1 __asm__("x1") = word(top);
  register Word x2 __asm__("x2") = word(pidfd);
  register Word x3 __asm__("x3") = 0;
  register Word x4 __asm__("x4") = word(tid);
  __asm__ volatile(
      "svc 0\n\t"
      "cbnz x0, 1f\n\t"
      "mov x29, xzr\n\t"
      "ldp x1, x0, [sp], #16\n\t"
      "blr x1\n\t"
      "brk #0\n"
      "1:"
      : "+r"(x0)
      : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4)
      : "memory", "cc");
  return static_cast<long>(x0);
#endif
}

}  // namespace safe_exec
