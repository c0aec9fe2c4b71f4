# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Proof and measurement of everything that runs on a GPU."""
