# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Things in front of a face: hands, microphones, objects, bars."""

import math

import cv2
import numpy as np

from .trajectories import FPS, smooth_noise

KINDS = ('hand', 'microphone', 'ellipse', 'box')
_SUB = 4  # bits of sub-pixel precision of OpenCV's drawing


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.rint(np.asarray(points) * 2**_SUB).astype(np.int32)


def _capsule(canvas: np.ndarray, start: np.ndarray, end: np.ndarray,
             width: float, color: tuple) -> None:
    """A thick line with round ends; ends in pixels."""
    cv2.line(canvas, _fixed(start).tolist(), _fixed(end).tolist(), color,
             max(1, round(width)), cv2.LINE_AA, _SUB)


def _draw_hand(canvas: np.ndarray, rng: np.random.Generator,
               skin: np.ndarray) -> None:
    """A palm with four fingers and a thumb, pointing up."""
    side = canvas.shape[0]
    middle = np.array([side / 2, side * .62])
    palm = side * rng.uniform(.08, .11)
    spread = rng.uniform(.05, .22)

    def shade(value: float) -> tuple:
        return (*np.clip(skin * value, 0, 255).tolist(), 255.)

    _capsule(canvas, middle + (0, palm), middle + (0, side), 1.5 * palm,
             shade(.85))
    for index in range(4):
        angle = (index - 1.5) * spread
        root = middle + ((index - 1.5) * palm * .52, -palm * .5)
        length = palm * (1.9, 2.2, 2.1, 1.7)[index] * rng.uniform(.7, 1.05)
        tip = root + length * np.array([math.sin(angle), -math.cos(angle)])
        _capsule(canvas, root, tip, palm * .5, shade(.8))
        _capsule(canvas, root, tip, palm * .4, shade(1.))
    thumb = middle + (-palm * rng.uniform(1.3, 1.8), -palm * .4)
    _capsule(canvas, middle + (-palm * .4, palm * .4), thumb, palm * .5,
             shade(.93))
    cv2.ellipse(canvas, _fixed(middle).tolist(),
                _fixed((palm * 1.05, palm * 1.1)).tolist(), 0, 0, 360,
                shade(.97), -1, cv2.LINE_AA, _SUB)


def _draw_microphone(canvas: np.ndarray, rng: np.random.Generator) -> None:
    """A round head on a handle, both dark."""
    side = canvas.shape[0]
    radius = side * rng.uniform(.05, .09)
    middle = np.array([side / 2, side / 2])
    dark = rng.uniform(10, 70)
    _capsule(canvas, middle, middle + (0, side), radius * 1.1,
             (dark, dark, dark * 1.1, 255.))
    for factor, light in ((1., 1.4), (.75, 1.8), (.4, 2.4)):
        tone = min(255., dark * light)
        cv2.circle(canvas, _fixed(middle - radius * .2 * (1 - factor))
                   .tolist(), int(radius * factor * 2**_SUB),
                   (tone, tone, tone, 255.), -1, cv2.LINE_AA, _SUB)


def draw_occluder(rng: np.random.Generator, size: int, skin: np.ndarray,
                  kind: str | None = None) -> np.ndarray:
    """An object on a transparent canvas twice as wide as the image.

    Args:
        rng: Generator.
        size: Side of the image in pixels.
        skin: (3,) RGB 0..255, colour of a hand.
        kind: One of :data:`KINDS`; None draws one.

    Returns:
        (2 * size, 2 * size, 4) uint8 RGB (multiplied by the opacity) and
        opacity; the object's middle or tip is in the canvas' middle.
    """
    kind = rng.choice(KINDS) if kind is None else kind
    side = 2 * size
    canvas = np.zeros((side, side, 4), np.uint8)
    if kind == 'hand':
        _draw_hand(canvas, rng, skin)
    elif kind == 'microphone':
        _draw_microphone(canvas, rng)
    else:
        color = (*(rng.uniform(0, 255, 3)).tolist(), 255.)
        half = side * rng.uniform(.04, .14, 2)
        if kind == 'ellipse':
            cv2.ellipse(canvas, _fixed((side / 2, side / 2)).tolist(),
                        _fixed(half).tolist(), 0, 0, 360, color, -1,
                        cv2.LINE_AA, _SUB)
        else:
            half[0] *= rng.choice([1., 4.])
            low, high = _fixed(side / 2 - half), _fixed(side / 2 + half)
            cv2.rectangle(canvas, low.tolist(), high.tolist(), color, -1,
                          cv2.LINE_AA, _SUB)
        # A gradient, so that it does not look cut out of paper
        slope = 1 + np.linspace(-.4, .4, side) * rng.uniform(-1, 1)
        canvas[..., :3] = np.clip(
            canvas[..., :3] * slope[:, None, None], 0, canvas[..., 3:])
    return cv2.GaussianBlur(canvas, (0, 0), max(.4, size / 280))


def occluder_path(rng: np.random.Generator, num_frames: int, size: int,
                  fps: float = FPS) -> np.ndarray:
    """A smooth path of the occluder's middle over the image.

    It comes from some side below or beside the face and may leave again.

    Args:
        rng: Generator.
        num_frames: t.
        size: Side of the image in pixels.
        fps: Frames per second.

    Returns:
        (t, 3) x, y in pixels and angle in degrees.
    """
    angle = rng.uniform(-.9, .9) * math.pi  # 0 is below the face
    outward = np.array([math.sin(angle), abs(math.cos(angle))])
    wave = smooth_noise(rng, num_frames, 4, .9, fps)
    distance = rng.uniform(.15, .55) + .15 * wave[:, 0]
    center = size / 2 + size * (
        distance[:, None] * outward + .05 * wave[:, 1:3])
    lean = -np.degrees(angle) * .6 + 6 * wave[:, 3]
    return np.concatenate([center, lean[:, None]], -1)


def cover(frames: np.ndarray, occluder: np.ndarray,
          path: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Put an occluder in front of a clip.

    Args:
        frames: (t, H, W, 3) uint8.
        occluder: (S, S, 4) uint8, see :func:`draw_occluder`.
        path: (t, 3) x, y in pixels and angle in degrees.

    Returns:
        Frames (t, H, W, 3) uint8 and opacity (t, H, W) float32 0..1.
    """
    height, width = frames.shape[1:3]
    middle = (occluder.shape[0] - 1) / 2
    out, opacity = [], []
    for frame, (x, y, angle) in zip(frames, path, strict=True):
        matrix = cv2.getRotationMatrix2D((middle, middle), float(angle), 1.)
        matrix[:, 2] += (x - middle, y - middle)
        layer = cv2.warpAffine(occluder, matrix, (width, height))
        alpha = layer[..., 3:].astype(np.float32) / 255
        mixed = (1 - alpha) * frame + layer[..., :3]
        out.append(np.rint(np.minimum(mixed, 255)).astype(np.uint8))
        opacity.append(alpha[..., 0])
    return np.stack(out), np.stack(opacity)
