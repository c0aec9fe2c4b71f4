# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What the losses of the two stages of training compare."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from mmtvface.structures import FaceClipSample

from .clip_targets import gather_targets, repeat_targets
from .loss_needs import (
    RENDERED,
    SAMPLED,
    SHADED,
    TEXTURED,
    TRUE_SURFACE,
    needed_outputs,
    needed_targets,
)
from .overlay import overlay_images
from .shape_exchange import append_exchanged, random_exchange

Compared = tuple[dict[str, Any], dict[str, Any]]


def compare_coarse(model: nn.Module, inputs: torch.Tensor, flat: torch.Tensor,
                   samples: Sequence[FaceClipSample],
                   seen: Mapping[str, torch.Tensor] | None = None
                   ) -> Compared:
    """Outputs and targets of the coarse stage, doubled if asked for.

    Args:
        model: A :class:`TemporalDECA`.
        inputs: (n, t, 3, H, W) RGB [0, 1].
        flat: (n, t, total) codes.
        samples: n samples with ground truth.
        seen: (n, t, ...) outputs that follow from the features and not from
            the codes, by name.

    Returns:
        What the losses read, see :mod:`mmtvface.models.losses.base_loss`.
    """
    num_clips, num_frames = inputs.shape[:2]
    needed = needed_outputs(model.losses)
    goals = needed_targets(model.losses)
    made = goals & (_OF_CODES.keys() - {'vertices'})
    if 'vertices' in goals and all(
            sample.get('gt_vertices') is None for sample in samples):
        made = made | {'vertices'}
    targets = gather_targets(
        inputs, samples, goals - made | ({'codes'} if made else set()))
    targets.update(true_geometry(model.flame, targets, made))
    codes = model.layout.split(flat.flatten(0, 1))
    # The albedo does not depend on the shape: once for all copies.
    albedo = model.texture(codes['tex']) if needed & TEXTURED else None
    copies = 2 if model.shape_consistency and num_frames > 1 else 1
    if copies == 2:
        codes = append_exchanged(codes, random_exchange(num_clips, num_frames))
        targets = repeat_targets(targets, copies)
    outputs = dict(
        codes=codes,
        num_frames=num_frames,
        num_copies=copies,
        **model.decode(codes))
    for name in needed & (_OF_CODES.keys() - {'vertices'}):
        names, make = _OF_CODES[name]
        outputs[name] = make(model.flame, *(codes[code] for code in names))
    for name, value in (seen or {}).items():
        outputs[name] = torch.cat([value.flatten(0, 1)] * copies)
    if albedo is not None:
        albedo = torch.cat([albedo] * copies) if copies > 1 else albedo
        outputs['albedo'] = albedo
    if needed & RENDERED:
        outputs.update(
            model.render(codes, outputs, albedo, tuple(inputs.shape[-2:])))
    if 'overlay_images' in needed:
        outputs['overlay_images'] = overlay_images(outputs, targets['images'])
    return outputs, targets


def expression_landmarks(flame: nn.Module, expression: torch.Tensor,
                         pose: torch.Tensor) -> torch.Tensor:
    """Landmarks of the mean head with expressions, looking ahead.

    Args:
        flame: The head model.
        expression: (B, E).
        pose: (B, 6), of which the jaw is used.

    Returns:
        (B, 68, 3) metres, fixed points of the surface.
    """
    jaw = torch.cat([torch.zeros_like(pose[:, :3]), pose[:, 3:]], 1)
    mean = expression.new_zeros(len(expression), flame.num_shape)
    return flame(mean, expression, jaw).landmarks3d


def neutral_landmarks(flame: nn.Module, shape: torch.Tensor
                      ) -> torch.Tensor:
    """(B, 68, 3) fixed landmarks of neutral heads, metres."""
    ahead = torch.eye(3, dtype=shape.dtype, device=shape.device).expand(
        len(shape), 3, 3)
    return flame.vertices_to_landmarks(flame.neutral(shape), ahead)[1]


