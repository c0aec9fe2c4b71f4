# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Outputs and targets for losses, without a reconstructor."""

from types import SimpleNamespace
from typing import Any


def given(**properties: Any) -> SimpleNamespace:
    """Outputs or targets that have these properties, of one copy."""
    return SimpleNamespace(**{'num_copies': 1, **properties})
