# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Training sets of face clips from videos: :mod:`.make_set` begins it."""
