// Owns a policy as files: which are read, how they join, what a file's top level holds. Never opens a file itself
// (PolicyFiles does) and never decides a request.
#include "policy.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "digest.h"
#include "grammar.h"
#include "inline_text.h"
#include "language.h"
#include "policy_loader.h"

namespace safe_exec {
namespace {

constexpr std::size_t kMaxIncludeDepth = 8;
constexpr std::string_view kFile = "/policy.json";
constexpr std::array<Name, kNamedCount> kNamedKeys{"variables", "types", "option_sets", "commands"};
constexpr std::array<Name, kNamedCount> kNamedWords{"variable", "type", "option set", "command"};

// One policy.json and what came with it.
struct File {
  std::string path;       // as it was opened
  std::string key;        // what it is, by whatever path it is named
  std::string directory;  // in which its commands/ may be; empty: it can have none
  Item root;
  std::shared_ptr<Defaults> defaults = std::make_shared<Defaults>();
  std::vector<Item> command_files;  // directory form: the root of each commands/NAME.json
  std::vector<std::size_t> includes;
  std::unordered_set<std::string_view> overridden;  // names of which its "override" let one definition take another's place
};

// a//b/./c -> a/b/c. ".." stays: what it leads to is the kernel's to say.
std::string clean(std::string_view path) {
  std::string out;
  for (std::size_t at = 0; at < path.size();) {
    const std::size_t slash = std::min(path.find('/', at), path.size());
    const std::string_view component = path.substr(at, slash - at);
    if (!component.empty() && component != ".") out.append("/").append(component);
    at = slash + 1;
  }
  if (!path.starts_with('/') && !out.empty()) out.erase(0, 1);
  return out.empty() ? "/" : out;
}

std::string directory_of(std::string_view file) {
  const std::size_t slash = file.rfind('/');
  return slash == std::string_view::npos ? "." : std::string(file.substr(0, slash));
}

template <class T>
T unwrap(Expected<T> result) {
  if (!result) throw DecodeFailure{std::move(result.error())};
  return std::move(*result);
}

// Reads every file of a policy and knows which definition of a name counts. Nothing is decoded yet.
class Gatherer {
 public:
  Gatherer(PolicyContext& context, PolicyFiles& files, const LoadScope& scope)
      : context_(context), files_(files), scope_(scope) {}

  std::size_t gather(std::string_view path, const Item* including) {
    const PolicyFiles::Found found = unwrap(files_.find(path));
    const std::string file_path = clean(found.directory ? std::string(path) + std::string(kFile) : std::string(path));
    std::string key = key_of(path, found);
    const auto known = by_path_.find(key);
    if (known != by_path_.end()) return known->second;
    const std::size_t index = out_.size();
    out_.emplace_back().path = file_path;
    out_[index].key = key;
    // Whoever names the file means the policy: without commands/ of it, what it includes would count in their place.
    if (file_path.ends_with(kFile)) out_[index].directory = file_path.size() == kFile.size() ? "/" : file_path.substr(0, file_path.size() - kFile.size());
    out_[index].root = read(file_path, unwrap(files_.read(file_path)), "");
    stack_.push_back(index);
    if (stack_.size() > kMaxIncludeDepth + 1) {
      refuse(*including,
             {"files include each other too deeply", "a depth of 8 or less", describe_value(*including), ""});
    }
    const Item root = out_[index].root;
    check_version(root);
    if (const auto include = root.member("include")) gather_includes(index, *include);
    for (std::size_t kind = 0; kind < kNamedCount; ++kind) {
      const std::optional<Item> named = root.member(kNamedKeys[kind]);
      if (!named) continue;
      for (const Item& definition : members(*named)) {
        check_name(static_cast<Named>(kind), definition);
        define(static_cast<Named>(kind), definition.key(), definition);
      }
    }
    if (!out_[index].directory.empty()) gather_commands(index, out_[index].directory);
    check_overrides(index);
    stack_.pop_back();
    by_path_.emplace(std::move(key), index);
    return index;
  }

  std::vector<File> take() { return std::move(out_); }

