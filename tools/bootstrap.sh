#!/usr/bin/env bash
# Makes or reuses .venv in this checkout; see tools/bootstrap.py. Usage:
# bash tools/bootstrap.sh [core|temporal|tests]
# Any Python 3.7 or newer can run the set-up, which then picks a 3.10-3.12.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
for python in "$here/../.venv/bin/python" python3.11 python3.12 python3.10 \
        python3 python "${PYTHON:-}"; do
    if [ -n "$python" ] && "$python" -I -c \
            'import sys; sys.exit(sys.version_info < (3, 7))' \
            >/dev/null 2>&1; then
        exec "$python" "$here/bootstrap.py" "$@"
    fi
done
echo "set-up stopped: no Python 3.10-3.12 is on PATH: install one, for" \
    "example \"apt install python3.11 python3.11-venv python3.11-dev\"," \
    "or name one with PYTHON=/path/to/python3.11." >&2
exit 1
