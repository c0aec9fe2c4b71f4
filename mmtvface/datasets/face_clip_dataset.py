# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Clips of face images with landmarks and skin masks in folders."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.logging import MMLogger

from mmtvface.registry import DATASETS, TRANSFORMS

from .clip_index import ClipFrames, find_runs, list_frames, make_windows
from .randomness import ClipRandomness

_DIRS = {'images': 'jpg', 'landmarks': 'kpt', 'masks': 'seg/masks'}


@DATASETS.register_module()
class FaceClipDataset(BaseDataset):
    """Windows of K consecutive frames from clips of any length.

    Layout, as in "Learning to Reconstruct 3D Faces by Watching TV"::

        data_root/<id>/jpg/00001.jpg ...
        data_root/<id>/kpt/00001_kpt2d.npy      (68, 2) pixel indices
        data_root/<id>/seg/masks/00001.npy      (H, W), optional
        data_root/<id>/serial.npy               frame order, optional

    ``data_root`` may itself be such an ``<id>`` folder. A frame that cannot
    be used (see the policies) ends a run of consecutive frames; windows never
    jump over it. Contents are only checked when they are read: an unreadable
    frame is reported once, and then in training another window is fetched,
    while in test mode the nearest readable frame takes its place with the
    visibility 0. In test mode a frame that was in a window before has the
    visibility 0 too, so that metrics count every frame once.

    An item is ``dict(inputs=(t, 3, S, S) uint8 RGB tensor,
    data_samples=FaceClipSample)`` with ``gt_landmarks`` and, if the data has
    masks or ``missing_mask='hull'``, ``gt_masks``.

    Args:
        data_root: Folder of the clips.
        ann_file: Text file with one id per line (relative to ``data_root``
            or absolute) that selects clips, for splits.
        clip_length: Frames K per window.
        image_size: Side of the crop in pixels.
        scale: Side of the crop relative to the landmark box: one number, or
            a range from which training draws once per clip; testing takes
            its middle.
        trans_scale: Largest random shift of the crop, relative to the box.
        crop_mode: 'frame' centres the crop on the box of each frame, 'smooth'
            smooths the boxes along the clip, 'clip' holds one square still.
        stride: Frames between the starts of windows; default ``clip_length``
            in test mode, else 1. The last window ends with the run.
        short_clips: 'pad' mirrors runs shorter than K, 'skip' leaves them.
        missing_landmarks: 'skip' or 'error'.
        missing_mask: 'ignore' (the whole crop counts), 'hull' (hull of the
            landmarks with the forehead), 'skip' (the frame is not used) or
            'error'. Also for unreadable masks.
        jitter_per_frame: Draw scale and shift for each frame anew, as the
            published training does; this shakes the crop.
        augmentations: Transforms between crop and packing.
        seed: Seed of the random draws, see :class:`ClipRandomness`.
        pipeline: Replaces the whole default pipeline.
        data_prefix: Other sub-folder names: images, landmarks, masks.
        **kwargs: metainfo, filter_cfg, indices, serialize_data, test_mode,
            lazy_init, max_refetch of mmengine's ``BaseDataset``.

    Raises:
        FileNotFoundError: If the root or the clips are not there, or a file
            is missing whose policy is 'error'.
        ValueError: If an option is unknown or no window is left.
    """

    METAINFO = {'dataset_type': 'face_clip', 'num_landmarks': 68}

    def __init__(self,
                 data_root: str,
                 ann_file: str = '',
                 clip_length: int = 5,
                 image_size: int = 224,
                 scale: float | Sequence[float] = (1.4, 1.8),
                 trans_scale: float = 0.,
                 crop_mode: str = 'frame',
                 stride: int | None = None,
                 short_clips: str = 'pad',
                 missing_landmarks: str = 'skip',
                 missing_mask: str = 'ignore',
                 jitter_per_frame: bool = False,
                 augmentations: Sequence[dict | Callable] = (),
                 seed: int = 0,
                 pipeline: Sequence[dict | Callable] | None = None,
                 data_prefix: dict | None = None,
                 test_mode: bool = False,
                 max_refetch: int = 100,
                 **kwargs: Any):
        for name, value, choices in (
            ('short_clips', short_clips, ('pad', 'skip')),
            ('missing_landmarks', missing_landmarks, ('skip', 'error')),
            ('missing_mask', missing_mask,
             ('ignore', 'hull', 'skip', 'error'))):
            if value not in choices:
                raise ValueError(f"{name} must be one of {choices}, but it "
                                 f"is '{value}'.")
        if stride is None:
            stride = clip_length if test_mode else 1
        if clip_length < 1 or stride < 1:
            raise ValueError('clip_length and stride must be at least 1, but '
                             f'they are {clip_length} and {stride}.')
        self.clip_length = clip_length
        self.stride = stride
        self.short_clips = short_clips
        self.missing_landmarks = missing_landmarks
        self.missing_mask = missing_mask
        self.randomness = ClipRandomness(seed)
        if pipeline is None:
            pipeline = [
                dict(type='LoadFaceClip', missing_mask=missing_mask,
                     strict=test_mode),
                dict(type='CropFaceClip', image_size=image_size, scale=scale,
                     trans_scale=0. if test_mode else trans_scale,
                     mode=crop_mode, random=not test_mode,
                     per_frame=jitter_per_frame),
                *augmentations,
                dict(type='PackFaceClip'),
            ]
        built = [TRANSFORMS.build(step) if isinstance(step, dict) else step
                 for step in pipeline]
        super().__init__(
            ann_file=ann_file, data_root=str(Path(data_root).expanduser()),
            data_prefix={**_DIRS, **(data_prefix or {})}, pipeline=built,
            test_mode=test_mode, max_refetch=max_refetch, **kwargs)

    def _join_prefix(self) -> None:
        """Sub-folders are relative to each clip: nothing to join."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the random draws of an epoch."""
        self.randomness.set_epoch(epoch)

    def find_clips(self) -> list[tuple[str, Path]]:
        """Names and folders of the clips.

        Raises:
            FileNotFoundError: If there are none; says what is there instead.
        """
        root, images = Path(self.data_root), self.data_prefix['images']
        if not root.is_dir():
            raise FileNotFoundError(
                f"data_root is not a folder: '{root}' (looked for "
                f"'{root.absolute()}').")
        if self.ann_file:
            listing = Path(self.ann_file).expanduser()
            listing = listing if listing.is_file() else root / self.ann_file
            if not listing.is_file():
                raise FileNotFoundError(
                    f"ann_file not found: '{self.ann_file}', neither there "
                    f"nor in '{root}'.")
            names = [line.strip() for line in listing.read_text().splitlines()
                     if line.strip()]
            clips = [(name, root / name) for name in names]
            lost = [name for name, clip in clips
                    if not (clip / images).is_dir()]
            if lost:
                raise FileNotFoundError(
                    f"{len(lost)} of {len(names)} clips in '{listing}' have "
                    f"no folder '{images}' under '{root}', e.g. '{lost[0]}'.")
            return clips
        if (root / images).is_dir():
            return [(root.resolve().name, root)]
        clips = [(folder.name, folder) for folder in sorted(root.iterdir())
                 if (folder / images).is_dir()]
        if not clips:
            there = sorted(path.name for path in root.iterdir())
            raise FileNotFoundError(
                f"No clips in '{root}': looked for '<id>/{images}/*.jpg' (or "
                f"'{images}/*.jpg' of a single clip), but the folder has "
                + (f'{len(there)} other entries: '
                   f"{', '.join(there[:5])}{', ...' * (len(there) > 5)}."
                   if there else 'nothing in it.'))
        return clips

    def load_data_list(self) -> list[dict]:
        """Index the clips without opening images or landmarks."""
        logger = MMLogger.get_current_instance()
        clips = [(name, folder, list_frames(
            folder, self.data_prefix['images'],
            self.data_prefix['landmarks'], self.data_prefix['masks']))
            for name, folder in self.find_clips()]
        # Without any mask the samples have none; with some, those that lack
        # one follow the policy, so that all samples have the same fields.
        use_masks = self.missing_mask != 'ignore' or any(
            any(frames.masks) for _, _, frames in clips)
        windows, total, remarks = [], 0, []
        for name, folder, frames in clips:
            usable = self._usable(folder, frames)
            total += len(usable)
            remarks += frames.remarks
            if sum(usable) < len(usable):
                first = frames.images[usable.index(False)] or 'a listed one'
                remarks.append(
                    f'{name}: {len(usable) - sum(usable)} of {len(usable)} '
                    f'frames lack a file and are skipped, first: {first}')
            elif not usable:
                remarks.append(f'{name}: no image in {folder}')
            for run in find_runs(usable):
                found = make_windows(run, self.clip_length, self.stride,
                                     self.short_clips)
                if not found:
                    remarks.append(
                        f'{name}: a run of {run[1] - run[0]} frames is '
                        f'shorter than {self.clip_length} and is skipped')
                # Windows of a test overlap at the end of a run.
                seen: set[int] = set()
                for window in found:
                    if not self.test_mode:
                        seen = set()
                    windows.append(self._data_info(
                        name, folder, frames, window, use_masks, seen))
        for remark in remarks[:20]:
            logger.warning(remark)
        if len(remarks) > 20:
            logger.warning(f'... and {len(remarks) - 20} more remarks on '
                           f"'{self.data_root}'.")
        if not windows:
            raise ValueError(
                f"No window of {self.clip_length} usable frames in the "
                f"{len(clips)} clips ({total} frames) of "
                f"'{self.data_root}'. " + ' '.join(remarks[:3]))
        logger.info(f"'{self.data_root}': {len(clips)} clips, {total} frames,"
                    f' {len(windows)} windows of {self.clip_length}.')
        return windows

    def _usable(self, folder: Path, frames: ClipFrames) -> list[bool]:
        """Frames that have the files the policies ask for."""
        usable = []
        for image, landmarks, mask in zip(
                frames.images, frames.landmarks, frames.masks, strict=True):
            good = bool(image)
            for what, name, policy in (
                ('landmarks', landmarks, self.missing_landmarks),
                ('masks', mask, self.missing_mask)):
                if good and not name and policy == 'error':
                    raise FileNotFoundError(
                        f"No {what} of '{folder / image}' in "
                        f"'{folder / self.data_prefix[what]}', and the policy "
                        f"for missing {what} is 'error'.")
            good = good and bool(landmarks) and (
                bool(mask) or self.missing_mask != 'skip')
            usable.append(good)
        return usable

    def _data_info(self, name: str, folder: Path, frames: ClipFrames,
                   window: list[int], use_masks: bool,
                   seen: set[int]) -> dict:
        """What the pipeline needs to know of one window.

        ``seen`` are the frames that came before; it is extended.
        """
        repeated = []
        for index in window:
            repeated.append(index in seen)
            seen.add(index)
        return dict(
            clip_id=name, folder=str(folder), prefix=dict(self.data_prefix),
            frame_indices=list(window), repeated=repeated,
            image_names=[frames.images[i] for i in window],
            landmark_names=[frames.landmarks[i] for i in window],
            mask_names=[frames.masks[i] for i in window] if use_masks
            else None)

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
        rng = self.randomness.generator(idx % len(self) + len(self))
        for other in rng.integers(0, len(self), self.max_refetch).tolist():
            data = self.prepare_data(other)
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
        info = self.get_data_info(idx)
        info['rng'] = self.randomness.generator(info['sample_idx'])
        return self.pipeline(info)
