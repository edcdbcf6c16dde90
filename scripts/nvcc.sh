#!/bin/sh
# Runs a compiler (nvcc, with or without ccache). Writes the report of ptxas on registers and spills beside the object, for
# scripts/check-cuda.ts, instead of printing it.
for argument; do
  [ "$previous" = -o ] && object=$argument
  previous=$argument
done
"$@" 2>"$object.ptxas"
status=$?
grep -v -e '^ptxas info' -e 'bytes stack frame' "$object.ptxas" >&2
exit $status
