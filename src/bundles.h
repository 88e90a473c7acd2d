// Level 2. The table of bundles: what programs of a kind load by dlopen(3) or read at fixed places, which no ELF header
// names. Grants nothing itself.
#pragma once

#include <span>
#include <string_view>

#include "model.h"

namespace safe_exec {

struct BundleFiles {
  std::span<const std::string_view> paths;      // files, or directories with all below; absent ones are left out
  std::span<const std::string_view> libraries;  // by the name that the loader searches for
};
[[nodiscard]] BundleFiles bundle_files(Bundle bundle) noexcept;

}  // namespace safe_exec
