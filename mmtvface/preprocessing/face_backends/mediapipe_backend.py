# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Faces and landmarks by MediaPipe: fast on the CPU, nothing to download."""

import warnings

import cv2
import numpy as np

from mmtvface.geometry.landmarks import MIRROR
from mmtvface.geometry.mediapipe68 import mediapipe_to_68

from ..crop import landmark_box
from .base import FaceDetection, FaceLandmarks
from .boxes import best_of_overlapping
from .mediapipe_mesh import (
    MeshNetwork,
    Region,
    region_of_box,
    region_of_mesh,
)
from .mediapipe_runtime import module, quiet
from .search_areas import squares, tiles

# Longer side of the images that are searched; the networks see 128 (short
# range) and 192 pixels (full range).
_SEARCH_SIDE = 640
_MIN_PART, _MAX_ASPECT = 48, 6
# Difference between landmarks and those of the mirrored picture, relative to
# the face, of good landmarks, and one at which they are worthless.
_AGREED, _DISAGREED = 0.01, 0.05


class MediaPipeBackend:
    """MediaPipe's two face detectors and the network of its Face Mesh.

    **Detection**: the full-range detector searches the image (faces from
    about 1/18 of its longer side), then, where it finds nothing, the
    short-range one (faces that fill the frame), then the full-range one in
    squares as high as the image. In the first and every ``thorough_every``-th
    of successive images where all that finds nothing, it also searches tiles
    of half that size, and the image with a margin is searched for a face that
    is cut by its edges. That makes an image's result depend on the images
    before it; build a new back-end for each video for results that repeat
    exactly.

    **Landmarks**: the network looks at a region around the face of the last
    frame, so that no detector runs between detections.

    **Confidence** of landmarks (MediaPipe gives none): the network's
    probability that its region shows a face, times its agreement with
    itself. For that, the first and every ``check_every``-th frame of a face
    is looked at mirrored too; the agreement is 1 if both results differ by
    less than 1 % of the face's size in the mean, and falls linearly to 0 at
    5 %. It falls with the true error: on rendered heads the confidence is 1,
    0.85, 0.75, 0.55, 0.3 and 0 at 30, 45, 60, 70, 80 and 90 degrees of yaw,
    with errors of 3, 4, 5, 7, 9 and 12 % of the face; strong blur and faces
    hidden by half have 0.4 to 0.9.

    Args:
        min_confidence: Threshold of the detectors, 0 to 1.
        min_presence: Least probability that a region shows a face.
        thorough_every: How often images without faces are searched in parts.
        num_threads: Of the mesh network.
        check_every: How often the confidence is measured anew, frames.

    Raises:
        ImportError: If mediapipe is not installed.
        ValueError: If a number is out of its range.
    """

    def __init__(self, min_confidence: float = 0.5,
                 min_presence: float = 0.5, thorough_every: int = 8,
                 num_threads: int = 1, check_every: int = 5) -> None:
        for name, value in (('min_confidence', min_confidence),
                            ('min_presence', min_presence)):
            if not 0 <= value <= 1:
                raise ValueError(f'{name} must be in [0, 1], got {value}.')
        for name, value in (('thorough_every', thorough_every),
                            ('num_threads', num_threads),
                            ('check_every', check_every)):
            if value < 1:
                raise ValueError(f'{name} must be at least 1, got {value}.')
        self._min_presence, self._check_every = min_presence, check_every
        self._thorough_every = thorough_every
        self._misses, self._shape = 0, None
        with quiet():
            detection = module('solutions.face_detection').FaceDetection
            self._near, self._far = (
                detection(model_selection=model,
                          min_detection_confidence=min_confidence)
                for model in (0, 1))
            for graph in (self._near, self._far):
                graph.process(np.zeros((64, 64, 3), np.uint8))
        self._mesh = MeshNetwork(num_threads)

    def detect(self, image: np.ndarray) -> list[FaceDetection]:
        """Search an image.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            Faces, best scores first.
        """
        if image.shape != self._shape:
            self._misses, self._shape = 0, image.shape
        found = _search(self._far, image) or _search(self._near, image)
        # Of tiny images, and of strips, there are no parts worth a search.
        short, long = sorted(image.shape[:2])
        has_parts = short >= _MIN_PART and long <= _MAX_ASPECT * short
        if not found and has_parts:
            found = [face for left, top, part in squares(image)
                     for face in _search(self._far, part, left, top)]
        if found:
            self._misses = 0
        else:
            # Not reset by what is found here: noise would be searched
            # thoroughly again and again. Followers bridge the time.
            if self._misses % self._thorough_every == 0 and has_parts:
                found = self._search_thoroughly(image)
            self._misses += 1
        return best_of_overlapping(found)

    def _search_thoroughly(self, image: np.ndarray) -> list[FaceDetection]:
        found = [face for left, top, part in tiles(image)
                 for face in _search(self._far, part, left, top)]
        if found:
            return found
        margin = max(image.shape[:2]) // 3
        padded = cv2.copyMakeBorder(image, *[margin] * 4,
                                    cv2.BORDER_CONSTANT, value=(0, 0, 0))
        return _search(self._near, padded, -margin, -margin)

    def follower(self) -> 'MediaPipeFollower':
        """A follower; all share one network."""
        return MediaPipeFollower(self._mesh, self._min_presence,
                                 self._check_every)

    def close(self) -> None:
        """Free the networks."""
        for graph in (self._near, self._far, self._mesh):
            graph.close()


