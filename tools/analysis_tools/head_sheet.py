# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Render a sheet of the built-in head, to judge it by eye.

Rows: the mean head, the first identity components at two standard deviations,
random people, expressions and poses.

    python tools/analysis_tools/head_sheet.py --out head_sheet.jpg
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.progress import track

from mmtvface.geometry.camera import project
from mmtvface.heads.flame import FLAME
from mmtvface.heads.flame_texture import FLAMETexture
from mmtvface.heads.providers.procedural import (
    FULL_ACTIVATION,
    procedural_head,
)
from mmtvface.renderers import MeshRenderer

NUM_SHAPE, NUM_EXPRESSION, NUM_TEXTURE = 100, 50, 50
PER_ROW = 6
EXPRESSIONS = (
    ('smile', ('smile_L', 'smile_R', 'cheekRaiser_L', 'cheekRaiser_R'), .0),
    ('open smile', ('smile_L', 'smile_R', 'upperUp_L', 'upperUp_R'), .10),
    ('blink', ('eyeBlink_L', 'eyeBlink_R'), 0.),
    ('wink', ('eyeBlink_L', 'smile_L', 'cheekRaiser_L'), 0.),
    ('surprise', ('browInnerUp', 'browOuterUp_L', 'browOuterUp_R',
                  'eyeWide_L', 'eyeWide_R'), .16),
    ('anger', ('browDown_L', 'browDown_R', 'press_L', 'press_R',
               'eyeSquint_L', 'eyeSquint_R'), 0.),
    ('sneer', ('noseSneer_L', 'noseSneer_R'), 0.),
    ('frown', ('frown_L', 'frown_R', 'browInnerUp'), 0.),
    ('pucker', ('pucker', ), 0.),
    ('funnel', ('funnel', ), .05),
    ('cheek puff', ('cheekPuff_L', 'cheekPuff_R'), 0.),
    ('mouth aside', ('mouthSide', ), 0.),
)
POSES = (
    ('jaw open', (0., 0, 0), (.32, 0, 0)), ('half open', (0., -.6, 0),
                                            (.16, 0, 0)),
    ('turned', (0., .7, 0), (0., 0, 0)), ('looking up', (-.4, 0, 0),
                                          (0., 0, 0)),
    ('looking down', (.4, .3, 0), (0., 0, 0)), ('tilted', (0., 0, .35),
                                                (.1, 0, 0)),
)


