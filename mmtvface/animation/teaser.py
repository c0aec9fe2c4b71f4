# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""A video that shows one reconstructed head from all sides and in motion."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from mmtvface.export.writer import METRICS, save_png
from mmtvface.heads.flame_io import PROCEDURAL
from mmtvface.io.video_reader import DEFAULT_FPS
from mmtvface.io.video_writer import VideoWriter
from mmtvface.reconstruction.face_reconstructor import FaceReconstructor
from mmtvface.tracking.frame_source import open_frames
from mmtvface.tracking.shots import Progress
from mmtvface.utils.atomic import atomic_path, writable_dir
from mmtvface.visualization.drawing import add_caption
from mmtvface.visualization.grid import image_grid

from .casting import Cast, Look, cast_source, no_progress
from .checks import check_finite, check_fps
from .framing import extent_of, fit_camera
from .panels import AnimatedFrame, reduce_picture
from .sweeps import (
    JAW_OPEN,
    STRENGTH,
    plan_moves,
    sweep_expression,
    sweep_rotation,
)
from .tracks import is_codes

_CELL = 192


@dataclass(frozen=True)
class TeaserOptions:
    """What a teaser shows.

    Attributes:
        look: How it is drawn.
        frames: Length of the video.
        fps: Frames per second.
        turn_share: Share of the frames in which the head turns.
        yaw: Largest turn to each side, degrees.
        pitch: Largest nod on the way, degrees.
        expressions: What is shown, see :func:`plan_moves`; None: a choice.
        strength: Coefficient at the peak of an expression.
        jaw: Angle of the open mouth, radians.
        source_frame: Position or name of the source's frame; None: the
            robust mean over all frames.

    Raises:
        ValueError: If a number is out of range.
    """

    look: Look = field(default_factory=lambda: Look(size=512))
    frames: int = 300
    fps: float = DEFAULT_FPS
    turn_share: float = .4
    yaw: float = 60.
    pitch: float = 8.
    expressions: tuple[str, ...] | None = None
    strength: float = STRENGTH
    jaw: float = JAW_OPEN
    source_frame: int | str | None = None

    def __post_init__(self) -> None:
        if self.frames < 2:
            raise ValueError('A teaser needs at least 2 frames, one for each '
                             f'part, but frames is {self.frames}.')
        if not 0 < self.turn_share < 1:
            raise ValueError('turn_share must lie between 0 and 1, but it is '
                             f'{self.turn_share}.')
        check_fps(self.fps)
        check_finite(yaw=self.yaw, pitch=self.pitch, strength=self.strength,
                     jaw=self.jaw)


@dataclass(frozen=True)
class Screenplay:
    """Codes of a teaser.

    Attributes:
        codes: Name -> (T, C).
        stills: Caption -> frame, what a contact sheet shows.
    """

    codes: dict[str, np.ndarray]
    stills: dict[str, int]


def write_screenplay(codes: Mapping[str, np.ndarray], names: Sequence[str],
                     options: TeaserOptions) -> Screenplay:
    """All codes of a teaser but the camera.

    First the head turns with the expression it has, then it shows
    expressions while it looks straight ahead.

    Args:
        codes: Name -> (C,) of the person.
        names: Of the expression components, empty if they have none.
        options: What is shown.

    Raises:
        ValueError: If there is no such expression.
    """
    turn = min(max(round(options.turn_share * options.frames), 1),
               options.frames - 1)
    moves = plan_moves(options.expressions, names, codes['exp'].shape[-1],
                       options.jaw)
    rotation = sweep_rotation(turn, options.yaw, options.pitch)
    sweep = sweep_expression(options.frames - turn, moves, codes['exp'],
                             codes['pose'][3:], options.strength)
    played = {name: np.repeat(code[None], options.frames, 0)
              for name, code in codes.items()}
    played['exp'][turn:] = sweep.exp
    played['pose'][:, :3] = 0
    played['pose'][:turn, :3] = rotation
    played['pose'][turn:, 3:] = sweep.jaw
    yaw = rotation[:, 1]
    stills = dict(front=0, left=int(yaw.argmax()), right=int(yaw.argmin()))
    for label, peaks in sweep.peaks.items():
        for peak, sign in zip(peaks, (' +', ' -'), strict=False):
            caption = label + sign * (len(peaks) > 1)
            stills[caption] = turn + peak
    return Screenplay(played, stills)


