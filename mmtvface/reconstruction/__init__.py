# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""From tracks to codes: encode, fit, smooth, resume."""
