// Owns the reading of argument vectors out of audit files and lists. Lenient in what else stands there, never in what
// an argument vector is.
#define JSON_NO_IO 1
#include <nlohmann/json.hpp>

#include <optional>
#include <utility>

#include "proposal.h"

namespace safe_exec {
namespace {

using Json = nlohmann::json;

Error wrong(std::string_view file, std::uint32_t line) {
  Error error;
  error.code = ErrorCode::usage;
  error.step = "suggest";
  error.message = "this is no argument vector";
  error.location = Location{std::string(file), line, 1, ""};
  error.expected = "[\"program\", \"argument\", ...], or an object with such an \"argv\"";
  return error;
}

std::optional<Argv> strings(const Json& json) {
  if (!json.is_array() || json.empty()) return std::nullopt;
  Argv argv;
  for (const Json& token : json) {
    if (!token.is_string()) return std::nullopt;
    argv.push_back(token.get<std::string>());
  }
  return argv;
}

// "request" first: what was asked for, and not what became of it.
std::optional<Argv> argv_of(const Json& json) {
  if (json.is_array()) return strings(json);
  if (!json.is_object()) return std::nullopt;
  for (const char* key : {"request", "argv", "command"}) {
    const auto member = json.find(key);
    if (member == json.end()) continue;
    if (auto found = argv_of(*member)) return found;
  }
  return std::nullopt;
}

Json parse(std::string_view text) { return Json::parse(text, nullptr, /*allow_exceptions=*/false, /*ignore_comments=*/true); }

}  // namespace

Expected<std::vector<Argv>> read_lines(std::string_view file, std::string_view text) {
  std::vector<Argv> out;
  const Json whole = parse(text);
  if (!whole.is_discarded()) {
    if (auto argv = argv_of(whole)) return std::vector<Argv>{*std::move(argv)};
    if (!whole.is_array()) return tl::make_unexpected(wrong(file, 1));
    for (const Json& element : whole) {
      auto argv = argv_of(element);
      if (!argv) return tl::make_unexpected(wrong(file, 1));
      out.push_back(*std::move(argv));
    }
    return out;
  }
  std::uint32_t number = 0;
  while (!text.empty()) {
    ++number;
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const Json json = parse(line);
    auto argv = json.is_discarded() ? std::nullopt : argv_of(json);
    if (argv) {
      out.push_back(*std::move(argv));
    } else if (!json.is_object()) {  // an event of another kind has no argument vector
      return tl::make_unexpected(wrong(file, number));
    }
  }
  return out;
}

}  // namespace safe_exec
