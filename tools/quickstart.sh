#!/usr/bin/env bash
# Sets up .venv and runs the whole path once: head, training, test,
# reconstruction. Usage: bash tools/quickstart.sh [PATH]
# PATH: an image, a folder of frames, a clip folder (jpg/, kpt/) or a video;
# without it a held-out synthetic clip is used.
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
