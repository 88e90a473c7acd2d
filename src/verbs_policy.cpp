// Owns the verbs that compare policies. Never decides a request.
#include <unistd.h>

#include <memory>
#include <string>

#define JSON_NO_IO 1
#include <nlohmann/json.hpp>

#include "narrower.h"
#include "output.h"
#include "policy.h"
#include "trust.h"
#include "verbs.h"

namespace safe_exec {
namespace {

using Json = nlohmann::ordered_json;

int finish(const std::string& text, int status) { return write_answer(text) ? status : 2; }

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"; }

Json widenings_json(const std::vector<Widening>& widenings) {
  Json out = Json::array();
  for (const Widening& widening : widenings) {
    Json entry{{"pointer", widening.pointer}};
    if (widening.location) {
      entry["file"] = widening.location->file;
      entry["line"] = widening.location->line;
      entry["column"] = widening.location->column;
    }
    entry["reason"] = widening.reason;
    out.push_back(std::move(entry));
  }
  return out;
}

std::string widenings_text(std::string_view head, const std::vector<Widening>& widenings) {
  std::string out;
  for (const Widening& widening : widenings) {
    out += head;
    if (widening.location) {
      out += widening.location->file + ":" + std::to_string(widening.location->line) + ":" +
             std::to_string(widening.location->column) + ": ";
    }
    out += (widening.pointer.empty() ? "/" : widening.pointer) + ": " + widening.reason + "\n";
  }
  return out;
}

Expected<Policy> load_file(const std::string& name) {
  auto path = find_policy(name, /*requester_facing=*/false);
  if (!path) return tl::make_unexpected(path.error());
  const std::unique_ptr<PolicyFiles> files = make_policy_files();
  LoadScope scope;
  scope.everything = true;
  auto policy = load_policy(path->path, *files, scope);
  if (!policy && policy.error().step.empty()) policy.error().step = "policy";
  return policy;
}

Json policy_json(const Policy& policy) {
  return {{"name", policy.name}, {"file", policy.file}, {"sha256", policy_digest(policy.sources)}};
}

// As the policies are written, so that the answer is the same on every host.
std::vector<Widening> widenings(const Policy& candidate, const Policy& base) {
  return find_widenings({candidate, written_roots(candidate, base, true)},
                        {base, written_roots(base, candidate, false)}, "");
}

}  // namespace

int refuse_wider(const Invocation& in, const std::vector<Widening>& wider) {
  if (in.output == Output::text) return finish(widenings_text("wider: ", wider), 1);
  const Json json{{"schema", "safe-exec/policy-diff/v1"},
                  {"base", in.narrower_than},
                  {"narrower", false},
                  {"granted_more", widenings_json(wider)}};
  if (in.output == Output::pretty) return finish(json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n", 1);
  return finish(dump(json), 1);
}

int policy_diff_verb(const Invocation& in) {
  const auto old_policy = load_file(in.files[0]);
  if (!old_policy) return fail(in, old_policy.error());
  const auto new_policy = load_file(in.files[1]);
  if (!new_policy) return fail(in, new_policy.error());
  const std::vector<Widening> more = widenings(*new_policy, *old_policy);
  const std::vector<Widening> less = widenings(*old_policy, *new_policy);
  const int status = more.empty() ? 0 : 1;
  if (in.output == Output::json) {
    return finish(dump({{"schema", "safe-exec/policy-diff/v1"},
                        {"old", policy_json(*old_policy)},
                        {"new", policy_json(*new_policy)},
                        {"narrower", more.empty()},
                        {"granted_more", widenings_json(more)},
                        {"granted_less", widenings_json(less)}}),
                  status);
  }
  std::string text = widenings_text("+ ", more) + widenings_text("- ", less);
  if (more.empty()) text += less.empty() ? "both grant the same\n" : "the new policy grants no more than the old one\n";
  return finish(text, status);
}

}  // namespace safe_exec
