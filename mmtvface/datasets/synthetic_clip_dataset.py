# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Clips of rendered talking heads with complete ground truth."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from mmengine.dataset import BaseDataset

from mmtvface.geometry.camera import project
from mmtvface.heads import FLAME, HeadAssets, load_head
from mmtvface.heads.assets import HeadSpec
from mmtvface.registry import DATASETS
from mmtvface.structures import FaceClipSample, FlameCodeLayout

from .synthetic import backgrounds as bg
from .synthetic.camera import draw_camera
from .synthetic.degradations import (
    DEFAULT_DEGRADATIONS,
    apply_degradation,
    check_degradations,
    draw_degradation,
)
from .synthetic.occluders import cover, draw_occluder, occluder_path
from .synthetic.performance import (
    SPLITS,
    Identity,
    PerformanceConfig,
    draw_identity,
    draw_performance,
    plan_expressions,
    split_generator,
)
from .synthetic.scene import (
    Heads,
    HeadScene,
    build_flame,
    canvas_size,
    compose,
    pose_heads,
)


@DATASETS.register_module()
class SyntheticFaceClipDataset(BaseDataset):
    """Talking heads rendered on the fly.

    Clip ``index`` is a function of (seed, split, index) alone, in whatever
    process it is rendered. Its person is number ``index % num_identities`` of
    the split; the people of train, val and test are disjoint. Items have the
    form of :class:`FaceClipDataset`, with ``gt_codes`` (shape, tex, exp, pose,
    cam, light), ``gt_vertices`` and, with wrinkles, ``gt_displacement``
    besides landmarks and masks. Landmarks are visible wherever they lie in
    the image, also behind occluders; masks are skin that is seen. No code
    holds the gaze: it moves the eyes in the images, while ``gt_vertices``
    follow the codes.

    The motions assume 25 frames per second. Per-frame randomness is
    smooth, so that what a temporal model should learn can be learnt.

    Args:
        num_clips: Length of the dataset; clips cost nothing until fetched.
        clip_length: Frames t per clip.
        image_size: Side of the images in pixels.
        seed: Of the clips (not of the people).
        split: 'train', 'val' or 'test'.
        num_identities: People in this split.
        head: The head, see :func:`mmtvface.heads.load_head`; that of the
            model, if there is one in the config.
        layout: Lengths of the codes, see
            :class:`~mmtvface.structures.FlameCodeLayout`.
        performance: Changes to :class:`PerformanceConfig`.
        scale: Range of the crop's side relative to the landmark box.
        shift: Largest shift of the crop, relative to the box.
        shake: Standard deviation of the crop's slow shake.
        degradations: Changes to the defaults of colour, blur, noise and
            compression; False turns all off.
        occluder_prob: Probability of something in front of the face.
        background_folder: Images to use as backgrounds; None: procedural.
        hair: Paint hair on the scalp.
        torso: Draw shoulders below the neck.
        supersample: Render larger by this factor and average: smoother
            contours inside the face, at about its square in time.
        wrinkles: Give people wrinkles that follow their expressions: True, or
            changes to :class:`WrinkleConfig`. They are in the shading and in
            ``gt_displacement``.
        detail_size: Side of ``gt_displacement``, texels.
        with_vertices: Add ``gt_vertices``.
        render: False: items lack ``inputs`` and ``gt_masks``, and what
            changes pictures is not used; for the training of a model that
            renders its clips, see
            :class:`~mmtvface.models.reconstructors.ClipRenderer`.
        test_mode: Kept for mmengine; the clips are the same.
        lazy_init: Kept for mmengine; nothing is loaded before the first
            clip anyway.
        metainfo: Further meta information.

    Raises:
        ValueError: If an option is unknown or a number out of range.
        FileNotFoundError: If ``background_folder`` has no images.
    """

    METAINFO = {'dataset_type': 'synthetic_face_clip', 'num_landmarks': 68}

    def __init__(self,
                 num_clips: int,
                 clip_length: int = 5,
                 image_size: int = 224,
                 seed: int = 0,
                 split: str = 'train',
                 num_identities: int = 1000,
                 head: HeadAssets | HeadSpec = 'procedural',
                 layout: Mapping[str, int] | None = None,
                 performance: Mapping[str, Any] | None = None,
                 scale: Sequence[float] = (1.4, 1.8),
                 shift: float = .05,
                 shake: float = .015,
                 degradations: Mapping[str, Mapping] | bool = True,
                 occluder_prob: float = .15,
                 background_folder: str | os.PathLike | None = None,
                 hair: bool = True,
                 torso: bool = True,
                 supersample: int = 1,
                 wrinkles: Mapping[str, Any] | bool = False,
                 detail_size: int = 256,
                 with_vertices: bool = True,
                 render: bool = True,
                 test_mode: bool = False,
                 lazy_init: bool = False,
                 metainfo: Mapping | None = None):
        for name, value in (('num_clips', num_clips),
                            ('clip_length', clip_length),
                            ('image_size', image_size),
                            ('num_identities', num_identities),
                            ('supersample', supersample)):
            if value < 1:
                raise ValueError(f'{name} must be at least 1, but it is '
                                 f'{value}.')
        if split not in SPLITS:
            raise ValueError(f"split must be one of {SPLITS}, but it is "
                             f"'{split}'.")
        self.num_clips = num_clips
        self.clip_length = clip_length
        self.image_size = image_size
        self.seed = seed
        self.split = split
        self.num_identities = num_identities
        load_head(head)  # what is wrong with it is said here
        self.head = head
        self.layout = FlameCodeLayout(**(layout or {}))
        try:
            self.performance = replace(
                PerformanceConfig(), **dict(performance or {}))
        except TypeError as error:
            raise ValueError(
                f'performance has unknown entries ({error}); there are '
                f'{sorted(PerformanceConfig.__annotations__)}.') from error
        self.scale, self.shift, self.shake = tuple(scale), shift, shake
        if degradations is False:
            degradations = {name: dict(prob=0.)
                            for name in DEFAULT_DEGRADATIONS}
        self.degradations = check_degradations(
            None if degradations is True else degradations)
        self.occluder_prob = occluder_prob
        self.background_files = bg.list_images(
            background_folder) if background_folder else []
        self.hair, self.torso = hair, torso
        self.supersample = supersample
        if wrinkles is not False and not render:
            raise ValueError('wrinkles are pictures and their truth, so they '
                             'need render=True.')
        self.wrinkles = ({} if wrinkles is True else
                         None if wrinkles is False else wrinkles)
        self.detail_size = detail_size
        self.with_vertices = with_vertices
        self.render = render
        self._scene: HeadScene | None = None
        self._flame: FLAME | None = None
        super().__init__(
            metainfo=None if metainfo is None else dict(metainfo),
            serialize_data=False, test_mode=test_mode, lazy_init=lazy_init)

    def __getstate__(self) -> dict:
        """Everything but head and renderer, which each process builds."""
        return {**self.__dict__, '_scene': None, '_flame': None}

    def full_init(self) -> None:
        """Nothing is to be read before the first clip."""
        self._fully_initialized = True

    def __len__(self) -> int:
        """Number of clips."""
        return self.num_clips

    def get_data_info(self, idx: int) -> dict:
        """Index and person of a clip, without rendering it.

        Raises:
            IndexError: If there is no such clip.
        """
        if not -self.num_clips <= idx < self.num_clips:
            raise IndexError(f'clip {idx} of {self.num_clips}')
        idx %= self.num_clips
        person = idx % self.num_identities
        return dict(sample_idx=idx, clip_id=f'{self.split}_{idx:06d}',
                    person=person, identity=f'{self.split}_{person:05d}')

    @property
    def scene(self) -> HeadScene:
        """The head model and renderer of this process."""
        if self._scene is None:
            self._scene = HeadScene(
                self.head, self.layout, self.image_size, self.supersample,
                self.hair,
                wrinkles=self.wrinkles, detail_size=self.detail_size)
        return self._scene

    @property
    def flame(self) -> FLAME:
        """The head model of this process."""
        if self._flame is None:
            self._flame = (self.scene.flame if self.render else
                           build_flame(self.head, self.layout))
            self._plan = plan_expressions(
                self._flame.expression_names, self.layout.exp)
        return self._flame

    def identity(self, person: int) -> Identity:
        """A person of this split."""
        return draw_identity(self.split, person, self.layout.shape,
                             self.layout.tex, self.performance)

    def __getitem__(self, idx: int) -> dict:
        """A clip."""
        info = self.get_data_info(idx)
        return self._pack(info, self._render(info))

    @torch.no_grad()
    def _render(self, info: dict) -> dict[str, torch.Tensor]:
        """Codes, images and ground truth of a clip."""
        flame, frames = self.flame, self.clip_length
        rng = np.random.default_rng(
            [25, self.seed, SPLITS.index(self.split), info['sample_idx']])
        rng_act, rng_cam, rng_scene, rng_cover, rng_codec = split_generator(
            rng, 5)
        identity = self.identity(info['person'])
        acted = draw_performance(
            rng_act, frames, self.layout.exp, self._plan,
            self.performance)
        codes = {name: torch.from_numpy(value).float().repeat(frames, 1)
                 for name, value in (('shape', identity.shape),
                                     ('tex', identity.tex))}
        for name in ('exp', 'pose', 'light'):
            codes[name] = torch.from_numpy(getattr(acted, name)).float()
        eyes = torch.from_numpy(acted.eyes).float()
        looks_around = self.render and acted.eyes.any()
        heads = pose_heads(flame, codes, eyes if looks_around else None)
        codes['cam'] = torch.from_numpy(draw_camera(
            rng_cam, heads.landmarks.double().numpy(), self.scale, self.shift,
            self.shake, self.performance.fps)).float()
        landmarks = project(heads.landmarks, codes['cam'])
        landmarks[..., 2] = (landmarks[..., :2].abs() <= 1).all(-1)
        fields = {f'codes/{name}': value for name, value in codes.items()}
        fields['landmarks'] = landmarks
        if self.with_vertices:
            fields['vertices'] = heads.vertices
        if self.render:
            fields |= self._pictures(
                identity, heads, codes, rng_scene, rng_cover, rng_codec)
        return fields

    def _pictures(self, identity: Identity, heads: Heads,
                  codes: Mapping[str, torch.Tensor],
                  rng_scene: np.random.Generator,
                  rng_cover: np.random.Generator,
                  rng_codec: np.random.Generator
                  ) -> dict[str, torch.Tensor]:
        """Images, masks and, with wrinkles, displacement of a clip."""
        scene = self.scene
        folds = scene.displacement(identity, codes['exp'])
        picture = scene.render(heads, codes['cam'], codes['light'], identity,
                               folds)
        behind = self._background(rng_scene, heads, codes, identity)
        images, skin = compose(picture, behind), picture.skin
        if rng_cover.random() < self.occluder_prob:
            tone = 255 * scene.skin_color(identity) * (
                rng_cover.uniform(.7, 1.1))
            thing = draw_occluder(rng_cover, self.image_size, tone)
            images, opacity = cover(images, thing, occluder_path(
                rng_cover, self.clip_length, self.image_size,
                self.performance.fps))
            skin = skin * (1 - opacity)
        images = apply_degradation(
            images, draw_degradation(rng_codec, self.degradations), rng_codec)
        fields = dict(
            images=torch.from_numpy(
                np.ascontiguousarray(images.transpose(0, 3, 1, 2))),
            masks=torch.from_numpy(
                np.rint(skin * 255).astype(np.uint8))[:, None])
        if folds is not None:
            fields['displacement'] = folds
        return fields

    def _background(self, rng: np.random.Generator, heads: Heads,
                    codes: Mapping[str, torch.Tensor],
                    identity: Identity) -> np.ndarray:
        """Room and shoulders behind a head: (t, H, W, 3) uint8."""
        size = self.image_size
        large = canvas_size(size)
        image = bg.load_background(
            rng, self.background_files, large
        ) if self.background_files else bg.draw_background(rng, large)
        behind = bg.pan_background(rng, image, size, len(codes['cam']),
                                   self.performance.fps)
        if self.torso:
            lit = codes['light'][:, 0].mean(0).numpy() / np.sqrt(4 * np.pi)
            cloth = rng.uniform(10, 230) + rng.normal(0, 25, 3)
            throat = 225 * self.scene.skin_color(identity) * lit
            bg.draw_torso(
                behind, self.scene.neck_pixels(heads, codes['cam']),
                np.clip(cloth * lit, 0, 255), np.clip(throat, 0, 255),
                rng.random(3))
        return behind

    def _pack(self, info: dict, fields: dict[str, torch.Tensor]) -> dict:
        """A dataset item with tensors of its own."""
        size, frames = self.image_size, self.clip_length
        sample = FaceClipSample(metainfo=dict(
            clip_id=info['clip_id'], identity=info['identity'],
            frame_names=[f'{i + 1:05d}' for i in range(frames)],
            frame_indices=list(range(frames)),
            crop_matrices=np.tile(np.eye(3), (frames, 1, 1)),
            ori_shape=(size, size), image_size=(size, size)))
        sample.gt_landmarks = fields['landmarks'].clone()
        sample.gt_codes = {
            name.removeprefix('codes/'): value.clone()
            for name, value in fields.items() if name.startswith('codes/')}
        for name in ('vertices', 'displacement'):
            if name in fields:
                sample.set_data({f'gt_{name}': fields[name].clone()})
        if not self.render:
            return dict(data_samples=sample)
        sample.gt_masks = fields['masks'].float() / 255
        return dict(inputs=fields['images'].clone(), data_samples=sample)
