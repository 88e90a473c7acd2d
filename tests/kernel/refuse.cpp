// Runs a command on a host that refuses what joining a cgroup takes: "clone3", or "join", the write of one byte.
// usage: refuse WHAT COMMAND [ARG...]
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const bool join = strcmp(argv[1], "join") == 0;
  const unsigned size = offsetof(seccomp_data, args) + 2 * sizeof(unsigned long long);
  sock_filter filter[] = {
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_clone3},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | ENOSYS},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 3, join ? SYS_write : ~0U},
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, size},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 1},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EPERM},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  };
  const sock_fprog program{sizeof filter / sizeof *filter, filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) return 1;
  execv(argv[2], argv + 2);
  return 127;
}
