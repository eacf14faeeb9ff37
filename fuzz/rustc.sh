#!/bin/bash
# The compiler for fuzzing, for Cargo's RUSTC_WRAPPER: instruments the protocol, its parsers and the fuzz targets for
# libFuzzer, and nothing else. An instrumented wasmtime would take long to build and to run, for coverage that says
# nothing about the protocol.
set -euo pipefail

coverage=(
  -Cpasses=sancov-module
  -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
  -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares
  -Cllvm-args=-sanitizer-coverage-stack-depth
)

case ${CARGO_PKG_NAME:-}/${CARGO_CRATE_NAME:-} in
  */build_script_*) exec "$@" ;;
  wasocket*/* | httparse/* | zlib-rs/*) exec "$@" "${coverage[@]}" ;;
  *) exec "$@" ;;
esac
