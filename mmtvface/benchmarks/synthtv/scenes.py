# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The clean scenes that all levels of SynthTV start from."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch

from mmtvface.datasets.synthetic.performance import PERFORMANCES, SPLITS
from mmtvface.datasets.synthetic.scene import build_flame, complete_head
from mmtvface.datasets.synthetic_clip_dataset import SyntheticFaceClipDataset
from mmtvface.heads import FLAME
from mmtvface.structures import FlameCodeLayout

GENERATOR_VERSION = 1
"""Raise it with every change of the code that changes the clean scenes."""

NUM_SCENES = dict(train=4000, val=100, test=300)
SCENE_LENGTH = dict(train=10, val=20, test=20)
# Scene i shows person i, so that it is a function of i alone, whatever the
# number of scenes.
_PEOPLE = 10**7


class Scene(NamedTuple):
    """Clean frames and their truth.

    Attributes:
        images: (t, H, W, 3) uint8 RGB.
        masks: (t, H, W) uint8, skin.
        landmarks: (t, 68, 3) float32: x, y in [-1, 1], visibility.
        codes: (t, C) float32, see :class:`FlameCodeLayout`.
        displacement: (t, 1, D, D) float32 metres, or None.
    """

    images: np.ndarray
    masks: np.ndarray
    landmarks: np.ndarray
    codes: np.ndarray
    displacement: np.ndarray | None = None


@dataclass(frozen=True)
class SceneSettings:
    """What the scenes of a split depend on.

    Attributes:
        split: 'train', 'val' or 'test'; nobody is in two of them.
        image_size: Side of the images in pixels.
        scene_length: Frames of a scene at 25 per second; None: 10 for
            training, else 20.
        seed: Of the scenes.
        head: See :class:`SyntheticFaceClipDataset`.
        wrinkles: See :class:`SyntheticFaceClipDataset`.
        performance: 'talking' (the benchmark) or 'lively' (training): how
            people move, see :data:`PERFORMANCES`.

    Raises:
        ValueError: If the split, the performance or an entry of ``head`` is
            unknown.
    """

    split: str = 'train'
    image_size: int = 64
    scene_length: int | None = None
    seed: int = 0
    head: Mapping[str, Any] | None = None
    wrinkles: Mapping[str, Any] | bool = False
    performance: str = 'talking'
    layout: FlameCodeLayout = field(init=False)

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise ValueError(f"split must be one of {SPLITS}, but it is "
                             f"'{self.split}'.")
        if self.performance not in PERFORMANCES:
            raise ValueError('performance must be one of '
                             f'{tuple(PERFORMANCES)}, but it is '
                             f"'{self.performance}'.")
        head = complete_head(self.head)
        length = self.scene_length or SCENE_LENGTH[self.split]
        # What is completed here was given by the user: the object is new.
        object.__setattr__(self, 'head', head)
        object.__setattr__(self, 'scene_length', length)
        object.__setattr__(self, 'layout', FlameCodeLayout(
            shape=head['num_shape'], tex=head['num_tex'],
            exp=head['num_expression']))

    @property
    def name(self) -> str:
        """Name of a folder of such scenes."""
        lively = '' if self.performance == 'talking' else (
            f'_{self.performance}')
        return f'{self.split}{lively}_{self.image_size}'

    def build_flame(self) -> FLAME:
        """The head model, on the CPU."""
        return build_flame(self.head)

    def manifest(self) -> dict[str, Any]:
        """What must be equal for scenes to be equal, as plain data.

        The head's files may be elsewhere on another machine: instead of
        their paths there are some vertices of a random head.
        """
        plain = {key: value for key, value in asdict(self).items()
                 if key not in ('head', 'layout')}
        return dict(
            generator_version=GENERATOR_VERSION, **plain,
            codes=self.layout.sizes, head_probe=self._probe())

    def _probe(self) -> list[float]:
        """Number of vertices, then coordinates in millimetres."""
        flame = self.build_flame()
        rng = np.random.default_rng(7)
        shape, expression = (
            torch.from_numpy(rng.standard_normal((1, size))).float()
            for size in (flame.num_shape, flame.num_expression))
        vertices = flame(shape, expression, shape.new_zeros(1, 6)).vertices[0]
        index = torch.linspace(0, len(vertices) - 1, 12).long()
        points = 1000 * vertices[index].double().flatten()
        return [float(len(vertices)), *points.numpy().round(3).tolist()]


class RenderedScenes:
    """Scenes that are rendered when they are asked for.

    Args:
        settings: Of the scenes.
        kept: How many of the last ones stay in memory.
    """

    def __init__(self, settings: SceneSettings, kept: int = 32):
        self.settings = settings
        self.kept = kept
        self._scenes: OrderedDict[int, Scene] = OrderedDict()
        self._renderer = SyntheticFaceClipDataset(
            num_clips=_PEOPLE, num_identities=_PEOPLE,
            clip_length=settings.scene_length,
            image_size=settings.image_size, seed=settings.seed,
            split=settings.split, head=settings.head,
            wrinkles=settings.wrinkles, degradations=False, occluder_prob=0.,
            performance=asdict(PERFORMANCES[settings.performance]),
            with_vertices=False)

    def __getstate__(self) -> dict:
        """Without the scenes in memory, which cost little to render."""
        return {**self.__dict__, '_scenes': OrderedDict()}

    def __getitem__(self, index: int) -> Scene:
        """Render a scene, or take it from memory."""
        if index in self._scenes:
            self._scenes.move_to_end(index)
            return self._scenes[index]
        item = self._renderer[index]
        sample = item['data_samples']
        folds = sample.get('gt_displacement')
        scene = Scene(
            np.ascontiguousarray(item['inputs'].permute(0, 2, 3, 1).numpy()),
            np.rint(sample.gt_masks[:, 0].numpy() * 255).astype(np.uint8),
            sample.gt_landmarks.numpy(),
            self.settings.layout.join(sample.gt_codes).numpy(),
            None if folds is None else folds.numpy())
        while len(self._scenes) >= self.kept:
            self._scenes.popitem(last=False)
        self._scenes[index] = scene
        return scene
