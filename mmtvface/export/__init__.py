# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Results as files: meshes, pictures, videos, numbers.

:mod:`.save` writes them while they are made, by the writers in the folder
``writers/``, each registered by :func:`.writer.register`.
"""