# Geometry that follows from some codes: these codes, and how.
_OF_CODES = dict(
    vertices=(('shape', 'exp', 'pose'),
              lambda flame, *codes: flame(*codes).vertices),
    neutral_vertices=(('shape', ),
                      lambda flame, shape: flame.neutral(shape)),
    neutral_landmarks=(('shape', ), neutral_landmarks),
    expression_landmarks=(('exp', 'pose'), expression_landmarks))


@torch.no_grad()
def true_geometry(flame: nn.Module, targets: Mapping[str, Any],
                  names: Collection[str]) -> dict[str, torch.Tensor]:
    """Geometry of the true codes, for data that keeps codes only.

    Args:
        flame: The model's head, which must be that of the data.
        targets: Holds ``codes`` if there are names.
        names: Of ``vertices`` (which need the codes shape, exp and pose),
            ``neutral_vertices`` and ``neutral_landmarks`` (shape) and
            ``expression_landmarks`` (exp and pose).

    Returns:
        (B, V or 68, 3) metres, model space, by name.

    Raises:
        ValueError: If a code is missing.
    """
    found = {}
    for name in sorted(names):
        needed, make = _OF_CODES[name]
        codes = targets['codes']
        if lacking := [code for code in needed if code not in codes]:
            raise ValueError(
                f"The losses need 'gt_{name}'. The data has none, and no "
                f'codes {lacking} either to make them of.')
        found[name] = make(flame, *(codes[code] for code in needed))
    return found


def compare_detail(model: nn.Module, inputs: torch.Tensor, flat: torch.Tensor,
                   detail: torch.Tensor,
                   samples: Sequence[FaceClipSample]) -> Compared:
    """Outputs and targets of the detail stage.

    Only the detail codes and what follows from them have copies: geometry,
    albedo and what the images show of the coarse surface are computed once,
    without graph.

    Args:
        model: A :class:`TemporalDECA` with a detail branch.
        inputs: (n, t, 3, H, W) RGB [0, 1].
        flat: (n, t, total) codes.
        detail: (n, t, num_detail) detail codes.
        samples: n samples with ground truth.

    Returns:
        What the losses read, see :mod:`mmtvface.models.losses.base_loss`;
        of the targets only those that some loss requires.
    """
    num_clips, num_frames = inputs.shape[:2]
    needed = needed_outputs(model.losses)
    goals = needed_targets(model.losses)
    branch, maps, albedo = model.detail, None, None
    with torch.no_grad():
        files = set(goals - TRUE_SURFACE)
        if goals & TRUE_SURFACE:
            files |= {'vertices', 'displacement'}
        data = gather_targets(inputs, samples, files, branch.size)
        codes = model.layout.split(flat.flatten(0, 1))
        if (needed & SHADED) or (goals & (SAMPLED | TRUE_SURFACE)):
            geometry = model.decode(codes)
            maps = branch.surface.maps(geometry['vertices'])
        if needed & TEXTURED:
            albedo = model.texture(codes['tex'])
        if goals & SAMPLED:
            data.update(
                branch.sample(data['images'], data.get('masks'), maps,
                              codes['cam'], geometry['vertices_ndc']))
        if goals & TRUE_SURFACE:
            data['uv_normals'] = branch.true_normals(
                data['vertices'], data['displacement'], geometry['vertices'])
    varied = dict(pose=codes['pose'], exp=codes['exp'],
                  detail=detail.flatten(0, 1))
    copies = 2 if model.detail_consistency and num_frames > 1 else 1
    if copies == 2:
        varied = append_exchanged(
            varied, random_exchange(num_clips, num_frames), 'detail')
    displacement = branch.decode(varied)
    outputs = dict(
        displacement=displacement,
        face_mask_uv=branch.surface.uv_face_eye_mask,
        num_frames=num_frames,
        num_copies=copies,
        **branch.shade(displacement, maps, codes['light'], albedo, needed))
    targets = {key: data[key] for key in goals if key in data}
    return outputs, repeat_targets(targets, copies)
