#!/usr/bin/env bash
# Measures the whole system against katana-sandbox: 1 chat, 200 chats, 500 streams, idle. Prints a table; figures of one
# run are comparable with each other only. See tests/bench/README.md.
#
#   tests/bench/run.sh [--runs N] [--store disk|tmpfs] [--streaming edit|off] [--only chat1,chats200,streams500,idle]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. deploy/lib.sh
case ${1:-} in --help|-h) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
install_packages deploy/packages.txt
command -v python3 >/dev/null || die "python3 is missing: apt-get install python3"
build release katana-programs katana-bare-bot
KATANA_BIN=$PWD/build/bin PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=tests/functional exec python3 tests/bench/bench.py "$@"
