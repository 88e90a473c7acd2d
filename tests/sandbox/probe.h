// What the probe's parts share.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace probe {

#if defined(__x86_64__)
inline constexpr char kLoader[] = "/lib64/ld-linux-x86-64.so.2";
inline constexpr std::string_view kReturnZero = "\x31\xC0\xC3";  // xor eax, eax; ret
#elif defined(__aarch64__)
inline constexpr char kLoader[] = "/lib/ld-linux-aarch64.so.1";
inline constexpr std::string_view kReturnZero{"\x00\x00\x80\x52\xC0\x03\x5F\xD6", 8};  // mov w0, #0; ret
#endif

struct World {
  std::string granted, granted_dir;      // operands, readable
  std::string secret{}, outside{}, ws{}; // not granted
  std::string self{};                    // the probe's own path
  std::string unix_path{}, abstract{};   // sockets of the host; datagrams at unix_path + ".dgram"
  int victim = 0, tcp = 0, udp = 0;      // a process and ports of the host
  int reaper = 0;
};

struct Attempt {
  const char* name;
  int (*run)(const World&);  // in a child of its own: 0 when the harm is done, else an errno
};

#define ATTEMPT(name, ...) {name, [](const World& w) -> int { (void)w; __VA_ARGS__ }}
#define CALL(name, ...) ATTEMPT(name, return error_of(syscall(__VA_ARGS__));)

int error_of(long result);
int open_for(const std::string& path, int flags);
int reads(const std::string& path);
int lists(const std::string& path, const std::string& name = "");  // name: which has to be there
int executes(const char* path, std::vector<const char*> argv);

int granted_fd(const World& w);
void put_code(void* at);  // kReturnZero

std::span<const Attempt> reading();
std::span<const Attempt> writing();
std::span<const Attempt> executing();
std::span<const Attempt> kernel();
std::span<const Attempt> processes();
std::span<const Attempt> network();
std::span<const Attempt> tricks();
std::span<const Attempt> surface();
std::span<const Attempt> limits();

}  // namespace probe
