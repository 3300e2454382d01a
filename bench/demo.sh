#!/bin/sh
# What `make demo` runs: pccl at work on this machine, in under 20 seconds.
cd "$(dirname "$0")/.." && exec "build/${FLAVOUR:-release}/bin/allreduce-bench" --demo
