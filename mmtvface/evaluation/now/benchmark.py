# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Evaluation of folders of neutral meshes against scans."""

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmtvface.geometry.alignment import apply_similarity, procrustes
from mmtvface.io.mesh import read_mesh

from ..functional.scan_error import (
    check_now_landmarks,
    evaluation_region,
    scan_error,
)
from .files import Prediction, find_landmarks, find_scan
from .landmark_files import read_scan_landmarks

UNITS_IN_MM = {'mm': 1., 'cm': 10., 'm': 1000.}
# Distance of the outer corners of the eyes of any head, in mm, with room for
# odd landmarks; units are wrong by a factor of 10 or more.
_EYES_MM = (35., 220.)


@dataclass(frozen=True)
class Protocol:
    """What the paper leaves open and what files do not tell.

    Attributes:
        with_scale: The alignment has a scale (NoW).
        refine: Refine the alignment on the scan's surface.
        radius_factor: Radius of the evaluation region, see
            :func:`~mmtvface.evaluation.functional.evaluation_region`.
        trim: Part of the points that the refinement leaves out.
        scan_unit: Unit of the scans, 'mm', 'cm' or 'm'.
        prediction_unit: The same; only counts without a scale.

    Raises:
        ValueError: If a unit is unknown.
    """

    with_scale: bool = True
    refine: bool = True
    radius_factor: float = .7
    trim: float = .05
    scan_unit: str = 'mm'
    prediction_unit: str = 'm'

    def __post_init__(self) -> None:
        for name in ('scan_unit', 'prediction_unit'):
            if getattr(self, name) not in UNITS_IN_MM:
                raise ValueError(f'{name} must be one of '
                                 f'{tuple(UNITS_IN_MM)}, but it is '
                                 f'{getattr(self, name)!r}.')


class Scan(NamedTuple):
    """A scan's points in mm; see :func:`load_scan`."""

    points: np.ndarray
    landmarks: np.ndarray
    region: np.ndarray


class ImageError(NamedTuple):
    """Result of one prediction.

    Attributes:
        prediction: Which one.
        distances: (N,) float32 mm, or None if it could not be measured.
        landmark_mm: Mean distance of the landmarks after their alignment.
        reason: Why it could not be measured, else ''.
        converged: Whether the alignment came to rest.
    """

    prediction: Prediction
    distances: np.ndarray | None
    landmark_mm: float = float('nan')
    reason: str = ''
    converged: bool = True


@dataclass
class MethodErrors:
    """Results of all predictions of a method.

    Attributes:
        name: Of the method.
        images: Results in the order of the predictions.
    """

    name: str
    images: list[ImageError] = field(default_factory=list)

    @property
    def measured(self) -> list[ImageError]:
        """Those that could be measured."""
        return [image for image in self.images if image.distances is not None]

    @property
    def skipped(self) -> list[ImageError]:
        """Those that could not."""
        return [image for image in self.images if image.distances is None]

    def distances(self, challenge: str | None = None) -> np.ndarray:
        """Distances of all points of all images, mm.

        Args:
            challenge: Only the images of this one.
        """
        parts = [image.distances for image in self.measured
                 if challenge in (None, image.prediction.challenge)]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def challenges(self) -> list[str]:
        """Names of the challenges with results."""
        return sorted({image.prediction.challenge for image in self.measured})


@functools.lru_cache(maxsize=4)
def load_scan(scans: str, landmarks: str, subject: str,
              protocol: Protocol) -> Scan:
    """A subject's scan, its landmarks and the region that counts.

    Kept for the next image of the subject.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If one cannot be read, or the unit is wrong.
    """
    to_mm = UNITS_IN_MM[protocol.scan_unit]
    path = find_scan(scans, subject)
    points = read_mesh(path)[0] * to_mm
    source = find_landmarks(landmarks, subject)
    picked = read_scan_landmarks(source) * to_mm
    check_now_landmarks(str(source), picked)
    _check_unit(picked, f'of the scan in {source}',
                f'scan_unit={protocol.scan_unit!r}')
    return Scan(points, picked,
                evaluation_region(points, picked, protocol.radius_factor))


def _check_unit(landmarks: np.ndarray, what: str, option: str) -> None:
    """Raise if a face would be smaller or larger than any face."""
    eyes = float(np.linalg.norm(landmarks[0] - landmarks[3]))
    if not _EYES_MM[0] < eyes < _EYES_MM[1]:
        raise ValueError(
            f'The outer corners of the eyes {what} are {eyes:.4g} mm apart '
            f'with {option}. Expected about 90 mm: the unit is another one, '
            'or the landmarks have another order.')


def measure_image(prediction: Prediction, scans: str, landmarks: str,
                  protocol: Protocol) -> ImageError:
    """Measure one prediction; whatever is wrong with it becomes the reason."""
    try:
        scan = load_scan(scans, landmarks, prediction.subject, protocol)
        for what, path in (('mesh', prediction.mesh),
                           ('landmarks', prediction.landmarks)):
            if not path.is_file():
                raise FileNotFoundError(f'no {what} {path}')
        vertices, faces = read_mesh(prediction.mesh)
        own = read_scan_landmarks(prediction.landmarks)
        check_now_landmarks(str(prediction.landmarks), own)
        if not protocol.with_scale:
            to_mm = UNITS_IN_MM[protocol.prediction_unit]
            vertices, own = vertices * to_mm, own * to_mm
            _check_unit(own, f'in {prediction.landmarks}',
                        f'prediction_unit={protocol.prediction_unit!r}')
        result = scan_error(
            vertices, faces, own, scan.points, scan.landmarks,
            protocol.with_scale, protocol.refine, scan.region, protocol.trim)
    except (OSError, ValueError) as error:
        return ImageError(prediction, None, reason=str(error))
    start = procrustes(own, scan.landmarks, with_scale=protocol.with_scale)
    gap = np.linalg.norm(apply_similarity(own, start) - scan.landmarks,
                         axis=1)
    return ImageError(prediction, result.distances.astype(np.float32),
                      float(gap.mean()), converged=result.converged)


def measure_method(name: str,
                   predictions: Sequence[Prediction],
                   scans: str | os.PathLike,
                   landmarks: str | os.PathLike | None = None,
                   protocol: Protocol | None = None,
                   workers: int = 0,
                   progress: Callable[[Iterable], Iterable] = iter
                   ) -> MethodErrors:
    """Measure all predictions of a method.

    Args:
        name: Of the method.
        predictions: See :func:`~.files.find_predictions`.
        scans: Folder of the scans.
        landmarks: Folder of their landmarks; default: beside the scans.
        protocol: Options.
        workers: Processes; 0 measures in this one.
        progress: Wraps the iterator of results, e.g. with a bar.

    Raises:
        FileNotFoundError: If a folder is missing.
        ImportError: If libigl is not installed.
    """
    protocol = protocol or Protocol()
    landmarks = scans if landmarks is None else landmarks
    for what, folder in (('scans', scans), ('landmarks', landmarks)):
        if not Path(folder).expanduser().is_dir():
            raise FileNotFoundError(f'There is no folder of {what}: '
                                    f'{folder}.')
    measure = functools.partial(
        measure_image, scans=str(scans), landmarks=str(landmarks),
        protocol=protocol)
    return MethodErrors(name, list(progress(
        _run(measure, predictions, workers))))


def _run(measure: Callable[[Prediction], ImageError],
         predictions: Sequence[Prediction],
         workers: int) -> Iterator[ImageError]:
    if workers < 1:
        yield from map(measure, predictions)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(measure, predictions)
