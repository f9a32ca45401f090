#!/usr/bin/env bash
# Makes deploy/secrets for compose.yaml: an empty file for each secret that isn't there yet, readable by the containers' user
# alone. An empty one stands for none.
#
#   deploy/secrets.sh [NAME]     with a NAME: its value is read from standard input, and isn't shown
set -euo pipefail
unset CDPATH
user=10001
cd "$(dirname "${BASH_SOURCE[0]}")"
[ "$(id -u)" -eq 0 ] || { echo "deploy/secrets.sh: run it as root: the files belong to the containers' user" >&2; exit 1; }
names=$(sed -n 's#^  \([A-Z_]*\): {file: ./secrets/.*#\1#p' compose.yaml)
install -d -m 700 secrets
if [ $# -gt 0 ]; then
  grep -qxF -e "$1" <<<"$names" || { echo "deploy/secrets.sh: $1 is none of: ${names//$'\n'/ }" >&2; exit 2; }
  [ ! -t 0 ] || printf '%s (not shown): ' "$1" >&2
  IFS= read -rs value || [ -n "$value" ]
  printf %s "$value" | install -o "$user" -m 400 /dev/stdin "secrets/$1"
  exit
fi
for name in $names; do
  [ -e "secrets/$name" ] || install -o "$user" -m 400 /dev/null "secrets/$name"
done
