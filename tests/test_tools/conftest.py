# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import sys
from pathlib import Path

# The set-up scripts are no package: they run before anything is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'tools'))
