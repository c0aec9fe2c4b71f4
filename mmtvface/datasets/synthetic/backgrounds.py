# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What is seen behind and below a talking head."""

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from .trajectories import FPS, smooth_noise

KINDS = ('plain', 'gradient', 'noise', 'shapes')
_GRID = 96
_IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp')


def _color(rng: np.random.Generator) -> np.ndarray:
    """A colour as rooms and streets have them: rarely saturated."""
    gray = rng.uniform(.05, .9)
    return np.clip(gray + rng.normal(0, .06, 3), 0, 1)


def draw_background(rng: np.random.Generator, size: int,
                    kind: str | None = None) -> np.ndarray:
    """A procedural background, out of focus.

    It is made on a small grid and enlarged, which blurs it and costs little.

    Args:
        rng: Generator.
        size: Side in pixels.
        kind: One of :data:`KINDS`; None draws one.

    Returns:
        (size, size, 3) uint8 RGB.
    """
    kind = rng.choice(KINDS, p=(.1, .2, .3, .4)) if kind is None else kind
    if kind == 'plain':
        return np.full((size, size, 3), _color(rng) * 255, np.uint8)
    if kind == 'gradient':
        small = np.stack([_color(rng) for _ in range(4)]).reshape(2, 2, 3)
        small = cv2.resize(small, (8, 8), interpolation=cv2.INTER_LINEAR)
    elif kind == 'noise':
        small = np.zeros((_GRID, _GRID, 3))
        for cells, weight in ((3, .5), (7, .3), (20, .15)):
            grid = rng.normal(0, 1, (cells, cells, 1)) + rng.normal(
                0, .2, (cells, cells, 3))
            small += weight * cv2.resize(grid, (_GRID, _GRID),
                                         interpolation=cv2.INTER_CUBIC)
        small = _color(rng) + .3 * small
    else:
        small = _shapes(rng)
    image = np.clip(small * 255, 0, 255).astype(np.uint8)
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC)


def _shapes(rng: np.random.Generator) -> np.ndarray:
    """Furniture, windows and lamps, blurred: (G, G, 3) 0..1."""
    canvas = np.tile(_color(rng), (_GRID, _GRID, 1))
    slope = np.linspace(-.12, .12, _GRID)[:, None, None] * rng.normal()
    canvas += slope
    for _ in range(rng.integers(3, 12)):
        color = tuple(_color(rng).tolist())
        center = rng.integers(0, _GRID, 2).tolist()
        extent = rng.integers(3, _GRID // 2, 2)
        if rng.random() < .35:
            cv2.ellipse(canvas, center, extent.tolist(),
                        float(rng.uniform(0, 180)), 0, 360, color, -1)
        else:
            upright = 0. if rng.random() < .7 else float(rng.uniform(0, 90))
            corners = cv2.boxPoints((center, extent.tolist(), upright))
            cv2.fillPoly(canvas, [np.rint(corners).astype(np.int32)], color)
    sigma = float(rng.uniform(.5, 5.))
    return cv2.GaussianBlur(canvas, (0, 0), sigma)


def list_images(folder: str | os.PathLike) -> list[str]:
    """Image files below a folder, sorted.

    Raises:
        FileNotFoundError: If there is none.
    """
    folder = Path(folder).expanduser()
    names = sorted(str(path) for path in folder.rglob('*')
                   if path.suffix.lower() in _IMAGE_SUFFIXES)
    if not names:
        raise FileNotFoundError(
            f"No background images in '{folder}': looked for "
            f"{', '.join('*' + suffix for suffix in _IMAGE_SUFFIXES)} in it "
            'and its sub-folders.')
    return names


def load_background(rng: np.random.Generator, files: Sequence[str],
                    size: int) -> np.ndarray:
    """A random square part of a random image.

    Args:
        rng: Generator.
        files: Image files; one that cannot be read gives a procedural one.
        size: Side in pixels.

    Returns:
        (size, size, 3) uint8 RGB.
    """
    image = cv2.imread(files[rng.integers(len(files))])
    place = rng.random(3)
    if image is None:
        return draw_background(rng, size)
    height, width = image.shape[:2]
    side = max(1, round(min(height, width) * (.5 + .5 * place[0])))
    top = round((height - side) * place[1])
    left = round((width - side) * place[2])
    part = cv2.resize(image[top:top + side, left:left + side], (size, size),
                      interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(part, cv2.COLOR_BGR2RGB)


def pan_background(rng: np.random.Generator, image: np.ndarray, size: int,
                   num_frames: int, fps: float = FPS) -> np.ndarray:
    """Move a window over a background.

    Args:
        rng: Generator.
        image: (S, S, 3) uint8, S > size.
        size: Side of the window in pixels.
        num_frames: t.
        fps: Frames per second.

    Returns:
        (t, size, size, 3) uint8.
    """
    room = (image.shape[0] - size) / 2
    moves = np.tanh(.5 * smooth_noise(rng, num_frames, 2, .6, fps)) * room
    centers = (image.shape[0] - 1) / 2 + moves
    return np.stack([cv2.getRectSubPix(image, (size, size), center)
                     for center in centers.tolist()])


def draw_torso(backgrounds: np.ndarray, neck: np.ndarray,
               color: np.ndarray, skin: np.ndarray,
               proportions: np.ndarray) -> None:
    """Draw shoulders under the head into the frames, in place.

    Args:
        backgrounds: (t, H, W, 3) uint8, changed.
        neck: (t, 3) centre x, y and width of the neck's lower end, pixels.
        color: (3,) RGB 0..255 of the clothes.
        skin: (3,) RGB 0..255 of the throat.
        proportions: (3,) in 0..1: width and slope of the shoulders, depth
            of the neckline.
    """
    wide = 1.6 + .6 * proportions[0]
    slope = .3 + .4 * proportions[1]
    depth = .1 + .5 * proportions[2]
    # From the neck outwards the line falls steeply, then flattens out.
    across = np.linspace(0, 1, 12)
    side = np.stack([.4 + (wide - .4) * across,
                     -.3 + (slope + .3) * across**.55], 1)
    side = np.concatenate([side, [[wide + .25, slope + .3],
                                  [wide + .4, 8.]]])
    outline = np.concatenate([side[::-1] * (-1, 1), side])
    throat = np.array([[-.34, -.4], [.34, -.4], [.44, -.08], [.0, depth],
                       [-.44, -.08]])
    for frame, (x, y, width) in zip(backgrounds, neck, strict=True):
        for points, fill in ((outline, color), (throat, skin)):
            pixels = np.rint((points * width + (x, y)) * 16).astype(np.int32)
            cv2.fillPoly(frame, [pixels], fill.tolist(), cv2.LINE_AA, 4)
