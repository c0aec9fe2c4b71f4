# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Pictures and videos of heads in their frames."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from mmtvface.geometry.encodings import view_depth
from mmtvface.io.audio import add_sound
from mmtvface.io.video_writer import VideoWriter

from .kinds import VIDEOS
from .painted_frame import PaintedFrame, paint_all
from .writer import FrameWriter, Writer, result_dir, save_png


class PictureWriter(Writer):
    """``<kind>/frame/<result>.png`` and ``<kind>/crop/<result>.png``.

    Each shows one face. The first has the size of the frame with the face in
    its place, the second is the crop that the model saw. Depth is 16 bit;
    pictures of it for the eye are in ``frame_view`` and ``crop_view``.
    """

    def __init__(self, out_dir: Path, kind: str) -> None:
        self.kind, self.path = kind, out_dir / kind
        folders = ['frame', 'crop']
        if kind == 'depth':
            folders += ['frame_view', 'crop_view']
        for folder in folders:
            result_dir(out_dir, f'{kind}/{folder}', ('.png', ))

    def add(self, frame: PaintedFrame) -> None:
        """Write the pictures of a frame."""
        if not frame.drawable:
            return
        name = f'{frame.result.name}.png'
        for folder, pictures in (('frame', frame.in_frame),
                                 ('crop', frame.in_crop)):
            picture = pictures[self.kind]
            save_png(self.path / folder / name, picture)
            if self.kind == 'depth':
                save_png(self.path / f'{folder}_view' / name,
                         view_depth(picture))


class OverlayVideoWriter(FrameWriter):
    """A video of the heads over all frames that can be read, at their times.

    A context manager, as the file appears when it is left.

    Args:
        out_dir: Folder.
        kind: One of :data:`VIDEOS`.
        fps: Frames per second.
        sound: Tells, when all frames have been read, the file whose sound
            the video gets.
    """

    def __init__(self, out_dir: Path, kind: str, fps: float,
                 sound: Callable[[], Path | None] = lambda: None) -> None:
        self._sound = sound
        self.kind, self._picture = kind, VIDEOS[kind]
        self.path = self.target(out_dir)
        self._video = VideoWriter(self.path, fps)
        self._begun = False

    def __enter__(self) -> 'OverlayVideoWriter':
        self._video.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None,
                 error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._video.__exit__(kind, error, trace)

    def target(self, out_dir: Path) -> Path:
        """File of the video."""
        return out_dir / f'{self._picture}.mp4'

    def picture(self, faces: Sequence[PaintedFrame]) -> np.ndarray:
        """What is shown of a frame with an image; without a face, itself."""
        return paint_all(faces, self._picture)

    def add_frame(self, faces: Sequence[PaintedFrame]) -> None:
        """Append a frame that has an image."""
        if faces[0].image is None:
            return
        self._video.write(self.picture(faces), faces[0].time)
        self._begun = True

    def finish(self) -> bool:
        """Add the sound; whether there is a video."""
        if self._begun and (source := self._sound()):
            add_sound(self.path, source)
        return self._begun
