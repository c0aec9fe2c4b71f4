# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Named index sets of the 68 facial landmarks in iBUG order.

Left and right are the person's: the right side of the face is seen on the
left of the image and carries the lower numbers of each pair.
"""

import numpy as np

NUM_LANDMARKS = 68

CONTOUR = tuple(range(0, 17))
RIGHT_BROW = tuple(range(17, 22))
LEFT_BROW = tuple(range(22, 27))
BROWS = RIGHT_BROW + LEFT_BROW
NOSE_BRIDGE = tuple(range(27, 31))
NOSE_BASE = tuple(range(31, 36))
NOSE = NOSE_BRIDGE + NOSE_BASE
RIGHT_EYE = tuple(range(36, 42))
LEFT_EYE = tuple(range(42, 48))
EYES = RIGHT_EYE + LEFT_EYE
OUTER_LIPS = tuple(range(48, 60))
INNER_LIPS = tuple(range(60, 68))
LIPS = OUTER_LIPS + INNER_LIPS
#: Everything but the contour: the landmarks fixed on the surface.
STATIC = tuple(range(17, 68))

#: (upper, lower) points of the eyelids, two pairs for each eye.
EYELID_PAIRS = ((37, 41), (38, 40), (43, 47), (44, 46))
#: (upper, lower) points of the inner lips.
LIP_PAIRS = ((61, 67), (62, 66), (63, 65))
#: Outer corners of the eyes; their distance normalises errors.
OUTER_EYE_CORNERS = (36, 45)
INNER_EYE_CORNERS = (39, 42)
MOUTH_CORNERS = (48, 54)

#: Index of the landmark at the mirrored place: ``points[..., MIRROR, :]``
#: after negating x is the mirror image of ``points``.
MIRROR: tuple[int, ...] = (
    *range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30,
    35, 34, 33, 32, 31, 45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55,
    64, 63, 62, 61, 60, 67, 66, 65)


def mirror_landmarks(points: np.ndarray, width: float = 0.) -> np.ndarray:
    """Mirror landmarks left to right and put them in iBUG order again.

    Args:
        points: (..., 68, 2 or more) x first; further columns (y, z,
            visibility) are kept as they are.
        width: x becomes ``width - x``: 0 for NDC or model space,
            ``image_width - 1`` for pixel indices.

    Returns:
        A new array of the same shape.

    Raises:
        ValueError: If the second last axis is not 68.

    Examples:
        The right corner of the mouth becomes the left one.

        >>> points = np.zeros((68, 2))
        >>> points[48] = 20, 70
        >>> mirror_landmarks(points, width=111)[54].tolist()
        [91.0, 70.0]
    """
    points = np.asarray(points)
    if points.ndim < 2 or points.shape[-2] != NUM_LANDMARKS:
        raise ValueError(
            f'expected landmarks (..., 68, C), got {points.shape}')
    mirrored = points[..., list(MIRROR), :].copy()
    mirrored[..., 0] = width - mirrored[..., 0]
    return mirrored
