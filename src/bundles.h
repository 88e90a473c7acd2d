// Level 2. The table of bundles: what programs of a kind load by dlopen(3) or read at fixed places, which no ELF header
// names. Grants nothing itself.
#pragma once

#include <span>
#include <string_view>

#include "inline_text.h"
#include "model.h"

namespace safe_exec {

using BundlePath = InlineText<47>;

struct BundleFiles {
  std::span<const BundlePath> paths;  // files, or directories with all below; absent ones are left out
  std::span<const Name> libraries;    // by the name that the loader searches for
};
[[nodiscard]] BundleFiles bundle_files(Bundle bundle) noexcept;

}  // namespace safe_exec