def component_names(reconstructor: FaceReconstructor) -> Sequence[str]:
    """Names of the expression components, which the built-in head has."""
    path = reconstructor.config.model.flame.get('model_path', '')
    if os.fspath(path) != PROCEDURAL:
        return ()
    from mmtvface.heads.providers.procedural import procedural_head
    return procedural_head().expression_names


def animate_teaser(reconstructor: FaceReconstructor, source: Any,
                   out_dir: str | os.PathLike,
                   options: TeaserOptions | None = None,
                   progress: Progress | None = None) -> dict[str, Any]:
    """Show a person's head: it turns, then it makes faces.

    Files: ``teaser.mp4``, side by side the source (if its picture is there),
    the grey shape with its wrinkles, and the textured head; ``teaser.png``, a
    contact sheet; ``metrics.json``. The camera does not move, and shows the
    whole head in all frames.

    Args:
        reconstructor: With the model.
        source: Image, folder, clip folder or video of the person, or a
            ``codes.npz``.
        out_dir: Folder; it is made.
        options: Default: those of the class.
        progress: Told the step, frames done and in all.

    Returns:
        The contents of ``metrics.json`` and, under ``files``, what was
        written (kind -> path).

    Raises:
        FileNotFoundError: If the source does not exist.
        ValueError: If it cannot be read, shows no face, or does not fit the
            model, or there is no such expression.
        OSError: If the disk is full, ...
    """
    options, progress = options or TeaserOptions(), progress or no_progress
    if not is_codes(source):
        open_frames(source)
    names = component_names(reconstructor)
    # A misspelt expression ends here, before any work.
    plan_moves(options.expressions, names,
               reconstructor.model.layout.exp, options.jaw)
    out_dir = writable_dir(out_dir)
    cast = cast_source(reconstructor, source, options.look,
                       options.source_frame, progress)
    play = write_screenplay(cast.codes, names, options)
    cam = fit_camera(extent_of(
        head.vertices for head in cast.player.heads(play.codes)))
    play.codes['cam'][:] = cam.cpu().numpy()
    sheet = _video(cast, play, out_dir, options, progress)
    save_png(out_dir / 'teaser.png', sheet)
    metrics = dict(
        source=cast.track.name, frames=options.frames, fps=options.fps,
        detail=cast.player.num_detail > 0,
        textured='textured' in cast.kinds, stills=play.stills,
        options=asdict(options))
    with atomic_path(out_dir / METRICS) as path:
        path.write_text(json.dumps(metrics, indent=2) + '\n',
                        encoding='utf-8')
    files = dict(video='teaser.mp4', sheet='teaser.png', metrics=METRICS)
    return dict(metrics, files={
        kind: str(out_dir / name) for kind, name in files.items()})


def _video(cast: Cast, play: Screenplay, out_dir: Any, options: TeaserOptions,
          progress: Progress) -> np.ndarray:
    """Write the video; return the contact sheet."""
    look = options.look
    fixed = [] if cast.portrait is None else [cast.portrait]
    stills: dict[int, list[np.ndarray]] = {}
    wanted = set(play.stills.values())
    with VideoWriter(out_dir / 'teaser.mp4', options.fps) as video:
        for result in cast.player.play(play.codes, image_size=look.size):
            frame = AnimatedFrame(cast.painter, result, cast.lit)
            panels = frame.panels(cast.kinds, look.background)
            video.write(np.hstack([*fixed, *panels]))
            if result.index in wanted:
                stills[result.index] = panels
            progress('Animating', result.index + 1, options.frames)
    rows = [[stills[index][kind] for index in play.stills.values()]
            for kind in range(len(cast.kinds))]
    cell = min(_CELL, look.size)
    rows[-1] = [
        add_caption(reduce_picture(picture, cell), caption)
        for picture, caption in zip(rows[-1], play.stills, strict=True)]
    if fixed:
        rows = [[cast.portrait] + rows[0], *([[_blank(cell)] + row
                                              for row in rows[1:]])]
    return image_grid(rows, (cell, cell))


def _blank(size: int) -> np.ndarray:
    return np.full((size, size, 3), 255, np.uint8)
