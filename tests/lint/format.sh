#!/usr/bin/env bash
# Formats our C++ with .clang-format (clang-format 14, as in Debian 12); --check only says what differs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
command -v clang-format >/dev/null || { echo "clang-format is missing: apt-get install clang-format" >&2; exit 1; }
mapfile -t files < <(git ls-files '*.cpp' '*.hpp')
case ${1:-} in
  --check) clang-format --dry-run --Werror "${files[@]}" ;;
  '') clang-format -i "${files[@]}" ;;
  *) echo "usage: tests/lint/format.sh [--check]" >&2; exit 2 ;;
esac
