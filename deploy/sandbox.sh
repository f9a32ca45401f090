# The part of deploy/run.sh that runs Katana against katana-sandbox. Sourced by it: uses $bin, $chat and say().

# Made up for the sandbox, which knows no others.
users_token=100000001:SANDBOX-users-bot-token-00000000000
alert_token=100000002:SANDBOX-alert-bot-token-00000000000

run_in_sandbox() {
  local state=$PWD/state/sandbox ready url smtp
  mkdir -p "$state"
  chmod 700 "$state"
  ready=$state/sandbox.json
  rm -f "$ready"
  sandbox_pid= katana_pid= chat_pid= stopping=no

  # Sessions of their own: a Ctrl-C reaches this script alone, which then stops them in order.
  # --any-chat: the ops chat exists without anybody having opened it.
  setsid "$bin/katana-sandbox" --any-chat --token "$users_token" --token "$alert_token" --ready-file "$ready" \
    >"$state/sandbox.log" 2>&1 &
  sandbox_pid=$!
  trap 'end "$sandbox_pid"' EXIT
  trap 'stop' HUP
  trap 'stop again' INT TERM
  wait_for_file "$ready" "$sandbox_pid" || [ "$stopping" = yes ] || die "The sandbox did not start; see $state/sandbox.log"
  [ "$stopping" = no ] || exit 0
  url=$(sed -n 's/.*"url":"\([^"]*\)".*/\1/p' "$ready")
  smtp=$(sed -n 's/.*"smtp":\([0-9]*\).*/\1/p' "$ready")

  # Nothing leaves this machine: no other way out that is set here is used, and no .env is read (see --env-file below).
  local name
  for name in ALERT_COMMAND ALERT_WEBHOOK_URL ALERT_DEADMAN_URL SMTP_USER SMTP_PASSWORD KATANA_TELEGRAM_PROXY \
    KATANA_PROVIDER_PROXY TELEGRAM_BOT_TOKEN_ALERT TELEGRAM_CHAT_ID_ALERT KATANA_STORE TELEGRAM_ALERT_BOT_TOKEN; do
    unset "$name" "${name}_FILE"
  done
  unset CREDENTIALS_DIRECTORY
  set -- --env-file /dev/null "$@"

  # The run directory is the usual one of `katana up` here, so that `katana status` and the others find it.
  export KATANA_STATE_DIR=$state KATANA_RUN_DIR=$PWD/state/run
  export KATANA_TELEGRAM_TOKEN=$users_token TELEGRAM_ALERT_BOT_TOKEN=$alert_token TELEGRAM_ALERT_CHAT_ID=2000
  export KATANA_TELEGRAM_API_URL=$url ANTHROPIC_BASE_URL=$url/anthropic OPENAI_BASE_URL=$url/openai/v1
  export ANTHROPIC_API_KEY=sandbox-key-for-anthropic OPENAI_API_KEY=sandbox-key-for-openai OPENAI_API=responses
  export SMTP_URL=smtp://127.0.0.1:$smtp ALERT_EMAIL_FROM=katana@localhost ALERT_EMAIL_TO=operator@localhost
  export KATANA_ADMINS=1000 KATANA_ACCESS=pairing

  say
  say "No token and no key is set: Katana runs against its own sandbox. Nothing leaves this machine."
  say "  Chat page:    $url/?chat=1000"
  say "  Status page:  http://${KATANA_WATCHDOG_HTTP:-127.0.0.1:9780}/"
  say "  Health:       http://${KATANA_GATEWAY_HTTP:-127.0.0.1:9710}/health"
  say "To serve a real bot: $bin/katana init, then deploy/run.sh again."
  say "To make it permanent: see \"Keep it running\" in README.md."
  say

  if [ "$chat" = yes ] && [ -t 0 ] && [ -t 1 ]; then
    chat_beside_katana "$state/katana.log" "$@"
  else
    setsid "$bin/katana" up "$@" &
    katana_pid=$!
  fi
  local status=0
  wait_for_end "$katana_pid" || status=$?
  exit "$status"
}

# The chat runs in the background, with this terminal as its input, so that a signal to this script is heard at once.
# Whichever of the two ends first ends the other.
chat_beside_katana() {
  local log=$1 terminal
  shift
  say "Write a message; /openai and /claude change who answers; Ctrl-C ends. The log is in $log"
  say
  terminal=$(stty -g)
  setsid "$bin/katana" up "$@" >"$log" 2>&1 &
  katana_pid=$!
  "$bin/katana-sandbox" chat --url "$url" --chat 1000 --while "$katana_pid" <&0 &
  chat_pid=$!
  wait_for_end "$chat_pid" || true
  stty "$terminal" 2>/dev/null || true
  if [ "$stopping" = no ] && ! kill -0 "$katana_pid" 2>/dev/null; then
    say "Katana has ended; its last words:"
    tail -n 5 "$log"
  fi
  stop
}

wait_for_file() {
  local tries=0
  while [ ! -s "$1" ]; do
    kill -0 "$2" 2>/dev/null || return 1
    tries=$((tries + 1))
    [ "$tries" -lt 200 ] || return 1
    sleep 0.05
  done
}

# Its status. `wait` alone would not do: when a closed terminal's signal and the child's end come together, the one of
# bash 5.2 sleeps on.
wait_for_end() {
  while kill -0 "$1" 2>/dev/null; do sleep 0.2; done
  wait "$1"
}

# Once, however many reasons there are; a second signal from a person hurries.
stop() {
  [ "$stopping" = no ] || [ "${1:-}" = again ] || return 0
  stopping=yes
  end "$chat_pid"
  end "$katana_pid"
}

end() {
  [ -z "$1" ] || kill -TERM "$1" 2>/dev/null || true
}
