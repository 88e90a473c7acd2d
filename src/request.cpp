// Owns the shape of a request (CONTRACT.md section 3). Never decides whether it is allowed.
#include "request.h"

#include <array>
#include <optional>
#include <utility>

#include "decode.h"
#include "inline_text.h"
#include "json.h"

namespace safe_exec {
namespace {

constexpr std::string_view kSchema = "safe-exec/request/v1";
constexpr std::size_t kMaxMetaBytes = 4096;
constexpr std::int64_t kMaxLimit = std::int64_t{1} << 53;
constexpr std::array<Name, 2> kEncodings{"utf8", "base64"};

struct RequestContext {
  bool has_stdin = false;
};

void read_schema(RequestContext& /*context*/, const Item& value, Request& /*request*/) {
  if (read_string(value) != kSchema) {
    refuse(value, {"this schema is not known", std::string(kSchema), describe_value(value), ""});
  }
}

void read_argv(RequestContext& /*context*/, const Item& value, Request& request) {
  if (value.is(json::Kind::string)) {
    refuse(value, {"argv must be an array: safe-exec never splits a command line; send "
                   "[\"git\", \"log\"] instead of \"git log\"",
                   "an array of strings, one a word", describe_value(value), ""});
  }
  request.argv = read_strings(value, 1);
}

void read_pairs(const Item& value, std::vector<std::pair<std::string, std::string>>& out) {
  for (const Item& member : members(value)) out.emplace_back(std::string(member.key()), read_string(member));
}

void read_env(RequestContext& /*context*/, const Item& value, Request& request) {
  for (const Item& member : members(value)) {
    if (!member.key().empty() && member.key().find('=') == std::string_view::npos) continue;
    refuse(
        member,
        {"this cannot be the name of a variable", "a name without \"=\"", "\"" + std::string(member.key()) + "\"", ""},
        At::key);
  }
  read_pairs(value, request.env);
}

void read_meta(RequestContext& /*context*/, const Item& value, Request& request) {
  read_pairs(value, request.meta);
  std::size_t bytes = 0;
  for (const auto& [name, text] : request.meta) bytes += name.size() + text.size();
  if (bytes <= kMaxMetaBytes) return;
  refuse(value, {"meta is too large", "names and values of at most 4096 bytes", std::to_string(bytes) + " bytes", ""});
}

void take_stdin(RequestContext& context, const Item& value, Request& request, std::string text) {
  if (context.has_stdin) {
    refuse(value, {"stdin and stdin_base64 exclude each other", "one of them", "both", ""}, At::key);
  }
  context.has_stdin = true;
  request.stdin_source = {StdinSource::Kind::text, std::move(text)};
}

int base64_digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  return c == '/' ? 63 : -1;
}

// RFC 4648 section 4: padding required, no line breaks, unused bits zero, so that one text means one string.
std::optional<std::string> decode_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  text.remove_suffix(padding);
  std::string out;
  out.reserve(text.size() / 4 * 3 + 2);
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const int digit = base64_digit(c);
    if (digit < 0) return std::nullopt;
    bits = (bits << 6U | static_cast<std::uint32_t>(digit)) & 0xFFFFU;
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += static_cast<char>(bits >> static_cast<unsigned>(count) & 0xFFU);
  }
  if ((bits & ((1U << static_cast<unsigned>(count)) - 1U)) != 0) return std::nullopt;
  return out;
}

void read_stdin(RequestContext& context, const Item& value, Request& request) {
  take_stdin(context, value, request, read_string(value));
}

void read_stdin_base64(RequestContext& context, const Item& value, Request& request) {
  expect_kind(value, json::Kind::string);
  std::optional<std::string> bytes = decode_base64(value.node->text);
  if (!bytes) {
    // The value is not shown: standard input never appears in messages.
    refuse(value, {"this is not base64", "RFC 4648 base64 with padding and without line breaks", "a string", ""});
  }
  take_stdin(context, value, request, std::move(*bytes));
}

constexpr std::array<Field<Request, RequestContext>, 12> kFields{{
    {"schema", read_schema},
    {"id", [](RequestContext&, const Item& value, Request& out) { out.id = read_string(value); }},
    {"argv", read_argv},
    {"cwd", [](RequestContext&, const Item& value, Request& out) { out.cwd = read_non_empty(value); }},
    {"env", read_env},
    {"stdin", read_stdin},
    {"stdin_base64", read_stdin_base64},
    {"timeout_ms",
     [](RequestContext&, const Item& value, Request& out) { out.timeout_ms = read_integer(value, 1, kMaxLimit); }},
    {"max_stdout_bytes", [](RequestContext&, const Item& value,
                            Request& out) { out.max_stdout_bytes = read_integer(value, 1, kMaxLimit); }},
    {"max_stderr_bytes", [](RequestContext&, const Item& value,
                            Request& out) { out.max_stderr_bytes = read_integer(value, 1, kMaxLimit); }},
    {"encoding",
     [](RequestContext&, const Item& value, Request& out) { out.encoding = read_enum<Encoding>(value, kEncodings); }},
    {"meta", read_meta},
}};

}  // namespace

Expected<Request> parse_request(std::string file, std::string text) {
  auto parsed = json::parse(std::move(file), std::move(text), json::Comments::refuse);
  if (!parsed) return tl::unexpected(from_parse_error(std::move(parsed.error()), ErrorCode::request_invalid));
  const json::Document& document = **parsed;
  const Item root{&document, &document.root(), 0, ErrorCode::request_invalid};
  try {
    Request request;
    RequestContext context;
    read_members(context, root, request, kFields);
    if (request.argv.empty()) refuse(root, {"argv is missing", "\"argv\": [\"COMMAND\", …]", "no argv", ""});
    return request;
  } catch (DecodeFailure& failure) {
    return tl::unexpected(std::move(failure.error));
  }
}

}  // namespace safe_exec
