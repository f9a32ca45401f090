#!/usr/bin/env bash
# Two builds, one hash: the package from two clones of HEAD, in folders of different names, each compiled from nothing. Some 15 min
# on 2 cores.
#
#   tests/deploy/reproducible.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
for folder in one another/and/longer; do
  git clone -q . "$place/$folder"
  (cd "$place/$folder" && CCACHE_DISABLE=1 deploy/package.sh >/dev/null && sha256sum <build/katana_*.deb)
done | tee "$place/hashes"
[ "$(sort -u "$place/hashes" | wc -l)" -eq 1 ] || { echo "the two packages differ" >&2; exit 1; }
echo "two builds, one hash"
