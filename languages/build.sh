#!/bin/bash
# Builds the example apps of every language, composed with the protocol: target/languages/*.wasm, of which
# LANGUAGE-echo and LANGUAGE-chat are to be served. Installs its tools beside them, in the versions that are
# pinned here; needs node and npm, and a Python with `venv` (tests/setup.sh sees to both).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

root=$(cd .. && pwd)
out=$root/target/languages
wasm_tools=$root/target/tools/bin/wasm-tools
mkdir -p "$out"

build_guests() { # FEATURES PACKAGE...
  local features=$1
  shift
  (cd "$root" && cargo build --quiet --release --target wasm32-wasip2 --target-dir target/guests \
    --features "$features" "${@/#/--package=}")
}

guest() { echo "$root/target/guests/wasm32-wasip2/release/$1.wasm"; }

compose() { # LANGUAGE APP COMPONENT
  "$out/tools/debug/language-tools" compose "$out/protocol.wasm" "$3" "$out/$1-$2.wasm"
}

# Installs what a requirements.txt names, once, into an environment of its own.
environment() { # FOLDER
  local environment=$out/environments/$1
  if [ ! "$environment/installed" -nt "$1/requirements.txt" ]; then
    python3 -m venv --clear "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check --no-deps \
      --requirement "$1/requirements.txt"
    touch "$environment/installed"
  fi
}

build_tools() {
  cargo build --quiet --locked --manifest-path tools/Cargo.toml --target-dir "$out/tools"
  build_guests "" protocol
  cp "$(guest protocol)" "$out/protocol.wasm"
}

# One source, both ways.
build_rust() {
  build_guests "" portable-echo portable-chat
  for app in echo chat; do cp "$(guest portable_$app)" "$out/fused-$app.wasm"; done
  build_guests composed portable-echo portable-chat
  for app in echo chat; do compose rust $app "$(guest portable_$app)"; done
}

build_c() {
  environment c
  "$out/tools/debug/language-tools" bind-c "$root/wit" application "$out/c"
  for app in echo chat; do
    "$out/environments/c/bin/python" -m ziglang cc --target=wasm32-wasi -mexec-model=reactor -O2 -s \
      -Wall -Wextra -Werror -Wno-unused-parameter -I"$out/c" -o "$out/c/$app.core.wasm" \
      c/$app.c c/actions.c "$out/c/app.c" "$out/c/app_component_type.o"
    "$wasm_tools" component new "$out/c/$app.core.wasm" -o "$out/c/$app.wasm"
    compose c $app "$out/c/$app.wasm"
  done
}

build_javascript() {
  local installed=javascript/node_modules/.package-lock.json
  # Not `npm ci`, which refuses the lock file: dependencies of dependencies name optional packages, for
  # other machines than this one, that were never published.
  [ $installed -nt javascript/package-lock.json ] ||
    (cd javascript && npm install --no-save --no-audit --no-fund --silent)
  mkdir -p "$out/javascript"
  for app in echo chat; do
    (cd javascript && node build.js $app.js "$out/javascript/$app.wasm")
    compose javascript $app "$out/javascript/$app.wasm"
  done
}

build_python() {
  environment python
  mkdir -p "$out/python"
  for app in echo chat; do
    (cd python && PYTHONDONTWRITEBYTECODE=1 "$out/environments/python/bin/componentize-py" --quiet \
      --wit-path "$root/wit" --world application componentize $app -o "$out/python/$app.wasm")
    compose python $app "$out/python/$app.wasm"
  done
}

build_tools
for language in "${@:-rust c javascript python}"; do
  for one in $language; do "build_$one"; done
done
