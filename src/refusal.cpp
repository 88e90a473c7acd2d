// Owns the wording that all denials share. Never decides, and never turns a denial into anything else.
#include "refusal.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "suggest.h"
#include "utf8.h"
#include "value.h"

namespace safe_exec {
namespace {

constexpr std::size_t kMaxShown = 80;

bool is_plain(std::string_view character) {
  return check_text(character, false).has_value();
}

void append_escaped(std::string& text, std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (const char byte : bytes) {
    const auto value = static_cast<unsigned char>(byte);
    text += "\\x";
    text += kDigits[value >> 4U];
    text += kDigits[value & 15U];
  }
}

// The ways in which a hint may name a refused token: the whole of it, its long option's name, or a letter that
// stands in its cluster ("-v" for "-itv/x:/y").
bool names_token(std::string_view hint, std::string_view token) {
  if (hint.empty() || hint == "-" || hint == "--") return false;
  if (hint == token) return true;
  if (hint.starts_with("--")) return token.starts_with(hint) && token.size() > hint.size() && token[hint.size()] == '=';
  const bool letter = hint.size() == 2 && hint[0] == '-';
  return letter && token.size() > 2 && token[0] == '-' && token[1] != '-' && token.find(hint[1], 1) != token.npos;
}

const Hint* find_hint(const std::vector<const Node*>& nodes, std::string_view token) {
  for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
    for (const Hint& hint : (*node)->hints) {
      if (names_token(hint.token, token)) return &hint;
    }
  }
  return nullptr;
}

// Whether a token was refused as a name, rather than for what it holds.
bool is_about_a_name(DenialCode code) {
  return code == DenialCode::option_not_allowed || code == DenialCode::subcommand_not_allowed ||
         code == DenialCode::command_not_allowed || code == DenialCode::option_after_operand ||
         code == DenialCode::too_many_operands;
}

}  // namespace

std::string shown(std::string_view token) {
  std::string text = "\"";
  while (!token.empty()) {
    if (text.size() > kMaxShown) {
      text += "...";
      break;
    }
    const std::size_t length = std::max<std::size_t>(decode_utf8(token).length, 1);
    const std::string_view character = token.substr(0, length);
    if (is_plain(character)) {
      text += character;
    } else {
      append_escaped(text, character);
    }
    token.remove_prefix(length);
  }
  return text + "\"";
}

std::string title(const std::vector<const Node*>& nodes) {
  std::string text;
  for (const Node* node : nodes) {
    if (!text.empty()) text += ' ';
    text += node->name;
  }
  return text;
}

void suggest_from(Denial& denial, std::string_view typed, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (denial.allowed.size() < kMaxListed) denial.allowed.push_back(name);
    const bool abbreviated = typed.size() > 2 && name.starts_with(typed);
    const bool shorter = denial.suggestion.empty() || name.size() < denial.suggestion.size();
    if (abbreviated && shorter) denial.suggestion = name;
  }
  if (denial.suggestion.empty()) denial.suggestion = nearest_name(typed, names);
}

bool is_assignment(std::string_view token) {
  const std::size_t sign = token.find('=');
  if (sign == 0 || sign == token.npos || (token[0] >= '0' && token[0] <= '9')) return false;
  return std::all_of(token.begin(), token.begin() + static_cast<std::ptrdiff_t>(sign), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

bool is_operator(std::string_view token) {
  const std::size_t start = token.find_first_not_of("0123456789");
  if (start == token.npos) return false;
  token.remove_prefix(start);
  if (token.find_first_not_of("<>|&;") == token.npos) return true;
  const std::size_t target = token.find_first_not_of("<>&");
  return token[0] == '>' && (token.substr(target) == "/dev/null" || token.find_first_not_of("0123456789", target) == token.npos);
}

void note_shell(Denial& denial, const std::vector<std::string>& argv) {
  for (std::size_t i = 1; i < argv.size() && static_cast<std::int64_t>(i) <= denial.argv_index; ++i) {
    if (!is_operator(argv[i])) continue;
    denial.message += "; no shell reads the words: " + shown(argv[i]) +
                      " is no pipe, redirection or separator, and each command is a request of its own";
    return;
  }
}

Denial finish_denial(const Policy& policy, Refusal refusal) {
  Denial& denial = refusal.denial;
  denial.rule = policy.pointer(refusal.place);
  if (refusal.place.source < policy.sources.size()) denial.location = policy.locate(refusal.place);
  if (is_about_a_name(denial.code) && denial.value.find_first_of("\t\n") != std::string::npos) {
    denial.code = DenialCode::control_character;
    denial.message = "a name holds no tab or newline; " + denial.message;
  }
  const Hint* hint = denial.value.empty() ? nullptr : find_hint(refusal.nodes, denial.value);
  if (denial.code == DenialCode::binary_not_found && !refusal.nodes.empty()) {
    hint = find_hint(refusal.nodes, refusal.nodes.front()->name);
  }
  if (hint != nullptr) {
    if (denial.reason.empty()) denial.reason = hint->reason;
    if (denial.instead.empty()) denial.instead = hint->instead;
  }
  if (!denial.suggestion.empty()) denial.message += "; did you mean " + denial.suggestion + "?";
  if (!denial.reason.empty()) denial.message += ": " + denial.reason;
  return std::move(refusal.denial);
}

}  // namespace safe_exec
