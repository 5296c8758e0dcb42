#!/bin/bash
# fbridge finetune on machines of a SLURM cluster, which see the same disk:
#
#     sbatch examples/accelerate/slurm-train.sh --base t2v.safetensors --data latents/ -o runs/bridge
#
# Arguments are those of fbridge finetune; -o is needed. A machine that is lost while the job goes
# on is done without: torchrun starts the processes of the others again, from the last checkpoint,
# at the same batches. Before its time is over the job saves, and is queued again. Not run on a cluster.
#SBATCH --job-name=fbridge-finetune
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=8
#SBATCH --no-kill
#SBATCH --requeue
#SBATCH --signal=B:TERM@120
set -euo pipefail

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | awk 'NR == 1')
port=$((10000 + SLURM_JOB_ID % 20000)) # jobs that share a machine do not meet

export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 # else a machine that comes back is not let in

again() { # SLURM ends the job soon: let the processes save, and queue it again
    kill -TERM "$run"
    wait "$run" || true
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
}
trap again TERM

srun --kill-on-bad-exit=0 torchrun \
    --nnodes="1:$SLURM_NNODES" --nproc-per-node="${SLURM_GPUS_ON_NODE:-1}" --max-restarts=3 \
    --rdzv-id="$SLURM_JOB_ID" --rdzv-backend=c10d --rdzv-endpoint="$head:$port" \
    -m fbridge_cli finetune "$@" --resume &
run=$!
wait "$run"
