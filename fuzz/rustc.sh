#!/bin/bash
# The compiler for fuzzing, for Cargo's RUSTC_WRAPPER: only instruments the protocol and its
# parsers for coverage. An instrumented wasmtime would take long to build and to run, for coverage that says
# nothing about the protocol.
set -euo pipefail

crate=
for ((i = 1; i <= $#; i++)); do
  [ "${!i}" != --crate-name ] || { next=$((i + 1)); crate=${!next}; }
done

case $crate in
  wasocket* | httparse | zlib_rs | contract | deflate | frames | handshake | resume) exec "$@" ;;
esac

arguments=()
for argument; do
  case $argument in
    -Cpasses=sancov* | -Cllvm-args=-sanitizer-coverage* | -Ccodegen-units=1) ;;
    *) arguments+=("$argument") ;;
  esac
done
exec "${arguments[@]}"
