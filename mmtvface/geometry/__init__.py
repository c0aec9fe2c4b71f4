# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Pure geometry: rotations, camera, meshes, light, alignment, landmarks."""
