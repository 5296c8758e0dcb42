#!/bin/bash
# fbridge prepare on machines of a SLURM cluster, which see the same disk:
#
#     sbatch examples/ray/slurm-prepare.sh videos/ -o latents/ --codec t2v.safetensors --frames 17
#
# Arguments are those of fbridge prepare. An allocation that ends too early is no loss: the same
# line goes on from there. Add --gpus-per-node where the machines have GPUs.
#SBATCH --job-name=fbridge-prepare
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --requeue
set -euo pipefail

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | awk 'NR == 1')
address=$(srun --nodes=1 --ntasks=1 -w "$head" hostname --ip-address | awk '{print $1}')
port=$((10000 + SLURM_JOB_ID % 20000)) # jobs that share a machine do not meet

# The token keeps others out of the cluster; the home folder takes it to all machines.
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
[ -f ~/.ray/auth_token ] || ray get-auth-token --generate > /dev/null

start() { # start WHERE OPTIONS...: Ray on one machine, until the job ends
    srun --nodes=1 --ntasks=1 --overlap -w "$1" \
        ray start --block --num-cpus "$SLURM_CPUS_PER_TASK" --include-dashboard=false "${@:2}" > /dev/null &
}
start "$head" --head --node-ip-address "$address" --port "$port"
for _ in $(seq 60); do
    ray health-check --address "$address:$port" 2> /dev/null && break
    sleep 1
done
for node in $(scontrol show hostnames "$SLURM_JOB_NODELIST" | tail -n +2); do
    start "$node" --address "$address:$port"
done

# Runs on the first machine, where this script runs.
fbridge doctor --engine ray --ray-address "$address:$port"
fbridge prepare "$@" --engine ray --ray-address "$address:$port"
