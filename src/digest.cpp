// Owns the use of nettle's SHA-256. Never opens or reads anything.
#include "digest.h"

#include <nettle/sha2.h>

#include <array>

namespace safe_exec {

struct Sha256::State {
  sha256_ctx context;
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  nettle_sha256_init(&state_->context);
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::add(std::string_view bytes) {
  if (bytes.empty()) return;  // data() may be null
  nettle_sha256_update(&state_->context, bytes.size(),
                       reinterpret_cast<const std::uint8_t*>(bytes.data()));  // NOLINT: nettle's byte type
}

std::string Sha256::hex() {
  std::array<std::uint8_t, SHA256_DIGEST_SIZE> digest{};
  nettle_sha256_digest(&state_->context, digest.size(), digest.data());  // also starts over
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  out.reserve(digest.size() * 2);
  for (const std::uint8_t byte : digest) {
    out += kDigits[byte >> 4U];
    out += kDigits[byte & 15U];
  }
  return out;
}

}  // namespace safe_exec
