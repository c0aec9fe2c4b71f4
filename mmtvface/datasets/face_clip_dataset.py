# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Clips of face images with landmarks and skin masks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mmtvface.io.clip_index import (
    DIRS,
    ClipFrames,
    find_runs,
    jitter_frames,
    make_windows,
)
from mmtvface.registry import DATASETS

from .base_clip_dataset import BaseClipDataset
from .clip_source import find_clips


@DATASETS.register_module()
class FaceClipDataset(BaseClipDataset):
    """Windows of K frames in a row from clips of any length.

    ``data_root`` is one of

    * a set as ``mmtvface prepare`` writes it: a folder with
      ``manifest.json``; ``split`` says which part;
    * a folder of splits without a manifest: ``data_root/<split>`` or
      ``data_root/<split>.lmdb`` is read;
    * a folder of clips (or a single clip) in the layout of "Learning to
      Reconstruct 3D Faces by Watching TV"::

        data_root/<id>/jpg/00001.jpg ...
        data_root/<id>/kpt/00001_kpt2d.npy      (68, 2) pixel indices
        data_root/<id>/seg/masks/00001.npy      (H, W), or .png, optional
        data_root/<id>/serial.npy               frame order, optional

    * a packed file ``x.lmdb``, see :func:`mmtvface.datasets.pack_clips`.

    Identities come from the manifest (also from one beside the split's
    folder); without one each clip is an identity of its own.

    A frame that cannot be used (see the policies) ends a run of consecutive
    frames; windows never jump over it. Contents are only checked when they are
    read: an unreadable frame is reported once, and then in training another
    window is fetched, while in test mode the nearest readable frame takes its
    place with the visibility 0. In test mode a frame that was in a window
    before has the visibility 0 too, so that metrics count every frame once.

    An item is ``dict(inputs=(t, 3, S, S) uint8 RGB tensor,
    data_samples=FaceClipSample)`` with ``gt_landmarks`` and, if the data has
    masks or ``missing_mask='hull'``, ``gt_masks``.

    Random choices are made in training only, once per fetched clip.

    Args:
        data_root: See above.
        ann_file: Text file with one id per line (relative to ``data_root``
            or absolute) that selects clips.
        split: Name of the split, or '' if ``data_root`` is one; 'all' takes
            all clips of a manifest.
        clip_length: Frames K per window.
        image_size: Side of the crop in pixels.
        stride: Frames between the starts of windows; default ``clip_length``
            in test mode, else 1. The last window ends with the run.
            'random' makes one item of each run of usable frames, from which
            training draws a window at each fetch: for sets with so many
            frames that their windows cannot be listed.
        dilation: Frames from one frame of a window to the next: 2 takes
            every second one. Runs that are too short take a smaller one.
        jitter_time: Largest random shift of every frame of a window in
            frames; the order stays and no frame comes twice.
        reverse_prob: Probability that a clip runs backwards.
        short_clips: 'pad' mirrors runs shorter than K in time, 'skip' leaves
            them.
        missing_landmarks: 'skip' or 'error'.
        missing_mask: 'ignore' (the whole crop counts), 'hull' (hull of the
            landmarks with the forehead), 'skip' (the frame is not used) or
            'error'. Also for unreadable masks.
        seed: Seed of the random draws, see :class:`ClipRandomness`.
        pipeline: Transforms from file names to an item. Default:
            ``LoadFaceClip``, ``CropFaceClip``, ``PackFaceClip``; a test
            loads strictly and takes the middle scale.
        data_prefix: Other sub-folder names: images, landmarks, masks.
        **kwargs: metainfo, filter_cfg, indices, serialize_data, test_mode,
            lazy_init, max_refetch of mmengine's ``BaseDataset``.

    Raises:
        FileNotFoundError: If the root or the clips are not there, or a file
            is missing whose policy is 'error'.
        ValueError: If an option is unknown, a manifest is broken or no window
            is left.
    """

    def __init__(self,
                 data_root: str,
                 ann_file: str = '',
                 split: str = '',
                 clip_length: int = 5,
                 stride: int | str | None = None,
                 dilation: int = 1,
                 jitter_time: int = 0,
                 reverse_prob: float = 0.,
                 data_prefix: dict | None = None,
                 test_mode: bool = False,
                 **kwargs: Any):
        if stride is None:
            stride = clip_length if test_mode else 1
        if test_mode and stride == 'random':
            raise ValueError("stride='random' is for training; a test needs "
                             'all windows.')
        if min(clip_length, 1 if stride == 'random' else stride,
               dilation) < 1 or jitter_time < 0:
            raise ValueError(
                'clip_length, stride and dilation must be at least 1 and '
                f'jitter_time at least 0, but they are {clip_length}, '
                f'{stride}, {dilation} and {jitter_time}.')
        if not 0 <= reverse_prob <= 1:
            raise ValueError('reverse_prob must be in 0..1, but it is '
                             f'{reverse_prob}.')
        self.split = split
        self.stride = stride
        self.dilation = dilation
        self.jitter_time = jitter_time
        self.reverse_prob = reverse_prob
        super().__init__(
            data_root=str(Path(data_root).expanduser()), ann_file=ann_file,
            clip_length=clip_length, test_mode=test_mode,
            data_prefix={**DIRS, **(data_prefix or {})}, **kwargs)

    def load_clips(self, warnings: list[str]
                   ) -> Iterator[tuple[dict, list[dict]]]:
        """List the clips and cut them into windows."""
        self.store, entries = find_clips(
            self.data_root, self.split, self.ann_file,
            self.data_prefix['images'])
        for entry in entries:
            frames = self.store.frames(entry.folder, self.data_prefix)
            warnings += frames.warnings
            clip = dict(clip_id=entry.clip_id, identity=entry.identity,
                        folder=entry.folder, frames=frames)
            yield clip, self.cut(clip['clip_id'], clip['folder'], frames,
                                 warnings)

    def cut(self, name: str, folder: str, frames: ClipFrames,
            warnings: list[str]) -> list[dict]:
        """Windows of one clip."""
        usable = self.usable_frames(folder, frames)
        if not usable:
            warnings.append(f'{name}: no image in {folder}')
        elif not all(usable):
            first = frames.images[usable.index(False)] or 'a listed one'
            warnings.append(
                f'{name}: {usable.count(False)} of {len(usable)} '
                f'frames lack a file and are skipped, first: {first}')
        windows = []
        for run in find_runs(usable):
            # One window stands for all of a run if the start is drawn.
            stride = run[1] if self.stride == 'random' else self.stride
            found = make_windows(run, self.clip_length, stride,
                                 self.short_clips, self.dilation)
            if not found:
                warnings.append(
                    f'{name}: a run of {run[1] - run[0]} frames is '
                    f'shorter than {self.clip_length} and is skipped')
            elif self.stride == 'random':
                found = found[:1]
            # Windows of a test overlap at the end of a run.
            seen: set[int] = set()
            for window in found:
                record = dict(frames=window)
                if self.test_mode:
                    repeated = []
                    for index in window:
                        repeated.append(index in seen)
                        seen.add(index)
                    record['repeated'] = repeated
                elif self.jitter_time or self.stride == 'random':
                    record['run'] = run
                windows.append(record)
        return windows

    def choose_frames(self, window: dict, rng: np.random.Generator
                      ) -> list[int]:
        """Draw the place, shift the frames in time, turn them round."""
        frames = window['frames']
        if self.stride == 'random':
            room = window['run'][1] - 1 - max(frames)
            shift = int(rng.integers(room + 1))
            frames = [index + shift for index in frames]
        if self.jitter_time:
            frames = jitter_frames(frames, window['run'], self.jitter_time,
                                   rng)
        if self.reverse_prob and rng.random() < self.reverse_prob:
            frames = frames[::-1]
        return frames
