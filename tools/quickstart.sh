#!/usr/bin/env bash
# Sets up .venv and runs the whole path once: a real face, a generated clip,
# a test of the model. Usage: bash tools/quickstart.sh [PATH] [--train]
# PATH: an image, a folder of frames, a clip folder (jpg/, kpt/) or a video;
# without it a portrait and a held-out synthetic clip are used. --train trains
# a small temporal model (minutes; mmcv and mmagic are added to .venv) instead
# of taking the one of the package.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
if [ $# -ge 1 ] && [ "${1:0:1}" != "-" ] && [ ! -e "$1" ]; then
    echo "quickstart stopped: there is no file or folder named \"$1\":" \
        "check the path (an image, a folder of frames, a clip folder or a" \
        "video)." >&2
    exit 2
fi
bash "$root/tools/bootstrap.sh"
exec "$root/.venv/bin/python" "$root/tools/quickstart.py" "$@"
