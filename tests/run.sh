#!/usr/bin/env bash
# Installs what the tests need, builds, and runs all of them; ends with ctest's own summary.
#
#   tests/run.sh            everything: release, then units and quick functional tests under ASan+UBSan and TSan
#   tests/run.sh --quick    release only, the tests labelled quick: the part to run while working
set -euo pipefail
unset CDPATH
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/lib.sh

quick=no
case ${1:-} in
  '') ;;
  --quick) quick=yes ;;
  --help|-h) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;;
  *) printf 'tests/run.sh: unknown option %s; see tests/run.sh --help\n' "$1" >&2; exit 2 ;;
esac

install_packages deploy/packages.txt tests/packages.txt

# run_tests DIRECTORY [CTEST OPTIONS]. Most tests wait for a process or the network most of the time: two a core.
run_tests() {
  local where=$1
  shift
  ctest --test-dir "$where" --output-on-failure --no-tests=error --parallel "$((2 * $(nproc)))" "$@"
}

say "== release"
build release
if [ "$quick" = yes ]; then
  run_tests build -L quick
  exit
fi

say "== AddressSanitizer and UndefinedBehaviorSanitizer"
build asan
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1
run_tests build-asan -L quick

say "== ThreadSanitizer"
build tsan
export TSAN_OPTIONS="suppressions=$PWD/tests/tsan.supp halt_on_error=1"
run_tests build-tsan -L quick

say "== everything, release"
run_tests build

say "== the benchmark runs (its figures, beside other work, are worth nothing)"
tests/bench/run.sh --runs 1 --only chat1,streams500
