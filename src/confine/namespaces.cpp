#include "confine/namespaces.h"

#include <linux/capability.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace safe_exec {

Namespaces wanted_namespaces(const Plan& plan, bool privileged) noexcept {
  const auto wants = [&](Layer layer) {
    const auto found = plan.layers.find(layer);
    return (found == plan.layers.end() ? default_requirement(layer) : found->second) != Requirement::off;
  };
  const auto required = [&](Layer layer) {
    const auto found = plan.layers.find(layer);
    return found != plan.layers.end() && found->second == Requirement::require;
  };
  Namespaces namespaces{false, wants(Layer::pid_namespace), wants(Layer::mount_namespace), wants(Layer::ipc_namespace),
                        wants(Layer::uts_namespace), plan.network.kind == Network::Kind::loopback};
  if (privileged) {
    namespaces.user = required(Layer::user_namespace);
  } else if (wants(Layer::user_namespace)) {
    namespaces.user = true;
  } else {
    namespaces = {};  // none of the others can be had without it
  }
  return namespaces;
}

unsigned long clone_flags(const Namespaces& namespaces) noexcept {
  unsigned long flags = 0;
  if (namespaces.user) flags |= CLONE_NEWUSER;
  if (namespaces.pid) flags |= CLONE_NEWPID;
  if (namespaces.mount) flags |= CLONE_NEWNS;
  if (namespaces.ipc) flags |= CLONE_NEWIPC;
  if (namespaces.uts) flags |= CLONE_NEWUTS;
  if (namespaces.net) flags |= CLONE_NEWNET;
  return flags;
}

unsigned long unshare_flags(const Namespaces& namespaces) noexcept {
  return clone_flags({.mount = namespaces.mount, .ipc = namespaces.ipc, .uts = namespaces.uts, .net = namespaces.net});
}

std::string identity_map(unsigned id) {
  const std::string text = std::to_string(id);
  return text + " " + text + " 1\n";
}

bool has_capability(unsigned capability) noexcept {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (::syscall(SYS_capget, &header, data) < 0) return false;
  return (data[capability / 32].effective >> (capability % 32) & 1U) != 0;
}

}  // namespace safe_exec
