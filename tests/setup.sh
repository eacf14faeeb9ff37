#!/bin/bash
# Installs what tests/interop, tests/serve/surroundings, swap and topics, and tests/commands/deploy.rs need: Go with
# gorilla/websocket and golang.org/x/net, Chromium, Pushpin, systemd for its tools, buildah, python3-seccomp, faketime, four
# proxies, NATS and Redis, as Debian packages; npm's ws, playwright-core, jco and @fanoutio/grip next to the tests, and the
# dependencies of npm/; Python's websockets and the tools of languages/ under target/.
# Prints what it installs, and nothing if everything is installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

packages=(
  golang-go golang-github-gorilla-websocket-dev golang-golang-x-net-dev
  chromium pushpin systemd buildah python3-seccomp faketime
  # Proxies, which the tests start themselves: their services are not needed.
  nginx libnginx-mod-stream haproxy caddy apache2-bin
  # Engines of topics, likewise.
  nats-server redis-server redis-tools
)
node_major=$(node --version 2>/dev/null | sed 's/^v\([0-9]*\).*/\1/' || true)
if [ "${node_major:-0}" -lt 20 ] || ! command -v npm >/dev/null; then
  packages+=(nodejs npm)
fi
# Debian's Python lacks `ensurepip`, which makes an environment with pip in it.
if ! python3 -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  packages+=(python3 python3-venv)
fi

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done

if [ ${#missing[@]} -gt 0 ]; then
  as_root=()
  [ "$(id -u)" -eq 0 ] || as_root=(sudo)
  if ! command -v apt-get >/dev/null || ! command -v "${as_root[@]:-apt-get}" >/dev/null; then
    echo "tests/setup.sh: please install these Debian packages or their equivalents, as root: ${missing[*]}" >&2
    exit 1
  fi
  echo "tests/setup.sh: apt-get install ${missing[*]}"
  "${as_root[@]}" apt-get -qq update
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get -qq install --yes --no-install-recommends "${missing[@]}" >/dev/null
fi

for peer in peers/ws peers/browser peers/grip peers/jco ../npm; do
  # npm writes the hidden lock file last, so it marks a finished installation of this lock file.
  if [ ! $peer/node_modules/.package-lock.json -nt $peer/package-lock.json ]; then
    echo "tests/setup.sh: npm install in tests/$peer"
    # Not `npm ci`, which refuses some of the lock files: their packages name optional ones, for other platforms,
    # that were never published.
    (cd "$peer" && npm install --no-save --no-audit --no-fund --silent)
  fi
done

python=../target/peers/python
requirements=peers/python/requirements.txt
# Written last, like npm's lock file.
if [ ! $python/installed -nt $requirements ]; then
  echo "tests/setup.sh: pip install -r tests/$requirements"
  python3 -m venv --clear $python
  $python/bin/pip install --quiet --disable-pip-version-check --requirement $requirements
  touch $python/installed
fi

../languages/build.sh --install
