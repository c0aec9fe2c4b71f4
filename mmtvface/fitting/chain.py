# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Gauss-Markov processes over the frames of a track."""

import numpy as np
import torch
from scipy.linalg import solveh_banded


def markov_prior(frame_indices: torch.Tensor, times: torch.Tensor, fps: float
                 ) -> tuple[torch.Tensor, torch.Tensor]:
    """Precision of stationary Gauss-Markov processes of variance 1.

    The correlation of two frames is exp(-|seconds| / time).

    Args:
        frame_indices: (T,) increasing.
        times: (d,) seconds, one per process.
        fps: Frames per second.

    Returns:
        The diagonal (T, d) and the entries beside it (T - 1, d); all others
        are zero.
    """
    near = torch.exp(-frame_indices.double().diff()[:, None] / fps / times)
    gain = near.square() / (1 - near.square()).clamp(min=1e-9)
    diagonal = torch.ones(len(frame_indices), len(times), dtype=torch.float64)
    diagonal[1:] += gain
    diagonal[:-1] += gain
    return diagonal, -gain / near.clamp(min=1e-30)


def solve_chain(blocks: torch.Tensor, beside: torch.Tensor,
                right: torch.Tensor) -> torch.Tensor:
    """Solve a symmetric positive definite chain of frames.

    Args:
        blocks: (T, d, d), of each frame.
        beside: (T - 1, d), the diagonals of the blocks between a frame and
            the next.
        right: (T, d).

    Returns:
        (T, d) float64.
    """
    frames, size = right.shape
    banded = np.zeros((size + 1, frames * size))
    for offset in range(size):
        rows = blocks.diagonal(-offset, 1, 2).numpy()
        banded[offset].reshape(frames, size)[:, :size - offset] = rows
    banded[size, :(frames - 1) * size] = beside.flatten().numpy()
    return torch.from_numpy(solveh_banded(
        banded, right.flatten().numpy(), lower=True,
        overwrite_ab=True)).view(frames, size)
