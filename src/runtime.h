// Level 2. The runtime closure of a program, read from its ELF headers and never by running ldd: interpreter,
// DT_NEEDED by RUNPATH/RPATH, ld.so.cache and the default directories; and what every program needs beside it.
#pragma once

#include "model.h"

namespace safe_exec {

// Appends grants of origin runtime and device to plan.grants: closures of the binary, of a script's interpreter
// and of each executable policy grant; /etc/ld.so.cache; the plan's bundles; the C.UTF-8 locale when the environment names any; /dev/null, zero, full, random and urandom.
// The binary itself and its ELF interpreter are executable, libraries are read only. A library that is not found
// is left out (the program's own loader then names it). Errors: launch_failed (not ELF, wrong machine, broken).
[[nodiscard]] Expected<void> add_runtime(Plan& plan);

}  // namespace safe_exec