class SheetRenderer:
    """Render single labelled pictures of the built-in head."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.head = procedural_head()
        self.flame = FLAME('procedural', num_shape=NUM_SHAPE,
                           num_expression=NUM_EXPRESSION)
        self.texture = FLAMETexture('procedural', NUM_TEXTURE, size=512)
        self.renderer = MeshRenderer(image_size=2 * size)
        # white light from the front and above: constant and x, y, z bands
        light = torch.zeros(1, 9, 3)
        light[0, :4] = torch.tensor([2.25, .12, .38, .42])[:, None]
        self.light = light

    def __call__(self,
                 label: str,
                 shape: np.ndarray | None = None,
                 expression: np.ndarray | None = None,
                 texture: np.ndarray | None = None,
                 rotation: tuple[float, float, float] = (0., 0., 0.),
                 jaw: tuple[float, float, float] = (0., 0., 0.),
                 style: str = 'albedo') -> np.ndarray:
        """One picture, (size, size, 3) uint8 BGR.

        Args:
            label: Written into the picture.
            shape: (<= 100,) identity code.
            expression: (50,) expression code.
            texture: (50,) texture code.
            rotation: Global rotation, axis-angle.
            jaw: Jaw rotation, axis-angle.
            style: 'albedo', 'shape' (grey) or 'wire'.
        """
        codes = [_code(shape, NUM_SHAPE), _code(expression, NUM_EXPRESSION)]
        pose = torch.tensor([[0., 0., 0., *jaw]])
        vertices = self.flame(*codes, pose).vertices
        turn, _ = cv2.Rodrigues(np.array(rotation))
        center = vertices.new_tensor([0., -.025, -.075])
        turned = (vertices - center) @ vertices.new_tensor(turn).mT
        ndc = project(turned, turned.new_tensor([[6.6, 0., 0.]]))
        white = torch.ones(3)
        if style == 'albedo':
            albedo = self.texture(_code(texture, NUM_TEXTURE))
            image = self.renderer.render(
                turned, ndc, albedo, self.light.to(turned),
                background=white).image
        else:
            image = self.renderer.render_shape(turned, ndc,
                                               background=white)
        picture = image[0].clamp(0, 1).permute(1, 2, 0).numpy()
        picture = np.ascontiguousarray(
            (255 * picture[..., ::-1]).round().astype(np.uint8))
        if style == 'wire':
            self._draw_edges(picture, turned, ndc)
        picture = cv2.resize(picture, (self.size, self.size),
                             interpolation=cv2.INTER_AREA)
        cv2.putText(picture, label, (5, 14), cv2.FONT_HERSHEY_SIMPLEX, .42,
                    (60, 40, 20), 1, cv2.LINE_AA)
        return picture

    def _draw_edges(self, picture: np.ndarray, turned: torch.Tensor,
                    ndc: torch.Tensor) -> None:
        pixels = (((ndc[0, :, :2] + 1) * 2 * self.size - 1) / 2).numpy()
        faces = self.head.model.faces
        corners = turned[0].numpy()[faces]
        normals = np.cross(corners[:, 1] - corners[:, 0],
                           corners[:, 2] - corners[:, 0])
        visible = self.renderer.rasterizer(
            ndc, self.renderer.faces, picture.shape[:2]).face_index.unique()
        chosen = np.intersect1d(visible.numpy(),
                                np.flatnonzero(normals[:, 2] > 0))
        cv2.polylines(picture,
                      list(np.round(pixels[faces[chosen]]).astype(np.int32)),
                      True, (110, 70, 40), 1, cv2.LINE_AA)


def _code(values: np.ndarray | None, length: int) -> torch.Tensor:
    code = torch.zeros(1, length)
    if values is not None:
        code[0, :len(values)] = torch.as_tensor(values, dtype=torch.float32)
    return code


def _views() -> list[dict]:
    return [
        dict(label='mean'), dict(label='', rotation=(0., .7, 0.)),
        dict(label='', rotation=(0., 1.57, 0.)),
        dict(label='', rotation=(0., 3.1416, 0.)),
        dict(label='shape', style='shape', rotation=(0., -.5, 0.)),
        dict(label='wireframe', style='wire', rotation=(0., -.5, 0.)),
    ]


def _components() -> list[dict]:
    pictures = []
    for number in range(6):
        for sign in (-2, 2):
            shape = np.zeros(number + 1)
            shape[number] = sign
            pictures.append(dict(label=f'identity {number + 1}: {sign:+d}',
                                 shape=shape, style='shape',
                                 rotation=(0., -.45, 0.)))
    return pictures


def _people(rng: np.random.Generator) -> list[dict]:
    return [
        dict(label=f'person {number + 1}',
             shape=rng.standard_normal(NUM_SHAPE),
             texture=rng.standard_normal(NUM_TEXTURE),
             rotation=(0., (0., .5, -.5)[number % 3], 0.))
        for number in range(12)]


def _expressions(names: tuple[str, ...]) -> list[dict]:
    pictures = []
    for label, parts, jaw in EXPRESSIONS:
        code = np.zeros(NUM_EXPRESSION)
        code[[names.index(part) for part in parts]] = FULL_ACTIVATION
        pictures.append(dict(label=label, expression=code,
                             jaw=(jaw, 0., 0.)))
    return pictures


def _poses() -> list[dict]:
    return [dict(label=label, rotation=rotation, jaw=jaw)
            for label, rotation, jaw in POSES]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--out', type=Path, default=Path('head_sheet.jpg'),
                        help='picture to write (.jpg or .png)')
    parser.add_argument('--cell', type=int, default=266,
                        help='width of one picture in pixels')
    parser.add_argument('--seed', type=int, default=7,
                        help='seed of the random people')
    args = parser.parse_args()
    render = SheetRenderer(args.cell)
    requests = [*_views(), *_components(),
                *_people(np.random.default_rng(args.seed)),
                *_expressions(render.head.expression_names), *_poses()]
    cells = [render(**request)
             for request in track(requests, 'Rendering the sheet')]
    rows = [np.hstack(cells[i:i + PER_ROW])
            for i in range(0, len(cells), PER_ROW)]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    quality = [cv2.IMWRITE_JPEG_QUALITY, 88]
    if not cv2.imwrite(str(args.out), np.vstack(rows), quality):
        raise OSError(f'cannot write {args.out}')
    sys.stdout.write(f'wrote {args.out}\n')


if __name__ == '__main__':
    main()
