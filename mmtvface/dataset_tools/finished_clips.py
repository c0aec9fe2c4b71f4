# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The finished clips of a set, wherever they lie."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmtvface.io.clip_index import ClipFrames, list_frames
from mmtvface.io.image import read_image, read_landmarks

from .clip_maker import SPLITS, ClipSignature, VideoState
from .clip_maker.video_state import CLIPS


@dataclass(frozen=True)
class FinishedClip:
    """A clip on the disk.

    Attributes:
        summary: What its video's state says.
        state: Of its video.
        folder: Where it is now.
    """

    summary: dict[str, Any]
    state: VideoState
    folder: Path

    @property
    def name(self) -> str:
        """Id of the clip."""
        return self.summary['id']

    @property
    def track(self) -> str:
        """Name of the person as far as tracking goes."""
        return f'{self.state.key}_t{self.summary["track"]:03d}'

    def signature(self) -> ClipSignature:
        """What the clip is recognised by.

        Raises:
            ValueError: If its meta.json is damaged.
        """
        path = self.folder / 'meta.json'
        try:
            frames = json.loads(path.read_text(encoding='utf-8'))['frames']
            hashes = np.array([int(text, 16) for text in frames['hash']],
                              np.uint64)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f'{path} is damaged ({error}). Delete the '
                             "video's work folder "
                             f'{self.state.folder} and run again.'
                             ) from error
        return ClipSignature(self.name, hashes, self.landmarks)

    def landmarks(self) -> np.ndarray:
        """(t, 68, 2) landmarks in pixels of the crops.

        Raises:
            ValueError: If files are missing or damaged.
        """
        names = self._frames().landmarks
        return np.stack([read_landmarks(self.folder / 'kpt' / name)[:, :2]
                         for name in names])

    def _frames(self) -> ClipFrames:
        """Names of the files, all of which are there.

        Raises:
            ValueError: If some are missing.
        """
        listed = list_frames(self.folder)
        count = self.summary['num_frames']
        complete = sum(bool(image and points) for image, points in zip(
            listed.images, listed.landmarks, strict=True))
        if complete != count:
            raise ValueError(
                f'{self.folder} has {complete} images with landmarks, but '
                f'{count} frames. Remove the folder to do without the clip, '
                f"or delete the video's work folder {self.state.folder} to "
                'make it anew, and run again.')
        return listed

    def pick(self, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Some frames, spread over the clip.

        Args:
            count: Most frames.

        Returns:
            (image (S, S, 3) uint8 RGB, landmarks (68, 2)) of each.

        Raises:
            ValueError: If files are missing or damaged.
        """
        listed = self._frames()
        total = len(listed.images)
        places = np.unique(np.linspace(0, total - 1, min(count, total) + 2)
                           .round().astype(int)[1:-1])
        return [(cv2.cvtColor(read_image(
            self.folder / 'jpg' / listed.images[i]), cv2.COLOR_BGR2RGB),
            read_landmarks(self.folder / 'kpt' / listed.landmarks[i])[:, :2])
            for i in places.tolist()]


def collect_clips(out: Path, states: list[VideoState]
                  ) -> tuple[list[FinishedClip], list[str]]:
    """Find the clips that the states name.

    Args:
        out: Folder of the set.
        states: Of its videos.

    Returns:
        The clips, and the names of those that somebody has removed.
    """
    clips, lost = [], []
    for state in states:
        for summary in state.clips:
            places = [state.folder / CLIPS / summary['id'],
                      *(out / split / summary['id'] for split in SPLITS)]
            place = next((p for p in places if p.is_dir()), None)
            if place is None:
                lost.append(summary['id'])
            else:
                clips.append(FinishedClip(summary, state, place))
    return clips, lost
