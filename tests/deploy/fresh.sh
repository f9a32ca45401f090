#!/usr/bin/env bash
# Proves the two commands in a pristine Debian 12 tree: debootstrap (minbase, its default mirror, cached) and git, nothing
# else; then a clone of this repository's HEAD, deploy/run.sh --no-chat with a look at /health and /metrics, and
# tests/run.sh. Needs root, debootstrap and some 6 GB. Not part of tests/run.sh.
#
#   tests/deploy/fresh.sh [--run-only]     --run-only leaves tests/run.sh out
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[ "$(id -u)" -eq 0 ] || { echo "tests/deploy/fresh.sh needs root for debootstrap and chroot" >&2; exit 1; }
command -v curl >/dev/null || { echo "curl is missing: apt-get install curl" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "debootstrap is missing: apt-get install debootstrap" >&2; exit 1; }
run_only=no
[ "${1:-}" != --run-only ] || run_only=yes

cache=${XDG_CACHE_HOME:-$HOME/.cache}/katana-fresh
pristine=$cache/bookworm.tar
mkdir -p "$cache"
tree=$(mktemp -d "$cache/tree.XXXXXX")
mounted=()
running=
cleanup() {
  local m
  [ -z "$running" ] || ! kill -TERM "$running" 2>/dev/null || wait "$running" || true
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
chmod 755 "$tree"  # it is a root directory now: Postfix's own user must be able to pass it

for m in proc sys dev dev/pts; do mount --bind "/$m" "$tree/$m"; mounted=("$tree/$m" "${mounted[@]}"); done
mount -t tmpfs tmpfs "$tree/dev/shm" && mounted=("$tree/dev/shm" "${mounted[@]}")
cp /etc/resolv.conf "$tree/etc/resolv.conf"
# A machine that reaches its mirror through a proxy or a local mirror says so in its own apt configuration.
if compgen -G '/etc/apt/sources.list.d/*.sources' >/dev/null || [ -e /etc/apt/sources.list ]; then
  rm -f "$tree/etc/apt/sources.list"  # ours names the same places
fi
for f in /etc/apt/apt.conf.d/*proxy* /etc/apt/sources.list /etc/apt/sources.list.d/*; do
  [ ! -e "$f" ] || cp "$f" "$tree$f"
done

# Likewise one whose way out has a certificate of its own.
if compgen -G '/usr/local/share/ca-certificates/*.crt' >/dev/null; then
  cp /usr/local/share/ca-certificates/*.crt "$tree/usr/local/share/ca-certificates/"
  chroot "$tree" update-ca-certificates >/dev/null 2>&1
fi

git clone -q --no-local . "$tree/katana"
# Becomes a shell command inside the tree; call it in a subshell. It execs, so a signal reaches the command itself.
enter() {
  exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb \
    NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt \
    ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
    ${npm_config_registry:+npm_config_registry="$npm_config_registry"} \
    chroot "$tree" bash -c "cd /katana && exec $1"
}

echo "== deploy/run.sh --no-chat"
(enter 'deploy/run.sh --no-chat') >"$tree/run.log" 2>&1 &
running=$!
# The tree has no curl and the network is this machine's: ask from outside.
up=no
for _ in $(seq 3600); do
  kill -0 "$running" 2>/dev/null || break
  if health=$(curl -fsS http://127.0.0.1:9710/health 2>/dev/null); then up=yes; break; fi
  sleep 1
done
[ "$up" = yes ] || { tail -n 40 "$tree/run.log" >&2; echo "it did not come up" >&2; exit 1; }
printf '%s\n' "$health"
printf '%s metrics\n' "$(curl -fsS http://127.0.0.1:9710/metrics | grep -c '^katana_')"
kill -TERM "$running"
status=0; wait "$running" || status=$?
[ "$status" -eq 0 ] || { tail -n 40 "$tree/run.log" >&2; echo "it stopped with status $status" >&2; exit 1; }
running=

[ "$run_only" = no ] || { echo "== done"; exit 0; }
echo "== tests/run.sh"
(enter 'tests/run.sh')
