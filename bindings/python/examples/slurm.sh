#!/bin/bash
#SBATCH --job-name=pccl
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
# Peers on all nodes of a job, and a master on the first: sbatch --nodes=8 slurm.sh train.py --steps 1000
#
# PEERS: so many on each node (1). PCCL_MASTER_PORT: of the master (48148). Peers that die are started again and rejoin,
# nodes that die are done without. The secret is in a file that only the job's user can read, and that all nodes see.
set -eu
umask 077

first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=${PCCL_MASTER_PORT:-48148}
export PCCL_SECRET_FILE=$SLURM_SUBMIT_DIR/.pccl-secret-$SLURM_JOB_ID
master=
trap '[ -z "$master" ] || kill "$master"; rm -f "$PCCL_SECRET_FILE"' EXIT
python3 -m pccl.master --generate-secret >"$PCCL_SECRET_FILE"

srun --overlap --nodes=1 --ntasks=1 --nodelist="$first" python3 -m pccl.master --listen "[::]:$port" &
master=$!

srun --overlap --kill-on-bad-exit=0 python3 -m pccl.run -n "${PEERS:-1}" --masters "$first:$port" --restarts 3 "$@"
