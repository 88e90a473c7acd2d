// Owns policy suggest: what it reads and prints. Writes no file.
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#define JSON_NO_IO 1
#include <nlohmann/json.hpp>

#include "beneath.h"
#include "input.h"
#include "output.h"
#include "pipeline.h"
#include "proposal.h"
#include "verbs.h"

namespace safe_exec {
namespace {

using Json = nlohmann::ordered_json;

// A name in the usual directories; nothing is opened.
std::string find_program(std::string_view name) {
  for (const char* directory : {"/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/sbin"}) {
    std::string path = child_path(directory, name);
    struct stat status{};
    if (::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode)) return path;
  }
  return child_path("/usr/bin", name);
}

std::string line_text(const Argv& argv) {
  std::string out;
  for (const std::string& token : argv) out += (out.empty() ? "" : " ") + token;
  return out;
}

Json not_proposed_json(const std::vector<NotProposed>& entries) {
  Json out = Json::array();
  for (const NotProposed& entry : entries) {
    out.push_back({{"argv", entry.argv}, {"token", entry.token}, {"code", entry.code}, {"reason", entry.reason}});
  }
  return out;
}

std::string as_json(const Suggestions& found) {
  Json patch = Json::array(), notes = Json::array();
  for (const Proposal& proposal : found.proposals) {
    patch.push_back({{"op", "add"}, {"path", proposal.path}, {"value", Json::parse(proposal.value, nullptr, false)}});
    notes.push_back({{"argv", proposal.argv}, {"note", proposal.note}});
  }
  const Json json{{"schema", "safe-exec/policy-suggest/v1"},
                  {"lines", {{"read", found.lines}, {"allowed", found.allowed}, {"gained", found.gained}}},
                  {"patch", std::move(patch)},
                  {"notes", std::move(notes)},
                  {"dangerous", not_proposed_json(found.dangerous)},
                  {"left", not_proposed_json(found.left)}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

// Text of others goes to a terminal: what could move its cursor does not.
std::string printable(std::string text) {
  for (char& c : text) {
    if ((c >= '\0' && c < ' ') || c == '\x7f') c = '?';
  }
  return text;
}

std::string as_text(const Suggestions& found) {
  std::string out;
  for (const Proposal& proposal : found.proposals) {
    out += "add " + printable(proposal.path) + "\n    " + proposal.value + "\n    for: " + printable(line_text(proposal.argv)) + "\n";
    if (!proposal.note.empty()) out += "    note: " + proposal.note + "\n";
  }
  for (const NotProposed& entry : found.dangerous) {
    out += "DANGEROUS, not proposed: " + printable(line_text(entry.argv)) + "\n    " +
           (entry.token.empty() ? "" : printable(entry.token) + ": ") + entry.reason + "\n";
  }
  for (const NotProposed& entry : found.left) {
    out += "left: " + printable(line_text(entry.argv)) + "\n    " + entry.code + ": " + printable(entry.reason) + "\n";
  }
  return out + std::to_string(found.lines) + " lines: " + std::to_string(found.allowed) + " allowed already, " +
         std::to_string(found.gained) + " with these additions, " + std::to_string(found.dangerous.size()) +
         " dangerous, " + std::to_string(found.left.size()) + " left\n";
}

}  // namespace

int policy_suggest_verb(const Invocation& in) {
  const auto text = read_input(in.files[0], ErrorCode::usage, "list");
  if (!text) return fail(in, text.error());
  const auto lines = read_lines(in.files[0], *text);
  if (!lines) return fail(in, lines.error());
  const auto policy = load_whole(in, Host::anywhere);
  if (!policy) return fail(in, policy.error());
  const auto found = suggest_additions(*policy, *lines, find_program);
  if (!found) return fail(in, found.error());
  return write_answer(in.output == Output::json ? as_json(*found) : as_text(*found)) ? 0 : 2;
}

}  // namespace safe_exec
