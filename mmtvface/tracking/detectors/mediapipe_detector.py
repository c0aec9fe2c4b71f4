# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Faces and landmarks by MediaPipe: fast on the CPU, nothing to download."""

import warnings
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from mmtvface.geometry.crop import landmark_box
from mmtvface.geometry.landmarks import MIRROR
from mmtvface.geometry.mediapipe68 import mediapipe_to_68

from .boxes import without_repeats
from .face_detector import FaceDetection, FaceLandmarks, register_detector
from .mediapipe_mesh import MeshNetwork, Region, region_of_box, region_of_mesh
from .mediapipe_runtime import INSTALL, module, quiet

# Least longer side to which images are shrunk before they are searched; the
# networks see 128 (short range) and 192 pixels (full range).
_SEARCH_SIDE = 640
# Largest share of what parts of the image show to be a face that may belong
# to a face of the whole image: a part without its surroundings misleads.
_MAX_COVER = 0.3
# Difference between landmarks and those of the mirrored picture, relative to
# the face, of good landmarks, and one at which they are worthless.
_AGREED, _DISAGREED = 0.01, 0.05
# Parts of an image: smaller ones show no face, and longer strips have more
# of them than are worth it.
_MIN_PART, _MAX_ASPECT = 24, 6


@register_detector('mediapipe')
class MediaPipeDetector:
    """MediaPipe's two face detectors and its Face Mesh with attention.

    **Detection**: the short-range detector (large faces, up to those that
    fill the frame) and the full-range one (faces from about 1/18 of the
    image's longer side) both search the image, and what they find is merged.
    A thorough search also looks by the full-range one in overlapping parts of
    the image (faces from about 1/36 of the shorter side), at the image upside
    down, and at the image with a margin for a face that is cut by its edges.
    The eyes of a detection tell how far the head leans: up to 90 degrees the
    landmarks are as good as those of an upright one, beyond most are. On one
    core a search of a 1080p frame takes 10 ms, a thorough one 150 ms.

    **Landmarks**: the network looks at a region around the face of the last
    frame, so that no detector runs between detections.

    **Confidence** of landmarks (MediaPipe gives none): the network's
    probability that its region shows a face, times its agreement with
    itself. For that, the first and every ``check_every``-th frame of a face
    is looked at mirrored too; the agreement is 1 if both results differ by
    less than 1 % of the face's size in the mean, and falls linearly to 0 at
    5 %. It falls with the true error: on rendered heads the confidence is 1,
    1, 0.7, 0.4, 0.4 and 0.1 at 30, 45, 60, 70, 80 and 90 degrees of yaw,
    with errors of 3, 4, 5, 6, 9 and 14 % of the face; strong blur and faces
    hidden by half have 0.4 to 0.9. What has less than 0.1 at first sight
    counts as no face; a face that is followed may sink lower.

    Args:
        min_confidence: Threshold of the detectors, 0 to 1.
        min_presence: Least probability that a region shows a face.
        num_threads: Of the mesh network.
        check_every: How often the confidence is measured anew, frames.

    Raises:
        ImportError: If mediapipe is not installed.
        ValueError: If a number is out of its range.
    """

    needs, install = ('mediapipe.python.solution_base', ), INSTALL

    def __init__(self, min_confidence: float = 0.5,
                 min_presence: float = 0.5, num_threads: int = 1,
                 check_every: int = 5) -> None:
        for name, value in (('min_confidence', min_confidence),
                            ('min_presence', min_presence)):
            if not 0 <= value <= 1:
                raise ValueError(f'{name} must be in [0, 1], got {value}.')
        for name, value in (('num_threads', num_threads),
                            ('check_every', check_every)):
            if value < 1:
                raise ValueError(f'{name} must be at least 1, got {value}.')
        self._min_presence, self._check_every = min_presence, check_every
        with quiet():
            detection = module('solutions.face_detection').FaceDetection
            self._near, self._far = (
                detection(model_selection=model,
                          min_detection_confidence=min_confidence)
                for model in (0, 1))
            for graph in (self._near, self._far):
                graph.process(np.zeros((64, 64, 3), np.uint8))
        self._mesh = MeshNetwork(num_threads)

    def detect(self, image: np.ndarray,
               thorough: bool = True) -> list[FaceDetection]:
        """Search an image.

        Args:
            image: (H, W, 3) uint8 RGB.
            thorough: Look in parts of the image and beyond its edges, too.

        Returns:
            All faces, each once; those of the whole image first.
        """
        found = self._search_whole(image)
        if thorough:
            # The whole goes before its parts: part of a face may score
            # higher than all of it.
            found = without_repeats(self._search_margin(image), found,
                                    _MAX_COVER)
            found = without_repeats(
                [face for left, top, part in tiles(image)
                 for face in _search(self._far, part, left, top)
                 if _is_whole(face.box, part, left, top, image)], found,
                _MAX_COVER)
            # Last: upright faces resemble faces when they are turned, too.
            found = without_repeats(
                [_turned(face, image) for face in
                 self._search_whole(image[::-1, ::-1])], found, _MAX_COVER)
        return found

    def _search_whole(self, image: np.ndarray) -> list[FaceDetection]:
        return without_repeats(_search(self._near, image) +
                               _search(self._far, image))

    def _search_margin(self, image: np.ndarray) -> list[FaceDetection]:
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


