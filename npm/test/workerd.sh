#!/bin/bash
# Serves a folder that wasocket-transpile has made for workers on a free port, and prints its URL:
#
#     npm/test/workerd.sh FOLDER [OPTION...]
#
# It execs workerd, so that killing it leaves nothing behind.
set -euo pipefail
folder=$1
shift
workerd=$(cd "$(dirname "${BASH_SOURCE[0]}")" && node --print 'require("workerd").default')
exec "$workerd" serve "$folder/workerd.capnp" --socket-addr http=127.0.0.1:0 "$@" --control-fd 3 \
  3> >(sed --unbuffered 's|.*"port":\([0-9]*\).*|http://127.0.0.1:\1/|')
