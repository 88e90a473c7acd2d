// Owns the spelling of findings for code reviews. Never decides what is one.
#include "findings.h"

#include <algorithm>

#define JSON_NO_IO 1
#include <nlohmann/json.hpp>

#include "report.h"

namespace safe_exec {
namespace {

using Json = nlohmann::ordered_json;

// RFC 3986: what stands in a path without being escaped.
std::string uri_of(std::string_view name) {
  static constexpr std::string_view kDigits = "0123456789ABCDEF";
  static constexpr std::string_view kPlain = "-._~/!$&'()*+,;=:@";
  std::string out(name.starts_with('/') ? "file://" : "");
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       kPlain.find(c) != std::string_view::npos;
    if (plain) out += c;
    else (out += '%').append({kDigits[byte >> 4U], kDigits[byte & 15U]});
  }
  return out;
}

// SARIF's words are those of severity_name.
Json result_json(const std::vector<FindingRule>& rules, const Finding& finding, std::string_view base) {
  Json region{{"startLine", std::max(finding.location.line, 1U)}, {"startColumn", std::max(finding.location.column, 1U)}};
  Json place{{"physicalLocation",
              {{"artifactLocation", {{"uri", uri_of(relative_name(finding.location.file, base))}}}, {"region", region}}}};
  if (!finding.location.pointer.empty()) {
    place["logicalLocations"] = Json::array({{{"fullyQualifiedName", printable_text(finding.location.pointer)}}});
  }
  Json out{{"ruleId", finding.rule}};
  const auto rule = std::find_if(rules.begin(), rules.end(), [&](const FindingRule& row) { return row.id == finding.rule; });
  if (rule != rules.end()) out["ruleIndex"] = rule - rules.begin();
  out["level"] = severity_name(finding.severity);
  out["message"] = {{"text", printable_text(finding.message)}};
  out["locations"] = Json::array({std::move(place)});
  return out;
}

// GitHub's workflow commands: a property may hold neither ":" nor ",", and nothing may hold a line break.
std::string escaped(std::string_view text, bool property) {
  std::string out;
  for (const char c : text) {
    if (c == '%') out += "%25";
    else if (c == '\r') out += "%0D";
    else if (c == '\n') out += "%0A";
    else if (property && c == ':') out += "%3A";
    else if (property && c == ',') out += "%2C";
    else out += c;
  }
  return out;
}

}  // namespace

std::string_view severity_name(Severity severity) noexcept {
  switch (severity) {
    case Severity::note: return "note";
    case Severity::warning: return "warning";
    case Severity::error: return "error";
  }
  return "error";
}

std::string relative_name(std::string_view file, std::string_view base) {
  if (base.empty() || !file.starts_with(base)) return std::string(file);
  if (base.ends_with('/')) return std::string(file.substr(base.size()));
  return std::string(file.size() > base.size() && file[base.size()] == '/' ? file.substr(base.size() + 1) : file);
}

std::string sarif_text(const std::vector<FindingRule>& rules, const std::vector<Finding>& findings, std::string_view base) {
  Json list = Json::array();
  for (const FindingRule& rule : rules) {
    list.push_back({{"id", rule.id},
                    {"shortDescription", {{"text", rule.summary}}},
                    {"help", {{"text", rule.help}}},
                    {"defaultConfiguration", {{"level", severity_name(rule.severity)}}}});
  }
  Json results = Json::array();
  for (const Finding& finding : findings) results.push_back(result_json(rules, finding, base));
  const Json driver{{"name", "safe-exec"}, {"version", SAFE_EXEC_VERSION}, {"rules", std::move(list)}};
  const Json run{{"tool", {{"driver", driver}}}, {"columnKind", "utf16CodeUnits"}, {"results", std::move(results)}};
  const Json json{{"$schema", "https://json.schemastore.org/sarif-2.1.0.json"}, {"version", "2.1.0"}, {"runs", Json::array({run})}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string github_text(const std::vector<Finding>& findings, std::string_view base) {
  std::string out;
  for (const Finding& finding : findings) {
    const std::string_view word = finding.severity == Severity::note ? "notice" : severity_name(finding.severity);
    out.append("::").append(word).append(" file=").append(escaped(relative_name(finding.location.file, base), true));
    out += ",line=" + std::to_string(std::max(finding.location.line, 1U)) + ",col=" + std::to_string(std::max(finding.location.column, 1U));
    out += ",title=" + escaped("safe-exec " + finding.rule, true) + "::" + escaped(printable_text(finding.message), false) + "\n";
  }
  return out;
}

}  // namespace safe_exec
