# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Who is animated: identity, portrait and texture of a source."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mmtvface.export.painted_frame import PaintedFrame
from mmtvface.reconstruction.face_reconstructor import FaceReconstructor
from mmtvface.reconstruction.results import FrameResult
from mmtvface.tracking.frame_source import open_frames
from mmtvface.tracking.shots import Progress
from mmtvface.visualization.frame_painter import FramePainter

from .panels import FixedTexture, still_window
from .player import CodePlayer
from .tracks import CodeTrack, is_codes, pick_identity, reconstruct_codes

#: Where colours come from: the albedo model, or the source's own frame.
TEXTURES = ('model', 'photo')


def no_progress(step: str, done: int, total: int) -> None:
    """Report no progress."""


@dataclass(frozen=True)
class Look:
    """How animations are drawn.

    Attributes:
        size: Side of the pictures in pixels.
        background: Grey behind heads, 0 to 255.
        texture: 'model': the albedo model in the light of the source;
            'photo': the source's frame as texture, as it is, and what it
            does not show from the albedo model.
        detail: Use the detail branch, if the model has one.

    Raises:
        ValueError: If a value is out of range.
    """

    size: int = 384
    background: int = 255
    texture: str = 'model'
    detail: bool = True

    def __post_init__(self) -> None:
        if self.size < 16:
            raise ValueError(f'size must be at least 16, not {self.size}.')
        if not 0 <= self.background <= 255:
            raise ValueError('background must lie in 0..255, but it is '
                             f'{self.background}.')
        if self.texture not in TEXTURES:
            raise ValueError(f"texture must be one of {TEXTURES}, but it is "
                             f"'{self.texture}'.")


@dataclass(frozen=True)
class Cast:
    """Somebody who can be animated.

    Attributes:
        track: All that was found out.
        codes: Name -> (C,), the codes of the person.
        player: Makes heads of codes.
        painter: Makes pictures of heads.
        lit: The painter's texture is an albedo.
        kinds: Pictures that can be made, of 'shape' and 'textured'.
        portrait: (S, S, 3) uint8, a frame of the source; None if it is not
            there.
    """

    track: CodeTrack
    codes: Mapping[str, np.ndarray]
    player: CodePlayer
    painter: FramePainter
    lit: bool
    kinds: tuple[str, ...]
    portrait: np.ndarray | None


def cast_source(reconstructor: FaceReconstructor, source: Any, look: Look,
                frame: int | str | None = None,
                progress: Progress | None = None) -> Cast:
    """Reconstruct a person and prepare everything to draw them.

    Args:
        reconstructor: With the model.
        source: Image, folder, clip folder, video, or ``codes.npz``.
        look: How it is drawn.
        frame: Position or name of the frame whose codes are taken; None:
            the robust mean over all frames.
        progress: Told the step, frames done and in all.

    Raises:
        FileNotFoundError: If the source does not exist.
        ValueError: If it shows no face, does not fit the model, or its
            picture is needed and not there.
    """
    track = reconstruct_codes(reconstructor, source, progress)
    player = CodePlayer(reconstructor.model, look.detail)
    player.check(track, identity=True)
    codes = pick_identity(track, frame)
    row = track.portrait_row if frame is None else track.row_of(frame)
    image = None if is_codes(source) else next(
        (seen.image for seen in open_frames(source)
         if seen.index == track.frame_index[row]), None)
    painter = reconstructor.build_painter()
    result = _portrait_result(player, track, row)
    if look.texture == 'photo':
        painter = photo_painter(painter, result, image, track.name)
    portrait = None
    if image is not None:
        window = still_window(result.landmarks3d[None], look.size,
                              image.shape[:2])
        portrait = PaintedFrame(painter, result, image).resampled(
            window, look.size, ())[0]
    textured = not painter.missing_part('rendered') and 'tex' in codes
    return Cast(track, codes, player, painter, look.texture == 'model',
                ('shape', 'textured') if textured else ('shape', ), portrait)


def _portrait_result(player: CodePlayer, track: CodeTrack,
                     row: int) -> FrameResult:
    """The head in the pixels of one frame of its input."""
    cameras = None if track.camera is None else track.camera[[row]]
    codes = {name: code[[row]] for name, code in track.codes.items()}
    return replace(next(player.play(codes, cameras=cameras)),
                   name=track.frame_names[row])


def photo_painter(painter: FramePainter, result: FrameResult,
                  image: np.ndarray | None, name: str) -> FramePainter:
    """A painter whose texture is the picture of a person.

    Args:
        painter: Of the model.
        result: The person's head in pixels of the image.
        image: (H, W, 3) uint8 RGB.
        name: Of the source, for messages.

    Raises:
        ValueError: If there is no image, or the head has no atlas.
    """
    if image is None:
        raise ValueError(f"texture='photo' needs an image of the person, but "
                         f'{name} has none that can be read.')
    if not painter.has_uv_map:
        raise ValueError("texture='photo' needs a UV map: configure "
                         "renderer=dict(type='MeshRenderer', ...).")
    frame = PaintedFrame(painter, result, image)
    texture = painter.bake_texture(frame.face, image)
    return FramePainter(painter.renderer, FixedTexture(texture),
                        painter.surface, painter.texture_size)
