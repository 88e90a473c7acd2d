// Level 2. What the dynamic loader would read from an ELF file, and from ld.so.cache. Every offset, count and size is
// the file's own claim: all of them are bounded and none is trusted. Never maps or runs what it reads.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

namespace safe_exec::elf {

struct Identity {
  std::uint8_t word = 0;      // EI_CLASS: 1 is 32 bits, 2 is 64
  std::uint16_t machine = 0;  // e_machine
  [[nodiscard]] bool operator==(const Identity&) const = default;
};

struct Object {
  Identity identity;
  std::string interpreter;           // PT_INTERP; empty: static, or a library
  std::vector<std::string> needed;   // DT_NEEDED
  std::string rpath, runpath;
};

// The error is a sentence for people. Only little-endian files: those of every machine that this program runs on.
[[nodiscard]] tl::expected<Object, std::string> read_object(int readable_fd);

// Only e_ident and e_machine; the word 0 when it is not an ELF file.
[[nodiscard]] Identity read_identity(int readable_fd);

// The machine that this program was built for.
[[nodiscard]] std::uint16_t own_machine() noexcept;

// Paths that ld.so.cache (bytes of it) lists for a name, in its order. Broken caches list nothing.
[[nodiscard]] std::vector<std::string> cached_paths(std::string_view cache, std::string_view name);
// The directories of all that it lists, each once.
[[nodiscard]] std::vector<std::string> cached_directories(std::string_view cache);

}  // namespace safe_exec::elf
