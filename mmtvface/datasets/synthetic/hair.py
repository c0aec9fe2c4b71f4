# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Short hair painted on the UV map of a head model."""

import cv2
import numpy as np

_COLORS = np.array([[.04, .03, .03], [.10, .06, .04], [.22, .13, .08],
                     [.42, .28, .15], [.62, .47, .28], [.50, .49, .47],
                     [.30, .10, .04]])
"""Black, dark brown, brown, light brown, blond, grey, red."""


def hair_weight(vertices: np.ndarray, landmarks: np.ndarray,
                style: np.ndarray,
                scalp: np.ndarray | None = None) -> np.ndarray:
    """How much of each vertex is covered by hair.

    The hairline is a curve that falls from the forehead over the temples to
    the nape: hair grows above a plane that leans back, in units of the
    distance from the nose root to the chin.

    Args:
        vertices: (V, 3) neutral head, metres.
        landmarks: (68, 3) of the same head.
        style: (16,) uniform numbers; entries 0 to 3 are used.
        scalp: (V,) where hair grows, for a head model that knows it; hair
            then only takes on another colour.

    Returns:
        (V,) 0 (skin) to 1 (hair).
    """
    if style[3] < .12:  # bald, or as the albedo has it
        return np.zeros(len(vertices))
    if scalp is not None:
        return np.asarray(scalp, np.float64)
    length = np.linalg.norm(landmarks[27] - landmarks[8])
    brow = landmarks[17:27].mean(0)
    offset = (vertices - brow) / length
    height = .42 + .22 * style[0]
    lean = .85 + .35 * style[1]
    # Receding corners above the temples
    corner = .25 * style[2] * np.exp(
        -((np.abs(offset[:, 0]) - .38) / .14)**2)
    level = offset[:, 1] - height - corner - lean * offset[:, 2]
    return 1 / (1 + np.exp(-level / .022))


def hair_color(style: np.ndarray) -> np.ndarray:
    """Colour of the hair, (3,) RGB 0..1, from style entries 4 to 6."""
    place = style[4] * (len(_COLORS) - 1.001)
    low = int(place)
    mix = (place - low) * .5
    color = (1 - mix) * _COLORS[low] + mix * _COLORS[low + 1]
    return np.clip(color * (.7 + .6 * style[5]), .02, .9)


def hair_texture(style: np.ndarray, size: int) -> np.ndarray:
    """Brightness of strands over the UV map.

    Args:
        style: (16,) uniform numbers; entry 7 seeds the pattern.
        size: Side of the UV map in texels.

    Returns:
        (size, size) around 1.
    """
    rng = np.random.default_rng(int(style[7] * 2**31))
    noise = rng.standard_normal((size, size)).astype(np.float32)
    strands = cv2.GaussianBlur(noise, (0, 0), sigmaX=.7, sigmaY=size / 40)
    return np.clip(1 + .25 * strands / strands.std(), .4, 1.8)
