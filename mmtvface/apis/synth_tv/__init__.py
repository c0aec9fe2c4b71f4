# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The SynthTV benchmark: scenes, evaluation, comparison."""
