#!/bin/bash
# Runs the Autobahn test suite against an echo in a component.
#
#     tests/conformance.sh [--if-available] [--client] [SET]
#
# As a server, the set fast uses the default app's /echo, and the others tests/guests/conformance, whose limits
# admit the suite's messages of up to 16 MiB. As a client, with --client, it tests the component of
# `wasocket connect`, driven by tests/interop/autobahn_client.rs.
#
# SET is fast (default: all but the long and the compressed cases), core, deflate, all, or case
# patterns such as '1.* 6.4.*'. Reports go to target/conformance/server and client. Exit status 0: every case passed.
# With --if-available a missing suite is reported, but not a failure.
#
#   WASOCKET         the server (target/debug/wasocket)
#   WASOCKET_CLIENT  the client (target/debug/examples/autobahn-client)
#   AUTOBAHN_SUITE   a folder with the suite's setup.sh (../shared/autobahn)
#   AUTOBAHN_HOME    the folder where that installs the suite (~/.cache/autobahn-testsuite)
#   AB_COUNT         the number of messages that each compressed case exchanges (1000)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

status_without_suite=1
role=server
while [[ ${1:-} == --* ]]; do
  case $1 in
    --if-available) status_without_suite=0 ;;
    --client) role=client ;;
    *)
      echo "usage: tests/conformance.sh [--if-available] [--client] [SET]" >&2
      exit 2
      ;;
  esac
  shift
done
cases=${1:-fast}
suite=${AUTOBAHN_SUITE:-$root/../shared/autobahn}
installed=${AUTOBAHN_HOME:-$HOME/.cache/autobahn-testsuite}
report=$root/target/conformance/$role
if [ $role = client ]; then
  program=${WASOCKET_CLIENT:-$root/target/debug/examples/autobahn-client}
else
  program=${WASOCKET:-$root/target/debug/wasocket}
fi

if [ ! -x "$suite/setup.sh" ]; then
  cat >&2 <<NOTE
conformance: no Autobahn test suite at $suite; no case was run.
It is the public Autobahn|Testsuite, package autobahntestsuite on PyPI, which needs CPython 2.7.
Set AUTOBAHN_SUITE to a folder with a setup.sh that installs to \${AUTOBAHN_HOME:-~/.cache/autobahn-testsuite}
  wstest                             the suite; written last
  run.sh URL AGENT CASES             runs its fuzzingclient, and
  serve.sh PORT CASES -- COMMAND ..  its fuzzingserver, while a client runs, with its URL for {URL} in
                                     the command; both report to \$OUT, and exit 0 if every case passed
NOTE
  exit $status_without_suite
fi
if [ ! -x "$program" ]; then
  echo "conformance: no $role at $program: run \`make conformance\`" >&2
  exit 1
fi
# Once, although both roles may run at the same time.
mkdir -p "$installed"
(
  flock 9
  [ -x "$installed/wstest" ] || "$suite/setup.sh"
) 9>"$installed/.lock"
export STRICT=1 # cases that are only NON-STRICT fail, too
mkdir -p "$report"

if [ $role = client ]; then
  port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
  OUT=$report exec "$installed/serve.sh" "$port" "$cases" -- "$program" "{URL}"
fi

component=()
if [ "$cases" != fast ]; then
  (cd "$root" && cargo build --quiet --release --target wasm32-wasip2 --target-dir target/guests -p conformance)
  component=("$root/target/guests/wasm32-wasip2/release/conformance.wasm" --memory 256 --call-timeout 1000)
fi

# The address of an earlier run must not be taken for this one's.
: >"$report/server.out"
"$program" serve "${component[@]}" --listen 127.0.0.1:0 >"$report/server.out" 2>"$report/server.err" &
server_pid=$!
trap 'kill $server_pid 2>/dev/null || true; wait $server_pid || true' EXIT

port=
for _ in {1..100}; do
  port=$(sed -n 's#.*http://127\.0\.0\.1:\([0-9]*\)/.*#\1#p' "$report/server.out")
  if [ -n "$port" ] || ! kill -0 $server_pid 2>/dev/null; then break; fi
  sleep 0.1
done
if [ -z "$port" ]; then
  echo "conformance: the server did not print its address:" >&2
  cat "$report/server.out" "$report/server.err" >&2
  exit 1
fi

OUT=$report "$installed/run.sh" "ws://127.0.0.1:$port/echo" wasocket "$cases"
