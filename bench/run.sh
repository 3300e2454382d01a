#!/bin/sh
# What `make bench` runs: allreduce-bench beside the alternatives that are installed, in turn, a few minutes. Flags go to
# bench/compare/run.py (--help there); BENCHMARKS.md says how to get all alternatives.
set -eu
cd "$(dirname "$0")/.."
build=${PCCL_BUILD:-build/release}
exec python3 bench/compare/run.py --build "$build" --json "$build/bench.json" --markdown "$build/bench.md" "$@"
