# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Turn clean frames into what a camera, a codec and a channel leave."""

import math

import cv2
import numpy as np

from mmtvface.datasets.synthetic.degradations import (
    adjust_color,
    motion_kernel,
)
from mmtvface.datasets.synthetic.occluders import cover, draw_occluder

from .degradation_levels import CAPTION, ClipPlan, Occlusion

_MIN_BLUR = .3  # pixels; less changes nothing
_MACRO_BLOCK = 8
_SKIN = np.array([205., 160., 135.])
_LETTERS = 'ABCDEFGHIKLMNOPRSTUVW'


def degrade_clip(images: np.ndarray, masks: np.ndarray, plan: ClipPlan,
                 rng: np.random.Generator
                 ) -> tuple[np.ndarray, np.ndarray]:
    """Carry out a plan, in the order in which it happens.

    Things in front of the face, motion blur and defocus, the sensor's
    resolution, light and noise, compression, lost blocks and frozen frames.

    Args:
        images: (t, H, W, 3) uint8 RGB, H = W.
        masks: (t, H, W) uint8, skin.
        plan: Strengths.
        rng: Generator of the noise.

    Returns:
        Images (t, H, W, 3) uint8 and masks (t, H, W) uint8 of the skin that
        is still seen: neither covered nor lost.
    """
    side = images.shape[1]
    masks = masks.copy()
    if plan.occlusion is not None:
        images, masks = _occlude(images, masks, plan.occlusion)
    frames = list(adjust_color(images, (1., 1., 1.), 1., plan.saturation))
    frames = [blur_frame(frame, sigma * side, smear * side)
              for frame, sigma, smear in zip(
                  frames, plan.blur, plan.smear, strict=True)]
    small = max(_MACRO_BLOCK, round(side / plan.resolution))
    if small < side:
        frames = [cv2.resize(frame, (small, small),
                             interpolation=cv2.INTER_AREA)
                  for frame in frames]
    frames = [expose(frame, gains, plan.gamma, plan.noise, rng)
              for frame, gains in zip(frames, plan.gains, strict=True)]
    frames, lost = code_frames(frames, plan)
    if small < side:
        frames = [cv2.resize(frame, (side, side),
                             interpolation=cv2.INTER_LINEAR)
                  for frame in frames]
    for frame in np.flatnonzero(plan.frozen):
        frames[frame] = frames[frame - 1]
    for mask, areas in zip(masks, lost, strict=True):
        for area in areas:
            left, top, right, bottom = (
                round(value * side / small) for value in area)
            mask[top:bottom, left:right] = 0
    return np.stack(frames), masks


def blur_frame(frame: np.ndarray, sigma: float,
               smear: np.ndarray) -> np.ndarray:
    """Motion blur and defocus of a frame.

    Args:
        frame: (H, W, 3) uint8.
        sigma: Standard deviation of the defocus, pixels.
        smear: (2,) motion during the exposure, pixels.
    """
    length = math.hypot(*smear)
    if length > 1:  # shorter ones do not leave the pixel
        kernel = motion_kernel(length, math.atan2(smear[1], smear[0]))
        frame = cv2.filter2D(frame, -1, kernel,
                             borderType=cv2.BORDER_REFLECT_101)
    if sigma > _MIN_BLUR:
        frame = cv2.GaussianBlur(frame, (0, 0), sigma)
    return frame


def expose(frame: np.ndarray, gains: np.ndarray, gamma: float, noise: float,
           rng: np.random.Generator) -> np.ndarray:
    """Light and noise of a frame; bright parts clip as on a sensor.

    Args:
        frame: (H, W, 3) uint8 RGB.
        gains: (3,) factors.
        gamma: Exponent on values in 0..1.
        noise: Standard deviation, grey levels.
        rng: Generator.
    """
    ramp = (np.arange(256) / 255)[:, None]**gamma
    table = np.rint(np.clip(ramp * gains, 0, 1) * 255).astype(np.uint8)
    frame = cv2.LUT(frame, table[None])
    field = rng.standard_normal(frame.shape, np.float32)
    field *= noise
    return cv2.add(frame, field, dtype=cv2.CV_8U)


def _jpeg(frame: np.ndarray, quality: int) -> np.ndarray:
    """A BGR frame, compressed and decompressed."""
    data = cv2.imencode('.jpg', frame,
                        [cv2.IMWRITE_JPEG_QUALITY, int(quality)])[1]
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def finer_quality(quality: float) -> int:
    """JPEG quality whose quantizer has half the step.

    Args:
        quality: 1..100; the step is proportional to 5000 / quality below 50
            and to 200 - 2 * quality above.
    """
    step = (5000 / quality if quality < 50 else 200 - 2 * quality) / 2
    return round(5000 / step if step > 100 else (200 - step) / 2)


