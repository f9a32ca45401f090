#!/usr/bin/env bash
# Builds and runs Katana on a fresh Debian 12 machine, in the foreground.
#
#   deploy/run.sh [--no-chat] [--build-only] [-- OPTIONS OF katana up]
#
# With KATANA_TELEGRAM_TOKEN in the environment or in ./.env it serves that bot. With no token and no key at all it starts
# the same processes against katana-sandbox, a pretend Telegram, Anthropic and OpenAI, so that you can chat at once.
set -euo pipefail

usage() {
  sed -n '2,7s/^# \{0,1\}//p' "$0"
  cat <<'TEXT'

  --no-chat      in the sandbox: no chat in this terminal, only logs
  --build-only   install and build, then stop
  --help         this text
TEXT
}

chat=yes
build_only=no
while [ $# -gt 0 ]; do
  case $1 in
    --no-chat) chat=no ;;
    --build-only) build_only=yes ;;
    --help|-h) usage; exit 0 ;;
    --) shift; break ;;
    *) printf 'deploy/run.sh: unknown option %s; see deploy/run.sh --help\n' "$1" >&2; exit 2 ;;
  esac
  shift
done

unset CDPATH  # with it, cd prints where it went
caller=$PWD
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$top/deploy/lib.sh"

cd "$top"
install_packages deploy/packages.txt
say "Building (the first time takes some minutes) …"
build release katana-programs
bin=$top/build/bin
[ "$build_only" = no ] || { say "Built: $bin"; exit 0; }
cd "$caller"

if has_settings "$@"; then
  say "To make it permanent: see \"Keep it running\" in README.md."
  exec "$bin/katana" up "$@"
fi

. "$top/deploy/sandbox.sh"
run_in_sandbox "$@"
