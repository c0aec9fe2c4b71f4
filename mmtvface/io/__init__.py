# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Reading and writing of images, videos, meshes and arrays."""
