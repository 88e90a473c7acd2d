// Owns the lists. A name that is missing here is not thereby harmless.
#include "dangers.h"

#include <algorithm>
#include <array>
#include <span>

#include "inline_text.h"

namespace safe_exec {
namespace {

using Names = std::span<const Name>;

bool is_in(Names names, std::string_view name) { return std::find(names.begin(), names.end(), name) != names.end(); }

constexpr std::array<Name, 48> kInterpreters{
    "sh",    "bash", "dash",   "zsh", "ksh",  "fish", "csh",   "tcsh",    "busybox", "python", "pypy", "perl", "ruby", "node",
    "nodejs", "deno", "bun",   "php", "lua",  "luajit", "tclsh", "expect", "awk",    "gawk",   "mawk", "nawk", "Rscript", "guile",
    "emacs", "vim",  "vi",     "nvim", "ex",  "ed",   "gdb",   "lldb",    "less",    "more",   "man",  "m4",
    "make",  "gmake", "ninja", "cmake", "just", "rake", "gradle", "mvn"};
constexpr std::array<Name, 32> kWrappers{
    "env",   "sudo",   "su",     "doas",  "nohup",  "nice",  "ionice",  "timeout", "time", "watch", "xargs",
    "parallel", "setsid", "chroot", "unshare", "nsenter", "strace", "ltrace", "script", "stdbuf", "flock", "runuser",
    "setpriv", "systemd-run", "screen", "tmux", "at", "batch", "crontab", "entr", "npx", "uvx"};
constexpr std::array<Name, 10> kRemote{"ssh", "scp", "sftp", "rsync", "nc", "ncat", "socat", "telnet", "ftp", "wget"};
constexpr std::array<Name, 22> kWriters{"rm",    "rmdir", "dd",     "shred",  "mkfs", "mv",    "cp",    "ln",
                                        "tee",   "install", "truncate", "chmod", "chown", "chgrp", "mount", "umount",
                                        "kill",  "killall", "pkill", "reboot", "shutdown", "passwd"};

constexpr std::array<Name, 50> kSubcommands{
    "exec",  "run",   "eval",    "shell",  "ssh",    "attach", "debug",   "push",  "publish", "install", "uninstall", "upgrade",
    "apply", "delete", "destroy", "rm",    "remove", "kill",   "stop",    "start", "restart", "edit",    "patch",     "login",
    "logout", "clean", "reset",  "filter-branch", "bisect", "submodule", "difftool", "mergetool", "daemon", "serve", "up", "down",
    "cp",    "config", "prune",  "gc",     "set",    "unset",  "enable",  "disable", "mask", "scale",
    "build", "test", "bench",  "compile"};

constexpr std::array<Name, 43> kExecuting{
    "--exec", "--execute", "--exec-batch", "-exec", "-execdir", "-ok", "-okdir", "--command", "--cmd", "--eval", "--pager", "--editor",
    "--shell", "--rsh", "--use-compress-program", "--to-command", "--checkpoint-action", "--info-script", "--new-volume-script",
    "--rmt-command", "--upload-pack", "--receive-pack", "--ext-diff", "--textconv", "--open-files-in-pager", "--pre", "--hostname-bin",
    "--filter", "--compress-program", "--diff-program", "--plugin", "--load", "--require", "--import", "--preload", "--init-command",
    "--init-file", "--rcfile", "--exec-path", "--run", "--interpreter", "--browser", "--script"};
constexpr std::array<Name, 10> kConfiguring{"--config", "--config-file", "--configfile", "--config-env", "--git-dir",
                                            "--work-tree", "--settings", "--env", "--env-file", "--kubeconfig"};
constexpr std::array<Name, 29> kWriting{
    "--output", "--output-file", "--output-document", "--output-dir", "--output-directory", "--out", "--outfile", "--write", "--in-place",
    "--log-file", "--logfile", "--delete", "-delete", "--remove", "--remove-files", "--remove-source-files", "--force", "-fprint",
    "-fprintf", "-fprint0", "-fls", "--append", "--overwrite", "--clobber", "--unlink", "--save", "--compile", "--set", "-o"};

struct Letter {
  Name program, option;
  InlineText<71> reason;
};
constexpr char kRuns[] = "it runs a program, or code";
constexpr char kWrites[] = "it writes or deletes";
constexpr char kConfigures[] = "it reads settings that may run programs or widen what is reached";
constexpr std::array<Letter, 21> kLetters{{
    {"git", "-c", kConfigures},   {"tar", "-I", kRuns},       {"tar", "-F", kRuns},      {"sed", "-i", kWrites},
    {"curl", "-O", kWrites},      {"curl", "-K", kConfigures}, {"curl", "-T", kWrites},  {"curl", "-d", kWrites},
    {"curl", "-F", kWrites},      {"curl", "-X", kWrites},    {"psql", "-c", kRuns},     {"psql", "-f", kRuns},
    {"mysql", "-e", kRuns},       {"sqlite3", "-cmd", kRuns}, {"sort", "-S", kWrites},   {"sort", "-T", kWrites},
    {"xxd", "-r", kWrites},       {"zip", "-TT", kRuns},      {"docker", "-H", kConfigures}, {"date", "-s", kWrites},
    {"hostname", "-F", kWrites},
}};

}  // namespace

std::string_view program_danger(std::string_view program) noexcept {
  // python3.11 is python
  const std::size_t end = program.find_last_not_of("0123456789.");
  const std::string_view stem = end == std::string_view::npos ? program : program.substr(0, end + 1);
  const auto is_one_of = [&](Names names) { return is_in(names, program) || is_in(names, stem); };
  if (is_one_of(kInterpreters)) return "it runs code, what files say or whatever it is told: the sandbox would be the only boundary";
  if (is_one_of(kWrappers)) return "it runs another program: let the policy decide that program itself";
  if (is_one_of(kRemote)) return "it reaches other hosts, and some of its options run programs";
  if (is_one_of(kWriters)) return "it writes, deletes or stops things: say by hand where it may";
  return {};
}

std::string_view subcommand_danger(std::string_view subcommand) noexcept {
  return is_in(kSubcommands, subcommand) ? "subcommands of this name run programs, publish, change or delete" : "";
}

std::string_view option_danger(std::string_view program, std::string_view option) noexcept {
  for (const Letter& letter : kLetters) {
    if (letter.program == program && letter.option == option) return letter.reason;
  }
  if (is_in(kExecuting, option)) return "options of this name run programs, or load code";
  if (is_in(kConfiguring, option)) return "options of this name read settings that may run programs or widen what is reached";
  if (is_in(kWriting, option)) return "options of this name write or delete";
  return {};
}

bool has_subcommands(std::string_view program) noexcept {
  static constexpr std::array<Name, 36> kFamilies{
      "git", "docker", "podman", "kubectl", "helm", "gh", "glab", "npm", "pnpm", "yarn", "cargo", "rustup", "go", "pip", "pip3", "uv",
      "poetry", "conda", "systemctl", "loginctl", "timedatectl", "apt", "dnf", "brew", "terraform", "aws", "gcloud", "az", "ip",
      "nmcli", "svn", "hg", "pm2", "dotnet", "flutter", "openssl"};
  return is_in(kFamilies, program);
}

}  // namespace safe_exec
