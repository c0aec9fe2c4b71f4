# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Version of mmtvface."""

__version__ = '0.1.0'
