#!/bin/sh
# Copies the tests beside their packages (Node looks for packages from the file's own place) and installs those packages,
# unless the same lock file was installed before.  install.sh SOURCE-DIR BUILD-DIR
set -eu
source=$1
build=$2
mkdir -p "$build"
cp "$source"/*.mjs "$source"/package.json "$source"/package-lock.json "$source"/.npmrc "$build"/
cd "$build"
if cmp -s package-lock.json .installed-lock && [ -d node_modules ]; then exit 0; fi
command -v npm >/dev/null || { echo "npm is missing: apt install nodejs npm" >&2; exit 1; }
npm ci --no-audit --no-fund --ignore-scripts
cp package-lock.json .installed-lock
