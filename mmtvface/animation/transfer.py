# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Expression of one face on another: on codes, and as a video."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch

from mmtvface.export.writer import METRICS, Target, check_kinds, open_writers
from mmtvface.geometry.rotation import (
    axis_angle_to_matrix,
    euler_to_axis_angle,
    matrix_to_axis_angle,
)
from mmtvface.io.video_writer import VideoWriter
from mmtvface.reconstruction.face_reconstructor import Reconstructor
from mmtvface.tracking.frame_source import FrameSource, open_frames
from mmtvface.tracking.shots import Progress
from mmtvface.utils.atomic import atomic_path, writable_dir
from mmtvface.visualization.frame_painter import FramePainter

from .pictures import (
    AnimatedFrame,
    center_camera,
    extent_of,
    fit_camera,
    frame_panels,
    inset,
    still_window,
)
from .settings import POSES, Look, TransferOptions
from .subject import CodePlayer, Subject, no_progress, prepare_subject
from .tracks import CodeTrack, is_codes, reconstruct_codes

#: Codes that tell who somebody is and how they are seen.
IDENTITY = ('shape', 'tex', 'light', 'detail', 'cam')


def degrees_to_axis_angle(angles: Sequence[float] | np.ndarray) -> np.ndarray:
    """Axis-angle of turns of the head.

    Args:
        angles: (..., 3) yaw, pitch, roll in degrees; positive ones turn the
            face to its left, down, and towards its right shoulder.

    Returns:
        (..., 3) radians.
    """
    angles = np.radians(np.asarray(angles, np.float64))
    return euler_to_axis_angle(angles.reshape(-1, 3)).reshape(angles.shape)


def relative_jaw(jaw: np.ndarray, neutral: np.ndarray,
                 target: np.ndarray) -> np.ndarray:
    """Rotation of a jaw from its neutral pose, put onto another neutral one.

    R = R_jaw R_neutral^-1 R_target.

    Args:
        jaw: (T, 3) axis-angle, radians.
        neutral: (3,) of the same person.
        target: (3,) of the other one.

    Returns:
        (T, 3) axis-angle.
    """
    rotations = [axis_angle_to_matrix(torch.from_numpy(
        np.asarray(value, np.float64))) for value in (jaw, neutral, target)]
    result = matrix_to_axis_angle(
        rotations[0] @ rotations[1].mT @ rotations[2])
    return result.numpy().astype(jaw.dtype)


def neutral_expression(codes: Mapping[str, np.ndarray]
                       ) -> dict[str, np.ndarray]:
    """Expression that somebody has most of the time.

    Args:
        codes: ``exp`` (T, C) and ``pose`` (T, 6), rows of frames without a
            face NaN; T > 0.

    Returns:
        ``exp`` (C,) and ``pose`` (6,), medians over the frames.
    """
    return {name: np.nanmedian(codes[name], 0).astype(codes[name].dtype)
            for name in ('exp', 'pose')}


def transfer_codes(source: Mapping[str, np.ndarray],
                   driver: Mapping[str, np.ndarray],
                   pose: str = 'driver',
                   angles: Sequence[float] = (0., 0., 0.),
                   relative: bool = False,
                   neutral: Mapping[str, np.ndarray] | None = None
                   ) -> dict[str, np.ndarray]:
    """Put the expression of a driver onto the identity of a source.

    Shape, albedo, light, camera and *detail* code are the source's, in all
    frames the same; expression and jaw are the driver's. As the detail
    decoder is given the driver's expression and the source's detail code,
    the wrinkles are the source's and come and go with the driver's
    expression (DECA, Feng et al., SIGGRAPH 2021, section 4.2 and figure 6).

    Args:
        source: Name -> (C,), of one person, see
            :func:`mmtvface.animation.pick_identity`.
        driver: ``exp`` (T, C) and ``pose`` (T, 6); rows of frames without a
            face are NaN.
        pose: Where the head's rotation comes from: 'driver', 'source' or
            'fixed'.
        angles: Of the 'fixed' pose, see :func:`degrees_to_axis_angle`.
        relative: Add what the driver's expression differs from neutral to
            the source's own expression, instead of replacing it. That
            removes what the regressor sees as an expression but is the
            driver's neutral face.
        neutral: ``exp`` (C,) and ``pose`` (6,) of the driver's neutral face;
            default: its median over the frames.

    Returns:
        Name -> (T, C); NaN in all codes where the driver has no face.

    Raises:
        ValueError: If ``pose`` is unknown or sizes differ.
    """
    if pose not in POSES:
        raise ValueError(f"pose must be one of {POSES}, but it is '{pose}'.")
    for name in ('exp', 'pose'):
        if source[name].shape != driver[name].shape[1:]:
            raise ValueError(
                f"The code '{name}' of the source has "
                f'{source[name].shape[-1]} entries, but that of the driver '
                f'{driver[name].shape[-1]}: reconstruct both with the same '
                'model.')
    length = len(driver['exp'])
    present = np.isfinite(driver['exp']).all(1) & (
        np.isfinite(driver['pose']).all(1))
    codes = {name: np.repeat(source[name][None], length, 0)
             for name in IDENTITY if name in source}
    codes['exp'], codes['pose'] = driver['exp'].copy(), driver['pose'].copy()
    if relative:
        rest = neutral or neutral_expression(driver)
        codes['exp'] += source['exp'] - rest['exp']
        codes['pose'][:, 3:] = relative_jaw(
            driver['pose'][:, 3:], rest['pose'][3:], source['pose'][3:])
    if pose == 'source':
        codes['pose'][:, :3] = source['pose'][:3]
    elif pose == 'fixed':
        codes['pose'][:, :3] = degrees_to_axis_angle(angles)
    for code in codes.values():
        code[~present] = np.nan
    return codes