def code_frames(frames: list[np.ndarray], plan: ClipPlan
                ) -> tuple[list[np.ndarray], list[list]]:
    """Compress frames like a video codec and lose some blocks of it.

    Key frames are JPEG pictures. Of the others, the difference from the
    decoded frame before is compressed in the same way: where it is small
    nothing is sent, so that old details stay until the next key frame,
    which makes the picture pulse. Decoder and encoder differ from a lost
    block on until the next key frame.

    Args:
        frames: t of (S, S, 3) uint8 RGB.
        plan: Qualities, key frames and losses.

    Returns:
        The decoded frames, and for each the areas that are wrong: left, top,
        right and bottom in pixels.
    """
    out, wrong, areas = [], [], []
    sent = shown = None  # last frame of the encoder, of the decoder
    for index, frame in enumerate(frames):
        frame = np.ascontiguousarray(frame[..., ::-1])
        if plan.key[index]:
            sent = shown = _jpeg(frame, plan.quality[index])
            areas = []
        else:
            # Half the difference, so that it fits into a byte; half the
            # step keeps its precision.
            rest = cv2.addWeighted(frame, .5, sent, -.5, 128)
            rest = _jpeg(rest, finer_quality(plan.quality[index]))
            intact = shown is sent
            sent = cv2.addWeighted(sent, 1, rest, 2, -256)
            shown = sent if intact else cv2.addWeighted(
                shown, 1, rest, 2, -256)
        if not np.isnan(plan.lost[index, 0]) and out:
            shown, area = _lose_blocks(shown, out[-1], plan.lost[index])
            areas = [*areas, area]
        out.append(shown)
        wrong.append(areas)
    return [np.ascontiguousarray(frame[..., ::-1]) for frame in out], wrong


def _lose_blocks(frame: np.ndarray, before: np.ndarray, lost: np.ndarray
                 ) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """Show displaced blocks of the frame before in an area of a frame."""
    side = frame.shape[0]
    blocks = np.array([np.floor(lost[:2] * side / _MACRO_BLOCK),
                       np.ceil(lost[2:4] * side / _MACRO_BLOCK)])
    left, top, right, bottom = np.clip(
        blocks * _MACRO_BLOCK, 0, side).astype(int).ravel().tolist()
    shift = np.rint(lost[4:] * side).astype(int).tolist()
    frame = frame.copy()
    frame[top:bottom, left:right] = np.roll(
        before, shift[::-1], (0, 1))[top:bottom, left:right]
    return frame, (left, top, right, bottom)


def _occlude(images: np.ndarray, masks: np.ndarray, occlusion: Occlusion
             ) -> tuple[np.ndarray, np.ndarray]:
    """Put a thing in front of the frames in which it is in sight."""
    side = images.shape[1]
    seen = np.flatnonzero(~np.isnan(occlusion.path[:, 0]))
    if not len(seen):
        return images, masks
    rng = np.random.default_rng(occlusion.seed)
    if occlusion.kind == CAPTION:
        thing = draw_caption(rng, side)
    else:
        tone = np.clip(_SKIN * rng.uniform(.35, 1.15), 0, 255)
        thing = draw_occluder(rng, side, tone, occlusion.kind)
    path = occlusion.path[seen].copy()
    path[:, :2] *= side
    covered, opacity = cover(images[seen], thing, path)
    images = images.copy()
    images[seen] = covered
    masks[seen] = np.rint(masks[seen] * (1 - opacity))
    return images, masks


def draw_caption(rng: np.random.Generator, size: int) -> np.ndarray:
    """A bar with letters, as on the lower third of a picture.

    Args:
        rng: Generator.
        size: Side of the image in pixels.

    Returns:
        (2 * size, 2 * size, 4) uint8 RGB (multiplied by the opacity) and
        opacity; the bar's middle is in the canvas' middle.
    """
    side = 2 * size
    canvas = np.zeros((side, side, 4), np.uint8)
    half = max(2, round(side * rng.uniform(.035, .07)))
    bar = rng.uniform(0, 255, 3)
    ink = 15. if bar.mean() > 127 else 240.
    middle = side // 2
    canvas[middle - half:middle + half] = (*bar.tolist(), 255)
    text = ''.join(rng.choice(list(_LETTERS + '   '), 24))
    scale = half / 15.  # OpenCV's capitals are 21 pixels high at scale 1
    cv2.putText(canvas, text, (int(side * rng.uniform(0, .2)),
                               middle + round(.6 * half)),
                cv2.FONT_HERSHEY_SIMPLEX, scale, (ink, ink, ink, 255),
                max(1, round(scale * 2)), cv2.LINE_AA)
    return canvas
