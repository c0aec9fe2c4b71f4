# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The data set of the SynthTV benchmark."""

import os
import warnings
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.dataset import BaseDataset

from mmtvface.datasets.synthetic.performance import SPLITS
from mmtvface.datasets.synthetic.trajectories import FPS
from mmtvface.heads import FLAME, HeadAssets
from mmtvface.heads.assets import HeadSpec
from mmtvface.registry import DATASETS
from mmtvface.structures import FaceClipSample, FlameCodeLayout

from .appearance import change_appearance
from .crop_jitter import (
    CropJitter,
    crop_jitter_codes,
    move_images,
    move_points,
)
from .degradation_levels import DIFFICULTIES, LEVELS, draw_plan
from .effects import degrade_clip
from .folder import StoredScenes
from .scenes import NUM_SCENES, RenderedScenes, Scene, SceneSettings

_TAG = 57
_RENAMED = dict(vary_looks='vary_appearance', reframe='crop_jitter')


@DATASETS.register_module()
class SynthTVDataset(BaseDataset):
    """Talking heads as they look on television, with the whole truth.

    Item ``index`` shows scene ``index % num_scenes``. Where its window begins
    and how it is degraded is a function of (seed, split, index): with more
    clips than scenes every pass over the scenes sees other windows and
    degradations. In 'val' and 'test' all windows begin with the scene, and
    what happens in a clip is the same at all difficulties (see
    :func:`.draw_plan`), so that errors can be compared clip by clip. Nobody is
    in two splits.

    Items have the form of :class:`FaceClipDataset`: landmarks are visible
    wherever they lie in the image, masks are skin that is seen. ``gt_codes``
    are those of the scene; light and albedo do not follow the camera's gain
    and cast. Meta information: ``difficulty``, ``fps`` and, of every frame,
    (t,) each, ``visible_skin`` (share of the skin that is neither covered nor
    lost), ``blur`` (defocus and motion, sides; see :class:`ClipPlan`) and
    ``frozen`` (it repeats the one before).

    Args:
        split: 'train', 'val' or 'test'.
        difficulty: 'easy', 'medium', 'hard' or 'mixed' (one of them for each
            clip).
        num_clips: Length; None: the number of scenes.
        clip_length: Frames t of a window; None: the whole scene.
        num_scenes: None: all in the folder, else 4000, 100 and 300.
        scene_length: Frames of a scene; None: 10 in 'train', else 20.
        image_size: Side of the images in pixels.
        data_root: Folder made by ``tools/synthtv.py generate``; None: the
            same scenes are rendered on the fly.
        seed: Of scenes, windows and degradations.
        head: See :class:`SyntheticFaceClipDataset`.
        layout: See there.
        wrinkles: See :class:`SyntheticFaceClipDataset`; they add
            ``gt_displacement``. Only without ``data_root``.
        performance: See :class:`SceneSettings`.
        vary_appearance: Probability that a clip gets a random appearance
            (hair, brows, beard, glasses, colours), see
            :func:`change_appearance`: for models that are to see photographs.
            The masks count what is painted as skin. The benchmark itself
            does without.
        crop_jitter: Turn, zoom and shift the clips: changes to
            :class:`CropJitter`, or True; for training as well.
        with_vertices: Add ``gt_vertices``, by the head model from the codes.
        test_mode: Kept for mmengine; the clips are the same.
        lazy_init: Kept for mmengine.
        metainfo: Further meta information.
        **renamed: Options by their former names, ``vary_looks`` and
            ``reframe``.

    Raises:
        ValueError: If an option is unknown or out of range, or the folder's
            scenes are others than these.
        FileNotFoundError: If the folder lacks the scenes.
    """

    METAINFO = {'dataset_type': 'synth_tv', 'num_landmarks': 68}

    def __init__(self,
                 split: str = 'train',
                 difficulty: str = 'mixed',
                 num_clips: int | None = None,
                 clip_length: int | None = 5,
                 num_scenes: int | None = None,
                 scene_length: int | None = None,
                 image_size: int = 64,
                 data_root: str | os.PathLike | None = None,
                 seed: int = 0,
                 head: HeadAssets | HeadSpec = 'procedural',
                 layout: Mapping[str, int] | None = None,
                 wrinkles: Mapping[str, Any] | bool = False,
                 performance: str = 'talking',
                 vary_appearance: float = 0.,
                 crop_jitter: Mapping[str, float] | bool = False,
                 with_vertices: bool = False,
                 test_mode: bool = False,
                 lazy_init: bool = False,
                 metainfo: Mapping | None = None,
                 **renamed: Any):
        for old in renamed:
            if old not in _RENAMED:
                raise TypeError(f"SynthTVDataset has no option '{old}'.")
            warnings.warn(f"'{old}' of SynthTVDataset is now "
                          f"'{_RENAMED[old]}'.", DeprecationWarning,
                          stacklevel=2)
        vary_appearance = renamed.get('vary_looks', vary_appearance)
        crop_jitter = renamed.get('reframe', crop_jitter)
        if difficulty not in DIFFICULTIES:
            raise ValueError(f'difficulty must be one of {DIFFICULTIES}, but '
                             f"it is '{difficulty}'.")
        settings = SceneSettings(
            split, image_size, scene_length, seed, head, wrinkles,
            performance, FlameCodeLayout(**(layout or {})))
        self.settings = settings
        self.difficulty = difficulty
        self.clip_length = clip_length or settings.scene_length
        if not 1 <= self.clip_length <= settings.scene_length:
            raise ValueError(
                f'clip_length must be 1 to {settings.scene_length} '
                f'(scene_length), but it is {clip_length}.')
        if data_root is None:
            self.scenes = RenderedScenes(settings)
            self.num_scenes = num_scenes or NUM_SCENES[split]
        else:
            self.scenes = StoredScenes(data_root, settings)
            self.num_scenes = num_scenes or len(self.scenes)
            if self.num_scenes > len(self.scenes):
                raise ValueError(
                    f'{self.scenes.folder} has {len(self.scenes)} scenes, '
                    f'but num_scenes is {num_scenes}. Generate more, into '
                    'another folder, or ask for fewer.')
        self.num_clips = num_clips or self.num_scenes
        if not 0 <= vary_appearance <= 1:
            raise ValueError('vary_appearance is a probability, but it is '
                             f'{vary_appearance}.')
        self.vary_appearance = vary_appearance
        self.crop_jitter = None
        if crop_jitter is not False:
            self.crop_jitter = CropJitter(
                **({} if crop_jitter is True else crop_jitter))
        self.with_vertices = with_vertices
        self._flame: FLAME | None = None
        super().__init__(
            metainfo=None if metainfo is None else dict(metainfo),
            serialize_data=False, test_mode=test_mode, lazy_init=lazy_init)

    def __getstate__(self) -> dict:
        """Everything but the head model, which each process builds."""
        return {**self.__dict__, '_flame': None}

    def full_init(self) -> None:
        """Nothing is to be read before the first clip."""
        self._fully_initialized = True

    def __len__(self) -> int:
        """Number of clips."""
        return self.num_clips

    def get_data_info(self, idx: int) -> dict:
        """Index, scene and person of a clip, without loading it.

        Raises:
            IndexError: If there is no such clip.
        """
        if not -self.num_clips <= idx < self.num_clips:
            raise IndexError(f'clip {idx} of {self.num_clips}')
        idx = int(idx) % self.num_clips
        scene = idx % self.num_scenes
        split = self.settings.split
        return dict(sample_idx=idx, clip_id=f'{split}_{idx:06d}',
                    scene=scene, identity=f'{split}_{scene:05d}')

    def __getitem__(self, idx: int) -> dict:
        """A window of a scene, degraded."""
        info = self.get_data_info(idx)
        settings = self.settings
        # The difficulty is no part of the seed: clips are paired over it.
        rng, noise = (np.random.default_rng([
            _TAG, part, settings.seed, SPLITS.index(settings.split),
            info['sample_idx']]) for part in range(2))
        place, lot = rng.random(2)
        start = 0
        if settings.split == 'train':
            room = settings.scene_length - self.clip_length + 1
            start = int(place * room)
        level = self.difficulty
        if level == 'mixed':
            level = tuple(LEVELS)[int(lot * len(LEVELS))]
        stop = start + self.clip_length
        scene = Scene(*(None if part is None else part[start:stop]
                        for part in self.scenes[info['scene']]))
        plan = draw_plan(rng, LEVELS[level], scene.landmarks[..., :2])
        if self.crop_jitter is not None or self.vary_appearance:
            dice, frame_dice = (np.random.default_rng([
                _TAG, part, settings.seed, SPLITS.index(settings.split),
                info['sample_idx']]) for part in (2, 3))
        if self.crop_jitter is not None:
            scene = self._crop_jitter(scene, frame_dice)
        images = scene.images
        if self.vary_appearance:
            if dice.random() < self.vary_appearance:
                images = change_appearance(images, scene.landmarks, dice)
        images, masks = degrade_clip(images, scene.masks, plan, noise)
        skin, seen = (part.sum((1, 2), dtype=np.float64)
                      for part in (scene.masks, masks))
        info = dict(
            info, difficulty=level, frames=range(start, stop),
            visible_skin=seen / np.maximum(skin, 1), frozen=plan.frozen,
            blur=np.hypot(plan.blur, np.linalg.norm(plan.smear, axis=1)))
        return self._pack(info, images, masks, scene)

    @property
    def flame(self) -> FLAME:
        """The head model of this process."""
        if self._flame is None:
            self._flame = self.settings.build_flame()
        return self._flame

    @torch.no_grad()
    def _crop_jitter(self, scene: Scene, rng: np.random.Generator) -> Scene:
        """The scene in another frame."""
        moves = self.crop_jitter.draw(rng, len(scene.images))
        # Crops at the border of a picture are black there.
        border = cv2.BORDER_CONSTANT if rng.random() < .5 else (
            cv2.BORDER_REFLECT_101)
        layout = self.settings.layout
        codes = layout.join(crop_jitter_codes(
            self.flame,
            layout.split(torch.from_numpy(np.array(scene.codes))),
            torch.from_numpy(moves))).numpy()
        points = move_points(
            scene.landmarks[..., :2].astype(np.float64), moves)
        seen = (np.abs(points) <= 1).all(-1, keepdims=True)
        return scene._replace(
            images=move_images(scene.images, moves, border),
            masks=move_images(scene.masks, moves, cv2.BORDER_CONSTANT),
            landmarks=np.concatenate([points, seen], -1).astype(np.float32),
            codes=codes)

    @torch.no_grad()
    def _pack(self, info: dict, images: np.ndarray, masks: np.ndarray,
              scene: Scene) -> dict:
        """A dataset item with tensors of its own."""
        size, frames = self.settings.image_size, self.clip_length
        sample = FaceClipSample(metainfo=dict(
            clip_id=info['clip_id'], identity=info['identity'],
            fps=FPS, **{name: info[name] for name in (
                'difficulty', 'visible_skin', 'blur', 'frozen')},
            frame_names=[f'{i + 1:05d}' for i in info['frames']],
            frame_indices=list(info['frames']),
            crop_matrices=np.tile(np.eye(3), (frames, 1, 1)),
            ori_shape=(size, size), image_size=(size, size)))
        # Copies: the arrays may be those of a file.
        codes = self.settings.layout.split(
            torch.from_numpy(np.array(scene.codes)))
        codes = {name: value.clone() for name, value in codes.items()}
        sample.gt_landmarks = torch.from_numpy(np.array(scene.landmarks))
        sample.gt_masks = torch.from_numpy(masks)[:, None].float() / 255
        sample.gt_codes = codes
        if self.with_vertices:
            sample.gt_vertices = self.flame(
                codes['shape'], codes['exp'], codes['pose']).vertices
        if scene.displacement is not None:
            sample.gt_displacement = torch.from_numpy(
                np.array(scene.displacement))
        return dict(inputs=torch.from_numpy(np.ascontiguousarray(
            images.transpose(0, 3, 1, 2))), data_samples=sample)
