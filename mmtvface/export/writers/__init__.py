# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""All kinds of output. A file that is put here is found by itself.

Files import what is heavy (torch, OpenCV, ...) where they need it: the help
of ``mmtvface reconstruct`` reads what they register.
"""
