// Owns the lists. GTFOBins' functions shell, command, file-write, library-load and reverse-shell count; file-read does
// not, because reading is what the sandbox bounds.
#include "lint_tables.h"

#include <algorithm>
#include <array>

namespace safe_exec {
namespace {

using Names = std::span<const Name>;

constexpr Name kInterpreters[]{
    "ash",    "awk",     "bash",    "bc",      "bun",      "busybox", "cargo",  "cmake",    "cpan",    "csh",    "dash",
    "deno",   "elvish",  "emacs",   "erl",     "ex",       "expect",  "fish",   "gawk",     "gdb",     "ghci",   "gmake",
    "go",     "gradle",  "groovy",  "guile",   "iex",      "ipython", "irb",    "java",     "jjs",     "jshell", "julia",
    "ksh",    "ld-linux-aarch64.so", "ld-linux-armhf.so", "ld-linux-x86-64.so", "ld-linux.so", "ld-musl-aarch64.so",
    "ld-musl-x86_64.so", "ld.so", "ld64.so", "lldb",    "lua",     "luajit",  "make",     "mawk",    "mksh",   "mvn",      "mysql",   "nano",   "nawk",
    "ninja",  "node",    "nodejs",  "npm",     "npx",      "nvim",    "octave", "perl",     "php",     "pip",    "pip3",
    "pnpm",   "psql",    "pwsh",    "pytest",  "python",   "python2", "python3", "r",       "rake",    "rscript", "Rscript",
    "ruby",   "rview",   "rvim",    "scons",   "sh",       "sqlite3",    "tclsh",    "toybox",  "ts-node", "tsx",
    "vi",     "view",    "vim",     "vimdiff", "wish",     "yarn",    "zsh"};

constexpr Name kWrappers[]{
    "at",      "batch",   "bwrap",   "capsh",    "chroot",     "chrt",    "cpulimit", "doas",     "entr",   "env",
    "fakeroot", "firejail", "flock", "gosu",     "ionice",     "logsave", "ltrace",   "nice",     "nohup",  "nsenter",
    "numactl", "parallel", "pkexec", "prlimit",  "rlwrap",     "runuser", "script",   "setarch",  "setpriv", "setsid",
    "ssh",     "sshpass", "start-stop-daemon", "stdbuf", "strace", "su",   "sudo",     "systemd-run", "taskset", "time",
    "timeout", "torsocks", "tsocks", "unbuffer", "unshare",    "valgrind", "watch",    "xargs",    "xdotool", "xvfb-run"};

constexpr Name kGtfobins[]{
    "ab",       "apt",      "apt-get",  "ar",        "aria2c",   "arp",      "aws",      "bconsole", "bundle",   "c89",
    "c99",      "certbot",  "check_by_ssh", "choom", "cobc",     "composer", "cowsay",   "cp",       "cpio",     "crash",
    "crontab",  "csplit",   "csvtool",  "curl",      "dd",       "dialog",   "dig",      "dmesg",    "dmsetup",  "dnf",
    "docker",   "dotnet",   "dpkg",     "dstat",     "easy_install", "eb",   "ed",       "efax",     "enscript", "find",
    "fping",    "ftp",      "g++",      "gcc",       "gcloud",   "gem",      "genie",    "ghc",      "gimp",     "ginsh",
    "git",      "grc",      "hping3",   "iftop",     "install",  "ip",       "ispell",   "join",     "joe",      "journalctl",
    "jrunscript", "jtag",   "knife",    "ksshell",   "kubectl",  "latex",    "ld.so",    "less",     "ln",       "loginctl",
    "ltrace",   "lwp-download", "mail", "man",       "mount",    "more",     "msgattrib", "mv",      "nasm",     "nc",
    "ncdu",     "ncftp",    "neofetch", "nmap",      "nroff",    "nsupdate", "openssl",  "openvpn",  "opkg",     "pandoc",
    "pdb",      "pdflatex", "pexec",    "pg",        "pic",      "pkg",      "pr",       "pry",      "puppet",   "redis",
    "rlogin",   "rpm",      "rsync",    "rtorrent",  "run-mailcap", "run-parts", "scp",  "screen",   "sed",      "service",
    "sftp",     "shuf",     "slsh",     "smbclient", "snap",     "socat",    "socket",   "sort",     "split",    "sysctl",
    "systemctl", "tar",     "tasksh",   "tbl",       "tcpdump",  "tdbtool",  "tee",      "telnet",   "terraform", "tex",
    "tftp",     "tic",      "tmux",     "top",       "troff",    "uniq",     "unzip",    "varnishncsa", "vagrant", "w3m",
    "wall",     "wc",       "wget",     "whiptail",  "whois",    "xdg-user-dir", "xelatex", "xetex", "xxd",     "yelp",
    "yum",      "zathura",  "zip",      "zsoelim",   "zypper"};

constexpr OptionDanger kExecutes = OptionDanger::executes;
constexpr OptionDanger kWrites = OptionDanger::writes;
constexpr OptionDanger kReads = OptionDanger::reads;

constexpr DangerousOption kOptions[]{
    {"", "--pre", kExecutes, false},
    {"", "--hostname-bin", kExecutes, false},
    {"", "--compress-program", kExecutes, false},
    {"", "--use-compress-program", kExecutes, false},
    {"", "--to-command", kExecutes, false},
    {"", "--checkpoint-action", kExecutes, false},
    {"", "--rsh-command", kExecutes, false},
    {"", "--rsh", kExecutes, false},
    {"", "--rsync-path", kExecutes, false},
    {"", "--info-script", kExecutes, false},
    {"", "--new-volume-script", kExecutes, false},
    {"", "--upload-pack", kExecutes, false},
    {"", "--receive-pack", kExecutes, false},
    {"", "--open-files-in-pager", kExecutes, true},
    {"", "--ext-diff", kExecutes, true},
    {"", "--textconv", kExecutes, true},
    {"", "--exec", kExecutes, false},
    {"", "--exec-batch", kExecutes, false},
    {"", "--exec-path", kExecutes, false},
    {"", "--extcmd", kExecutes, false},
    {"", "--paginate", kExecutes, true},
    {"", "--pager", kExecutes, false},
    {"", "--editor", kExecutes, false},
    {"", "--preprocessor", kExecutes, false},
    {"", "--toolexec", kExecutes, false},
    {"", "-toolexec", kExecutes, false},
    {"", "--eval", kExecutes, false},
    {"", "--plugin", kExecutes, false},
    {"", "--init-file", kExecutes, false},
    {"", "--rcfile", kExecutes, false},
    {"", "--load-extension", kExecutes, false},
    {"", "-exec", kExecutes, true},
    {"", "-execdir", kExecutes, true},
    {"", "-ok", kExecutes, true},
    {"", "-okdir", kExecutes, true},
    {"tar", "-I", kExecutes, false},
    {"tar", "-F", kExecutes, false},
    {"git", "-O", kExecutes, true},
    {"git", "-x", kExecutes, false},
    {"git", "-c", kExecutes, false},
    {"git", "--config-env", kExecutes, false},
    {"fd", "-x", kExecutes, false},
    {"fd", "-X", kExecutes, false},
    {"fdfind", "-x", kExecutes, false},
    {"fdfind", "-X", kExecutes, false},
    {"split", "--filter", kExecutes, false},
    {"rsync", "-e", kExecutes, false},
    {"zip", "-TT", kExecutes, false},
    {"ssh", "-o", kExecutes, false},
    {"man", "-P", kExecutes, false},
    {"tcpdump", "-z", kExecutes, false},
    {"sqlite3", "-cmd", kExecutes, false},
    {"sqlite3", "-init", kExecutes, false},
    {"openssl", "-engine", kExecutes, false},
    {"journalctl", "--vacuum-size", kWrites, false},
    {"find", "-delete", kWrites, true},
    {"find", "-fprint", kWrites, false},
    {"find", "-fprintf", kWrites, false},
    {"find", "-fls", kWrites, false},
    {"", "--output", kWrites, false},
    {"", "--output-file", kWrites, false},
    {"", "--outfile", kWrites, false},
    {"", "--log-file", kWrites, false},
    {"", "--dump-header", kWrites, false},
    {"", "--cookie-jar", kWrites, false},
    {"", "--trace-ascii", kWrites, false},
    {"", "--output-directory", kWrites, false},
    {"", "--in-place", kWrites, true},
    {"sed", "-i", kWrites, true},
    {"perl", "-i", kWrites, true},
    {"sort", "-o", kWrites, false},
    {"tree", "-o", kWrites, false},
    {"curl", "-o", kWrites, false},
    {"curl", "-D", kWrites, false},
    {"curl", "-c", kWrites, false},
    {"curl", "-O", kWrites, true},
    {"curl", "--remote-name", kWrites, true},
    {"wget", "-O", kWrites, false},
    {"wget", "-o", kWrites, false},
    {"gcc", "-o", kWrites, false},
    {"g++", "-o", kWrites, false},
    {"unzip", "-d", kWrites, false},
    {"tar", "-C", kWrites, false},
    {"date", "--set", kWrites, false},
    {"date", "-s", kWrites, false},
    {"file", "-C", kWrites, true},
    {"", "--files0-from", kReads, false},
    {"", "--files-from", kReads, false},
    {"", "--exclude-from", kReads, false},
    {"", "--include-from", kReads, false},
    {"", "--ignore-file", kReads, false},
    {"", "--pattern-file", kReads, false},
    {"", "--from-file", kReads, false},
    {"", "--contents", kReads, false},
    {"", "--env-file", kReads, false},
    {"", "--rawfile", kReads, false},
    {"", "--slurpfile", kReads, false},
    {"", "--argfile", kReads, false},
    {"", "--random-source", kReads, false},
    {"", "--upload-file", kReads, false},
    {"", "--post-file", kReads, false},
    {"", "--input-file", kReads, false},
    {"", "--config-file", kReads, false},
    {"", "--magic-file", kReads, false},
    {"grep", "-f", kReads, false},
    {"grep", "--file", kReads, false},
    {"egrep", "-f", kReads, false},
    {"fgrep", "-f", kReads, false},
    {"rg", "-f", kReads, false},
    {"rg", "--file", kReads, false},
    {"sed", "-f", kReads, false},
    {"sed", "--file", kReads, false},
    {"awk", "-f", kReads, false},
    {"jq", "-f", kReads, false},
    {"jq", "-L", kReads, false},
    {"date", "-f", kReads, false},
    {"date", "--file", kReads, false},
    {"date", "-r", kReads, false},
    {"date", "--reference", kReads, false},
    {"file", "-f", kReads, false},
    {"file", "-m", kReads, false},
    {"tar", "-T", kReads, false},
    {"tar", "-X", kReads, false},
    {"curl", "-T", kReads, false},
    {"curl", "-K", kReads, false},
    {"curl", "-d", kReads, false},
    {"curl", "--data", kReads, false},
    {"curl", "-F", kReads, false},
    {"git", "-F", kReads, false},
    {"git", "--file", kReads, false},
    {"git", "--git-dir", kReads, false},
    {"git", "--work-tree", kReads, false},
};

constexpr Name kFormats[]{"df", "docker", "findmnt", "gh", "helm", "ip", "journalctl", "kubectl", "lsblk",
                          "lscpu", "lsns", "ps", "systemctl", "loginctl", "timedatectl", "podman", "npm"};

constexpr OutputOperand kOutputs[]{{"uniq", 1},   {"cp", -1},  {"mv", -1},    {"ln", -1},   {"install", -1}, {"tee", 0},
                                   {"split", 1},  {"xxd", 1},  {"rsync", -1}, {"scp", -1},  {"touch", 0},    {"truncate", 0},
                                   {"mkdir", 0},  {"rm", 0},   {"rmdir", 0},  {"shred", 0}, {"objcopy", -1},
                                   {"dos2unix", 0}, {"unlink", 0}, {"chmod", -1}, {"chown", -1}};

constexpr Name kClients[]{"docker", "podman", "nerdctl", "kubectl", "oc", "crictl", "ctr", "lxc", "helm"};
constexpr Name kEscapes[]{
    "run",    "exec",     "cp",      "create",  "build",      "compose",      "start",        "attach",     "commit", "import",
    "load",   "plugin",   "swarm",   "buildx",  "debug",      "port-forward", "proxy",        "apply",      "edit",   "patch",
    "replace", "--config", "-H",     "--host",  "--context",  "--privileged", "-v",           "--volume",   "--mount", "--device",
    "--pid",  "--ipc",    "--net",   "--network", "--cap-add", "--security-opt", "--kubeconfig", "--server", "--token", "--as",
    "--as-group", "--insecure-skip-tls-verify", "--tlscacert"};

constexpr Name kSockets[]{"docker.sock", "containerd.sock", "podman.sock", "crio.sock", "buildkitd.sock",
                          "system_bus_socket", "/run/systemd/private", "/run/user/", "libvirt-sock", "snapd",
                          "lxd/unix.socket", "incus", "ssh-agent", "gnupg/S.", "mysqld.sock", ".s.PGSQL",
                          "/run/udev/control", "varlink", "dbus", "redis", "/run/crun"};

bool has(Names names, std::string_view name) { return std::find(names.begin(), names.end(), name) != names.end(); }

// "python3.11" is "python3", "gcc-12" is "gcc".
std::string_view without_version(std::string_view program) {
  while (!program.empty() && (program.back() == '.' || program.back() == '-' || (program.back() >= '0' && program.back() <= '9'))) {
    program.remove_suffix(1);
  }
  return program;
}

bool has_program(Names names, std::string_view program) { return has(names, program) || has(names, without_version(program)); }

}  // namespace

bool is_interpreter(std::string_view program) { return has_program(kInterpreters, program); }
bool is_wrapper(std::string_view program) { return has_program(kWrappers, program); }
bool is_gtfobin(std::string_view program) {
  return has_program(kGtfobins, program) || is_interpreter(program) || is_wrapper(program);
}
std::span<const DangerousOption> dangerous_options() { return kOptions; }
bool output_is_a_format(std::string_view program) { return has(kFormats, program); }
std::span<const OutputOperand> output_operands() { return kOutputs; }
bool is_container_client(std::string_view program) { return has(kClients, program); }
bool is_container_escape(std::string_view word) { return has(kEscapes, word); }
bool is_control_socket(std::string_view path) {
  return std::any_of(std::begin(kSockets), std::end(kSockets), [&](std::string_view part) { return path.find(part) != std::string_view::npos; });
}

}  // namespace safe_exec
