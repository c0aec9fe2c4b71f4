# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What finds faces and their landmarks: the protocol and the registry.

Coordinates are pixel indices of the given image: the centre of its first
pixel is 0. Images are RGB.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from typing import ClassVar, Protocol, TypeVar, runtime_checkable

import numpy as np

from mmtvface.utils.deps import without_upgrades

from .mediapipe_runtime import quiet

#: A function that finds faces: an (H, W, 3) uint8 RGB image in, one (68, 2)
#: array of pixel indices per face out. It can take the place of a detector.
LandmarkFunction = Callable[[np.ndarray], list[np.ndarray]]


@dataclass(frozen=True, eq=False)
class FaceDetection:
    """A face found by searching an image.

    Attributes:
        box: (4,) float64 left, top, right, bottom.
        score: Of the detector, 0 to 1.
        keypoints: (K, 2) float64 points of the detector, None if it has
            none. MediaPipe's six are right eye, left eye, tip of the nose,
            mouth, right ear, left ear ("right" is the person's own).
    """

    box: np.ndarray
    score: float
    keypoints: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class FaceLandmarks:
    """Landmarks of one face in one frame.

    Attributes:
        points: (68, 2) float64, iBUG order; they may lie outside the image.
        confidence: 0 to 1; its meaning is documented by the detector.
        mesh: (478, 3) float64 mesh of MediaPipe with irises (x and y pixel
            indices, z in pixels, smaller nearer, relative to the head's
            centre), None of other detectors.
    """

    points: np.ndarray
    confidence: float = 1.
    mesh: np.ndarray | None = None


@runtime_checkable
class LandmarkFollower(Protocol):
    """Follows one face from frame to frame."""

    def follow(self, image: np.ndarray, box: np.ndarray,
               keypoints: np.ndarray | None = None) -> FaceLandmarks | None:
        """Landmarks of the face near a box.

        Args:
            image: (H, W, 3) uint8 RGB, the frame after that of the last
                call.
            box: (4,) where the face is expected: left, top, right, bottom.
            keypoints: Of the detection that the box comes from, see
                :class:`FaceDetection`; they tell how the head is turned.

        Returns:
            None if there is no face.
        """

    def reset(self) -> None:
        """Forget the last frame: the next one is another shot or face."""

    def close(self) -> None:
        """Free what it holds; it is not used afterwards."""


@runtime_checkable
class FaceDetector(Protocol):
    """Finds faces and makes what follows them. Not safe between threads."""

    def detect(self, image: np.ndarray,
               thorough: bool = True) -> list[FaceDetection]:
        """Search an image.

        Args:
            image: (H, W, 3) uint8 RGB.
            thorough: Also look for what is hard to find, however long it
                takes.

        Returns:
            All faces, each once.
        """

    def follower(self) -> LandmarkFollower:
        """A new follower, for one track; cheap."""

    def close(self) -> None:
        """Free the networks; its followers are unusable afterwards."""


class _Registered(FaceDetector, Protocol):
    """What a registered detector says of itself.

    Attributes:
        needs: Modules that must be importable.
        install: The command that installs them.
    """

    needs: ClassVar[tuple[str, ...]]
    install: ClassVar[str]


Kind = TypeVar('Kind', bound=type[_Registered])
#: Name -> class.
DETECTORS: dict[str, type[_Registered]] = {}


def register_detector(name: str) -> Callable[[Kind], Kind]:
    """Class decorator that makes a detector known by a name."""
    def register(kind: Kind) -> Kind:
        DETECTORS[name] = kind
        return kind

    return register


def build_detector(name: str = 'mediapipe', **options: object
                   ) -> FaceDetector:
    """Make a detector.

    Args:
        name: One of :data:`DETECTORS`.
        **options: Arguments of its class, for example the folder of the
            weights and the device of 'face-alignment'.

    Raises:
        ValueError: If there is no detector of this name, or it does not know
            an option.
        ImportError: If its package is not installed.
        FileNotFoundError: If its weights are not there.
    """
    if name not in DETECTORS:
        raise ValueError(f'detector must be one of {sorted(DETECTORS)}, but '
                         f'it is {name!r}.')
    known = list(signature(DETECTORS[name]).parameters)
    if unknown := sorted(set(options) - set(known)):
        raise ValueError(f'the detector {name!r} has no option '
                         f'{", ".join(unknown)}; it has {", ".join(known)}.')
    return DETECTORS[name](**options)


def usable_detectors() -> dict[str, str]:
    """Which detectors can be built here.

    Returns:
        For every name the empty string if its package can be imported, else
        why not and the command that installs it. Weights are not looked at.
    """
    reasons = {}
    for name, kind in DETECTORS.items():
        reasons[name] = ''
        for module in kind.needs:
            try:
                with quiet():
                    import_module(module)
            except ImportError as error:
                reasons[name] = (f'{error}; install it with: '
                                 f'{without_upgrades(kind.install)}')
                break
    return reasons
