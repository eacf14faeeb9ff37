#!/bin/sh
# Takes the README's screenshot of the default page: screenshot.sh PROGRAM FILE.png, with PROGRAM built by `make run`.
set -eu
cd "$(dirname "$0")"
started=$(mktemp)
"$1" serve --listen 127.0.0.1:0 >"$started" 2>&1 &
runner=$!
trap 'kill $runner; rm -f "$started"' EXIT
for _ in $(seq 300); do
  grep -q 'http://127.0.0.1:[0-9]' "$started" && break
  sleep 0.1
done
port=$(sed -n 's|.*http://127\.0\.0\.1:\([0-9]*\)/.*|\1|p' "$started" | head -n 1)
node screenshot.mjs "ws://127.0.0.1:${port:?the runner did not start: $(cat "$started")}" "$2"
