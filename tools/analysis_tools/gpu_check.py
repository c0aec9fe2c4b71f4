# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Prove the GPU paths and measure them, in one command of eight minutes."""

import os
import sys
from pathlib import Path

# Waiting threads leave the cores alone; read when torch is loaded.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mmtvface.benchmarks.gpu.check import main, problems  # noqa: E402

if __name__ == '__main__':
    found = main()
    only_docs = {'--docs', '--readme'} & {*sys.argv}
    sys.exit(not only_docs and bool(problems(found)))
