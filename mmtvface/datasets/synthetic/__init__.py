# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Rendered talking heads and what happens between head and file."""
