#!/usr/bin/env bash
# Sets up .venv and runs the tests. Arguments go to pytest, for example
# bash tools/run_tests.sh tests/test_geometry -k camera
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
bash "$root/tools/bootstrap.sh" tests
cd "$root"
# Threads that wait by spinning slow down tests with several processes.
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-PASSIVE}"
exec .venv/bin/python -m pytest "$@"