class _Seen(NamedTuple):
    """What the network saw in a region."""

    region: Region
    mesh: np.ndarray
    presence: float
    points: np.ndarray


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
    # Below this confidence of a first look the head may be upside down, ...
    _DOUBTFUL = 0.5
    # ... and below this there is none: what looks like a face at first sight
    # of a wall or a sky.
    _WORTHLESS = 0.1

    def __init__(self, network: MeshNetwork, min_presence: float,
                 check_every: int) -> None:
        self._network, self._min_presence = network, min_presence
        self._check_every = check_every
        self._last: FaceLandmarks | None = None
        self._agreement, self._age = 0., 0  # and the frames since

    def follow(self, image: np.ndarray, box: np.ndarray,
               keypoints: np.ndarray | None = None) -> FaceLandmarks | None:
        """Landmarks of the face near a box, see :class:`LandmarkFollower`.

        Args:
            image: (H, W, 3) uint8 RGB.
            box: (4,) left, top, right, bottom where the face is expected.
            keypoints: (6, 2) of the detection that the box comes from.

        Returns:
            None if there is no face.
        """
        box = np.asarray(box, np.float64)
        last, self._last = self._last, None
        if not np.isfinite(box).all():
            return None
        old = None if last is None else np.array(landmark_box(last.points))
        if old is None or _jumped(old, box, self._JUMP):
            seen = self._find(image, region_of_box(box, keypoints))
            self._age = 0
        else:
            x, y = (box[:2] + box[2:] - old[:2] - old[2:]) / 2
            region = region_of_mesh(last.mesh)
            seen = self._look(image, region._replace(
                x=region.x + x, y=region.y + y), is_rough=False)
            if seen and (self._age + 1) % self._check_every == 0:
                self._agreement = self._agree(image, seen)
            self._age += 1
        if seen is None:
            return None
        self._last = FaceLandmarks(
            seen.points, seen.presence * self._agreement, seen.mesh)
        return self._last

    def _find(self, image: np.ndarray, region: Region) -> '_Seen | None':
        """Look at a region that a detection or a guess gave; and agree.

        Detectors that take a head for upright that is upside down make
        landmarks that disagree with themselves.
        """
        best, self._agreement = None, 0.
        for turn in (0., np.pi):
            seen = self._look(image, region._replace(
                angle=region.angle + turn), is_rough=True)
            if seen is None:
                continue
            agreement = self._agree(image, seen)
            if best is None or (seen.presence * agreement >
                                best.presence * self._agreement):
                best, self._agreement = seen, agreement
            if best.presence * self._agreement >= self._DOUBTFUL:
                break
        if best and best.presence * self._agreement < self._WORTHLESS:
            return None
        return best

    def _look(self, image: np.ndarray, region: Region,
              is_rough: bool) -> '_Seen | None':
        """What the network sees; None if that is no face in the image."""
        # The first look places and turns the region for a second one.
        seen = self._network(image, region)
        if (seen is not None and seen[1] >= self._min_presence and
                (is_rough or self._is_misplaced(region, seen[0]))):
            region = region_of_mesh(seen[0])
            seen = self._network(image, region)
        if seen is None or seen[1] < self._min_presence:
            return None
        points = mediapipe_to_68(seen[0][:, :2])
        height, width = image.shape[:2]
        x, y = points.mean(0)
        if not (0 <= x < width and 0 <= y < height):
            return None
        return _Seen(region, *seen, points)

    def _is_misplaced(self, region: Region, mesh: np.ndarray) -> bool:
        better = region_of_mesh(mesh)
        return bool(np.hypot(better.x - region.x, better.y - region.y) >
                    self._MISPLACED * region.side)

    def _agree(self, image: np.ndarray, seen: '_Seen') -> float:
        """Agreement of landmarks with those of the mirrored picture."""
        mesh = self._network(image, seen.region, mirrored=True)[0]
        again, points = mediapipe_to_68(mesh[:, :2]), seen.points
        size = max(np.ptp(points, axis=0).mean(), 1e-9)
        apart = np.linalg.norm(again[list(MIRROR)] - points, axis=1).mean()
        return float(np.clip((_DISAGREED - apart / size) /
                             (_DISAGREED - _AGREED), 0., 1.))

    def reset(self) -> None:
        """Forget the last frame."""
        self._last = None

    def close(self) -> None:
        """Nothing to free: the network belongs to the detector."""
        self._last = None


def tiles(image: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """Overlapping squares that cover an image.

    Their side is half the image's shorter side, so that a face of up to a
    quarter of it is whole in one of them; in strips (longer than six times
    their height) it is the shorter side itself.

    Args:
        image: (H, W, 3).

    Yields:
        Left, top and the part of the image (a view); nothing if they were
        smaller than 24 pixels.
    """
    height, width = image.shape[:2]
    short, long = min(height, width), max(height, width)
    is_strip = long > _MAX_ASPECT * short
    side = short if is_strip else short // 2
    if side < _MIN_PART:
        return

    def starts(length: int) -> list[int]:
        count = -(-2 * (length - side) // side) + 1
        return np.linspace(0, length - side, count).astype(int).tolist()

    for top in starts(height):
        for left in starts(width):
            yield left, top, image[top:top + side, left:left + side]


def _turned(face: FaceDetection, image: np.ndarray) -> FaceDetection:
    """A detection in an image that was turned by 180 degrees, turned back."""
    last = np.array(image.shape[1::-1]) - 1.  # indices of the last pixel
    return FaceDetection(np.tile(last, 2) - face.box[[2, 3, 0, 1]],
                         face.score, last - face.keypoints)


def _is_whole(box: np.ndarray, part: np.ndarray, left: int, top: int,
              image: np.ndarray) -> bool:
    """Whether a box is not cut by those edges of a part inside the image.

    Parts overlap: a face that is cut is whole in the next one.
    """
    height, width = part.shape[:2]
    return bool((left == 0 or box[0] >= left) and
                (top == 0 or box[1] >= top) and
                (left + width == image.shape[1] or box[2] <= left + width) and
                (top + height == image.shape[0] or box[3] <= top + height))


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
