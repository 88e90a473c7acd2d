// Owns how a trace reads. Never decides anything; what it shows of a policy is escaped as in every report.
#include "explain.h"

#include <algorithm>

#include "report.h"
#include "utf8.h"

namespace safe_exec {
namespace {

constexpr std::size_t kBefore = 60;  // bytes of a long line in front of the place
constexpr std::size_t kLine = 110;   // and in all
constexpr std::size_t kMaxShown = 200;

std::string place_text(const Location& where) {
  return printable_text(where.file) + ":" + std::to_string(where.line) + ":" + std::to_string(where.column);
}

std::string_view line_of(std::string_view text, std::uint32_t number) {
  for (; number > 1; --number) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  text = text.substr(0, text.find('\n'));
  if (text.ends_with('\r')) text.remove_suffix(1);
  return text;
}

// As wide on a terminal as it has characters: tabs are blanks, what is not printable is escaped.
std::string drawn(std::string_view text) {
  std::string out(text);
  std::replace(out.begin(), out.end(), '\t', ' ');
  return printable_text(out);
}

std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

std::string cut(std::string_view text) {
  const std::string shown = printable_text(text);
  return shown.size() <= kMaxShown ? shown : std::string(utf8_prefix(shown, kMaxShown - 3)) + "...";
}

std::string step_text(const TraceStep& step) {
  std::string out = step.accepted ? "  + " : "  - ";
  if (step.argv_index >= 0) out += "argv[" + std::to_string(step.argv_index) + "] ";
  if (!step.expected.empty()) out += "expected " + cut(step.expected) + ", ";
  out += "found " + cut(step.found) + "\n";
  if (step.rule.empty() && !step.location) return out;
  out += "      " + printable_text(step.rule);
  if (step.location) out += (step.rule.empty() ? "" : "  ") + place_text(*step.location);
  return out + "\n";
}

// Where the last word was said: by the denial, else by the last rule that has a place.
std::optional<Location> decided_at(const Result& result, const Trace& trace) {
  if (result.denied) return result.denied->location;
  for (auto step = trace.rbegin(); step != trace.rend(); ++step) {
    if (step->location) return step->location;
  }
  return std::nullopt;
}

}  // namespace

std::string excerpt(const Result& result, const Location& where) {
  const auto source = std::find_if(result.policy_sources.begin(), result.policy_sources.end(),
                                   [&](const auto& document) { return document->file() == where.file; });
  if (source == result.policy_sources.end() || where.line == 0 || where.column == 0) return {};
  const std::string_view line = line_of((*source)->text(), where.line);
  const std::size_t at = std::min<std::size_t>(where.column - 1, line.size());
  std::string_view before = line.substr(0, at);
  std::string_view rest = line.substr(at);
  std::string front;
  if (line.size() <= kLine) {
    front = drawn(before);
  } else {
    front = before.size() > kBefore ? "..." + drawn(utf8_suffix(before, kBefore)) : drawn(before);
  }
  std::string back = drawn(rest.size() > kLine - kBefore && line.size() > kLine ? utf8_prefix(rest, kLine - kBefore) : rest);
  if (line.size() > kLine && rest.size() > kLine - kBefore) back += "...";
  const std::string number = std::to_string(where.line);
  const std::string margin(std::max<std::size_t>(number.size(), 4), ' ');
  return margin.substr(0, margin.size() - number.size()) + number + " | " + front + back + "\n" + margin + " | " +
         std::string(width(front), ' ') + "^\n";
}

std::string trace_text(const Result& result, const Trace& trace) {
  std::string out = "trace:\n";
  for (const TraceStep& step : trace) out += step_text(step);
  const std::optional<Location> where = decided_at(result, trace);
  if (!where) return out;
  out += "decided at " + place_text(*where) + (where->pointer.empty() ? "" : " " + printable_text(where->pointer)) + "\n";
  return out + excerpt(result, *where);
}

}  // namespace safe_exec
