// Owns the reading of ELF headers and of ld.so.cache: bounded reads of small pieces, bytes to values, nothing else.
#include "elf_file.h"

#include <elf.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <set>
#include <utility>

#include "beneath.h"

namespace safe_exec::elf {

namespace {

constexpr std::size_t kMaxSegments = 128;
constexpr std::size_t kMaxDynamic = 4096;   // entries
constexpr std::size_t kMaxNeeded = 512;
constexpr std::size_t kMaxString = 4096;    // PATH_MAX, and enough for any search path met in practice

// The fields that matter, the same for both word sizes.
struct Segment {
  std::uint32_t type = 0;
  std::uint64_t offset = 0, address = 0, size = 0;
};

template <class T>
bool read_struct(int fd, std::uint64_t offset, T& value) {
  return read_at(fd, &value, sizeof value, offset) == static_cast<std::int64_t>(sizeof value);
}

// A NUL-terminated string of at most limit bytes; nullopt when it does not end.
std::optional<std::string> read_string(int fd, std::uint64_t offset, std::uint64_t limit) {
  std::array<char, kMaxString> buffer{};
  // Most names are short: a small piece first, the whole only when it did not end there.
  for (const std::size_t piece : {std::size_t{128}, kMaxString}) {
    const std::size_t size = static_cast<std::size_t>(std::min<std::uint64_t>(piece, limit));
    const std::int64_t got = read_at(fd, buffer.data(), size, offset);
    if (got < 0) return std::nullopt;
    const char* const begin = buffer.data();
    const char* const end = std::find(begin, begin + got, '\0');
    if (end != begin + got) return std::string(begin, end);
    if (static_cast<std::size_t>(got) < piece) return std::nullopt;
  }
  return std::nullopt;
}

// One ELF file of one word size.
template <class Ehdr, class Phdr, class Dyn>
class Reader {
 public:
  explicit Reader(int fd) : fd_(fd) {}

  tl::expected<Object, std::string> read() {
    Ehdr header{};
    if (!read_struct(fd_, 0, header)) return tl::unexpected<std::string>("its ELF header is cut off");
    if (header.e_type != ET_EXEC && header.e_type != ET_DYN) return tl::unexpected<std::string>("it is no ELF program");
    if (header.e_phnum > kMaxSegments || header.e_phentsize != sizeof(Phdr)) {
      return tl::unexpected<std::string>("its program headers are not usable");
    }
    object_.identity = {header.e_ident[EI_CLASS], header.e_machine};
    std::vector<Phdr> table(header.e_phnum);
    const std::size_t bytes = table.size() * sizeof(Phdr);
    if (read_at(fd_, table.data(), bytes, header.e_phoff) != static_cast<std::int64_t>(bytes)) {
      return tl::unexpected<std::string>("its program headers are cut off");
    }
    for (const Phdr& entry : table) {
      segments_.push_back({entry.p_type, entry.p_offset, entry.p_vaddr, entry.p_filesz});
    }
    const Segment* dynamic = nullptr;
    for (const Segment& segment : segments_) {
      const char* problem = nullptr;
      if (segment.type == PT_INTERP && object_.interpreter.empty()) problem = read_interpreter(segment);  // the kernel takes the first
      if (segment.type == PT_DYNAMIC) dynamic = &segment;  // and the loader the last
      if (problem != nullptr) return tl::unexpected<std::string>(problem);
    }
    if (const char* const problem = dynamic != nullptr ? read_dynamic(*dynamic) : nullptr) return tl::unexpected<std::string>(problem);
    return std::move(object_);
  }

 private:
  const char* read_interpreter(const Segment& segment) {
    std::optional<std::string> name = read_string(fd_, segment.offset, std::min<std::uint64_t>(segment.size, kMaxString));
    if (!name || name->empty() || name->front() != '/') return "its interpreter (PT_INTERP) is not an absolute path";
    object_.interpreter = *std::move(name);
    return nullptr;
  }

  const char* read_dynamic(const Segment& segment) {
    std::vector<Dyn> entries(std::min<std::uint64_t>(segment.size / sizeof(Dyn), kMaxDynamic));
    const std::size_t bytes = entries.size() * sizeof(Dyn);
    if (read_at(fd_, entries.data(), bytes, segment.offset) != static_cast<std::int64_t>(bytes)) {
      return "its dynamic section is cut off";
    }
    std::optional<std::uint64_t> table, size;
    std::vector<std::pair<std::int64_t, std::uint64_t>> strings;
    for (const Dyn& entry : entries) {
      const std::int64_t tag = entry.d_tag;
      if (tag == DT_NULL) break;
      if (tag == DT_STRTAB) table = file_offset(entry.d_un.d_ptr);
      if (tag == DT_STRSZ) size = entry.d_un.d_val;
      if (tag == DT_NEEDED || tag == DT_RPATH || tag == DT_RUNPATH) strings.emplace_back(tag, entry.d_un.d_val);
    }
    if (strings.empty()) return nullptr;
    if (!table || !size || strings.size() > kMaxNeeded) return "its dynamic section has no usable string table";
    for (const auto& [tag, at] : strings) {
      std::optional<std::string> text;
      if (at < *size && *table <= UINT64_MAX - at) text = read_string(fd_, *table + at, *size - at);
      if (!text) return "its dynamic section names a string outside of its table";
      if (tag == DT_NEEDED) object_.needed.push_back(*std::move(text));
      if (tag == DT_RPATH) object_.rpath = *std::move(text);
      if (tag == DT_RUNPATH) object_.runpath = *std::move(text);
    }
    return nullptr;
  }

