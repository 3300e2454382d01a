#!/bin/sh
# What `make demo` runs: pccl at work on this machine, in under 20 seconds.
set -eu
cd "$(dirname "$0")/.."
exec "${PCCL_BUILD:-build/release}/bin/allreduce-bench" --demo
