#!/usr/bin/env bash
# Proves the two commands in a pristine Debian 12 tree: debootstrap (minbase, its default mirror, cached) and git, nothing
# else; then a clone of this repository's HEAD, deploy/run.sh --no-chat with a look at /health and /metrics, and
# tests/run.sh. Needs root, debootstrap and some 6 GB. Not part of tests/run.sh.
#
#   tests/deploy/fresh.sh [--run-only]     --run-only leaves tests/run.sh out
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[ "$(id -u)" -eq 0 ] || { echo "tests/deploy/fresh.sh needs root for debootstrap and chroot" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "debootstrap is missing: apt-get install debootstrap" >&2; exit 1; }
run_only=no
[ "${1:-}" != --run-only ] || run_only=yes

cache=${XDG_CACHE_HOME:-$HOME/.cache}/katana-fresh
pristine=$cache/bookworm.tar
mkdir -p "$cache"
tree=$(mktemp -d "$cache/tree.XXXXXX")
mounted=()
cleanup() {
  local m
  for m in "${mounted[@]}"; do umount -l "$m" || true; done
  rm -rf --one-file-system "$tree"
}
trap cleanup EXIT

if [ ! -s "$pristine" ]; then
  echo "== making a pristine tree"
  debootstrap --variant=minbase --include=git,ca-certificates bookworm "$tree" >"$cache/debootstrap.log" 2>&1 ||
    { tail -n 20 "$cache/debootstrap.log" >&2; exit 1; }
  tar -C "$tree" -cf "$pristine.part" . && mv "$pristine.part" "$pristine"
else
  tar -C "$tree" -xf "$pristine"
fi

for m in proc sys dev dev/pts; do mount --bind "/$m" "$tree/$m"; mounted=("$tree/$m" "${mounted[@]}"); done
mount -t tmpfs tmpfs "$tree/dev/shm" && mounted=("$tree/dev/shm" "${mounted[@]}")
cp /etc/resolv.conf "$tree/etc/resolv.conf"
# A machine that reaches its mirror through a proxy or a local mirror says so in its own apt configuration.
for f in /etc/apt/apt.conf.d/*proxy* /etc/apt/sources.list /etc/apt/sources.list.d/*; do
  [ ! -e "$f" ] || cp "$f" "$tree$f"
done

git clone -q --no-local . "$tree/katana"
inside() {
  env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb \
    ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
    ${npm_config_registry:+npm_config_registry="$npm_config_registry"} \
    chroot "$tree" bash -c "cd /katana && $1"
}

echo "== deploy/run.sh --no-chat"
inside 'deploy/run.sh --no-chat >/run.log 2>&1 & pid=$!
for i in $(seq 1 3600); do
  if command -v curl >/dev/null && curl -fsS http://127.0.0.1:9710/health 2>/dev/null; then ok=yes; break; fi
  kill -0 $pid 2>/dev/null || break
  sleep 1
done
echo
[ "${ok:-}" = yes ] || { tail -n 40 /run.log; exit 1; }
curl -fsS http://127.0.0.1:9710/metrics | grep -c ^katana_
kill -TERM $pid; wait $pid'

[ "$run_only" = no ] || { echo "== done"; exit 0; }
echo "== tests/run.sh"
inside 'tests/run.sh'
