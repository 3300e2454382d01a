#!/bin/sh
# What `make demo` runs: pccl at work on this machine, in under half a minute.
set -eu
cd "$(dirname "$0")/.."
programs="${PCCL_BUILD:-build/release}/bin"
"$programs/allreduce-bench" --demo
echo
echo "And four processes train a character model: with gradients exchanged in every step, and by DiLoCo with 4 bits."
exec "$programs/diloco-train" --steps 400 --interval 50 --fragments 4 --codec e3m0 --error-feedback
