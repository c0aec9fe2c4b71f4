# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Whether a face in a frame is good enough to learn from."""

from dataclasses import dataclass

import cv2
import numpy as np

from mmtvface.geometry.head_pose import head_pose
from mmtvface.tracking.face_track import TrackedFace

from ..clip_quality import sharpness
from ..settings import ClipSettings

# Share of the landmarks that must lie in the frame.
_INSIDE = 0.95
# Mean difference to the frame before inside the face's box, in grey levels,
# below which nothing has moved.
_STILL = 0.25

TOO_SMALL = 'face too small'
CUT_OFF = 'face cut off by the edge'
UNCERTAIN = 'landmarks uncertain'
TURNED = 'head turned too far'
BLURRED = 'blurred'


@dataclass(frozen=True)
class FaceMeasures:
    """What is known of a face in a frame.

    Attributes:
        size: Mean side of the landmarks' box in pixels of the video.
        yaw: Degrees, see :func:`mmtvface.geometry.head_pose.head_pose`.
        pitch: Degrees.
        roll: Degrees.
        confidence: Of the landmarks, 0 to 1.
        sharpness: See :func:`mmtvface.dataset_tools.clip_quality.sharpness`.
        still: Nothing has moved since the frame before.
    """

    size: float
    yaw: float
    pitch: float
    roll: float
    confidence: float
    sharpness: float
    still: bool


def measure_face(image: np.ndarray, previous: np.ndarray | None,
                 face: TrackedFace) -> FaceMeasures:
    """Measure a face.

    Args:
        image: (H, W, 3) uint8 RGB, the frame.
        previous: The frame before of the same shot, if there is one.
        face: The face in it.
    """
    left, top, right, bottom = face.box
    height, width = image.shape[:2]
    x0, y0 = max(0, int(left)), max(0, int(top))
    region = np.s_[y0:max(y0 + 2, min(height, int(bottom) + 1)),
                   x0:max(x0 + 2, min(width, int(right) + 1))]
    part = image[region]
    sharp, still = 0., False
    if part.size:
        sharp = sharpness(cv2.cvtColor(part, cv2.COLOR_RGB2GRAY))
        if previous is not None and previous.shape == image.shape:
            still = cv2.norm(part, previous[region],
                             cv2.NORM_L1) / part.size < _STILL
    yaw, pitch, roll = head_pose(face.landmarks.points).tolist()
    return FaceMeasures(
        float((right - left + bottom - top) / 2), yaw, pitch, roll,
        face.landmarks.confidence, sharp, still)


def refuse(measures: FaceMeasures, points: np.ndarray,
           image_size: tuple[int, int], settings: ClipSettings) -> str:
    """Why a face is not used, '' if it is.

    Args:
        measures: Of the face.
        points: (68, 2) landmarks in pixel indices.
        image_size: Height and width of the frame.
        settings: The limits.
    """
    # Written so that values that are not a number are refused too.
    if not measures.size >= settings.min_size:
        return TOO_SMALL
    height, width = image_size
    inside = ((points >= 0) & (points <= [width - 1, height - 1])).all(1)
    if inside.mean() < _INSIDE:
        return CUT_OFF
    if not measures.confidence >= settings.min_confidence:
        return UNCERTAIN
    if not abs(measures.yaw) <= settings.max_yaw:
        return TURNED
    if not measures.sharpness >= settings.min_sharpness:
        return BLURRED
    return ''
