# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""``mmtvface reconstruct`` of this checkout."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmtvface.cli.reconstruct import main  # noqa: E402

if __name__ == '__main__':
    sys.exit(main())