def animate_transfer(reconstructor: Reconstructor, source: Any,
                     driver: Any, out_dir: str | os.PathLike,
                     options: TransferOptions | None = None,
                     driver_frames: Any = None,
                     progress: Progress | None = None) -> dict[str, Any]:
    """Put the expression of a driving clip onto a person.

    Shape, albedo, light and wrinkles are the source's, expression and jaw
    the driver's; see :func:`transfer_codes`. The wrinkles follow the
    expression, as the detail decoder reads it.

    Files: ``animation.mp4``, side by side the driver's frame, its grey shape
    over it, and the animated person in grey with detail and in colour (with
    the source in a corner); ``codes.npz`` as of a reconstruction, whose
    pixels are those of one animated picture; ``meshes/`` and ``dense/`` on
    request, as of :func:`mmtvface.apis.save_results`, with the person's
    albedo as texture; ``metrics.json``. Every file appears only when it is
    complete. After an error or Ctrl-C the files hold what came before, and
    the error goes on.

    Args:
        reconstructor: With the model for both.
        source: Image, folder, clip folder or video of the person, or a
            ``codes.npz``.
        driver: Clip of somebody else, or a ``codes.npz``.
        out_dir: Folder; it is made.
        options: Default: those of the class.
        driver_frames: The input that the driver's ``codes.npz`` was made
            from; without it, its shape is shown alone.
        progress: Called with the step, frames done and in all.

    Returns:
        The contents of ``metrics.json`` and, under ``files``, what was
        written (kind -> path).

    Raises:
        FileNotFoundError: If an input does not exist.
        ValueError: If an input cannot be read, shows no face, or does not
            fit the model.
        OSError: If the disk is full, ...
    """
    options = options or TransferOptions()
    look, progress = options.look, progress or no_progress
    for given in (source, driver):
        if not is_codes(given):
            open_frames(given)  # both must exist before one is worked on
    out_dir = writable_dir(out_dir)
    subject = prepare_subject(reconstructor, source, look,
                              options.source_frame,
                              _named(progress, 'source'))
    check_kinds(options.save, subject.painter)
    acted = reconstruct_codes(reconstructor, driver,
                              _named(progress, 'driver'))
    player = CodePlayer(reconstructor.model, look.detail)
    player.check(acted)
    frames = driver_frames if is_codes(driver) else driver
    frames = None if frames is None else _check_frames(
        open_frames(frames), acted)
    codes = _transfer(subject, acted, options)
    panels = _DriverPanels(acted, player, reconstructor.build_painter(),
                           frames, look)
    fps = options.fps or acted.fps
    times = [None] * len(acted) if options.fps or acted.time is None else (
        acted.time.tolist())
    writers = open_writers(options.save, Target(out_dir, fps))
    done, stopped = 0, None
    with VideoWriter(out_dir / 'animation.mp4', fps) as video:
        try:
            results = subject.player.play(codes, acted.frame_names, look.size)
            for left, result, time in zip(panels, results, times,
                                          strict=True):
                frame = AnimatedFrame(subject.painter, replace(
                    result, time=time), subject.lit)
                right = frame.panels(subject.kinds, look.background)
                if subject.portrait is not None:
                    right[0] = inset(right[0], subject.portrait)
                video.write(np.hstack([*left, *right]), time)
                for writer in writers:
                    writer.add(frame)
                done += 1
                progress('Transferring', done, len(acted))
        # Ctrl-C as well: the files of what is done are finished first.
        except BaseException as error:  # noqa: B036
            stopped = error
    files = {'video': str(video.path)} if done else {}
    files |= {writer.kind.name: str(writer.path) for writer in writers
              if writer.finish()}
    metrics = dict(
        source=subject.track.name, driver=acted.name, frames=len(acted),
        frames_animated=int(acted.valid[:done].sum()), fps=fps,
        skipped=[name for name, ok in zip(
            acted.frame_names, acted.valid, strict=True) if not ok],
        detail=subject.player.num_detail > 0,
        textured='textured' in subject.kinds, options=asdict(options))
    if stopped is not None:
        metrics['stopped'] = f'{type(stopped).__name__}: {stopped}'
    with atomic_path(out_dir / METRICS) as path:
        path.write_text(json.dumps(metrics, indent=2) + '\n',
                        encoding='utf-8')
    files['metrics'] = str(out_dir / METRICS)
    if stopped is not None:
        raise stopped
    return dict(metrics, files=files)


