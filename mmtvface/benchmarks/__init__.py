# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Benchmarks that anybody can repeat, in a checkout of the project."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
"""Whose configs, README and docs the benchmarks read and write."""
