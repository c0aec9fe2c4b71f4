# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Benchmarks that anybody can repeat."""