 private:
  // A directory, also by the path of its policy.json, which may be a link; else a file.
  std::string key_of(std::string_view path, const PolicyFiles::Found& found) {
    if (found.directory) return "directory " + found.physical;
    if (!path.ends_with(kFile)) return "file " + found.physical;
    const std::string directory(path.substr(0, std::max<std::size_t>(path.size() - kFile.size(), 1)));
    auto above = files_.find(directory);
    return "directory " + (above ? std::move(above->physical) : directory);  // the file was found in it: only others may add to it
  }

  // above: where the file's root stands in the whole policy.
  Item read(std::string file, std::string text, std::string above) {
    auto parsed = json::parse(std::move(file), std::move(text), json::Comments::allow);
    if (!parsed) throw DecodeFailure{from_parse_error(std::move(parsed.error()), ErrorCode::policy_invalid)};
    std::vector<std::shared_ptr<const json::Document>>& sources = context_.policy.sources;
    sources.push_back(*parsed);
    context_.policy.source_pointers.push_back(std::move(above));
    const Item root{sources.back().get(), &sources.back()->root(), static_cast<std::uint32_t>(sources.size() - 1),
                    ErrorCode::policy_invalid};
    expect_kind(root, json::Kind::object);
    return root;
  }

  // Variables have a narrower rule of their own (read_variable).
  static void check_name(Named kind, const Item& definition) {
    if (kind == Named::variable || is_command_name(definition.key())) return;
    refuse(definition,
           {"this is not the name of " + std::string(kind == Named::command ? "a command" : "a type or option set"),
            "[A-Za-z0-9_][A-Za-z0-9._+-]{0,63}", "\"" + std::string(definition.key()) + "\"", ""},
           At::key);
  }

  static void check_version(const Item& root) {
    const std::optional<Item> version = root.member("version");
    if (!version) refuse(root, {"\"version\" is missing", "\"version\": 1", "no \"version\"", ""});
    static_cast<void>(read_integer(*version, 1, 1));
  }

  void gather_includes(std::size_t index, const Item& include) {
    const std::string directory = directory_of(out_[index].path);
    for (const Item& element : elements(include, 1)) {
      const std::string name = read_non_empty(element);
      const std::string path = clean(name.starts_with('/') ? name : directory + "/" + name);
      const PolicyFiles::Found found = unwrap(files_.find(path));
      for (const std::size_t open : stack_) {
        if (out_[open].key != key_of(path, found)) continue;
        refuse(element, {"this file includes itself", "files that end", describe_value(element), ""});
      }
      try {
        const std::size_t included = gather(path, &element);
        out_[index].includes.push_back(included);
      } catch (DecodeFailure& failure) {
        // A file that cannot be opened is a problem of the line that names it.
        if (!failure.error.location)
          failure.error.location = element.document->locate(element.document->id(*element.node));
        throw;
      }
    }
  }

  void gather_commands(std::size_t index, std::string_view directory) {
    std::vector<std::string> names;
    if (scope_.everything)
      names = unwrap(files_.list_commands(directory));
    else if (is_command_name(scope_.command))
      names.push_back(scope_.command);
    if (!scope_.everything) {
      std::copy_if(scope_.wrapped.begin(), scope_.wrapped.end(), std::back_inserter(names), is_command_name);
    }
    for (const std::string& name : names) {
      const std::string path = clean(std::string(directory) + "/commands/" + name + ".json");
      if (!is_command_name(name)) {
        throw DecodeFailure{{ErrorCode::policy_invalid, "the name of this file is not the name of a command", "", 0, "",
                             Location{path, 1, 1, ""}, "[A-Za-z0-9_][A-Za-z0-9._+-]{0,63}.json", name, ""}};
      }
      std::optional<std::string> text = unwrap(files_.read_command(directory, name));
      if (!text) continue;
      const Item root = read(path, std::move(*text), "/commands/" + name);
      file_names_.push_back(std::make_unique<std::string>(name));
      out_[index].command_files.push_back(root);
      define(Named::command, *file_names_.back(), root);
    }
  }