class MediaPipeFollower:
    """Follows a face by the region around its last mesh.

    Args:
        network: The network, shared.
        min_presence: Least probability that the region shows a face.
        check_every: Frames from one measurement of the agreement to the next.
    """

    # Distance between the expected box and the last one, relative to their
    # size, from which on the expected box is right and the memory wrong.
    _JUMP = 0.5
    # A face this far from where the region expected it, relative to the
    # region's side, is looked at again: it moves fast.
    _MISPLACED = 0.08

    def __init__(self, network: MeshNetwork, min_presence: float,
                 check_every: int) -> None:
        self._network, self._min_presence = network, min_presence
        self._check_every = check_every
        self._last: FaceLandmarks | None = None
        self._agreement, self._age = 0., 0  # and the frames since

    def follow(self, image: np.ndarray,
               box: np.ndarray) -> FaceLandmarks | None:
        """Landmarks of the face near a box, see :class:`LandmarkFollower`.

        Args:
            image: (H, W, 3) uint8 RGB.
            box: (4,) left, top, right, bottom where the face is expected.

        Returns:
            None if there is no face.
        """
        box = np.asarray(box, np.float64)
        last, self._last = self._last, None
        if not np.isfinite(box).all():
            return None
        old = None if last is None else np.array(landmark_box(last.points))
        if old is None or _jumped(old, box, self._JUMP):
            region, is_rough, self._age = region_of_box(box), True, 0
        else:
            x, y = (box[:2] + box[2:] - old[:2] - old[2:]) / 2
            region, is_rough = region_of_mesh(last.mesh), False
            region = region._replace(x=region.x + x, y=region.y + y)
        # The first look places and turns the region for a second one.
        seen = self._network(image, region)
        if (seen is not None and seen[1] >= self._min_presence and
                (is_rough or self._is_misplaced(region, seen[0]))):
            region = region_of_mesh(seen[0])
            seen = self._network(image, region)
        if seen is None or seen[1] < self._min_presence:
            return None
        mesh, presence = seen
        points = mediapipe_to_68(mesh[:, :2])
        height, width = image.shape[:2]
        x, y = points.mean(0)
        if not (0 <= x < width and 0 <= y < height):
            return None
        if self._age % self._check_every == 0:
            self._agreement = self._agree(image, region, points)
        self._age += 1
        self._last = FaceLandmarks(points, presence * self._agreement, mesh)
        return self._last

    def _is_misplaced(self, region: Region, mesh: np.ndarray) -> bool:
        better = region_of_mesh(mesh)
        return bool(np.hypot(better.x - region.x, better.y - region.y) >
                    self._MISPLACED * region.side)

    def _agree(self, image: np.ndarray, region: Region,
               points: np.ndarray) -> float:
        """Agreement of landmarks with those of the mirrored picture."""
        mesh = self._network(image, region, mirrored=True)[0]
        again = mediapipe_to_68(mesh[:, :2])
        size = max(np.ptp(points, axis=0).mean(), 1e-9)
        apart = np.linalg.norm(again[list(MIRROR)] - points, axis=1).mean()
        return float(np.clip((_DISAGREED - apart / size) /
                             (_DISAGREED - _AGREED), 0., 1.))

    def reset(self) -> None:
        """Forget the last frame."""
        self._last = None

    def close(self) -> None:
        """Nothing to free: the network belongs to the back-end."""
        self._last = None


def _jumped(first: np.ndarray, second: np.ndarray, limit: float) -> bool:
    sizes = [(box[2:] - box[:2]).mean() for box in (first, second)]
    distance = np.linalg.norm(first[:2] + first[2:] - second[:2] -
                              second[2:]) / 2
    return bool(distance > limit * max(sizes) or
                max(sizes) > 2 * max(min(sizes), 1e-9))


def _search(graph, image: np.ndarray, left: float = 0.,  # noqa: ANN001
            top: float = 0.) -> list[FaceDetection]:
    """Run a detector on a part of an image.

    Args:
        graph: MediaPipe's FaceDetection.
        image: (H, W, 3) uint8 RGB.
        left: Of the part in the image, pixels.
        top: Of the part in the image, pixels.
    """
    height, width = image.shape[:2]
    shrink = max(height, width) // _SEARCH_SIDE
    if shrink > 1:
        image = cv2.resize(image, (max(width // shrink, 1),
                                   max(height // shrink, 1)),
                           interpolation=cv2.INTER_AREA)
    with warnings.catch_warnings():
        # protobuf announces a method that mediapipe still calls
        warnings.simplefilter('ignore', UserWarning)
        found = graph.process(np.ascontiguousarray(image)).detections or []
    size = np.array([width, height], np.float64)
    shift = np.array([left, top]) - 0.5  # edges -> pixel centres
    faces = []
    for one in found:
        place = one.location_data
        box = place.relative_bounding_box
        corner = np.array([box.xmin, box.ymin])
        extent = np.array([box.width, box.height])
        if not (extent > 0).all():
            continue
        points = np.array([(p.x, p.y) for p in place.relative_keypoints])
        faces.append(FaceDetection(
            np.concatenate([corner * size + shift,
                            (corner + extent) * size + shift]),
            float(min(max(one.score[0], 0.), 1.)), points * size + shift))
    return faces
