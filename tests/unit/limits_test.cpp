#include "confine/limits.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <algorithm>
#include <optional>

using namespace safe_exec;

TEST_CASE("limits: what no layer counts is limited whatever is asked") {
  const LimitPlan plan = plan_limits({}, {}, std::nullopt, 'x');
  for (const int resource : {RLIMIT_SIGPENDING, RLIMIT_MEMLOCK, RLIMIT_MSGQUEUE, RLIMIT_RTPRIO, RLIMIT_NICE}) {
    CAPTURE(resource);
    CHECK(std::ranges::any_of(plan.limits, [resource](const Limit& limit) { return limit.resource == resource; }));
  }
}

TEST_CASE("limits: a handler that a crash would start is said where the limit of core dumps is not 1") {
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_CORE, &before) == 0);
  rlimit none = before;
  none.rlim_cur = 0;
  REQUIRE(::setrlimit(RLIMIT_CORE, &none) == 0);
  CHECK(plan_limits({}, {}, std::nullopt, '|').detail.find("core handler") != std::string::npos);
  CHECK(plan_limits({}, {}, std::nullopt, 'x').detail.find("core handler") == std::string::npos);
  REQUIRE(::setrlimit(RLIMIT_CORE, &before) == 0);
}
