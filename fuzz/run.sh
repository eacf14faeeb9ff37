#!/bin/bash
# Runs a fuzz target from its seeds and what earlier runs found: fuzz/run.sh TARGET [OPTION]..., libFuzzer's options.
set -euo pipefail
program=$1
shift
name=$(basename "$program")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mkdir -p "fuzz/corpus/$name" "fuzz/artifacts/$name"
exec "$program" "$@" "-artifact_prefix=fuzz/artifacts/$name/" "fuzz/corpus/$name" "fuzz/seeds/$name"
