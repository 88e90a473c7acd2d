#include "report.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#define JSON_NO_IO 1  // keeps the stream classes, and what they cost at start-up, out of the binary
#include <nlohmann/json.hpp>

#include "confinement.h"
#include "explain.h"
#include "inline_text.h"
#include "utf8.h"

namespace safe_exec {
namespace {

using Json = nlohmann::ordered_json;

// An object, member by member: nlohmann's initializer lists build and copy an array for every member, which was the
// larger part of an answer's cost.
class Object {
 public:
  explicit Object(std::size_t members) { object().reserve(members); }
  Object& put(const char* key, Json value) {
    object().emplace_back(key, std::move(value));
    return *this;
  }
  [[nodiscard]] Json take() { return std::move(json_); }

 private:
  std::vector<std::pair<const std::string, Json>>& object() { return json_.get_ref<Json::object_t&>(); }
  Json json_ = Json::object();
};

constexpr std::size_t kMaxShownBytes = 200;
constexpr std::size_t kMaxAllowed = 20;

// ---------------------------------------------------------------------------------------------------------
// Text

bool reorders_or_breaks_lines(std::uint32_t code) {
  return (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069) || code == 0x2028 || code == 0x2029 ||
         (code >= 0x80 && code <= 0x9F);
}

// Text that a message may hold: what would break a line, hide or reorder text is written as an escape.
std::string printable(std::string_view text) {
  std::string out;
  std::array<char, 16> escape{};
  while (!text.empty()) {
    const auto plain =
        std::find_if(text.begin(), text.end(), [](char c) { return static_cast<signed char>(c) < 0x20 || c == 0x7F; });
    out.append(text.begin(), plain);  // as signed, bytes of longer characters stop it too
    text.remove_prefix(static_cast<std::size_t>(plain - text.begin()));
    if (text.empty()) break;
    const Utf8Char c = decode_utf8(text);
    const std::size_t length = std::max<std::size_t>(c.length, 1);
    const auto byte = static_cast<unsigned char>(text.front());
    if (c.length == 0 || byte < 0x20 || byte == 0x7F) {
      (void)std::snprintf(escape.data(), escape.size(), "\\x%02x", static_cast<unsigned>(byte));
      out += escape.data();
    } else if (reorders_or_breaks_lines(c.code)) {
      (void)std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned>(c.code));
      out += escape.data();
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  return out;
}

std::string shown_value(std::string_view value) {
  std::string text = printable(value.substr(0, kMaxShownBytes));
  if (text.size() <= kMaxShownBytes && value.size() <= kMaxShownBytes) return text;
  return std::string(utf8_prefix(text, kMaxShownBytes - 3)) + "...";
}

std::string base64(std::string_view bytes) {
  static constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t left = bytes.size() - i;
    const auto at = [&](std::size_t k) { return k < left ? static_cast<unsigned char>(bytes[i + k]) : 0U; };
    const unsigned group = at(0) << 16 | at(1) << 8 | at(2);
    out += kDigits[group >> 18 & 63];
    out += kDigits[group >> 12 & 63];
    out += left > 1 ? kDigits[group >> 6 & 63] : '=';
    out += left > 2 ? kDigits[group & 63] : '=';
  }
  return out;
}

Json text_or_null(std::string_view text) {
  return text.empty() ? Json(nullptr) : Json(printable(text));
}

// What a program compares, with what it sent for example: as it is, but for bytes that are no text.
std::string exact(const std::string& text) { return is_utf8(text) ? text : printable(text); }

Json texts(const std::vector<std::string>& list) {
  Json out = Json::array();
  for (const std::string& item : list) out.push_back(exact(item));
  return out;
}

// signal(7); the numbers are those of x86-64 and arm64, for which the program is built.
std::string signal_name(int number) {
  static constexpr std::array<Name, 32> kNames{
      "",          "SIGHUP",  "SIGINT",    "SIGQUIT", "SIGILL",   "SIGTRAP", "SIGABRT", "SIGBUS",
      "SIGFPE",    "SIGKILL", "SIGUSR1",   "SIGSEGV", "SIGUSR2",  "SIGPIPE", "SIGALRM", "SIGTERM",
      "SIGSTKFLT", "SIGCHLD", "SIGCONT",   "SIGSTOP", "SIGTSTP",  "SIGTTIN", "SIGTTOU", "SIGURG",
      "SIGXCPU",   "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO",   "SIGPWR",  "SIGSYS"};
  if (number > 0 && number < static_cast<int>(kNames.size()))
    return std::string(kNames[static_cast<std::size_t>(number)]);
  return "SIG" + std::to_string(number);
}

// ---------------------------------------------------------------------------------------------------------
// Parts of a result

Json location_json(const std::optional<Location>& where) {
  if (!where) return nullptr;
  return {{"file", printable(where->file)},
          {"line", where->line},
          {"column", where->column},
          {"pointer", printable(where->pointer)}};
}

Json denied_json(const std::optional<Denial>& denial) {
  if (!denial) return nullptr;
  Json allowed = Json::array();
  for (std::size_t i = 0; i < std::min(denial->allowed.size(), kMaxAllowed); ++i)
    allowed.push_back(printable(denial->allowed[i]));
  return {{"code", code_name(denial->code)},
          {"message", printable(denial->message)},
          {"rule", text_or_null(denial->rule)},
          {"argv_index", denial->argv_index < 0 ? Json(nullptr) : Json(denial->argv_index)},
          {"value", denial->argv_index < 0 ? Json(nullptr) : Json(shown_value(denial->value))},
          {"expected", text_or_null(denial->expected)},
          {"allowed", std::move(allowed)},
          {"suggestion", text_or_null(denial->suggestion)},
          {"instead", denial->instead.empty() ? Json(nullptr) : texts(denial->instead)},
          {"reason", text_or_null(denial->reason)},
          {"location", location_json(denial->location)}};
}

Json error_object(const std::optional<Error>& error) {
  if (!error) return nullptr;
  Json out{{"code", code_name(error->code)},
           {"message", printable(error->message)},
           {"step", text_or_null(error->step)},
           {"errno", error->sys_errno == 0 ? Json(nullptr) : Json(error->sys_errno)},
           {"hint", text_or_null(error->hint)}};
  if (error->location) {
    out["location"] = location_json(error->location);
    out["expected"] = text_or_null(error->expected);
    out["found"] = text_or_null(error->found);
    out["nearest"] = text_or_null(error->nearest);
  }
  return out;
}

// rule: of the plan, or where the denial was decided.
Json command_json(const Result& result) {
  if (result.plan) {
    const Plan& plan = *result.plan;
    return Object(4)
        .put("name", plan.command)
        .put("rule", plan.rule)
        .put("argv", texts(plan.argv))
        .put("cwd", exact(plan.cwd))
        .take();
  }
  if (result.command.empty()) return nullptr;
  return {{"name", printable(result.command)},
          {"rule", result.denied ? text_or_null(result.denied->rule) : Json(nullptr)},
          {"argv", nullptr},
          {"cwd", nullptr}};
}

Json clamped_json(const Result& result) {
  Json out = Json::object();
  if (!result.plan) return out;
  for (const auto& [key, values] : result.plan->clamped) out[key] = {{"asked", values.first}, {"used", values.second}};
  return out;
}

Json policy_json(const Result& result) {
  if (result.policy_sha256.empty()) return nullptr;
  return Object(2).put("name", printable(result.policy_name)).put("sha256", result.policy_sha256).take();
}

Json blocked_json(const Blocked& one) {
  return Object(6)
      .put("layer", one.layer)
      .put("call", text_or_null(one.call))
      .put("path", text_or_null(one.path))
      .put("errno", text_or_null(one.error))
      .put("observed", one.observed)
      .put("hint", printable(one.hint))
      .take();
}

Json sandbox_json(const std::optional<Outcome>& outcome) {
  Object layers(kLayerCount);
  Json degraded = Json::array();
  for (int i = 0; outcome && i < static_cast<int>(outcome->layers.size()); ++i) {
    const LayerStatus& layer = outcome->layers[static_cast<std::size_t>(i)];
    const std::string name(layer_name(layer.layer));
    Object entry(3);
    entry.put("status", state_name(layer.state));
    if (layer.abi != 0) entry.put("abi", layer.abi);
    if (!layer.detail.empty()) entry.put("detail", printable(layer.detail));
    layers.put(name.c_str(), entry.take());
    if (layer.state == LayerState::partial || layer.state == LayerState::not_enforced) {
      degraded.push_back(Object(3)
                             .put("layer", name)
                             .put("status", state_name(layer.state))
                             .put("reason", printable(layer.detail))
                             .take());
    }
  }
  Json blocked = Json::array();
  if (outcome) {
    for (const Blocked& one : outcome->blocked) blocked.push_back(blocked_json(one));
  }
  Object sandbox(4);
  sandbox.put("layers", layers.take()).put("degraded", std::move(degraded)).put("blocked", std::move(blocked));
  if (outcome && !outcome->diagnosis.empty()) sandbox.put("diagnosis", printable(outcome->diagnosis));
  return sandbox.take();
}

Json ending_json(const Ending& ending) {
  struct Visitor {
    Json operator()(const Exited& e) const { return Object(2).put("type", "exited").put("exit_code", e.code).take(); }
    Json operator()(const Signaled& e) const {
      return {{"type", "signaled"},
              {"signal", signal_name(e.number)},
              {"number", e.number},
              {"core_dumped", e.core_dumped}};
    }
    Json operator()(const TimedOut& e) const {
      return {{"type", "timed_out"}, {"limit", e.limit}, {"limit_ms", e.limit_ms}};
    }
    Json operator()(const LimitExceeded& e) const { return {{"type", "limit_exceeded"}, {"resource", e.resource}}; }
    Json operator()(const Cancelled& e) const { return {{"type", "cancelled"}, {"signal", signal_name(e.signal)}}; }
  };
  return std::visit(Visitor{}, ending);
}

Json outcome_json(const Result& result) {
  if (result.outcome) return ending_json(result.outcome->ending);
  if (result.denied) {
    return {{"type", result.denied->code == DenialCode::needs_approval ? "needs_approval" : "denied"}};
  }
  return {{"type", "failed"}};
}

bool succeeded(const Result& result) {
  return result.outcome && result.plan && is_success(*result.plan, result.outcome->ending);
}

Json usage_json(const Usage& usage) {
  return Object(3)
      .put("cpu_user_ms", usage.cpu_user_ms)
      .put("cpu_system_ms", usage.cpu_system_ms)
      .put("max_rss_kib", usage.max_rss_kib)
      .take();
}

struct Stream {
  Json info;
  std::string text;
};

Stream stream_json(const Captured* captured, Encoding encoding) {
  static const Captured kNothing;
  const Captured& in = captured != nullptr ? *captured : kNothing;
  std::string_view head = in.head;
  std::string_view tail = in.tail;
  std::uint64_t omitted = in.omitted;
  if (omitted > 0 && encoding == Encoding::utf8) {  // never cut a character in two
    head = utf8_whole_end(head);
    tail = utf8_whole_begin(tail);
    omitted += in.head.size() - head.size() + in.tail.size() - tail.size();
  }
  std::string bytes(head);
  if (omitted > 0) bytes += "\n[safe-exec: " + std::to_string(omitted) + " bytes omitted]\n";
  bytes += tail;
  bool lossy = false;
  std::string text = encoding == Encoding::base64 ? base64(bytes) : to_utf8(bytes, &lossy);
  Object info(6);
  info.put("bytes", in.bytes)
      .put("returned", head.size() + tail.size())
      .put("truncated", omitted > 0)
      .put("omitted", omitted)
      .put("encoding", encoding == Encoding::base64 ? "base64" : "utf8")
      .put("lossy", lossy);
  return {info.take(), std::move(text)};
}

std::string dump(const Json& json, Layout layout) {
  // replace: a string that is not UTF-8 after all must not throw here, where an answer is owed.
  return json.dump(layout == Layout::pretty ? 2 : -1, ' ', false, Json::error_handler_t::replace) + "\n";
}

// ---------------------------------------------------------------------------------------------------------
// Explanation

Json trace_json(const Trace& trace) {
  Json out = Json::array();
  for (const TraceStep& step : trace) {
    out.push_back({{"rule", printable(step.rule)},
                   {"argv_index", step.argv_index < 0 ? Json(nullptr) : Json(step.argv_index)},
                   {"expected", printable(step.expected)},
                   {"found", shown_value(step.found)},
                   {"accepted", step.accepted}});
  }
  return out;
}

std::string_view decision_name(const Result& result) {
  if (result.error) return "error";
  if (!result.denied) return "allow";
  return result.denied->code == DenialCode::needs_approval ? "ask" : "deny";
}

std::string words(const std::vector<std::string>& argv) {
  std::string out;
  for (const std::string& word : argv) out += (out.empty() ? "" : " ") + printable(word);
  return out;
}

void append_line(std::string& out, std::string_view label, std::string_view text) {
  if (!text.empty()) out.append("  ").append(label).append(": ").append(text).append("\n");
}

std::string place_text(const std::optional<Location>& where) {
  if (!where) return {};
  return printable(where->file) + ":" + std::to_string(where->line) + ":" + std::to_string(where->column);
}

}  // namespace

std::string result_json(const Result& result, Layout layout) {
  const Encoding encoding = result.plan ? result.plan->encoding : Encoding::utf8;
  const Outcome* outcome = result.outcome ? &*result.outcome : nullptr;
  const auto* exited = outcome != nullptr ? std::get_if<Exited>(&outcome->ending) : nullptr;
  const auto* signaled = outcome != nullptr ? std::get_if<Signaled>(&outcome->ending) : nullptr;
  Stream out = stream_json(outcome != nullptr ? &outcome->out : nullptr, encoding);
  Stream err = stream_json(outcome != nullptr ? &outcome->err : nullptr, encoding);
  Object json(19);
  json.put("schema", "safe-exec/result/v1")
      .put("id", result.id.empty() ? Json(nullptr) : Json(result.id))
      .put("outcome", outcome_json(result))
      .put("success", succeeded(result))
      .put("exit_code", exited != nullptr ? Json(exited->code) : Json(nullptr))
      .put("signal", signaled != nullptr ? Json(signal_name(signaled->number)) : Json(nullptr))
      .put("timed_out", outcome != nullptr && std::holds_alternative<TimedOut>(outcome->ending))
      .put("denied", result.denied ? denied_json(result.denied) : Json(nullptr))
      .put("error", result.error ? error_object(result.error) : Json(nullptr))
      .put("command", command_json(result))
      .put("clamped", clamped_json(result))
      .put("duration_ms", outcome != nullptr ? outcome->duration_ms : 0)
      .put("usage", outcome != nullptr && outcome->usage ? usage_json(*outcome->usage) : Json(nullptr))
      .put("sandbox", sandbox_json(result.outcome))
      .put("policy", policy_json(result))
      .put("stdout_info", std::move(out.info))
      .put("stderr_info", std::move(err.info))
      .put("stdout", std::move(out.text))
      .put("stderr", std::move(err.text));
  return dump(json.take(), layout);
}

int run_exit_status(const Result& result) {
  if (result.outcome) {
    struct Visitor {
      int operator()(const Exited& e) const { return e.code >= 123 ? 123 : e.code; }
      int operator()(const Signaled& e) const { return 128 + e.number; }
      int operator()(const TimedOut&) const { return 124; }
      int operator()(const LimitExceeded&) const { return 124; }
      int operator()(const Cancelled& e) const { return 128 + e.signal; }
    };
    return std::visit(Visitor{}, result.outcome->ending);
  }
  if (result.denied) return result.denied->code == DenialCode::binary_not_found ? 127 : 126;
  return result.error && result.error->signal != 0 ? 128 + result.error->signal : 125;
}

std::string check_json(const Result& result, const Trace* trace, Layout layout) {
  Object json(11);
  json.put("schema", "safe-exec/check/v1")
      .put("id", result.id.empty() ? Json(nullptr) : Json(result.id))
      .put("decision", decision_name(result))
      .put("allowed", decision_name(result) == "allow")
      .put("denied", denied_json(result.denied))
      .put("error", error_object(result.error))
      .put("command", command_json(result))
      .put("clamped", clamped_json(result))
      .put("policy", policy_json(result));
  if (trace != nullptr) {
    json.put("trace", trace_json(*trace))
        .put("confinement", result.plan ? confinement_json(*result.plan) : Json(nullptr));
  }
  return dump(json.take(), layout);
}

std::string check_text(const Result& result, const Trace* trace) {
  if (result.error) return error_text(*result.error);
  std::string out(decision_name(result));
  if (result.plan) {
    out += ": " + words(result.plan->argv) + "\n";
    append_line(out, "rule", result.plan->rule);
    append_line(out, "cwd", printable(result.plan->cwd));
  }
  if (result.denied) {
    const Denial& denial = *result.denied;
    out += ": " + std::string(code_name(denial.code)) + ": " + printable(denial.message) + "\n";
    append_line(out, "rule", printable(denial.rule));
    append_line(out, "at", place_text(denial.location));
    append_line(out, "expected", printable(denial.expected));
    std::string allowed;
    for (const std::string& name : denial.allowed) allowed += (allowed.empty() ? "" : ", ") + printable(name);
    append_line(out, "allowed", allowed);
    append_line(out, "did you mean", printable(denial.suggestion));
    append_line(out, "reason", printable(denial.reason));
    append_line(out, "instead", words(denial.instead));
  }
  if (trace != nullptr) {
    out += trace_text(result, *trace);
    if (result.plan)
      out +=
          "confinement: " + confinement_json(*result.plan).dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  }
  return out;
}

std::string printable_text(std::string_view text) {
  return printable(text);
}

int check_exit_status(const Result& result) {
  if (result.error) return 2;
  if (!result.denied) return 0;
  return result.denied->code == DenialCode::needs_approval ? 3 : 1;
}

std::string error_json(const Error& error, Layout layout) {
  return dump(Json{{"schema", "safe-exec/error/v1"}, {"error", error_object(error)}}, layout);
}

std::string error_text(const Error& error) {
  std::string out = "safe-exec: " + std::string(code_name(error.code)) + ": ";
  if (error.location) out += place_text(error.location) + ": ";
  out += printable(error.message) + "\n";
  if (error.location) append_line(out, "at", printable(error.location->pointer));
  append_line(out, "step", printable(error.step));
  append_line(out, "expected", printable(error.expected));
  append_line(out, "found", printable(error.found));
  append_line(out, "did you mean", printable(error.nearest));
  append_line(out, "hint", printable(error.hint));
  return out;
}

}  // namespace safe_exec
