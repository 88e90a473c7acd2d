// What glibc 2.36 does before main in a static program (csu/libc-start.c), but for init_cpu_features(): that asks the processor some
// 70 times what it is. Each question leaves a virtual machine, for 1.5 to 6 us: up to a fifth of the time of a launch. What glibc
// would choose by the answers are other variants of memcpy(3) and the like; here it takes those that every x86-64 has. Nothing here
// may be called that was not there yet: before the relocation no function of <string.h>, before the thread's block no errno.
// And the data, of which each page is written to at a start, and the stack are brought in at once instead of in 30 faults of
// 1 to 2 us. What GLIBC_TUNABLES asks for is not looked at.
// Any other glibc, architecture or way to link starts as it always does.
#include <features.h>

#if defined(__x86_64__) && __GLIBC__ == 2 && __GLIBC_MINOR__ == 36

#include <link.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define HIDDEN __attribute__((visibility("hidden")))

extern "C" {

using Main = int (*)(int, char**, char**);

// glibc's own, in its order.
HIDDEN extern char** __environ;
HIDDEN extern void* __libc_stack_end;
HIDDEN void _dl_aux_init(ElfW(auxv_t) * auxiliary_vector);
HIDDEN void _dl_relocate_static_pie();
HIDDEN void __libc_setup_tls();
HIDDEN extern const unsigned long* _dl_random;  // 16 bytes by the kernel, AT_RANDOM of getauxval(3)
HIDDEN void __libc_early_init(bool alone);
HIDDEN void __libc_init_first(int argc, char** argv, char** environment);
int __cxa_atexit(void (*function)(void*), void* argument, void* object);
HIDDEN extern int __libc_enable_secure;
HIDDEN void __libc_check_standard_fds();
HIDDEN void _init();
HIDDEN void _fini();
HIDDEN extern const Main __preinit_array_start[], __preinit_array_end[], __init_array_start[], __init_array_end[];
HIDDEN extern void (*const __fini_array_start[])();
HIDDEN extern void (*const __fini_array_end[])();

HIDDEN extern const Elf64_Phdr* _dl_phdr;  // of this program, AT_PHDR: taken over by _dl_aux_init() in some releases of 2.36
HIDDEN extern size_t _dl_phnum;
HIDDEN extern size_t _dl_minsigstacksize;  // bytes, AT_MINSIGSTKSZ, which Linux gives from 5.14 on
HIDDEN extern const char __ehdr_start[], _end[];  // where it begins and ends, by the linker

// What it defines beside it, for memcpy(3) and memset(3): bytes, as they are where the processor does not say (sysdeps/x86).
HIDDEN long __x86_data_cache_size = 32 * 1024, __x86_data_cache_size_half = 16 * 1024;
HIDDEN long __x86_shared_cache_size = 1024 * 1024, __x86_shared_cache_size_half = 512 * 1024;
HIDDEN long __x86_shared_non_temporal_threshold = 768 * 1024, __x86_rep_movsb_stop_threshold = 768 * 1024;
HIDDEN long __x86_rep_movsb_threshold = 2048, __x86_rep_stosb_threshold = 2048;
HIDDEN int __x86_string_control = 0;

// Where dlopen(3) would look for $ORIGIN, which costs the look at /proc/self/exe: unknown, as where there is no /proc.
HIDDEN const char* _dl_get_origin() { return reinterpret_cast<const char*>(-1); }

static void finish(void*) {
  for (auto at = __fini_array_end; at > __fini_array_start;) (*--at)();
  _fini();
}

static void bring_in(unsigned long from, unsigned long to) {
  long result = SYS_madvise;  // not libc's, which sets errno; what fails (before Linux 5.14) is brought in fault by fault
  asm volatile("syscall" : "+a"(result) : "D"(from & ~4095UL), "S"(to - (from & ~4095UL)), "d"(MADV_POPULATE_WRITE) : "rcx", "r11", "memory");
}

static void bring_in_data(const Elf64_Phdr* segments, size_t count) {
  constexpr unsigned long kStack = 28 * 1024;  // what a launch takes of it
  const auto stack = reinterpret_cast<unsigned long>(__builtin_frame_address(0));
  bring_in(stack - kStack, stack & ~4095UL);
  for (size_t i = 0; i < count; ++i) {
    if (segments[i].p_type != PT_LOAD || (segments[i].p_flags & PF_W) == 0) continue;
    bring_in(reinterpret_cast<unsigned long>(__ehdr_start) + segments[i].p_vaddr, reinterpret_cast<unsigned long>(_end));
  }
}

[[noreturn]] int __libc_start_main(Main main, int argc, char** argv, void (*)(), void (*)(), void (*)(), void* stack_end) {
  const auto* const header = reinterpret_cast<const Elf64_Ehdr*>(__ehdr_start);
  const auto* const segments = reinterpret_cast<const Elf64_Phdr*>(__ehdr_start + header->e_phoff);
  bring_in_data(segments, header->e_phnum);
  __environ = argv + argc + 1;
  __libc_stack_end = stack_end;
  char** end = __environ;
  while (*end != nullptr) ++end;
  _dl_aux_init(reinterpret_cast<ElfW(auxv_t)*>(end + 1));
  if (_dl_phdr == nullptr) {
    _dl_phdr = segments;
    _dl_phnum = header->e_phnum;
  }
  if (_dl_minsigstacksize == 0) _dl_minsigstacksize = 16384;  // more than the state of any x86-64 takes
  _dl_relocate_static_pie();
  __libc_setup_tls();
  asm volatile("movq %0, %%fs:0x28" : : "r"(_dl_random[0] & ~0xffUL));  // what -fstack-protector compares; its first byte ends a string
  asm volatile("movq %0, %%fs:0x30" : : "r"(_dl_random[1]));            // what setjmp(3) and atexit(3) hide addresses with
  __libc_early_init(true);
  __libc_init_first(argc, argv, __environ);
  (void)__cxa_atexit(finish, nullptr, nullptr);
  if (__libc_enable_secure != 0) __libc_check_standard_fds();
  for (auto at = __preinit_array_start; at < __preinit_array_end; ++at) (void)(*at)(argc, argv, __environ);
  _init();
  for (auto at = __init_array_start; at < __init_array_end; ++at) (void)(*at)(argc, argv, __environ);
  ::exit(main(argc, argv, __environ));
}

}  // extern "C"

#endif
