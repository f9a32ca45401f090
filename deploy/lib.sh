# Shared by deploy/run.sh and tests/run.sh: say, install what is missing, build. Sourced, not run.

say() { printf '%s\n' "$*"; }
die() { printf '%s\n' "$*" >&2; exit 1; }

# has_settings [OPTIONS OF katana up]: whether somebody has set up a bot here: a token or a key in the environment or in
# ./.env, directly or as NAME_FILE or in $CREDENTIALS_DIRECTORY; or a file of settings that the options name. A `.env`
# that can't be read counts: katana up says what to do about it.
has_settings() {
  local option name
  for option in "$@"; do
    case $option in --env-file|--env-file=*) return 0 ;; esac
  done
  [ ! -e .env ] || [ -r .env ] || return 0
  for name in KATANA_TELEGRAM_TOKEN ANTHROPIC_API_KEY OPENAI_API_KEY; do
    [ -z "${CREDENTIALS_DIRECTORY:-}" ] || [ ! -f "$CREDENTIALS_DIRECTORY/$name" ] || return 0
    for name in "$name" "${name}_FILE"; do
      [ -z "${!name:-}" ] || return 0
      [ ! -e .env ] || ! grep -qE "^[[:space:]]*(export[[:space:]]+)?$name[[:space:]]*=[[:space:]]*[^[:space:]#]" .env || return 0
    done
  done
  return 1
}

# The packages of the given lists that this machine lacks. A line `package|program` is content with the program, wherever
# it comes from (npm may have come with a newer Node.js than Debian's).
missing_packages() {
  local line
  sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$@" | while read -r line; do
    case $line in *'|'*) ! command -v "${line#*|}" >/dev/null || continue ;; esac
    dpkg-query -W -f='${Status}' "${line%%|*}" 2>/dev/null | grep -q 'install ok installed' || printf '%s\n' "${line%%|*}"
  done
}

# Installs what the given lists name and this machine lacks. sudo is used for this step alone.
install_packages() {
  local missing as_root=()
  missing=$(missing_packages "$@")
  [ -n "$missing" ] || return 0
  command -v apt-get >/dev/null || die "These Debian packages are missing, and there is no apt-get to install them: $missing"
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "These packages are missing: $missing
Install them as root (apt-get install …), or install sudo, and run this again."
    as_root=(sudo)
  fi
  say "Installing: $(printf '%s ' $missing)"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

# Compile jobs: one per 1.5 GB of memory that is free, at most one a core.
build_jobs() {
  local by_memory cores
  by_memory=$(awk '/MemAvailable/ {print int($2 / 1572864)}' /proc/meminfo)
  cores=$(nproc)
  [ "$by_memory" -ge 1 ] || by_memory=1
  if [ "$by_memory" -lt "$cores" ]; then printf '%s' "$by_memory"; else printf '%s' "$cores"; fi
}

# build PRESET [TARGET …]: configures and builds; prints only what went wrong. Run from the tree's top. ccache hashes paths
# relative to it, so that another clone finds what this one has compiled.
build() {
  local preset=$1 log
  shift
  log=$(mktemp)
  if ! cmake --preset "$preset" >"$log" 2>&1; then
    cat "$log" >&2; rm -f "$log"
    die "Configuring ($preset) failed; the reason stands above."
  fi
  if ! CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1 cmake --build --preset "$preset" --parallel "$(build_jobs)" ${1:+--target "$@"} >"$log" 2>&1; then
    grep -vE '^\[[0-9]+/[0-9]+\] (Building|Linking)' "$log" | tail -n 80 >&2; rm -f "$log"
    die "Building ($preset) failed; the reason stands above."
  fi
  rm -f "$log"
}
