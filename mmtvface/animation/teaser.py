# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""A video that shows one head from all sides, and then in motion."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmtvface.export.writer import METRICS, save_png
from mmtvface.heads import FLAME
from mmtvface.io.video_writer import VideoWriter
from mmtvface.reconstruction.face_reconstructor import Reconstructor
from mmtvface.tracking.frame_source import open_frames
from mmtvface.tracking.shots import Progress
from mmtvface.utils.atomic import atomic_path, writable_dir
from mmtvface.visualization.drawing import add_caption, image_grid

from .pictures import AnimatedFrame, extent_of, fit_camera, reduce_picture
from .settings import JAW_OPEN, STRENGTH, TeaserOptions
from .subject import Subject, no_progress, prepare_subject
from .tracks import is_codes
from .transfer import degrees_to_axis_angle

#: Shown by default on heads whose components have names.
DEFAULT_NAMED = ('smile', 'browInnerUp+browOuterUp', 'noseSneer+browDown',
                 'pucker')
#: How many principal components are shown by default on other heads.
DEFAULT_COMPONENTS = 4
_CELL = 192
_SIDES = ('_L', '_R')


def ease(share: np.ndarray) -> np.ndarray:
    """Go from 0 to 1 with rest at both ends: 3 s^2 - 2 s^3.

    Args:
        share: Time in [0, 1].
    """
    share = np.clip(share, 0., 1.)
    return share * share * (3 - 2 * share)


def swing(share: np.ndarray) -> np.ndarray:
    """Go 0, 1, 0, -1, 0 within [0, 1], starting and ending at rest.

    It is 1 at about 0.33 and -1 at about 0.67.
    """
    return np.sin(2 * math.pi * ease(share))


def bump(share: np.ndarray) -> np.ndarray:
    """Go 0, 1, 0 within [0, 1], at rest at both ends and at the top."""
    return np.sin(math.pi * np.clip(share, 0., 1.))**2


def sweep_rotation(num_frames: int, yaw: float = 60., pitch: float = 0.
                   ) -> np.ndarray:
    """Turn a head from the front to its left, to its right, and back.

    Args:
        num_frames: T > 0; the first and, if there are several, the last
            look straight ahead.
        yaw: Largest angle to each side, degrees.
        pitch: Largest nod, degrees: it nods twice on the way, first down
            and up, so that the head is also seen from above and below.

    Returns:
        (T, 3) axis-angle of the whole head, radians.

    Raises:
        ValueError: If there is no frame or an angle is not in [0, 180).
    """
    if num_frames < 1:
        raise ValueError(f'A sweep needs a frame, but there are {num_frames}.')
    for name, value in (('yaw', yaw), ('pitch', pitch)):
        if not 0 <= value < 180:
            raise ValueError(f'{name} must lie in [0, 180) degrees, but it '
                             f'is {value}.')
    share = np.linspace(0, 1, num_frames)
    angles = np.zeros((num_frames, 3))
    angles[:, 0] = yaw * swing(share)
    angles[:, 1] = pitch * np.sin(4 * math.pi * ease(share))
    return degrees_to_axis_angle(angles)


@dataclass(frozen=True)
class Move:
    """One part of an expression sweep.

    Attributes:
        label: For captions.
        components: Expression components that move together.
        jaw: Angle of the jaw at the peak, radians.
        both_ways: Also show the negative expression.
    """

    label: str
    components: tuple[int, ...] = ()
    jaw: float = 0.
    both_ways: bool = False


def find_components(name: str, names: Sequence[str],
                    num_expression: int) -> tuple[int, ...]:
    """Components of an expression by its name or number.

    Args:
        name: A name, a name without ``_L`` and ``_R`` for both sides, a
            number from 0, or several of these joined by '+'.
        names: Of the components, empty if they have none.
        num_expression: How many components the model has.

    Raises:
        ValueError: If there is no such component.
    """
    found: list[int] = []
    for part in name.split('+'):
        if part.isdecimal():
            picked = [int(part)]
        else:
            wanted = {part.lower(), *(part.lower() + side.lower()
                                      for side in _SIDES)}
            picked = [index for index, known in enumerate(names)
                      if known.lower() in wanted]
        picked = [index for index in picked if index < num_expression]
        if not picked:
            known = sorted({value.removesuffix('_L').removesuffix('_R')
                            for value in names[:num_expression]})
            raise ValueError(
                f"There is no expression '{part}'; there are the numbers "
                f'0 .. {num_expression - 1}' + (
                    f' and {", ".join(known)}.' if known else
                    ' (only the built-in head has names).'))
        found += picked
    return tuple(found)


