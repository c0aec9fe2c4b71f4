#!/usr/bin/env bash
# Sets up .venv and runs the tests. Arguments go to pytest, for example
# bash tools/run_tests.sh tests/test_geometry -k camera
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
bash "$root/tools/bootstrap.sh"
cd "$root"
exec .venv/bin/python -m pytest "$@"
