#!/usr/bin/env bash
# Runs clang-tidy with .clang-tidy over our C++ (or over the given files). Needs a configured build/; takes minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
command -v clang-tidy >/dev/null || { echo "clang-tidy is missing: apt-get install clang-tidy" >&2; exit 1; }
[ -f build/compile_commands.json ] || cmake --preset release >/dev/null
if [ $# -eq 0 ]; then
  mapfile -t files < <(git ls-files 'common/*.cpp' 'gateway/*.cpp' 'workers/*.cpp' 'watchdog/*.cpp')
else
  files=("$@")
fi
printf '%s\n' "${files[@]}" | xargs -P "$(nproc)" -n 4 clang-tidy -p build --quiet
