#!/usr/bin/env bash
# Trains with several processes, one per GPU (or per CPU share).
# Usage: bash tools/dist_train.sh CONFIG PROCESSES [arguments of train.py]
# NNODES, NODE_RANK, MASTER_ADDR and PORT describe more than one machine.
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: bash tools/dist_train.sh CONFIG PROCESSES [options]" >&2
    exit 2
fi
config="$1"
processes="$2"
shift 2
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
python="${PYTHON:-$root/.venv/bin/python}"
[ -x "$(command -v "$python")" ] || python=python
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec "$python" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" --nproc_per_node="$processes" \
    "$root/tools/train.py" "$config" --launcher pytorch "$@"
