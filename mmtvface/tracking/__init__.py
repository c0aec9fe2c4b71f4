# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""From frames to faces: shots, tracks, landmarks and crops."""
