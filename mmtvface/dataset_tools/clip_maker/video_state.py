# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What is finished of a video, so that a killed run can go on.

The work folder of a video holds ``progress.json`` (the state), the clips of
finished pieces in ``clips/`` and those of the current one in ``segment/``.
A piece is committed in this order: its clips are complete in
``segment/``; the state, which names them and the place to continue, is
replaced in one step; they are renamed into ``clips/``. Killed before the
state, the piece is done again; killed after it, the renaming is finished
by :func:`open_state`.
"""

import json
import os
import shutil
from collections import Counter
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from .clip_writer import write_json

STATE = 'progress.json'
CLIPS = 'clips'
PIECE = 'segment'  # as in work folders of earlier versions
#: Held by the process that works on the video.
LOCK = '.lock'


@dataclass
class VideoState:
    """State of one video.

    Attributes:
        folder: Work folder of the video.
        key: Name of the video in this set.
        source: Where the video came from.
        settings: Fingerprint of the settings.
        next_frame: Number of the first frame that is not done.
        next_time: Its time in seconds; None at the start, and where times do
            not tell frames apart.
        next_track: Number of the next track.
        finished: The video is done.
        problem: What was wrong with the video, '' if nothing.
        frames: Frames decoded.
        faces: Faces found in them.
        fps: Mean frames per second.
        clips: One summary per finished clip.
        lost_frames: Reason -> frames that were not used.
        lost_clips: Reason -> runs of frames that became no clip.
        seconds: Stage -> time spent.
    """

    folder: Path
    key: str
    source: dict[str, Any]
    settings: str
    next_frame: int = 0
    next_time: float | None = None
    next_track: int = 0
    finished: bool = False
    problem: str = ''
    frames: int = 0
    faces: int = 0
    fps: float = 0.
    clips: list[dict[str, Any]] = field(default_factory=list)
    lost_frames: Counter = field(default_factory=Counter)
    lost_clips: Counter = field(default_factory=Counter)
    seconds: Counter = field(default_factory=Counter)

    @property
    def piece(self) -> Path:
        """Folder of the clips of the current piece."""
        return self.folder / PIECE

    def check_settings(self, settings: str) -> None:
        """Refuse to mix clips of different settings.

        Raises:
            ValueError: If the fingerprint of the settings is another one.
        """
        if self.settings != settings:
            raise ValueError(
                f'{self.folder} was made with other settings. Use those '
                'again, choose another output folder, or delete this one.')

    def commit(self) -> None:
        """Make what was done so far permanent, see the module."""
        write_json(self.folder / STATE, self.as_dict())
        self._publish()

    def as_dict(self) -> dict[str, Any]:
        """Everything but the folder."""
        # Not dataclasses.asdict, which makes counters count pairs.
        return {entry.name: getattr(self, entry.name)
                for entry in fields(self) if entry.name != 'folder'}

    def _publish(self) -> None:
        """Give the clips that the state names their place."""
        target = self.folder / CLIPS
        target.mkdir(exist_ok=True)
        for clip in self.clips:
            if (part := self.piece / clip['id']).is_dir():
                os.replace(part, target / clip['id'])
        if self.piece.is_dir():
            shutil.rmtree(self.piece)


def read_state(folder: Path) -> VideoState | None:
    """State of a work folder, None if there is none.

    Raises:
        ValueError: If the file is damaged.
    """
    path = folder / STATE
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text(encoding='utf-8'))
        for name in ('lost_frames', 'lost_clips', 'seconds'):
            values[name] = Counter(values[name])
        return VideoState(folder=folder, **values)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f'{path} is no progress of this version ({error}). Delete the '
            f'folder {folder} to process the video anew.') from error


def open_state(folder: Path, key: str, source: dict[str, Any],
                 settings: str) -> VideoState:
    """Continue a video or begin it.

    Raises:
        ValueError: If ``progress.json`` is damaged or was made with other
            settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = read_state(folder)
    if state is None:
        state = VideoState(folder, key, source, settings)
    state.check_settings(settings)
    # Leaves only what belongs to finished pieces.
    state._publish()
    return state
