# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Clips that show what another clip shows already.

Title sequences, recaps and re-runs put the same pictures into many videos. A
clip is a duplicate if most of it is, frame for frame, part of one other clip:
its middle frame looks alike (difference hash), and at the offset which that
suggests the faces move alike. Two clips of one person who sits still look
alike, but their lips and eyelids do not move alike.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

# Bits of 64 in which the hashes of two encodings of a picture differ at most.
_HASH_BITS = 8
# Landmarks of two encodings differ by less than this share of the face.
_LANDMARK_SHARE = 0.012
# Frames (of the shorter clip) that the other must have too.
_OVERLAP = 0.8
_CANDIDATES = 20


@dataclass(frozen=True)
class ClipSignature:
    """What a clip is recognised by.

    Attributes:
        name: Of the clip.
        hashes: (t,) uint64 difference hashes of the faces.
        landmarks: Loads (t, 68, 2) in any unit; called only for clips that
            look alike.
    """

    name: str
    hashes: np.ndarray
    landmarks: Callable[[], np.ndarray]


def normalize(landmarks: np.ndarray) -> np.ndarray:
    """Landmarks relative to the centre and size of their box.

    Args:
        landmarks: (t, 68, 2).

    Returns:
        (t, 68, 2).
    """
    low, high = landmarks.min(1, keepdims=True), landmarks.max(
        1, keepdims=True)
    return (landmarks - (low + high) / 2) / (high - low).mean(
        -1, keepdims=True)


def find_duplicates(clips: Sequence[ClipSignature]) -> dict[str, str]:
    """Clips that are part of an earlier clip of the sequence.

    Args:
        clips: The clips; where two are alike, the first is kept.

    Returns:
        Name of the duplicate -> name of the clip that has it too.
    """
    if not clips:
        return {}

    @lru_cache(64)
    def faces(index: int) -> np.ndarray:
        return normalize(np.asarray(clips[index].landmarks(), np.float64))

    owner = np.concatenate([np.full(len(clip.hashes), i)
                            for i, clip in enumerate(clips)])
    number = np.concatenate([np.arange(len(clip.hashes)) for clip in clips])
    hashes = np.concatenate([clip.hashes for clip in clips]).astype(np.uint64)
    starts = np.searchsorted(owner, np.arange(len(clips)))
    found: dict[str, str] = {}
    gone = np.zeros(len(clips), bool)
    for i, clip in enumerate(clips):
        middle = len(clip.hashes) // 2
        before = slice(0, starts[i])
        apart = _bits(hashes[before] ^ np.uint64(clip.hashes[middle]))
        near = np.flatnonzero(apart <= _HASH_BITS)
        near = near[~gone[owner[before][near]]]
        for match in near[np.argsort(apart[near], kind='stable')][
                :_CANDIDATES].tolist():
            other = int(owner[match])
            if _move_alike(faces(i), faces(other),
                           int(number[match]) - middle):
                found[clip.name] = clips[other].name
                gone[i] = True
                break
    return found


def _bits(values: np.ndarray) -> np.ndarray:
    """Number of ones of (N,) uint64."""
    return np.unpackbits(np.ascontiguousarray(values).view(np.uint8).reshape(
        len(values), 8), axis=1).sum(1)


def _move_alike(first: np.ndarray, second: np.ndarray, offset: int) -> bool:
    """Whether frame t of the first is frame t + offset of the second."""
    low, high = max(0, -offset), min(len(first), len(second) - offset)
    if high - low < _OVERLAP * len(first):
        return False
    distance = np.linalg.norm(
        first[low:high] - second[low + offset:high + offset], axis=-1)
    return float(np.quantile(distance.mean(1), 0.9)) < _LANDMARK_SHARE
