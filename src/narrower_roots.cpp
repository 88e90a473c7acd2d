// Owns what roots stand for where there is no host to ask: variables as the policies define them.
#include <algorithm>
#include <memory>
#include <map>
#include <utility>

#include "narrower.h"

namespace safe_exec {
namespace {

constexpr std::string_view kStartDir = "start_dir";
constexpr std::size_t kMaxSteps = 10000;  // of expanding one root: variables may name one another many times over

const Variable* find_variable(const Policy& policy, std::string_view name) {
  const auto found = std::find_if(policy.variables.begin(), policy.variables.end(),
                                  [&](const Variable& variable) { return variable.name == name; });
  return found == policy.variables.end() ? nullptr : &*found;
}

// "${name}/rest" to {name, "rest"}; anything else to {"", text}.
Root read_text(std::string_view text) {
  Root root;
  const std::size_t end = text.starts_with("${") ? text.find('}') : std::string_view::npos;
  if (end != std::string_view::npos) root.variable = text.substr(2, end - 2);
  root.path = end == std::string_view::npos ? text : text.substr(std::min(text.size(), end + 2));
  return root;
}

std::string join(const std::string& directory, const std::string& rest) {
  if (rest.empty()) return directory;
  return directory == "/" ? "/" + rest : directory + "/" + rest;
}

class Names {
 public:
  Names(const Policy& policy, const Policy& other, bool candidate)
      : policy_(policy), narrow_(candidate ? policy : other), wide_(candidate ? other : policy), candidate_(candidate) {
    for (const Variable& variable : policy.variables) static_cast<void>(is_shared(variable.name));
  }

  [[nodiscard]] RootNames operator()(const Root& root, RootUse /*use*/) const {
    RootNames names;
    const auto shared = shared_.find(root.variable);
    const bool same = root.variable.empty() || root.variable == kStartDir || (shared != shared_.end() && shared->second);
    if (same) names.written = written(root);
    std::size_t steps = kMaxSteps;
    names.paths = expand(root, steps);
    // Too much to follow: the base promises nothing, and the candidate what no base names.
    if (steps == 0) names.paths = candidate_ ? std::vector<std::string>{written(root)} : std::vector<std::string>();
    return names;
  }

 private:
  static std::string written(const Root& root) {
    return root.variable.empty() ? root.path : join("${" + root.variable + "}", root.path);
  }

  // What the variable may stand for; the base promises only its default.
  std::vector<std::string> expand(const Root& root, std::size_t& steps) const {
    if (root.variable.empty() || root.variable == kStartDir) return {written(root)};
    const Variable* variable = find_variable(policy_, root.variable);
    if (variable == nullptr) steps = 0;
    if (steps == 0 || --steps == 0) return {};
    std::vector<std::string> out;
    const auto add = [&](const Root& place) {
      for (const std::string& text : expand(place, steps)) out.push_back(join(text, root.path));
    };
    if (variable->default_value) add(read_text(*variable->default_value));
    for (const Root& place : variable->within) {
      if (candidate_ && variable->settable) add(place);
    }
    return out;
  }

  // Whether both define it alike, the narrower policy's within being no larger.
  bool is_shared(const std::string& name) {
    if (name == kStartDir || name.empty()) return true;
    const auto [known, fresh] = shared_.emplace(name, false);  // false while it is being found out: no circle is alike
    if (!fresh) return known->second;
    const Variable *mine = find_variable(narrow_, name), *theirs = find_variable(wide_, name);
    if (mine == nullptr || theirs == nullptr) return false;
    if (mine->default_value != theirs->default_value || (mine->settable && !theirs->settable)) return false;
    if (mine->default_value && !is_shared(read_text(*mine->default_value).variable)) return false;
    for (const Root& root : mine->within) {
      if (!mine->settable) break;
      const bool listed = std::any_of(theirs->within.begin(), theirs->within.end(), [&](const Root& other) {
        return other.variable == root.variable && other.path == root.path;
      });
      if (!listed || !is_shared(root.variable)) return false;
    }
    return shared_[name] = true;
  }

  const Policy& policy_;
  const Policy& narrow_;
  const Policy& wide_;
  bool candidate_;
  std::map<std::string, bool, std::less<>> shared_;
};

}  // namespace

NameRoot written_roots(const Policy& policy, const Policy& other, bool candidate) {
  const auto names = std::make_shared<Names>(policy, other, candidate);
  return [names](const Root& root, RootUse use) { return (*names)(root, use); };
}

}  // namespace safe_exec