def plan_moves(expressions: Sequence[str] | None, names: Sequence[str],
               num_expression: int, jaw: float = JAW_OPEN) -> list[Move]:
    """Parts of an expression sweep.

    Args:
        expressions: What to show, see :func:`find_components`; 'jaw' opens
            the mouth. None: four typical expressions of a head with names,
            the first four components of another one, and the jaw.
        names: Of the components, empty if they have none.
        num_expression: How many components the model has.
        jaw: Angle of the open mouth, radians.

    Raises:
        ValueError: If there is no such component.
    """
    if expressions is None:
        count = min(DEFAULT_COMPONENTS, num_expression)
        expressions = (*(DEFAULT_NAMED if names else map(str, range(count))),
                       'jaw')
    moves = []
    for name in expressions:
        if name.lower() == 'jaw':
            moves.append(Move('jaw', jaw=jaw))
            continue
        label = f'expression {name}' if name.isdecimal() else name
        # Named ones are motions of muscles, which have one direction.
        moves.append(Move(label, find_components(
            name, names, num_expression), both_ways=not names))
    return moves


@dataclass(frozen=True)
class ExpressionSweep:
    """Expressions over time.

    Attributes:
        exp: (T, C) coefficients.
        jaw: (T, 3) axis-angle, radians.
        peaks: Label of a move -> frames of its extremes (one or two).
    """

    exp: np.ndarray
    jaw: np.ndarray
    peaks: dict[str, list[int]]


def sweep_expression(num_frames: int, moves: Sequence[Move],
                     exp: np.ndarray, jaw: np.ndarray,
                     strength: float = STRENGTH) -> ExpressionSweep:
    """From an expression to neutral, through all moves, and back to it.

    The ways from and to the first expression take half of the time of a
    move. All parts begin and end at rest.

    Args:
        num_frames: T; at least one frame per part should be there.
        moves: What is shown.
        exp: (C,) the expression at the first and the last frame.
        jaw: (3,) the jaw there.
        strength: Coefficient at the peak of a move.

    Raises:
        ValueError: If there is no frame.
    """
    if num_frames < 1:
        raise ValueError(f'A sweep needs a frame, but there are {num_frames}.')
    time = np.linspace(0, len(moves) + 1., num_frames)
    own = (1 - ease(2 * time)) + ease(2 * time - 2 * len(moves) - 1)
    exps = own[:, None] * np.asarray(exp, np.float64)
    jaws = own[:, None] * np.asarray(jaw, np.float64)
    peaks = {}
    for number, move in enumerate(moves):
        share = time - .5 - number
        wave = (swing if move.both_ways else bump)(share)
        for index in move.components:
            exps[:, index] += strength * wave
        jaws[:, 0] += move.jaw * bump(share)
        tops = [int(wave.argmax())]
        peaks[move.label] = tops + [int(wave.argmin())] * move.both_ways
    return ExpressionSweep(exps, jaws, peaks)


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


def component_names(reconstructor: Reconstructor) -> Sequence[str]:
    """Names of the expression components, which the built-in head has."""
    flame = reconstructor.model.flame
    return flame.expression_names if isinstance(flame, FLAME) else ()


def animate_teaser(reconstructor: Reconstructor, source: Any,
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
        progress: Called with the step, frames done and in all.

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
    subject = prepare_subject(reconstructor, source, options.look,
                       options.source_frame, progress)
    play = write_screenplay(subject.codes, names, options)
    cam = fit_camera(extent_of(
        head.vertices for head in subject.player.heads(play.codes)))
    play.codes['cam'][:] = cam.cpu().numpy()
    sheet = _video(subject, play, out_dir, options, progress)
    save_png(out_dir / 'teaser.png', sheet)
    metrics = dict(
        source=subject.track.name, frames=options.frames, fps=options.fps,
        detail=subject.player.num_detail > 0,
        textured='textured' in subject.kinds, stills=play.stills,
        options=asdict(options))
    with atomic_path(out_dir / METRICS) as path:
        path.write_text(json.dumps(metrics, indent=2) + '\n',
                        encoding='utf-8')
    files = dict(video='teaser.mp4', sheet='teaser.png', metrics=METRICS)
    return dict(metrics, files={
        kind: str(out_dir / name) for kind, name in files.items()})


def _video(subject: Subject, play: Screenplay, out_dir: Path,
           options: TeaserOptions, progress: Progress) -> np.ndarray:
    """Write the video; return the contact sheet."""
    look = options.look
    fixed = [] if subject.portrait is None else [subject.portrait]
    stills: dict[int, list[np.ndarray]] = {}
    wanted = set(play.stills.values())
    with VideoWriter(out_dir / 'teaser.mp4', options.fps) as video:
        for result in subject.player.play(play.codes, image_size=look.size):
            frame = AnimatedFrame(subject.painter, result, subject.lit)
            panels = frame.panels(subject.kinds, look.background)
            video.write(np.hstack([*fixed, *panels]))
            if result.index in wanted:
                stills[result.index] = panels
            progress('Animating', result.index + 1, options.frames)
    rows = [[stills[index][kind] for index in play.stills.values()]
            for kind in range(len(subject.kinds))]
    cell = min(_CELL, look.size)
    rows[-1] = [
        add_caption(reduce_picture(picture, cell), caption)
        for picture, caption in zip(rows[-1], play.stills, strict=True)]
    if fixed:
        rows = [[subject.portrait] + rows[0], *([[_blank(cell)] + row
                                              for row in rows[1:]])]
    return image_grid(rows, (cell, cell))


def _blank(size: int) -> np.ndarray:
    return np.full((size, size, 3), 255, np.uint8)
