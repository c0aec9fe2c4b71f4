# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""A whole reconstructor small enough for tests: milliseconds a step.

The "head" is a curved patch of 12 x 12 vertices whose first 68 are the
landmarks. Importing this module registers the toy types.
"""

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from mmtvface.geometry.camera import project
from mmtvface.geometry.rotation import axis_angle_to_matrix
from mmtvface.heads.flame import FlameOutput
from mmtvface.heads.head_topology import HeadTopology
from mmtvface.models.encoders import ClipEncoder
from mmtvface.registry import DATASETS, MODELS
from mmtvface.structures import FaceClipSample
from mmtvface.utils.host_sync import constant

GRID = 12
LAYOUT = dict(shape=4, tex=3, exp=3)


def toy_topology() -> HeadTopology:
    """Grid of two triangles per cell, seen counter-clockwise from +z."""
    rows, cols = np.mgrid[:GRID - 1, :GRID - 1]
    corner = (rows * GRID + cols).ravel()
    faces = np.concatenate([
        np.stack([corner, corner + GRID, corner + 1], 1),
        np.stack([corner + 1, corner + GRID, corner + GRID + 1], 1)
    ]).astype(np.int64)
    v, u = np.mgrid[:GRID, :GRID] / (GRID - 1)
    mask = np.zeros((256, 256))
    mask[32:-32, 32:-32] = 1
    return HeadTopology(
        faces=faces,
        uv_coords=np.stack([u.ravel(), 1 - v.ravel()], 1),
        uv_faces=faces,
        uv_face_mask=mask,
        uv_face_eye_mask=mask,
        fixed_displacement=np.zeros((256, 256)))


@MODELS.register_module()
class ToyFlame(nn.Module):
    """Linear shape and expression, global rotation, jaw as a bend."""

    num_shape, num_expression = LAYOUT['shape'], LAYOUT['exp']

    def __init__(self) -> None:
        super().__init__()
        y, x = torch.meshgrid(
            torch.linspace(.1, -.1, GRID),
            torch.linspace(-.1, .1, GRID),
            indexing='ij')
        z = .1 - 4 * (x.square() + y.square())
        generator = torch.Generator().manual_seed(0)
        number = LAYOUT['shape'] + LAYOUT['exp']
        basis = torch.randn(number, GRID * GRID * 3, generator=generator)
        template = torch.stack([x, y, z], -1).view(-1, 3)
        self.register_buffer('template', template, persistent=False)
        self.register_buffer('basis', basis * 2e-3, persistent=False)
        self.register_buffer(
            'faces', torch.from_numpy(toy_topology().faces), persistent=False)

    def forward(self, shape: torch.Tensor, expression: torch.Tensor,
                pose: torch.Tensor) -> FlameOutput:
        """As the real head model."""
        offsets = torch.cat([shape, expression], 1) @ self.basis
        vertices = self.template + offsets.view(len(shape), -1, 3)
        bend = vertices[..., 1:2].clamp(max=0) * pose[:, None, 3:4]
        vertices = vertices + bend * constant((0., 1., 0.), vertices)
        vertices = vertices @ axis_angle_to_matrix(pose[:, :3]).mT
        return FlameOutput(
            vertices, *self.vertices_to_landmarks(vertices, pose))

    def neutral(self, shape: torch.Tensor) -> torch.Tensor:
        """As the real head model."""
        zeros = shape.new_zeros(len(shape), max(6, self.num_expression))
        return self(shape, zeros[:, :self.num_expression],
                    zeros[:, :6]).vertices

    def vertices_to_landmarks(
            self, vertices: torch.Tensor,
            head_rotation: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The first 68 vertices, whatever the rotation."""
        return vertices[:, :68], vertices[:, :68]


@MODELS.register_module()
class ToyTexture(nn.Module):
    """Grey plus three smooth colour patterns; counts its calls."""

    def __init__(self, size: int = 16) -> None:
        super().__init__()
        wave = torch.linspace(0, 3, size).sin()
        pattern = torch.stack([
            wave[:, None].expand(size, size), wave.expand(size, size),
            wave[:, None] * wave
        ])
        self.register_buffer('pattern', pattern, persistent=False)

    def forward(self, code: torch.Tensor) -> torch.Tensor:
        """(B, 3) -> (B, 3, S, S)."""
        return .5 + .1 * code[..., None, None] * self.pattern


