#!/usr/bin/env bash
# Trains on a Slurm cluster, one process per GPU.
# Usage: GPUS=8 bash tools/slurm_train.sh PARTITION JOB CONFIG [options]
# GPUS, GPUS_PER_NODE, CPUS_PER_TASK and SRUN_ARGS describe the resources.
set -euo pipefail
if [ $# -lt 3 ]; then
    echo "usage: bash tools/slurm_train.sh PARTITION JOB CONFIG" \
        "[options]" >&2
    exit 2
fi
if ! command -v srun >/dev/null; then
    echo "srun is not on PATH: run this on a login node of a Slurm" \
        "cluster, or use tools/dist_train.sh." >&2
    exit 1
fi
partition="$1"
job="$2"
config="$3"
shift 3
gpus="${GPUS:-8}"
per_node="${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}"
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
python="${PYTHON:-$root/.venv/bin/python}"
[ -x "$(command -v "$python")" ] || python=python
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
# SRUN_ARGS is split into words on purpose.
# shellcheck disable=SC2086
exec srun -p "$partition" --job-name="$job" --gres="gpu:$per_node" \
    --ntasks="$gpus" --ntasks-per-node="$per_node" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    "$python" -u "$root/tools/train.py" "$config" --launcher slurm "$@"