def _named(progress: Progress, whose: str) -> Progress:
    """Say whose frames are worked on."""
    return lambda step, done, total: progress(f'{step} ({whose})', done,
                                              total)


def _check_frames(frames: FrameSource, track: CodeTrack) -> FrameSource:
    if track.camera is None or track.landmarks3d is None:
        raise ValueError(f'{track.name} does not say where the face lies in '
                         'the frames; give a codes.npz of '
                         'mmtvface reconstruct, or no frames.')
    if len(frames) and len(frames) <= track.frame_index.max():
        raise ValueError(
            f'{frames.name} has {len(frames)} frames, but the codes of '
            f'{track.name} belong to {track.frame_index.max() + 1}: give the '
            'input that they were made from.')
    return frames


def _transfer(subject: Subject, acted: CodeTrack,
              options: TransferOptions) -> dict[str, np.ndarray]:
    """Codes of the animation, with its camera."""
    neutral = None
    if options.neutral_frame is not None:
        row = acted.index_of(options.neutral_frame)
        neutral = {name: acted.codes[name][row] for name in ('exp', 'pose')}
    codes = transfer_codes(subject.codes, acted.codes, options.pose,
                           options.angles, options.relative, neutral)
    if options.camera == 'fit':
        cam = fit_camera(extent_of(
            head.vertices for head in subject.player.heads(codes)))
    else:
        cam = center_camera(extent_of(
            head.landmarks3d for head in subject.player.heads(codes)),
            float(subject.codes['cam'][0]))
    codes['cam'][acted.valid] = cam.cpu().numpy()
    return codes


class _DriverPanels:
    """Pictures of the driver, frame by frame.

    Args:
        track: Its codes.
        player: Makes heads of them.
        painter: Makes pictures.
        frames: Its frames; None: the shape alone is shown.
        look: How it is drawn.
    """

    def __init__(self, track: CodeTrack, player: CodePlayer,
                 painter: FramePainter, frames: FrameSource | None,
                 look: Look) -> None:
        self.track, self.player, self.painter = track, player, painter
        self.frames, self.look = frames, look

    def __iter__(self) -> Iterator[list[np.ndarray]]:
        return self._alone() if self.frames is None else self._in_frames()

    def _codes(self) -> dict[str, np.ndarray]:
        """Its codes; without a detail code that the model does not know."""
        codes = dict(self.track.codes)
        if 'detail' in codes and (
                codes['detail'].shape[1] != self.player.num_detail):
            del codes['detail']
        return codes

    def _alone(self) -> Iterator[list[np.ndarray]]:
        codes = self._codes()
        cam = fit_camera(extent_of(
            head.vertices for head in self.player.heads(codes)))
        codes['cam'] = np.where(self.track.valid[:, None],
                                cam.cpu().numpy(), np.nan)
        for result in self.player.play(codes, image_size=self.look.size):
            yield AnimatedFrame(self.painter, result).panels(
                ['shape'], self.look.background)

    def _in_frames(self) -> Iterator[list[np.ndarray]]:
        size, frames = self.look.size, iter(self.frames)
        window = still_window(self.track.landmarks3d, size,
                              self.track.frame_size)
        results = self.player.play(
            self._codes(), image_size=size, cameras=self.track.camera)
        for index, result in zip(self.track.frame_index.tolist(), results,
                                 strict=True):
            image = next((frame.image for frame in frames
                          if frame.index == index), None)
            yield frame_panels(self.painter, result, image, window, size)