@MODELS.register_module()
class ToyEncoder(ClipEncoder):
    """Pooled pixels, a linear map, batch norm and dropout."""

    trunk_channels = 3

    def __init__(self, out_channels: int = 8, dropout: float = 0.) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.body = nn.Sequential(
            nn.AdaptiveAvgPool2d(4), nn.Flatten(),
            nn.Linear(48, out_channels), nn.BatchNorm1d(out_channels),
            nn.ReLU(), nn.Dropout(dropout))

    def trunk(self, clips: torch.Tensor, flows: Any = None) -> torch.Tensor:
        """(n, t, 3, H, W) -> (n * t, 3, 4, 4)."""
        return self.body[0](clips.flatten(0, 1))

    def stages(self, maps: torch.Tensor) -> torch.Tensor:
        """(B, 3, 4, 4) -> (B, C)."""
        return self.body[1:](maps)


def toy_config(**changes: Any) -> dict:
    """Config of a toy :class:`TemporalDECA` with the landmark loss."""
    return dict(
        type='TemporalDECA',
        encoder=dict(type='ToyEncoder'),
        regressor=dict(
            type='FLAMEHead',
            layout=LAYOUT,
            hidden_channels=16,
            init_cam=(8., 0., 0.),
            init_std=0.05),
        flame=dict(type='ToyFlame'),
        losses=dict(landmark=dict(type='LandmarkLoss')),
        image_size=32) | changes


def toy_rendering() -> dict:
    """The parts of a config that renders."""
    return dict(
        texture=dict(type='ToyTexture'),
        renderer=dict(
            type='MeshRenderer',
            head=toy_topology(),
            image_size=32,
            rasterizer='torch'))


def toy_detail(**changes: Any) -> dict:
    """What a config needs for a detail stage on maps of 32 texels."""
    return toy_rendering() | dict(
        texture=dict(type='ToyTexture', size=32),
        stage='detail',
        losses=dict(photo=dict(type='PhotoDetailLoss', patch_size=32)),
        detail=dict(
            type='DetailBranch',
            encoder=dict(type='ToyEncoder'),
            regressor=dict(
                type='DetailHead', num_detail=6, hidden_channels=16),
            decoder=dict(type='DetailDecoder'),
            surface=dict(
                type='DetailSurface',
                head=toy_topology(),
                size=32,
                rasterizer='torch'))) | changes


def toy_clip(index: int = 0, num_frames: int = 3,
             size: int = 32) -> dict[str, Any]:
    """One dataset item whose landmarks can be learnt from its pixels.

    Args:
        index: Seed of the clip.
        num_frames: t.
        size: Side of the images.

    Returns:
        ``inputs`` uint8 (t, 3, H, W) and a :class:`FaceClipSample` with
        landmarks, masks, codes and vertices.
    """
    generator = torch.Generator().manual_seed(index)
    flame = ToyFlame()
    codes = dict(
        shape=torch.randn(1, 4, generator=generator).repeat(num_frames, 1),
        exp=torch.randn(num_frames, 3, generator=generator) * .5,
        pose=torch.randn(num_frames, 6, generator=generator) * .1,
        cam=torch.tensor([8., 0., 0.]).repeat(num_frames, 1))
    head = flame(codes['shape'], codes['exp'], codes['pose'])
    ndc = project(head.landmarks2d, codes['cam'])[..., :2]
    images = torch.randint(
        0, 256, (num_frames, 3, size, size),
        generator=generator,
        dtype=torch.uint8)
    sample = FaceClipSample(
        metainfo=dict(
            clip_id=f'toy{index}',
            identity=f'toy{index}',
            frame_names=[f'{i:05d}' for i in range(num_frames)],
            image_size=(size, size),
            ori_shape=(size, size)))
    sample.gt_landmarks = torch.cat([ndc, torch.ones(num_frames, 68, 1)], -1)
    sample.gt_masks = torch.ones(num_frames, 1, size, size)
    sample.gt_codes = codes
    sample.gt_vertices = head.vertices
    return dict(inputs=images, data_samples=sample)


@DATASETS.register_module()
class ToyClips(Dataset):
    """``length`` toy clips; ``jitter`` draws from NumPy's global state."""

    metainfo: dict = {}

    def __init__(self, length: int = 6, jitter: float = 0.) -> None:
        self.length = length
        self.jitter = jitter

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        item = toy_clip(index)
        landmarks = item['data_samples'].gt_landmarks
        landmarks[..., :2] += self.jitter * float(np.random.rand())
        return item


def toy_batch(*indices: int, **kwargs: Any) -> dict[str, list]:
    """Collated toy clips, as mmengine's ``pseudo_collate`` makes them."""
    items = [toy_clip(index, **kwargs) for index in indices]
    return dict(
        inputs=[item['inputs'] for item in items],
        data_samples=[item['data_samples'] for item in items])
