#!/usr/bin/env bash
# Makes the Debian package, from a build of this very tree: build/katana_VERSION_ARCHITECTURE.deb. The same commit gives the same
# file, byte for byte, on machines with the same packages.
#
#   deploy/package.sh [--no-build] [--version V]
#
# --no-build packs what build/bin holds; --version names the package otherwise, as tests of an upgrade do.
set -euo pipefail
unset CDPATH
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/lib.sh

build=yes
version=
while [ $# -gt 0 ]; do
  case $1 in
    --no-build) build=no ;;
    --version) version=${2:?--version needs one}; shift ;;
    --help|-h) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) printf 'deploy/package.sh: unknown option %s; see deploy/package.sh --help\n' "$1" >&2; exit 2 ;;
  esac
  shift
done

umask 022
install_packages deploy/packages.txt deploy/package/packages.txt
if [ "$build" = yes ]; then build release katana-programs; elif [ ! build/CPackConfig.cmake -nt deploy/package/package.cmake ]; then cmake --preset release >/dev/null; fi
# Every time in the package is this one: the commit's.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
PYTHONDONTWRITEBYTECODE=1 python3 deploy/package/assemble.py . build
rm -f build/katana_*.deb
if ! (cd build && cpack ${version:+-D "CPACK_PACKAGE_VERSION=$version"}) >build/package/cpack.log 2>&1; then
  cat build/package/cpack.log >&2
  die "Packing failed; the reason stands above."
fi
say "$PWD/$(ls build/katana_*.deb)"
