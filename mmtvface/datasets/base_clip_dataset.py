# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What all datasets of clips in files have in common."""

import os
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import MMLogger

from mmtvface.io.clip_index import DIRS, LANDMARK_ENDINGS, ClipFrames
from mmtvface.registry import TRANSFORMS

from .clip_store import ClipStore, FolderStore
from .packed_list import PackedList
from .randomness import ClipRandomness

_PART = 128  # frames whose names are kept together

POLICIES = {
    'short_clips': ('pad', 'skip'),
    'missing_landmarks': ('skip', 'error'),
    'missing_mask': ('ignore', 'hull', 'skip', 'error'),
}


class BaseClipDataset(BaseDataset):
    """Items of K frames from clips that are stored as files.

    A subclass lists its clips and windows in :meth:`load_clips`. The item
    and the arguments that are not listed here are those of
    :class:`mmtvface.datasets.FaceClipDataset`.

    Args:
        data_root: Where the data is.
        data_prefix: Sub-folders of the images, landmarks and masks.
        short_clips: 'pad' or 'skip'.
        missing_landmarks: 'skip' or 'error'.
        missing_mask: 'ignore', 'hull', 'skip' or 'error'.
    """

    METAINFO = {'dataset_type': 'face_clip', 'num_landmarks': 68}

    def __init__(self,
                 data_root: str,
                 ann_file: str = '',
                 clip_length: int = 5,
                 image_size: int = 224,
                 short_clips: str = 'pad',
                 missing_landmarks: str = 'skip',
                 missing_mask: str = 'ignore',
                 seed: int = 0,
                 pipeline: Sequence[dict | Callable] | None = None,
                 data_prefix: dict | None = None,
                 test_mode: bool = False,
                 max_refetch: int = 100,
                 **kwargs: Any):
        policies = dict(short_clips=short_clips,
                        missing_landmarks=missing_landmarks,
                        missing_mask=missing_mask)
        for name, value in policies.items():
            if value not in POLICIES[name]:
                raise ValueError(f'{name} must be one of {POLICIES[name]}, '
                                 f"but it is '{value}'.")
        unknown = sorted(set(data_prefix or ()) - set(DIRS))
        if unknown:
            raise ValueError(f'data_prefix names {list(DIRS)}, but there is '
                             f'{unknown}.')
        if clip_length < 1:
            raise ValueError('clip_length must be at least 1, but it is '
                             f'{clip_length}.')
        self.clip_length = clip_length
        self.image_size = image_size
        self.short_clips = short_clips
        self.missing_landmarks = missing_landmarks
        self.missing_mask = missing_mask
        self.randomness = ClipRandomness(seed)
        self.store: ClipStore = FolderStore()
        self._records = PackedList()
        self._places = np.zeros(0, np.int64)
        self._people = np.zeros(0, np.int64)
        self._use_masks = False
        self._images = self._landmarks = 0  # files that were found
        if pipeline is None:
            pipeline = [
                dict(type='mmtvface.LoadFaceClip', strict=test_mode,
                     crop_scale=1.4),
                dict(type='mmtvface.CropFaceClip', random=not test_mode),
                dict(type='mmtvface.PackFaceClip'),
            ]
        built = [TRANSFORMS.build(step) if isinstance(step, dict) else step
                 for step in pipeline]
        super().__init__(
            ann_file=ann_file, data_root=data_root,
            data_prefix=data_prefix or {}, pipeline=built,
            test_mode=test_mode, max_refetch=max_refetch, **kwargs)

    def _join_prefix(self) -> None:
        """Sub-folders are relative to each clip: nothing to join."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the random draws of an epoch."""
        self.randomness.set_epoch(epoch)

    @abstractmethod
    def load_clips(self, warnings: list[str]
                   ) -> Iterator[tuple[dict, list[dict]]]:
        """List the clips, one by one, and their windows.

        Args:
            warnings: Takes what the user should know.

        Yields:
            A clip, a dict of ``clip_id``, ``identity``, ``folder``,
            ``frames`` (:class:`ClipFrames`) and, if it is not
            ``data_prefix``, ``prefix`` (sub-folders of ``folder``); and its
            windows, dicts of ``frames`` (indices) and what
            :meth:`choose_frames` needs.
        """

    def load_data_list(self) -> list[dict]:
        """Index the clips without opening images or landmarks.

        A window is a small record. What is known of a clip is kept once: a
        record, and then the names of its files in parts, so that a window of
        a very long clip needs not all of them.
        """
        logger = MMLogger.get_current_instance()
        warnings: list[str] = []
        windows: list[dict] = []
        numbers: dict[str, int] = {}
        people, places, total, masks = [], [], 0, False

        def records() -> Iterator[dict | list]:
            nonlocal total, masks
            count = 0
            for clip, found in self.load_clips(warnings):
                for window in found:
                    windows.append({**window, 'clip': len(people)})
                people.append(numbers.setdefault(clip['identity'],
                                                 len(numbers)))
                frames = clip.pop('frames')
                total += len(frames.images)
                masks = masks or any(frames.masks)
                names = list(zip(frames.images, frames.landmarks,
                                 frames.masks, strict=True))
                places.append(count)
                starts = range(0, len(names), _PART)
                count += 1 + len(starts)
                yield clip
                for start in starts:
                    yield names[start:start + _PART]

        self._records = PackedList(records())
        self._places = np.array(places, np.int64)
        self._people = np.array(people, np.int64)
        # Without any mask the samples have none; with some, those that lack
        # one follow the policy, so that all samples have the same fields.
        self._use_masks = self.missing_mask != 'ignore' or masks
        for warning in warnings[:20]:
            logger.warning(warning)
        if len(warnings) > 20:
            logger.warning(f'... and {len(warnings) - 20} more warnings on '
                           f"'{self.data_root}'.")
        if not windows:
            raise ValueError(
                f"No window of {self.clip_length} usable frames in the "
                f"{len(people)} clips ({total} frames) of "
                f"'{self.data_root}'. " + self._no_landmarks()
                + ' '.join(warnings[:3]))
        logger.info(f"'{self.data_root}': {len(people)} clips, {total} "
                    f'frames, {len(windows)} windows of {self.clip_length}.')
        return windows

    def usable_frames(self, folder: str, frames: ClipFrames) -> list[bool]:
        """Frames that have the files the policies ask for.

        Raises:
            FileNotFoundError: If one has not and its policy is 'error'.
        """
        self._images += sum(map(bool, frames.images))
        self._landmarks += sum(map(bool, frames.landmarks))
        usable = []
        for image, landmarks, mask in zip(
                frames.images, frames.landmarks, frames.masks, strict=True):
            good = bool(image)
            for what, name, policy in (
                ('landmarks', landmarks, self.missing_landmarks),
                ('masks', mask, self.missing_mask)):
                if good and not name and policy == 'error':
                    raise FileNotFoundError(
                        f"No {what} of '{folder}/{image}' in "
                        f"'{folder}/{self.data_prefix[what]}', and the "
                        f"policy for missing {what} is 'error'.")
            usable.append(good and bool(landmarks) and (
                bool(mask) or self.missing_mask != 'skip'))
        return usable

    def _no_landmarks(self) -> str:
        """What to do if no image has landmarks."""
        if self._landmarks or not self._images:
            return ''
        place = os.path.join(self.data_root, self.data_prefix['landmarks'])
        text = (f'None of its {self._images} images has landmarks: looked '
                'for ' + ' and '.join(f"'<image>{ending}'" for ending in
                                      LANDMARK_ENDINGS))
        if self.data_prefix['landmarks'] == self.data_prefix['images']:
            return (f'{text} beside them. Write them with: python tools/'
                    f'dataset_converters/annotate_faces.py {place} ')
        return f"{text} in '{self.data_prefix['landmarks']}'. "

    def choose_frames(self, window: dict, rng: np.random.Generator
                      ) -> list[int]:
        """Frames of a window for one fetch; by default those it lists."""
        return window['frames']

    def _describe(self, window: dict, frames: list[int]) -> dict:
        """What the pipeline needs to know of one window."""
        place = int(self._places[window['clip']])
        clip = self._records[place]
        parts = {part: self._records[place + 1 + part]
                 for part in {index // _PART for index in frames}}
        images, landmarks, masks = map(list, zip(*(
            parts[index // _PART][index % _PART] for index in frames),
            strict=True))
        return dict(
            clip_id=clip['clip_id'], identity=clip['identity'],
            folder=clip['folder'],
            prefix=clip.get('prefix') or dict(self.data_prefix),
            frame_indices=list(frames),
            repeated=window.get('repeated') or [False] * len(frames),
            image_names=images, landmark_names=landmarks,
            mask_names=masks if self._use_masks else None,
            missing_mask=self.missing_mask, image_size=self.image_size,
            sample_idx=window['sample_idx'])

    def describe_frames(self, idx: int, frames: list[int]) -> dict:
        """Names of the files of any frames of an item's clip.

        Args:
            idx: The item.
            frames: Indices of frames, for example ``frame_indices`` of a
                sample.

        Returns:
            What ``LoadFaceClip`` needs, with the store.
        """
        return {**self._describe(super().get_data_info(idx), frames),
                'repeated': [False] * len(frames), 'store': self.store}

    def get_data_info(self, idx: int) -> dict:
        """Names of the files of a window, without random choices."""
        window = super().get_data_info(idx)
        return self._describe(window, window['frames'])

    def sampling_groups(self) -> tuple[np.ndarray, np.ndarray]:
        """Which identity and clip every item is of, for samplers.

        Returns:
            Two (N,) int64: numbers of the identities and of the clips.
        """
        clips = np.array([super(BaseClipDataset, self).get_data_info(index)
                          ['clip'] for index in range(len(self))])
        return self._people[clips], clips

    def __getitem__(self, idx: int) -> dict:
        """One item; in training another one if this is unreadable.

        Raises:
            RuntimeError: If ``max_refetch`` more windows are unreadable.
        """
        if not self._fully_initialized:
            self.full_init()
        data = self.prepare_data(idx)
        if data is not None:
            return data
        moved = getattr(idx, 'moved', int)
        rng = self.randomness.generator(moved(idx % len(self) + len(self)))
        for other in rng.integers(0, len(self), self.max_refetch).tolist():
            data = self.prepare_data(moved(other))
            if data is not None:
                return data
        raise RuntimeError(
            f'{self.max_refetch + 1} windows in a row are unreadable in '
            f"'{self.data_root}'; the files are named in the warnings above.")

    def prepare_data(self, idx: int) -> dict | None:
        """Run the pipeline with a generator of random numbers for the item.

        Returns:
            The item, or None if a frame is unreadable (training only).
        """
        window = super().get_data_info(idx)
        moved = getattr(idx, 'moved', int)
        rng = self.randomness.generator(moved(window['sample_idx']))
        frames = window['frames'] if self.test_mode else (
            self.choose_frames(window, rng))
        return self.pipeline({**self._describe(window, frames), 'rng': rng,
                              'store': self.store})