  // d_ptr is an address in memory; PT_LOAD says where that is in the file.
  std::optional<std::uint64_t> file_offset(std::uint64_t address) const {
    for (const Segment& segment : segments_) {
      if (segment.type != PT_LOAD || address < segment.address || address - segment.address >= segment.size) continue;
      const std::uint64_t inside = address - segment.address;
      if (segment.offset > UINT64_MAX - inside) return std::nullopt;
      return segment.offset + inside;
    }
    return std::nullopt;
  }

  int fd_;
  std::vector<Segment> segments_;
  Object object_;
};

std::optional<std::uint32_t> word_at(std::string_view bytes, std::size_t offset) {
  std::uint32_t value = 0;
  if (offset > bytes.size() || bytes.size() - offset < sizeof value) return std::nullopt;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

std::string_view string_at(std::string_view bytes, std::size_t offset) {
  if (offset >= bytes.size()) return {};
  const std::string_view rest = bytes.substr(offset);
  const std::size_t end = rest.find('\0');
  return end == std::string_view::npos ? std::string_view() : rest.substr(0, end);
}

}  // namespace

tl::expected<Object, std::string> read_object(int readable_fd) {
  std::array<unsigned char, EI_NIDENT> ident{};
  if (!read_struct(readable_fd, 0, ident) || std::memcmp(ident.data(), ELFMAG, SELFMAG) != 0) {
    return tl::unexpected<std::string>("it is not an ELF file");
  }
  if (ident[EI_DATA] != ELFDATA2LSB) return tl::unexpected<std::string>("it is not a little-endian ELF file");
  if (ident[EI_CLASS] == ELFCLASS64) return Reader<Elf64_Ehdr, Elf64_Phdr, Elf64_Dyn>(readable_fd).read();
  if (ident[EI_CLASS] == ELFCLASS32) return Reader<Elf32_Ehdr, Elf32_Phdr, Elf32_Dyn>(readable_fd).read();
  return tl::unexpected<std::string>("its ELF class is unknown");
}

Identity read_identity(int readable_fd) {
  struct {
    std::array<unsigned char, EI_NIDENT> ident;
    std::uint16_t type, machine;
  } start{};
  if (!read_struct(readable_fd, 0, start) || std::memcmp(start.ident.data(), ELFMAG, SELFMAG) != 0) return {};
  return {start.ident[EI_CLASS], start.machine};
}

std::uint16_t own_machine() noexcept {
#if defined(__x86_64__)
  return EM_X86_64;
#elif defined(__aarch64__)
  return EM_AARCH64;
#elif defined(__riscv)
  return EM_RISCV;
#else
#error "name this machine"
#endif
}

// The layout is glibc's (sysdeps/generic/dl-cache.h): an optional old table, then "glibc-ld.so.cache1.1", a count and
// entries of 24 bytes {flags, key, value, osversion, hwcap}; key and value are offsets from where that header begins.
namespace {

// visit(offset of the name, path) for each entry of this program's word size.
template <typename Visit>
void each_entry(std::string_view cache, const Visit& visit) {
  constexpr std::string_view kOld = "ld.so-1.7.0", kNew = "glibc-ld.so.cache1.1";
  constexpr std::size_t kHeader = 48, kEntry = 24, kOldHeader = 16, kOldEntry = 12;
#if defined(__x86_64__)
  constexpr std::uint32_t kWord = 0x0300;  // FLAG_X8664_LIB64
#elif defined(__aarch64__)
  constexpr std::uint32_t kWord = 0x0a00;  // FLAG_AARCH64_LIB64
#else
  constexpr std::uint32_t kWord = 0;  // told apart by read_object
#endif
  if (cache.substr(0, kOld.size()) == kOld) {
    const std::size_t count = word_at(cache, 12).value_or(0);
    const std::size_t end = kOldHeader + count * kOldEntry;
    cache = cache.substr(std::min(cache.size(), (end + 7) / 8 * 8));
  }
  if (cache.substr(0, kNew.size()) != kNew || cache.size() < kHeader) return;
  const std::size_t count = std::min<std::size_t>(word_at(cache, 20).value_or(0), (cache.size() - kHeader) / kEntry);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t entry = kHeader + i * kEntry;
    if constexpr (kWord != 0) {
      if ((word_at(cache, entry).value_or(0) & 0xff00U) != kWord) continue;  // another word size: never of use here
    }
    visit(cache, word_at(cache, entry + 4).value_or(UINT32_MAX), word_at(cache, entry + 8).value_or(UINT32_MAX));
  }
}

}  // namespace

std::vector<std::string> cached_paths(std::string_view cache, std::string_view name) {
  std::vector<std::string> paths;
  each_entry(cache, [&](std::string_view bytes, std::size_t key, std::size_t value) {
    // Compared in place: the table has a thousand names and this is on every launch's way.
    if (key >= bytes.size() || bytes.size() - key <= name.size() || bytes[key + name.size()] != '\0') return;
    if (std::memcmp(bytes.data() + key, name.data(), name.size()) != 0) return;
    const std::string_view path = string_at(bytes, value);
    if (path.substr(0, 1) == "/") paths.emplace_back(path);
  });
  return paths;
}

std::vector<std::string> cached_directories(std::string_view cache) {
  std::set<std::string, std::less<>> directories;
  each_entry(cache, [&](std::string_view bytes, std::size_t, std::size_t value) {
    const std::string_view path = string_at(bytes, value);
    const std::string_view directory = path.substr(0, path.rfind('/') + 1);  // npos + 1 is 0
    if (!directory.empty() && !directories.contains(directory)) directories.emplace(directory);
  });
  return {directories.begin(), directories.end()};
}

}  // namespace safe_exec::elf
