# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Pictures that show what the detail adds, beside the truth."""

from collections.abc import Sequence

import numpy as np
import torch

from mmtvface.geometry.camera import project
from mmtvface.io.video_writer import fit_frame
from mmtvface.renderers import DetailSurface, MeshRenderer
from mmtvface.structures import FaceClipSample

from .drawing import add_caption, image_grid

COLUMNS = ('input', 'coarse', 'detail', 'truth')
_WHITE = (1., 1., 1.)


@torch.no_grad()
def wrinkledness(displacement: torch.Tensor) -> torch.Tensor:
    """How wrinkled faces are: mean slope of their displacement.

    Args:
        displacement: (t, 1, S, S) metres.

    Returns:
        (t,) metres per texel, to compare maps of one size.
    """
    return sum(displacement.diff(dim=dim).abs().mean((1, 2, 3))
               for dim in (-1, -2))


def most_wrinkled(samples: Sequence[FaceClipSample],
                  count: int) -> list[tuple[int, int]]:
    """Frames whose true wrinkles are deepest, one of each person at most.

    The choice does not look at predictions.

    Args:
        samples: With ``gt_displacement``; of maps of one size.
        count: Frames at most.

    Returns:
        (sample, frame) indices, the deepest first.
    """
    best: dict[str, tuple[float, int, int]] = {}
    for number, sample in enumerate(samples):
        levels = wrinkledness(sample.gt_displacement)
        frame = int(levels.argmax())
        person = str(sample.get('identity', number))
        entry = float(levels[frame]), number, frame
        best[person] = max(best.get(person, entry), entry)
    deepest = sorted(best.values(), key=lambda entry: -entry[0])[:count]
    return [(number, frame) for _, number, frame in deepest]


@torch.no_grad()
def draw_shape(renderer: MeshRenderer, vertices: torch.Tensor,
               cam: torch.Tensor, size: int,
               surface: DetailSurface | None = None,
               displacement: torch.Tensor | None = None) -> np.ndarray:
    """The grey shape of a head on white, with or without its detail.

    Args:
        renderer: Of the head's topology.
        vertices: (V, 3) metres, model space.
        cam: (3,).
        size: Side of the picture in pixels.
        surface: Of the displacement.
        displacement: (1, S, S) metres; None: the coarse shape.

    Returns:
        (size, size, 3) uint8 RGB.
    """
    vertices, cam = vertices[None].float(), cam[None].float()
    offsets = None if displacement is None else surface.normal_offsets(
        displacement[None].float(), surface.maps(vertices))
    picture = renderer.render_shape(
        vertices, project(vertices, cam),
        background=vertices.new_tensor(_WHITE), image_size=size,
        normal_offsets=offsets)[0]
    return (255 * picture.clamp(0, 1)).round().byte().permute(
        1, 2, 0).contiguous().cpu().numpy()


def compare_detail(image: np.ndarray, sample: FaceClipSample, frame: int,
                   renderer: MeshRenderer, surface: DetailSurface,
                   true_surface: DetailSurface,
                   size: int = 256) -> list[np.ndarray]:
    """Input, coarse and detailed reconstruction, and the truth.

    Args:
        image: (H, W, 3) uint8 RGB, the frame.
        sample: With pred_vertices, pred_cam, pred_displacement, gt_vertices,
            gt_codes (the camera) and gt_displacement.
        frame: Which one of the sample.
        renderer: Of the head's topology.
        surface: Of the predicted displacement.
        true_surface: Of the true displacement.
        size: Side of the pictures in pixels.

    Returns:
        Pictures (size, size, 3) uint8 RGB, see :data:`COLUMNS`.
    """
    found = renderer, sample.pred_vertices[frame], sample.pred_cam[frame]
    true = renderer, sample.gt_vertices[frame], sample.gt_codes['cam'][frame]
    return [
        fit_frame(image, size, size),
        draw_shape(*found, size),
        draw_shape(*found, size, surface, sample.pred_displacement[frame]),
        draw_shape(*true, size, true_surface, sample.gt_displacement[frame]),
    ]


def detail_grid(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Rows of :func:`compare_detail` with captions on the first.

    Raises:
        ValueError: If there are no rows.
    """
    if not rows:
        raise ValueError('There is no frame to compare.')
    captioned = [add_caption(picture, name) for picture, name in
                 zip(rows[0], COLUMNS, strict=True)]
    return image_grid([captioned, *rows[1:]])
