# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Settings of the whole suite."""

import os

import torch

if not torch.cuda.is_available():
    # Read once, when triton is first imported, which any test may do: so it
    # is set before all of them. Kernels then run on CPU tensors.
    os.environ.setdefault('TRITON_INTERPRET', '1')
