#!/usr/bin/env bash
# Kills gateways and workers at every named step while people ask, and judges what they saw; cuts the store's power and
# the ways between processes, fills the disk, and has a crowd ask at once: at Telegram's real pace, and a slow worker.
#
#   tests/fault/run.sh           344 deaths, 1,000 losses of power, a crowd of 240: a few minutes
#   tests/fault/run.sh --full    10,000 of each
set -euo pipefail
unset CDPATH
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. deploy/lib.sh

case ${1:-} in
  '') kills=(gateway:200 worker:80 both:20 frozen:20) limited=24 losses=1000 flood='' outage=5 freeze=8 pages=40 calm=40 ;;
  --full) kills=(gateway:6000 worker:3500 both:500 frozen:200) limited=300 losses=10000 flood=full outage=30 freeze=30 pages=3600 calm=1800 ;;
  --help|-h) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;;
  *) printf 'tests/fault/run.sh: unknown option %s; see tests/fault/run.sh --help\n' "$1" >&2; exit 2 ;;
esac

install_packages deploy/packages.txt tests/packages.txt
build fault katana katana-gateway katana-claude katana-openai katana-watchdog katana-sandbox fault_power_loss bad_machine
export KATANA_BIN=$PWD/build-fault/bin PYTHONDONTWRITEBYTECODE=1
for victims in "${kills[@]}"; do
  say "== ${victims%:*}"
  python3 tests/fault/kills.py --victims "${victims%:*}" --kills "${victims#*:}" --fields 16 --freeze "$freeze"
done
say "== gateway, with Telegram's limits"
python3 tests/fault/kills.py --victims gateway --limits --kills "$limited" --fields 12
python3 tests/fault/freeze_test.py
say "== losses of power"
KATANA_LOSSES=$losses build-fault/bin/fault_power_loss --gtest_brief=1
say "== cuts of the ways, and every message of the bus"
KATANA_TIMES=judge python3 tests/fault/cuts_test.py
python3 tests/fault/ways_test.py
python3 tests/fault/streams_test.py
python3 tests/fault/messages_test.py ${1:-}
say "== a disk that is full or fails, a damaged store, clocks that jump"
KATANA_OUTAGE=$outage python3 tests/fault/machine_test.py
say "== Telegram's limits"
KATANA_FLOOD=$flood python3 tests/fault/flood_test.py
say "== pages while their channels are down, and none for an overloaded machine"
KATANA_PAGES_OUTAGE=$pages python3 tests/fault/pages_test.py
KATANA_CALM=$calm python3 tests/fault/calm_test.py
say "== a slow worker"
KATANA_FLOOD=$flood python3 tests/fault/slow_test.py
