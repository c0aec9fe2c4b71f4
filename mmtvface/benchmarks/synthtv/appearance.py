# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Random appearance of synthetic faces: a network is to read real ones, too.

The built-in head is one kind of drawing. What tells where a face is and how
it turns must not be its colours, its bare hairline or its even skin: domain
randomisation (Tobin et al., IROS 2017) changes them at random, at positions
given by the true landmarks, and leaves shape and motion as they are.
"""

import cv2
import numpy as np

_BITS = 3  # of sub-pixel precision in OpenCV's drawing
# Probability of each change in a clip.
_HAIR, _FRINGE, _BROWS, _GLASSES, _BEARD, _LIPS = .5, .5, .5, .12, .2, .3
_FIELD, _COLOR, _GRAY, _BORDER = .6, .8, .12, .12


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.rint(points * 2**_BITS).astype(np.int32)


def _blend(frame: np.ndarray, mask: np.ndarray, color: np.ndarray,
           opacity: float) -> None:
    """Paint ``color`` where ``mask`` (H, W) uint8 is, in place."""
    weight = mask[..., None] * np.float32(opacity / 255)
    frame += weight * (color.astype(np.float32) - frame)


def _soft(mask: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(mask, (0, 0), sigma)


class Appearance:
    """What is changed in one clip.

    Args:
        rng: Generator; all draws are made here.
        size: Side of the images in pixels.
    """

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        self.size = size
        self.on = {name: rng.random() < prob for name, prob in (
            ('hair', _HAIR), ('fringe', _FRINGE), ('brows', _BROWS),
            ('glasses', _GLASSES), ('beard', _BEARD), ('lips', _LIPS),
            ('field', _FIELD), ('color', _COLOR), ('grey', _GRAY),
            ('border', _BORDER))}
        tone = rng.uniform(10, 190)
        self.hair = np.clip(tone * np.array([1., .82, .65])
                            + rng.normal(0, 12, 3), 0, 255)
        self.strands = rng.normal(
            0, rng.uniform(5, 22), (1, size, 1)) + rng.normal(
                0, 6, (size, size, 1))
        # Width beside and above the face, length below the brows, relative
        # to the distance of the brows from the chin
        self.width = rng.uniform(.05, .5, 2)
        self.inward = rng.uniform(-.02, .16, 2)
        self.length = rng.uniform(.2, 1.9, 2)
        self.top = rng.uniform(.45, .9)
        self.fringe = rng.uniform(.1, .55, 4)
        self.brow = rng.uniform(.02, .06)
        self.dark = rng.uniform(5, 90)
        self.opacity = rng.uniform(.3, .95, 4)
        self.lens = rng.uniform(1.2, 1.9)
        self.lip = np.clip(np.array([150., 50., 60.])
                           + rng.normal(0, 35, 3), 0, 255)
        small = rng.normal(0, rng.uniform(.05, .35), (4, 4, 1)) + rng.normal(
            0, .06, (4, 4, 3))
        self.field = np.exp(cv2.resize(small, (size, size),
                                       interpolation=cv2.INTER_CUBIC)
                            ).astype(np.float32)
        mix = np.eye(3) + self.on['color'] * rng.normal(0, .12, (3, 3))
        if self.on['grey']:
            mix = np.full((3, 3), 1 / 3)
        self.mix = mix / mix.sum(1, keepdims=True)
        gains = np.exp(self.on['color'] * (
            rng.normal(0, .12, 3) + rng.normal(0, .2)))
        gamma = np.exp(self.on['color'] * rng.normal(0, .3))
        ramp = (np.arange(256)[:, None] / 255)**gamma * gains
        self.curve = np.rint(255 * np.clip(ramp, 0, 1)).astype(np.uint8)[None]
        self.border = rng.uniform(0, .3, 4) * (rng.random(4) < .6)

    def __call__(self, image: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Change a frame.

        Args:
            image: (H, W, 3) uint8 RGB.
            points: (68, 2) pixel indices of the landmarks.

        Returns:
            (H, W, 3) uint8, a new array.
        """
        frame = image.astype(np.float32)
        if self.on['beard']:
            self._paint_beard(frame, points)
        if self.on['lips']:
            _blend(frame, self._fill(points[48:60]), self.lip,
                   self.opacity[0])
        if self.on['brows']:
            self._paint_brows(frame, points)
        if self.on['glasses']:
            self._paint_glasses(frame, points)
        if self.on['field']:
            frame *= self.field
        if self.on['hair']:
            self._paint_hair(frame, points)
        frame = np.rint(np.clip(frame, 0, 255)).astype(np.uint8)
        frame = cv2.LUT(cv2.transform(frame, self.mix), self.curve)
        if self.on['border']:
            self._cut(frame)
        return frame

    def _fill(self, outline: np.ndarray) -> np.ndarray:
        mask = np.zeros((self.size, self.size), np.uint8)
        cv2.fillPoly(mask, [_fixed(outline)], 255, cv2.LINE_AA, _BITS)
        return mask

    def _lines(self, lines: list[np.ndarray], width: float,
               closed: bool = False) -> np.ndarray:
        mask = np.zeros((self.size, self.size), np.uint8)
        cv2.polylines(mask, [_fixed(line) for line in lines], closed, 255,
                      max(1, round(width)), cv2.LINE_AA, _BITS)
        return mask

    def _paint_beard(self, frame: np.ndarray, points: np.ndarray) -> None:
        outline = np.concatenate([points[2:15], points[[54, 64, 60, 48]]])
        mask = self._fill(outline)
        cv2.fillPoly(mask, [_fixed(points[48:60])], 0, cv2.LINE_AA, _BITS)
        _blend(frame, _soft(mask, .02 * self.size), self.hair,
               .6 * self.opacity[1])

    def _paint_brows(self, frame: np.ndarray, points: np.ndarray) -> None:
        height = np.linalg.norm(points[8] - points[27])
        mask = self._lines([points[17:22], points[22:27]],
                           self.brow * height)
        _blend(frame, mask, np.full(3, self.dark), self.opacity[2])
        eyes = self._lines([points[36:42], points[42:48]], 1, closed=True)
        _blend(frame, eyes, np.full(3, self.dark), .6 * self.opacity[3])

    def _paint_glasses(self, frame: np.ndarray, points: np.ndarray) -> None:
        lenses = []
        angle = np.linspace(0, 2 * np.pi, 20)
        for eye in (points[36:42], points[42:48]):
            middle, across = eye.mean(0), eye[3] - eye[0]
            down = np.array([-across[1], across[0]])
            lenses.append(middle + self.lens * (
                np.cos(angle)[:, None] * across / 1.7
                + np.sin(angle)[:, None] * down / 2.2))
        bridge = [points[[39, 42]]]
        width = .014 * self.size
        rims = np.maximum(self._lines(lenses, width, closed=True),
                          self._lines(bridge, width))
        _blend(frame, rims, np.full(3, self.dark), self.opacity[0])

    def _paint_hair(self, frame: np.ndarray, points: np.ndarray) -> None:
        """Hair over the top of the head and down both sides."""
        chin, between = points[8], points[27]
        down = chin - between
        height = np.linalg.norm(down) + 1e-6
        down = down / height
        right = np.array([down[1], -down[0]])
        if right @ (points[16] - points[0]) < 0:
            right = -right
        curve = []
        for side, ear, sign in ((0, points[0], -1), (1, points[16], 1)):
            outer = ear + sign * right * self.width[side] * height
            inner = ear - sign * right * self.inward[side] * height
            length = down * self.length[side] * height
            curve.append((outer, outer + length, inner + length, inner))
        crown = between - down * self.top * height
        if self.on['fringe']:
            rise = self.fringe * height
            share = np.linspace(.15, .85, 4)[:, None]
            brow = points[17] + share * (points[26] - points[17])
            line = brow - down * rise[:, None]
        else:
            line = (between - down * (.8 * self.top) * height)[None]
        left, other = curve
        outline = np.concatenate([
            np.stack(left), line, np.stack(other[::-1]),
            (crown + right * .35 * height)[None],
            (crown - down * .08 * height)[None],
            (crown - right * .35 * height)[None]])
        mask = _soft(self._fill(outline), .008 * self.size)
        _blend(frame, mask, self.hair + self.strands, 1.)

    def _cut(self, frame: np.ndarray) -> None:
        """Black beyond the borders of the original picture."""
        top, bottom, left, right = (self.border * self.size).astype(int)
        frame[:top] = 0
        frame[self.size - bottom:] = 0
        frame[:, :left] = 0
        frame[:, self.size - right:] = 0


def change_appearance(images: np.ndarray, landmarks: np.ndarray,
                      rng: np.random.Generator) -> np.ndarray:
    """Give the person of a clip another appearance, the same in all frames.

    Args:
        images: (t, S, S, 3) uint8 RGB.
        landmarks: (t, 68, 2) or more columns, NDC.
        rng: Generator of the clip.

    Returns:
        (t, S, S, 3) uint8, a new array.
    """
    size = images.shape[1]
    appearance = Appearance(rng, size)
    points = ((landmarks[..., :2].astype(np.float64) + 1) * size - 1) / 2
    return np.stack([appearance(image, p) for image, p in
                     zip(images, points, strict=True)])
