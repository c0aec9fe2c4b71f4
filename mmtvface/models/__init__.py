# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""From clips to codes and surfaces: everything that is trained."""

from . import (
    decoders,
    encoders,
    losses,
    reconstructors,
    regressors,
    restorers,
)

__all__ = ['decoders', 'encoders', 'losses', 'reconstructors', 'regressors',
           'restorers']
