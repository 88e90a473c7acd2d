// Level 4. The layers of one plan on this host: which are still wanted, why others are not, which one a failed step belongs to, and
// afterwards in what state each was. Starts nothing.
#pragma once

#include <map>
#include <span>
#include <string>

#include "child.h"
#include "launch.h"
#include "model.h"

namespace safe_exec {

struct Watched;

// Errors by which a host says "not here". Others (a grant that vanished, memory, descriptors) are failures.
[[nodiscard]] bool is_refusal(int error);

// The layers that a failing step belongs to; empty: the step belongs to none that can be done without.
[[nodiscard]] std::span<const Layer> layers_of(Step step, int error, const Namespaces& namespaces);

inline constexpr Layer kNamespaceLayers[] = {Layer::user_namespace, Layer::pid_namespace, Layer::mount_namespace,
                                             Layer::ipc_namespace, Layer::uts_namespace};
inline constexpr Layer kLandlockLayer[] = {Layer::landlock};

class Layers {
 public:
  explicit Layers(const Plan& plan);

  [[nodiscard]] const Wanted& wanted() const { return wanted_; }
  [[nodiscard]] bool privileged() const { return privileged_; }
  [[nodiscard]] bool holds(Layer layer) const;
  [[nodiscard]] std::string reason(Layer layer) const;  // why it was given up; empty: it was not

  // Gives up the layers, or says with which error the launch ends.
  [[nodiscard]] Expected<void> without(std::span<const Layer> layers, Error error);
  // Container profiles refuse unshare(2) and clone(2) with namespaces each by a rule of its own. Whether that is untried.
  [[nodiscard]] bool clone_instead();
  // The limits as they are where no cgroup is delegated.
  [[nodiscard]] bool without_cgroup();
  // A network of its own is something that is granted: without it nothing is less confined.
  [[nodiscard]] bool without_network(std::string why);
  [[nodiscard]] const std::string& no_network() const { return no_network_; }

  // Landlock or a mount namespace has to hold, and what is required must not be missing from the start. The host's network is
  // never given in place of a loopback.
  [[nodiscard]] Expected<void> enough() const;

 private:
  [[nodiscard]] Error demanded(Layer layer, Error error) const;
  [[nodiscard]] Error neither() const;
  void drop(Layer layer);
  void shut_abstract_names();

  const Plan& plan_;
  Wanted wanted_;
  bool privileged_ = false;
  std::map<Layer, Error> lost_;
  std::string no_network_;
};

// A layer that the policy itself requires has to be there whole: what this host would leave out is known once all is prepared.
[[nodiscard]] Expected<void> demands_met(const Plan& plan, const Launch& launch);

// What was enforced of a layer that nobody settled before.
[[nodiscard]] LayerStatus status_of(Layer layer, const Layers& layers, const Launch& launch, const Watched& watched, const Plan& plan);

// Whether the kernel kills what is too much of the tree, and with it all that is left.
[[nodiscard]] bool killed_by_cgroup(const Launch& launch);

}  // namespace safe_exec