  void define(Named kind, std::string_view name, const Item& definition) {
    auto& names = context_.names[static_cast<std::size_t>(kind)];
    const auto [known, inserted] = names.emplace(name, definition);
    if (inserted) return;
    const bool own = known->second.source == out_[stack_.back()].root.source;
    File* const lets = own ? nullptr : who_overrides(name, known->second.source);
    if (lets == nullptr) {
      const Location other = known->second.document->locate(known->second.document->id(*known->second.node));
      refuse(definition,
             {"the " + std::string(kNamedWords[static_cast<std::size_t>(kind)]) + " \"" + std::string(name) +
                  "\" is defined twice, first at " + other.file + ":" + std::to_string(other.line),
              "each name once, or the name in \"override\" of the including file", std::string(name), ""},
             At::key);
    }
    lets->overridden.insert(name);
    out_[stack_.back()].overridden.insert(name);  // it has its own, whoever lets it count
    names.erase(known);  // the key views into the document of the old definition
    names.emplace(name, definition);
  }

  // Marks the file and all that it includes, at any depth.
  void mark(std::size_t index, std::vector<char>& marked) const {
    if (std::exchange(marked[index], char{1}) != 0) return;
    for (const std::size_t included : out_[index].includes) mark(included, marked);
  }

  [[nodiscard]] bool is_of(const File& file, std::uint32_t source) const {
    const auto same = [source](const Item& root) { return root.source == source; };
    return same(file.root) || std::any_of(file.command_files.begin(), file.command_files.end(), same);
  }

  // Only a file that includes the other definition may put one in its place: of two that are included side by side,
  // neither may.
  [[nodiscard]] File* who_overrides(std::string_view name, std::uint32_t source) {
    std::vector<char> below(out_.size(), 0);
    for (auto index = stack_.rbegin(); index != stack_.rend(); ++index) {
      mark(*index, below);
      bool includes = false;
      for (std::size_t i = 0; i < out_.size(); ++i) includes = includes || (below[i] != 0 && is_of(out_[i], source));
      const std::optional<Item> list = out_[*index].root.member("override");
      if (!includes || !list || !list->is(json::Kind::array)) continue;
      for (const Item& element : elements(*list)) {
        if (element.is(json::Kind::string) && element.node->text == name) return &out_[*index];
      }
    }
    return nullptr;
  }

  // Of each name that it overrides, something has to be there that takes its place, by this file: where there is not, the
  // included definition would count unnoticed. Only of a command that is not loaded now nobody knows.
  void check_overrides(std::size_t index) {
    const File& file = out_[index];
    const std::optional<Item> list = file.root.member("override");
    if (!list) return;
    refuse_repeats(*list, read_strings(*list, 1));
    for (const Item& element : elements(*list)) {
      const std::string_view name = element.node->text;
      if (file.overridden.contains(name)) continue;
      const auto defined = [&](Named kind) { return context_.find(kind, name) != nullptr; };
      const bool other = defined(Named::variable) || defined(Named::type) || defined(Named::option_set);
      if (!scope_.loads(name) && (!other || has_command_file(index, name))) continue;
      if (other || defined(Named::command)) {
        refuse(element, {"the overridden \"" + std::string(name) + "\" has nothing in its place", "a definition of it here, or in an included file",
                         describe_value(element), ""});
      }
      const std::vector<std::string_view> known(file.overridden.begin(), file.overridden.end());
      refuse_unknown(element, "overridden name", name, known, At::value);
    }
  }

  // In what it includes, too.
  [[nodiscard]] bool has_command_file(std::size_t index, std::string_view name) {
    std::vector<char> below(out_.size(), 0);
    mark(index, below);
    for (std::size_t i = 0; i < out_.size(); ++i) {
      if (below[i] != 0 && !out_[i].directory.empty() && unwrap(files_.read_command(out_[i].directory, name))) return true;
    }
    return false;
  }

  PolicyContext& context_;
  PolicyFiles& files_;
  const LoadScope& scope_;
  std::vector<File> out_;
  std::unordered_map<std::string, std::size_t> by_path_;
  std::vector<std::size_t> stack_;  // files that are being gathered, the outermost first

