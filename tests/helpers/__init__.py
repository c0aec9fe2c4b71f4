# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Toy models and data, imported by tests only."""
