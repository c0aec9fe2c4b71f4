# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""``python -m mmtvface``, the same as the command ``mmtvface``."""

import sys

from mmtvface.cli.main import main

if __name__ == '__main__':
    sys.exit(main())
