# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Error of the detailed surface's normals."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F

from mmtvface.geometry.alignment import align_rigid
from mmtvface.heads import HeadAssets, HeadTopology
from mmtvface.heads.assets import HeadSpec
from mmtvface.registry import METRICS
from mmtvface.renderers import DetailSurface

from ..functional.vertex_error import angle_between, masked_mean
from .clip_metric import ClipMetric, Values, mean

# z of a coarse normal that looks towards the camera.
_FACING = 0.1
_MASK = 0.5


@METRICS.register_module()
class DetailNormalError(ClipMetric):
    """Mean angle between the normals of the reconstruction and the truth.

    Normals are compared texel by texel of the UV map: inside of the face mask
    (without the border of the charts), where the true head faces the camera.
    Both surfaces are their vertices plus their displacement map; the
    predicted head is first moved rigidly onto the true one, as for
    :class:`VertexError`, so that an error of the head's pose does not count.

    Results, degrees (mean over frames): ``normal/detail`` with the predicted
    displacement, ``normal/coarse`` without it, ``normal/gain`` = 1 -
    detail / coarse; ``normal/wrinkled_detail``, ``normal/wrinkled_coarse``
    and ``normal/wrinkled_gain`` the same over texels whose true detail turns
    the normal by more than ``wrinkled_above`` degrees.

    Args:
        head: See :class:`mmtvface.renderers.MeshRenderer`.
        wrinkled_above: Degrees.
        faceted: As the model's surface, see
            :class:`mmtvface.renderers.DetailSurface`; the truth has no
            facets.
        kwargs: See mmengine's ``BaseMetric``.
    """

    default_prefix = 'normal'

    def __init__(self,
                 head: HeadAssets | HeadTopology | HeadSpec = 'procedural',
                 wrinkled_above: float = 5.,
                 faceted: bool = False,
                 **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.head = head
        self.wrinkled_above = wrinkled_above
        self.faceted = faceted
        self._surfaces: dict[tuple[int, bool], DetailSurface] = {}

    def _surface(self, size: int, faceted: bool) -> DetailSurface:
        key = size, faceted
        if key not in self._surfaces:
            self._surfaces[key] = DetailSurface(
                self.head, size, faceted=faceted)
        return self._surfaces[key]

    @torch.no_grad()
    def measure(self, sample: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Mean angles of every frame; NaN without truth or prediction."""
        pred, height = sample['pred_vertices'], sample.get(
            'pred_displacement')
        target, truth = sample.get('gt_vertices'), sample.get(
            'gt_displacement')
        names = ('detail', 'coarse', 'wrinkled_detail', 'wrinkled_coarse')
        if target is None or truth is None or height is None:
            return {name: pred.new_full((len(pred), ), torch.nan)
                    for name in names}
        pred, height, target, truth = (
            value.detach().float().cpu()
            for value in (pred, height, target, truth))
        # Where the finer of two maps has wrinkles, the other has none.
        size = max(height.shape[-1], truth.shape[-1])
        surface = self._surface(size, False)
        model = self._surface(size, self.faceted)
        height, truth = (_resize(value, size) for value in (height, truth))
        moved = align_rigid(pred.double(), target.double()).float()
        own, true = surface.maps(moved), surface.maps(target)
        goal = true.normals + surface.normal_offsets(truth, true)
        mask = (surface.uv_face_eye_mask * surface.chart_interior)[0]
        seen = (mask > _MASK) & (true.normals[:, 2] > _FACING) & (
            own.normals.square().sum(1) > 0)
        turned = seen & (
            angle_between(goal, true.normals) > self.wrinkled_above)
        angles = dict(
            detail=angle_between(
                own.normals + model.normal_offsets(height, own), goal),
            coarse=angle_between(own.normals, goal))
        return {
            f'{prefix}{name}': masked_mean(angle, part)
            for prefix, part in (('', seen), ('wrinkled_', turned))
            for name, angle in angles.items()
        }

    def summarise(self, values: Values) -> dict[str, float]:
        """Means and gains."""
        results = {name: mean(value) for name, value in values.items()}
        for prefix in ('', 'wrinkled_'):
            if f'{prefix}detail' in results:
                results[f'{prefix}gain'] = 1 - (
                    results[f'{prefix}detail'] / results[f'{prefix}coarse'])
        return results


def _resize(maps: torch.Tensor, size: int) -> torch.Tensor:
    """(B, 1, S, S) maps at another size."""
    if maps.shape[-1] == size:
        return maps
    return F.interpolate(
        maps, (size, size), mode='bicubic', align_corners=False)
