# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Videos of one person with the expression of another."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mmtvface.export.code_writers import CodeWriter
from mmtvface.export.kinds import check_kinds
from mmtvface.export.mesh_writers import CoarseMeshWriter, DenseMeshWriter
from mmtvface.export.writer import METRICS, Writer
from mmtvface.io.video_writer import VideoWriter
from mmtvface.reconstruction.face_reconstructor import FaceReconstructor
from mmtvface.tracking.frame_source import FrameSource, open_frames
from mmtvface.tracking.shots import Progress
from mmtvface.utils.atomic import atomic_path, writable_dir
from mmtvface.visualization.frame_painter import FramePainter

from .casting import Cast, Look, cast_source, no_progress
from .checks import check_finite, check_fps
from .framing import center_camera, extent_of, fit_camera
from .panels import AnimatedFrame, frame_panels, inset, still_window
from .player import CodePlayer
from .tracks import CodeTrack, is_codes, reconstruct_codes
from .transfer import transfer_codes

#: What can be saved besides the video.
SAVES = ('codes', 'obj', 'dense')
#: Cameras of the animated head.
CAMERAS = ('source', 'fit')


@dataclass(frozen=True)
class TransferOptions:
    """How expressions are transferred.

    Attributes:
        look: How it is drawn.
        pose: See :func:`transfer_codes`.
        angles: See :func:`transfer_codes`.
        relative: See :func:`transfer_codes`.
        neutral_frame: Position or name of the driver's frame that shows its
            face at rest; None: the median over all frames.
        source_frame: Position or name of the frame whose codes are taken;
            None: the robust mean over all frames.
        camera: 'source': the scale of the source, so that the face is as
            large as the model saw it, looking at the middle of all places
            of the face; 'fit': the whole head stays in the picture. Neither
            moves.
        save: Of :data:`SAVES`.
        fps: Of the video; None: that of the driver, whose frames keep their
            times.

    Raises:
        ValueError: If a value is unknown or a number out of range.
    """

    look: Look = field(default_factory=Look)
    pose: str = 'driver'
    angles: tuple[float, float, float] = (0., 0., 0.)
    relative: bool = False
    neutral_frame: int | str | None = None
    source_frame: int | str | None = None
    camera: str = 'source'
    save: tuple[str, ...] = ('codes', )
    fps: float | None = None

    def __post_init__(self) -> None:
        if self.camera not in CAMERAS:
            raise ValueError(f'camera must be one of {CAMERAS}, but it is '
                             f"'{self.camera}'.")
        if unknown := [name for name in self.save if name not in SAVES]:
            raise ValueError(f'Cannot save {unknown}; there are '
                             f'{list(SAVES)}.')
        if self.neutral_frame is not None and not self.relative:
            raise ValueError('neutral_frame has no effect without '
                             'relative=True.')
        check_finite(angles=self.angles)
        if self.fps is not None:
            check_fps(self.fps)


def animate_transfer(reconstructor: FaceReconstructor, source: Any,
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
        progress: Told the step, frames done and in all.

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
    cast = cast_source(reconstructor, source, look, options.source_frame,
                       _named(progress, 'source'))
    check_kinds(options.save, cast.painter)
    acted = reconstruct_codes(reconstructor, driver,
                              _named(progress, 'driver'))
    player = CodePlayer(reconstructor.model, look.detail)
    player.check(acted)
    frames = driver_frames if is_codes(driver) else driver
    frames = None if frames is None else _check_frames(
        open_frames(frames), acted)
    codes = _transfer(cast, acted, options)
    panels = _DriverPanels(acted, player, reconstructor.build_painter(),
                           frames, look)
    fps = options.fps or acted.fps
    times = [None] * len(acted) if options.fps or acted.time is None else (
        acted.time.tolist())
    writers = _build_writers(options.save, out_dir, fps)
    done, stopped = 0, None
    with VideoWriter(out_dir / 'animation.mp4', fps) as video:
        try:
            results = cast.player.play(codes, acted.frame_names, look.size)
            for left, result, time in zip(panels, results, times,
                                          strict=True):
                frame = AnimatedFrame(cast.painter, replace(
                    result, time=time), cast.lit)
                right = frame.panels(cast.kinds, look.background)
                if cast.portrait is not None:
                    right[0] = inset(right[0], cast.portrait)
                video.write(np.hstack([*left, *right]), time)
                for writer in writers:
                    writer.add(frame)
                done += 1
                progress('Transferring', done, len(acted))
        # Ctrl-C as well: the files of what is done are finished first.
        except BaseException as error:  # noqa: B036
            stopped = error
    files = {'video': str(video.path)} if done else {}
    files |= {writer.kind: str(writer.path) for writer in writers
              if writer.finish()}
    metrics = dict(
        source=cast.track.name, driver=acted.name, frames=len(acted),
        frames_animated=int(acted.valid[:done].sum()), fps=fps,
        skipped=[name for name, ok in zip(
            acted.frame_names, acted.valid, strict=True) if not ok],
        detail=cast.player.num_detail > 0,
        textured='textured' in cast.kinds, options=asdict(options))
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


def _transfer(cast: Cast, acted: CodeTrack,
              options: TransferOptions) -> dict[str, np.ndarray]:
    """Codes of the animation, with its camera."""
    neutral = None
    if options.neutral_frame is not None:
        row = acted.row_of(options.neutral_frame)
        neutral = {name: acted.codes[name][row] for name in ('exp', 'pose')}
    codes = transfer_codes(cast.codes, acted.codes, options.pose,
                           options.angles, options.relative, neutral)
    if options.camera == 'fit':
        cam = fit_camera(extent_of(
            head.vertices for head in cast.player.heads(codes)))
    else:
        cam = center_camera(extent_of(
            head.landmarks3d for head in cast.player.heads(codes)),
            float(cast.codes['cam'][0]))
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


def _build_writers(save: Sequence[str], out_dir: Path,
                   fps: float) -> list[Writer]:
    build = dict(codes=lambda: CodeWriter(out_dir, fps),
                 obj=lambda: CoarseMeshWriter(out_dir),
                 dense=lambda: DenseMeshWriter(out_dir))
    return [make() for kind, make in build.items() if kind in save]
