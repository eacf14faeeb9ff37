#!/bin/bash
# Builds the example apps of every language: target/languages/LANGUAGE-APP.wasm, of the apps below. Installs the tools, in
# the versions pinned here, next to them; needs node and npm, and a Python with `venv`, which tests/setup.sh installs.
# With --install it only installs the tools, which needs a network but little CPU time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

root=$(cd .. && pwd)
out=$root/target/languages
tools=$out/tools/debug/language-tools
mkdir -p "$out"

apps_in() { # LANGUAGE
  if [ "$1" = python ]; then echo echo chat tally_v1 tally_v2 numbered; else echo echo chat; fi
}

build_guests() { # FEATURES PACKAGE...
  local features=$1
  shift
  (cd "$root" && cargo build --quiet --release --target wasm32-wasip2 --target-dir target/guests \
    --features "$features" "${@/#/--package=}")
}

guest() { echo "$root/target/guests/wasm32-wasip2/release/$1.wasm"; }

# Whether the components of a language are newer than all their sources.
is_built() { # LANGUAGE
  local app component
  for app in $(apps_in "$1"); do
    component=$out/$1-$app.wasm
    [ -e "$component" ] && [ -z "$(find "$1" "$root/wit" build.sh "$tools" \
      -newer "$component" -not -path '*/node_modules/*' -type f)" ] || return 1
  done
}

# Installs the packages of a requirements.txt, once, into an environment of its own.
environment() { # FOLDER
  local environment=$out/environments/$1
  if [ ! "$environment/installed" -nt "$1/requirements.txt" ]; then
    echo "languages/build.sh: pip install -r languages/$1/requirements.txt"
    python3 -m venv --clear "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check --no-deps \
      --requirement "$1/requirements.txt"
    touch "$environment/installed"
  fi
}

# Both forms from one source: fused with the protocol, and without it.
build_rust() {
  build_guests "" portable-echo portable-chat portable-json
  for app in echo chat json; do cp "$(guest portable_$app)" "$out/fused-$app.wasm"; done
  build_guests composed portable-echo portable-chat portable-json
  for app in echo chat json; do cp "$(guest portable_$app)" "$out/rust-$app.wasm"; done
}

install() {
  for language in c go python; do environment $language; done
  local installed=javascript/node_modules/.package-lock.json
  # Not `npm ci`, which refuses the lock file: indirect dependencies name optional packages, for other platforms, that
  # were never published.
  if [ ! $installed -nt javascript/package-lock.json ]; then
    echo "languages/build.sh: npm install in languages/javascript"
    (cd javascript && npm install --no-save --no-audit --no-fund --silent)
  fi
}

build_c() {
  "$tools" bind-c "$root/wit" application "$out/bindings"
  if ! diff -r --exclude='actions.*' "$out/bindings" c/bindings; then
    echo "languages/c/bindings does not match wit/: copy $out/bindings/* there" >&2
    exit 1
  fi
  for app in $(apps_in c); do
    "$out/environments/c/bin/python" -m ziglang cc --target=wasm32-wasi -mexec-model=reactor -O2 -g \
      -Wall -Wextra -Werror -Wno-unused-parameter -Ic/bindings -o "$out/c-$app.core.wasm" \
      c/$app.c c/bindings/*.c c/bindings/*.o
    "$tools" componentize "$out/c-$app.core.wasm" "$out/c-$app.wasm"
  done
}

build_javascript() {
  for app in $(apps_in javascript); do
    (cd javascript && node build.js $app.js "$out/javascript-$app.wasm")
  done
}

build_go() {
  for app in $(apps_in go); do
    # -trimpath: the path of this folder does not belong in the component.
    (cd go && GOOS=wasip1 GOARCH=wasm GOTOOLCHAIN=local "$out/environments/go/bin/go" \
      build -buildmode=c-shared -trimpath -buildvcs=false -o "$out/go-$app.core.wasm" ./$app)
    "$tools" embed "$root/wit" application "$out/go-$app.core.wasm"
    "$tools" componentize "$out/go-$app.core.wasm" "$out/go-$app.wasm"
  done
}

build_python() {
  for app in $(apps_in python); do
    # As in a new project, but for an app of another name.
    sed "s/^import app$/import $app as app/" python/entry.py > "$out/${app}_entry.py"
    (cd python && "$out/environments/python/bin/componentize-py" --quiet --wit-path "$root/wit" --world application \
      componentize ${app}_entry --python-path . --python-path "$out" -o "$out/python-$app.wasm")
  done
  rm -rf python/__pycache__
}

install
[ "${1:-}" != --install ] || exit 0

cargo build --quiet --locked --manifest-path tools/Cargo.toml --target-dir "$out/tools"
# Most of these compilers use one core.
builds=()
for language in c go javascript python; do
  if ! is_built $language; then
    "build_$language" &
    builds+=($!)
  fi
done
build_guests "" protocol
cmp --silent "$(guest protocol)" "$out/protocol.wasm" || cp "$(guest protocol)" "$out/protocol.wasm"
build_rust
for build in "${builds[@]}"; do wait "$build"; done
# By hand, what `wasocket serve` does with an app automatically.
"$tools" compose "$out/protocol.wasm" "$out/rust-echo.wasm" "$out/composed-echo.wasm"