 public:
  std::vector<std::unique_ptr<std::string>> file_names_;  // what context_.names views into
};

// Decoding one file.
struct FileReader {
  PolicyContext& context;
  File& file;
  bool main = false;  // the one that was asked for: name and description are its
};

void read_fixture(FileReader& /*reader*/, const Item& item, Policy& out) {
  for (const Item& element : elements(item)) out.fixture.push_back(read_fixture_entry(element));
}

void read_commands(FileReader& reader, const Item& item, Policy& out) {
  for (const Item& member : members(item)) {
    Command command = read_command(reader.context, member, member.key(), reader.file.defaults);
    if (reader.context.is_current(Named::command, member)) out.commands.push_back(std::move(command));
  }
}

void read_defaults(FileReader& reader, const Item& item) {
  using DefaultsField = Field<Defaults, FileReader>;
  static constexpr std::array<DefaultsField, 11> kFields{{
      {"timeout_ms", [](FileReader&, const Item& v, Defaults& out) { out.timeout_ms = read_timeout(v); }},
      {"stdout_bytes", [](FileReader&, const Item& v, Defaults& out) { out.stdout_bytes = read_capture(v); }},
      {"stderr_bytes", [](FileReader&, const Item& v, Defaults& out) { out.stderr_bytes = read_capture(v); }},
      {"stdin", [](FileReader& r, const Item& v, Defaults& out) { out.stdin_rule = read_stdin_rule(r.context, v); }},
      {"env", [](FileReader& r, const Item& v, Defaults& out) { read_env(r.context, v, out.env); }},
      {"unsafe_env", [](FileReader&, const Item& v, Defaults& out) { read_unsafe_env(v, out.unsafe_env.emplace()); }},
      {"limits", [](FileReader& r, const Item& v, Defaults& out) { out.limits = read_limits(r.context, v); }},
      {"sandbox", [](FileReader& r, const Item& v, Defaults& out) { out.sandbox = read_sandbox(r.context, v); }},
      {"repeatable", [](FileReader&, const Item& v, Defaults& out) { out.repeatable = read_bool(v); }},
      {"deny_paths",
       [](FileReader& r, const Item& v, Defaults&) {
         for (const Item& glob : elements(v)) r.context.policy.deny_paths.push_back(read_glob(r.context, glob));
       }},
      {"deny_walk",
       [](FileReader& r, const Item& v, Defaults& out) {
         read_deny_walk(r.context, v, out.deny_walk.emplace());
         if (r.main) r.context.policy.deny_walk = out.deny_walk;
       }},
  }};
  read_members(reader, item, *reader.file.defaults, kFields);
  check_env(reader.context, reader.file.defaults->env,
            reader.file.defaults->unsafe_env.value_or(std::vector<std::string>()));
}

void read_by_path(FileReader& reader, const Item& item, Policy& out) {
  std::string name = read_string(item);
  if (reader.context.everything && reader.context.find(Named::command, name) == nullptr) {
    refuse_unknown(item, "command", name, reader.context.known(Named::command), At::value);
  }
  if (!is_command_name(name)) refuse(item, {"this is not the name of a command", "[A-Za-z0-9_][A-Za-z0-9._+-]{0,63}", describe_value(item), ""});
  if (!out.by_path.empty()) return;  // of the file that was asked for, which is read first, or of one included before
  out.by_path = std::move(name);
  out.by_path_place = item.place();
}

void nothing(FileReader& /*reader*/, const Item& /*item*/, Policy& /*out*/) {}  // read before

constexpr std::array<Field<Policy, FileReader>, 13> kPolicyFields{{
    {"$schema", nothing},
    {"version", nothing},
    {"name",
     [](FileReader& r, const Item& v, Policy& out) {
       std::string name = read_string(v);
       if (r.main) out.name = std::move(name);
     }},
    {"description",
     [](FileReader& r, const Item& v, Policy& out) {
       std::string description = read_string(v);
       if (r.main) out.description = std::move(description);
     }},
    {"include", nothing},
    {"override", nothing},
    {"variables",
     [](FileReader& r, const Item& v, Policy&) {
       for (const Item& variable : members(v)) read_variable(r.context, variable);
     }},
    {"defaults", nothing},
    {"types",
     [](FileReader& r, const Item& v, Policy&) {
       for (const Item& type : members(v)) static_cast<void>(define_type(r.context, type));
     }},
    {"option_sets",
     [](FileReader& r, const Item& v, Policy&) {
       for (const Item& set : members(v)) define_option_set(r.context, set);
     }},
    {"commands", read_commands},
    {"by_path", read_by_path},
    {"fixture", read_fixture},
}};

void read_file(FileReader reader) {
  // First, because commands point to it and check their environment against it.
  if (const auto defaults = reader.file.root.member("defaults")) read_defaults(reader, *defaults);
  read_members(reader, reader.file.root, reader.context.policy, kPolicyFields);
  for (const Item& root : reader.file.command_files) {
    std::string_view name = root.document->file();
    name = name.substr(name.rfind('/') + 1);
    name.remove_suffix(std::string_view(".json").size());
    Command command = read_command(reader.context, root, name, reader.file.defaults);
    const Item* current = reader.context.find(Named::command, name);
    if (current != nullptr && current->node == root.node) reader.context.policy.commands.push_back(std::move(command));
  }
}

// 0 is no limit, and an absent limit is the built-in one, so that neither is smaller by accident.
void take_smaller(std::optional<std::int64_t>& own, const std::optional<std::int64_t>& other, std::int64_t built_in) {
  if (!other || *other == 0) return;
  const std::int64_t mine = own.value_or(built_in);
  if (mine == 0 || *other < mine) own = other;
}

void take_smaller(Defaults& own, const Defaults& other) {
  const EffectiveLimits built_in;
  const Plan plan;
  take_smaller(own.limits.cpu_s, other.limits.cpu_s, built_in.cpu_s);
  const bool implied = !other.limits.data_mib && own.limits.data_mib && other.limits.memory_mib;
  take_smaller(own.limits.data_mib, implied ? std::optional(*other.limits.memory_mib * 2) : other.limits.data_mib,
               own.limits.memory_mib.value_or(built_in.memory_mib) * 2);
  take_smaller(own.limits.memory_mib, other.limits.memory_mib, built_in.memory_mib);
  take_smaller(own.limits.processes, other.limits.processes, built_in.processes);
  take_smaller(own.limits.file_mib, other.limits.file_mib, built_in.file_mib);
  take_smaller(own.limits.tmp_mib, other.limits.tmp_mib, built_in.tmp_mib);
  take_smaller(own.limits.open_files, other.limits.open_files, built_in.open_files);
  take_smaller(own.timeout_ms, other.timeout_ms, plan.timeout_ms);
  // Captured bytes: 0 means none at all, so the plain minimum.
  const auto smaller = [](std::optional<std::int64_t>& mine, const std::optional<std::int64_t>& theirs,
                          std::int64_t absent) {
    if (theirs && *theirs < mine.value_or(absent)) mine = theirs;
  };
  smaller(own.stdout_bytes, other.stdout_bytes, plan.stdout_bytes);
  smaller(own.stderr_bytes, other.stderr_bytes, plan.stderr_bytes);
}

// A file may be included from several, and from deeper ones: repeated until limits have come all the way down.
void narrow_limits(std::vector<File>& files) {
  for (std::size_t round = 0; round < kMaxIncludeDepth; ++round) {
    for (const File& file : files) {
      for (const std::size_t included : file.includes) take_smaller(*files[included].defaults, *file.defaults);
    }
  }
}

bool is_wrapper(const Node& node) {
  const Type* rest = rest_type(node);
  return rest != nullptr && rest->language == Language::command;
}

// A wrapper would be given a program by its path again, and that to itself.
void check_by_path(const PolicyContext& context) {
  const Command* command = context.policy.find(context.policy.by_path);
  if (command == nullptr || !is_wrapper(command->node)) return;
  refuse(context.item(context.policy.by_path_place),
         {"a wrapper takes no programs by their path", "a command that runs its first operand", context.policy.by_path, ""});
}

void check_paths(const PolicyContext& context) {
  std::unordered_map<std::string_view, const Command*> owners;
  for (const Command& command : context.policy.commands) {
    // Nobody means these by that path: they start another program.
    if (is_wrapper(command.node) || command.node.name == context.policy.by_path) continue;
    for (const std::string& path : command.paths) {
      const auto [owner, first] = owners.emplace(path, &command);
      if (first) continue;
      const Item item = context.item(command.node.place);
      refuse(item.member("path").value_or(item),
             {"the command \"" + owner->second->node.name + "\" has this path already", "one command for one path",
              path, ""});
    }
  }
}

Policy load(std::string_view path, PolicyFiles& files, const LoadScope& scope) {
  PolicyContext context;
  context.everything = scope.everything;
  Gatherer gatherer(context, files, scope);
  static_cast<void>(gatherer.gather(path, nullptr));
  std::vector<File> read = gatherer.take();
  // Before any command, so that a command's own names are never seen by the policy's.
  for (const auto& [name, definition] : context.names[static_cast<std::size_t>(Named::type)]) {
    static_cast<void>(define_type(context, definition));
  }
  for (const auto& [name, definition] : context.names[static_cast<std::size_t>(Named::option_set)]) {
    define_option_set(context, definition);
  }
  for (std::size_t i = 0; i < read.size(); ++i) read_file({context, read[i], i == 0});
  check_variable_cycles(context);
  narrow_limits(read);
  check_by_path(context);
  if (scope.everything) check_paths(context);
  context.policy.file = read[0].path;
  return std::move(context.policy);
}

}  // namespace

const Item* PolicyContext::find(Named kind, std::string_view name) const {
  const auto& known = names[static_cast<std::size_t>(kind)];
  const auto found = known.find(name);
  return found == known.end() ? nullptr : &found->second;
}

std::vector<std::string_view> PolicyContext::known(Named kind) const {
  std::vector<std::string_view> out;
  for (const auto& [name, unused] : names[static_cast<std::size_t>(kind)]) out.push_back(name);
  std::sort(out.begin(), out.end());
  return out;
}

bool PolicyContext::is_current(Named kind, const Item& definition) const {
  const Item* current = find(kind, definition.key());
  return current != nullptr && current->node == definition.node;
}

Item PolicyContext::item(Place place) const {
  const json::Document& document = *policy.sources[place.source];
  return {&document, &document.node(place.node), place.source, ErrorCode::policy_invalid};
}

bool LoadScope::loads(std::string_view name) const {
  return everything || name == command || std::find(wrapped.begin(), wrapped.end(), name) != wrapped.end();
}

bool LoadScope::add_wrapped(const std::vector<std::string>& names) {
  const std::size_t before = wrapped.size();
  for (const std::string& name : names) {
    if (!loads(name) && is_command_name(name)) wrapped.push_back(name);
  }
  return wrapped.size() > before;
}

bool is_command_name(std::string_view text) noexcept {
  if (text.empty() || text.size() > 64) return false;
  return std::all_of(text.begin(), text.end(), [&](const char& c) {
    const bool word = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    return word || (&c != text.data() && (c == '.' || c == '+' || c == '-'));
  });
}

FixtureEntry read_fixture_entry(const Item& item) {
  constexpr std::string_view kArrow = " -> ";
  FixtureEntry entry;
  entry.place = item.place();
  entry.path = read_non_empty(item);
  const std::size_t arrow = entry.path.find(kArrow);
  if (arrow != std::string::npos) {
    entry.link_target = entry.path.substr(arrow + kArrow.size());
    entry.path.resize(arrow);
  }
  entry.directory = arrow == std::string::npos && entry.path.size() > 1 && entry.path.ends_with('/');
  if (entry.directory) entry.path.pop_back();
  if (entry.path.empty() || (arrow != std::string::npos && entry.link_target.empty())) {
    refuse(item, {"this is not an entry of a fixture", "\"path\", \"dir/\" or \"link -> target\"", describe_value(item), ""});
  }
  return entry;
}

Expected<Policy> load_policy(std::string_view path, PolicyFiles& files, const LoadScope& scope) {
  try {
    return load(path, files, scope);
  } catch (DecodeFailure& failure) {
    return tl::unexpected(std::move(failure.error));
  }
}

std::string policy_digest(const std::vector<std::shared_ptr<const json::Document>>& sources) {
  Sha256 digest;
  for (const auto& source : sources) digest.add(source->text());
  return digest.hex();
}

}  // namespace safe_exec
