#!/usr/bin/env bash
# Katana deployed for real, in each of the ways in which people run it, and broken on purpose. Needs root, and some 15 GB.
#
#   tests/deploy/run.sh                     all of it, also what CI leaves out for its time (some 40 min on 2 cores)
#   tests/deploy/run.sh PART …              systemd compose hosts supervisor files image reproducible fresh
#
# systemd, compose, hosts, supervisor and files run in tests/run.sh, too. Left out there: `image` compiles Katana inside docker build
# (10 min); `reproducible` compiles it twice from nothing (15 min); `fresh` runs the two commands in a pristine Debian (30 min).
set -euo pipefail
unset CDPATH
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. deploy/lib.sh

case ${1:-} in --help|-h) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
[ "$(id -u)" -eq 0 ] || die "tests/deploy/run.sh needs root: it boots machines and makes networks."
[ $# -gt 0 ] || set -- systemd compose hosts supervisor files image reproducible
for part in "$@"; do
  case $part in systemd|compose|hosts|supervisor|files|image|reproducible|fresh) ;; *)
    printf 'tests/deploy/run.sh: there is no part %s; see tests/deploy/run.sh --help\n' "$part" >&2; exit 2 ;;
  esac
done

install_packages deploy/packages.txt tests/packages.txt
build release
export KATANA_BIN=$PWD/build/bin PYTHONDONTWRITEBYTECODE=1
failed=
for part in "$@"; do
  say "== $part"
  case $part in
    image) KATANA_DOCKER_BUILD=1 python3 tests/deploy/compose_test.py || failed="$failed $part" ;;
    reproducible|fresh) "tests/deploy/$part.sh" || failed="$failed $part" ;;
    *) python3 "tests/deploy/${part}_test.py" || failed="$failed $part" ;;
  esac
done
[ -z "$failed" ] || die "failed:$failed"
