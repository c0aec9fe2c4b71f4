# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Measure how fast a 720p video with one face becomes clips."""

import os
import sys
from pathlib import Path

# Waiting threads leave the cores alone; read when torch is loaded.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mmtvface.benchmarks.speed.video_to_clips import main  # noqa: E402

if __name__ == '__main__':
    sys.exit(main())
