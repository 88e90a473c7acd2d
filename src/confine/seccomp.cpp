#include "confine/seccomp.h"

#include <errno.h>
#include <linux/seccomp.h>

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

}  // namespace safe_exec
