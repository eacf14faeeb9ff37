#!/bin/bash
# Runs the Autobahn test suite against an echo in a component: with the set fast the default app's
# /echo, else tests/guests/conformance, whose limits let the suite's messages of up to 16 MiB pass.
#
#     tests/conformance.sh [--if-available] [SET]
#
# SET is fast (default: all but the long and the compressed cases), core, deflate, all, or case
# patterns such as '1.* 6.4.*'. Exit status 0: every case passed. With --if-available a missing
# suite is a note and no failure.
#
#   WASOCKET        the server (target/debug/wasocket)
#   AUTOBAHN_SUITE  a folder with the suite's setup.sh and run.sh (../shared/autobahn)
#   AUTOBAHN_HOME   where setup.sh installs the suite (~/.cache/autobahn-testsuite)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

status_without_suite=1
if [ "${1:-}" = --if-available ]; then
  status_without_suite=0
  shift
fi
cases=${1:-fast}
suite=${AUTOBAHN_SUITE:-$root/../shared/autobahn}
installed=${AUTOBAHN_HOME:-$HOME/.cache/autobahn-testsuite}
server=${WASOCKET:-$root/target/debug/wasocket}
report=$root/target/conformance

if [ ! -x "$suite/setup.sh" ]; then
  cat >&2 <<NOTE
conformance: no Autobahn test suite at $suite; no case was run.
It is the public Autobahn|Testsuite, the package autobahntestsuite on PyPI, and needs CPython 2.7.
Set AUTOBAHN_SUITE to a folder with
  setup.sh                  installs it to \${AUTOBAHN_HOME:-~/.cache/autobahn-testsuite}, run.sh included
  run.sh URL AGENT CASES    runs its fuzzingclient, reports to \$OUT, exits 0 when every case passed
NOTE
  exit $status_without_suite
fi
if [ ! -x "$server" ]; then
  echo "conformance: no server at $server: build it, or set WASOCKET" >&2
  exit 1
fi
# setup.sh writes wstest last.
[ -x "$installed/wstest" ] || "$suite/setup.sh"

component=()
if [ "$cases" != fast ]; then
  (cd "$root" && cargo build --quiet --release --target wasm32-wasip2 -p conformance)
  component=("$root/target/wasm32-wasip2/release/conformance.wasm" --memory 256 --call-timeout 1000)
fi

mkdir -p "$report"
"$server" serve "${component[@]}" --listen 127.0.0.1:0 >"$report/server.out" 2>"$report/server.err" &
server_pid=$!
trap 'kill $server_pid 2>/dev/null || true; wait $server_pid || true' EXIT

port=
for _ in {1..100}; do
  port=$(sed -n 's#.*http://127\.0\.0\.1:\([0-9]*\)/.*#\1#p' "$report/server.out")
  if [ -n "$port" ] || ! kill -0 $server_pid 2>/dev/null; then break; fi
  sleep 0.1
done
if [ -z "$port" ]; then
  echo "conformance: the server does not say where it listens:" >&2
  cat "$report/server.out" "$report/server.err" >&2
  exit 1
fi

OUT=$report "$installed/run.sh" "ws://127.0.0.1:$port/echo" wasocket "$cases"
