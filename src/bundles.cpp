// Owns the table of bundles. Never names a secret (/etc/shadow, /etc/ssl/private), a socket or a program.
#include "bundles.h"

namespace safe_exec {
namespace {

#if defined(__x86_64__)
#define MULTIARCH "/usr/lib/x86_64-linux-gnu"
#elif defined(__aarch64__)
#define MULTIARCH "/usr/lib/aarch64-linux-gnu"
#else
#define MULTIARCH "/usr/lib64"
#endif


// iconv(3)'s modules; what ends threads and unwinds stacks.
constexpr BundlePath kBasePaths[]{MULTIARCH "/gconv", "/usr/lib64/gconv", "/etc/os-release", "/usr/lib/os-release"};
constexpr Name kBaseLibraries[]{"libgcc_s.so.1"};

// getpwnam(3) and the like. Services that are asked through a socket need it in unix_sockets.
constexpr BundlePath kNssPaths[]{"/etc/nsswitch.conf", "/etc/passwd", "/etc/group"};
constexpr Name kNssLibraries[]{"libnss_files.so.2", "libnss_compat.so.2", "libnss_systemd.so.2"};

// getaddrinfo(3).
constexpr BundlePath kDnsPaths[]{"/etc/nsswitch.conf", "/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/gai.conf", "/etc/services",
                                 "/etc/protocols"};
constexpr Name kDnsLibraries[]{"libresolv.so.2", "libnss_dns.so.2", "libnss_files.so.2", "libnss_resolve.so.2", "libnss_myhostname.so.2",
                               "libnss_mdns4_minimal.so.2"};

// Trusted certificates, and the settings and modules of OpenSSL and GnuTLS. No private key lies there.
constexpr BundlePath kTlsPaths[]{
    "/etc/ssl/certs", "/etc/ssl/cert.pem", "/etc/ssl/openssl.cnf", "/usr/lib/ssl", "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates", "/etc/pki/tls/certs", "/etc/pki/tls/openssl.cnf", "/etc/pki/ca-trust/extracted",
    "/etc/ca-certificates/extracted", "/etc/crypto-policies", "/etc/gnutls", MULTIARCH "/ossl-modules", "/usr/lib64/ossl-modules",
    MULTIARCH "/engines-3"};

constexpr BundlePath kTzPaths[]{"/usr/share/zoneinfo", "/etc/localtime", "/etc/timezone"};
constexpr BundlePath kTermPaths[]{"/usr/share/terminfo", "/usr/lib/terminfo", "/lib/terminfo", "/etc/terminfo"};
constexpr BundlePath kLocalePaths[]{"/usr/lib/locale", "/usr/share/locale", "/etc/locale.alias", MULTIARCH "/gconv", "/usr/lib64/gconv"};

}  // namespace

BundleFiles bundle_files(Bundle bundle) noexcept {
  switch (bundle) {
    case Bundle::base: return {kBasePaths, kBaseLibraries};
    case Bundle::nss: return {kNssPaths, kNssLibraries};
    case Bundle::dns: return {kDnsPaths, kDnsLibraries};
    case Bundle::tls: return {kTlsPaths, {}};
    case Bundle::tz: return {kTzPaths, {}};
    case Bundle::term: return {kTermPaths, {}};
    case Bundle::locale: return {kLocalePaths, {}};
  }
  return {};
}

}  // namespace safe_exec
