// Owns the lines that are decided as another one: the command behind a wrapper (timeout, env, nice), which itself never
// runs, and a program that is called by its path. Never lets a wrapper widen anything: a time it names can only be less, a
// variable is the caller's to set or not.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "evaluation.h"
#include "language.h"

namespace safe_exec {
namespace {

constexpr std::size_t kMaxWrappers = 8;

bool is_variable_name(std::string_view name) {
  const auto fits = [](char c, bool first) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || (!first && c >= '0' && c <= '9');
  };
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (!fits(name[i], i == 0)) return false;
  }
  return !name.empty();
}

}  // namespace

// What the wrapper's operands mean for the request inside.
Step Evaluation::carry(Request& inner) {
  for (const Carried& carried : carried_) {
    const Place place = carried.slot->place;
    const auto wrong = [&](std::string expected) {
      return refuse_value({DenialCode::operand_invalid, std::move(expected), {}, {}},
                          {place, carried.slot->name, carried.argv_index}, carried.text);
    };
    if (carried.slot->as == WrapperRole::timeout) {
      const std::optional<std::int64_t> limit = read_duration(carried.text);
      if (!limit) return wrong("a duration as 10, 1.5s, 2m, 1h or 1d");
      if (*limit == 0) continue;  // timeout(1): no limit, and so the policy's
      inner.timeout_ms = std::min(*limit, inner.timeout_ms.value_or(*limit));
    } else {
      const std::size_t equals = carried.text.find('=');
      const std::string name = carried.text.substr(0, equals);
      if (equals == std::string::npos || !is_variable_name(name)) return wrong("NAME=value");
      std::erase_if(inner.env, [&](const auto& variable) { return variable.first == name; });
      inner.env.emplace_back(name, carried.text.substr(equals + 1));
    }
    trace(place, "an operand of the wrapper", carried.slot->name, carried.argv_index);
  }
  return {};
}

// moved: how much farther on its tokens stand in this line.
Expected<Decision> Evaluation::decide_inside(const Request& inner, int moved) {
  if (depth_ >= kMaxWrappers) {
    const int at = std::max(moved, 0);
    return conclude(refuse(DenialCode::command_not_allowed, "wrappers may wrap each other 8 deep", command_ == nullptr ? Place{} : leaf(), at,
                           request_.argv[static_cast<std::size_t>(at)])
                        .value());
  }
  Trace steps;
  EvaluateOptions options = options_;
  if (options.trace != nullptr) options.trace = &steps;
  Expected<Decision> decision = Evaluation(policy_, inner, resolver_, patterns_, options, depth_ + 1).run();
  const auto shift = [moved](int& index) { index = index < 0 ? index : std::max(index + moved, 0); };
  for (TraceStep& step : steps) {
    shift(step.argv_index);
    options_.trace->push_back(std::move(step));
  }
  if (!decision) return decision;
  if (Denial* denial = std::get_if<Denial>(&*decision)) shift(denial->argv_index);
  return decision;
}

// ./build/app is the first operand of the command that the policy names for that.
Expected<Decision> Evaluation::decide_by_path() {
  trace(policy_.by_path_place, "a program by its path", policy_.by_path, 0);
  Request inner = request_;
  inner.argv.insert(inner.argv.begin(), policy_.by_path);
  Expected<Decision> decision = decide_inside(inner, -1);
  Denial* const denial = decision ? std::get_if<Denial>(&*decision) : nullptr;
  if (denial == nullptr || denial->argv_index != 0) return decision;
  // What is no such program is what any other name of nothing is.
  denial->code = DenialCode::command_not_allowed;
  denial->value = request_.argv.front();
  return decision;
}

Expected<Decision> Evaluation::decide_wrapped() {
  Request inner = request_;
  inner.argv.erase(inner.argv.begin(), inner.argv.begin() + wrapped_at_);
  const bool moved = std::any_of(reading_.options.begin(), reading_.options.end(),
                                 [](const GivenOption& given) { return given.option->chdir; });
  if (moved) inner.cwd = plan_.cwd;
  if (Step carried = carry(inner); !carried) return conclude(std::move(carried.error()));
  Expected<Decision> decision = decide_inside(inner, wrapped_at_);
  if (!decision || std::holds_alternative<Denial>(*decision)) return decision;
  if (Step asked = ask(); !asked) return conclude(std::move(asked.error()));
  return decision;
}

}  // namespace safe_exec
