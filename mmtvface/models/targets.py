# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What losses compare outputs with: the truth of the data samples.

As with :mod:`mmtvface.models.outputs`, a target is a property that is made
when it is first read, so that data needs to have what some loss reads and no
more. B is c * n * t here too; all copies have the same targets.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import nn

from mmtvface.structures import FaceClipSample
from mmtvface.utils.checks import check_shape

from .outputs import (
    DetailOutputs,
    Unavailable,
    expression_landmarks,
    neutral_landmarks,
    repeat_copies,
)


def clip_names(samples: Sequence[FaceClipSample]) -> list[str]:
    """Clip ids for messages, by position where a sample has none."""
    return [
        str(sample.get('clip_id', f'#{index}'))
        for index, sample in enumerate(samples)
    ]


class Targets:
    """Targets of a batch.

    Reading what a clip lacks raises :class:`Unavailable`, and a ValueError
    what has another shape than it should.

    Args:
        images: (n, t, 3, H, W) RGB [0, 1].
        samples: n samples, with ``gt_*`` fields of t frames.
        flame: The head model that makes geometry of true codes; it must be
            that of the data.
        num_copies: c.
    """

    def __init__(self, images: torch.Tensor,
                 samples: Sequence[FaceClipSample], flame: nn.Module,
                 num_copies: int = 1) -> None:
        self._clips, self._samples = images, samples
        self._flame, self._copies = flame, num_copies

    def _of_all_copies(self, values: torch.Tensor) -> torch.Tensor:
        return repeat_copies(values, self._copies)

    def _fields(self, name: str) -> list[Any]:
        """A field of all samples.

        Raises:
            Unavailable: Naming the field and the clips that lack it.
        """
        fields = [sample.get(name) for sample in self._samples]
        lacking = [clip for clip, field in zip(
            clip_names(self._samples), fields, strict=True) if field is None]
        if lacking:
            raise Unavailable(f'needs {name!r}, which these clips lack: '
                              f'{lacking}; use data that has it')
        return fields

    def _frames(self, name: str, *shape: int | str) -> torch.Tensor:
        """(n * t, ...) of a field that has the shape (t, ...)."""
        fields = self._fields(name)
        for clip, field in zip(clip_names(self._samples), fields,
                               strict=True):
            check_shape(f"{name} of the clip '{clip}'", field,
                        (self._clips.shape[1], *shape))
        return torch.cat(fields).to(self._clips)

    @cached_property
    def images(self) -> torch.Tensor:
        """(B, 3, H, W) RGB [0, 1], the input."""
        return self._of_all_copies(self._clips.flatten(0, 1))

    @cached_property
    def landmarks(self) -> torch.Tensor:
        """(B, 68, 3) NDC x and y, visibility 0..1."""
        return self._of_all_copies(self._frames('gt_landmarks', 68, 3))

    @cached_property
    def _own_masks(self) -> torch.Tensor | None:
        """(n * t, 1, H, W) skin of the frames."""
        masks = [sample.get('gt_masks') for sample in self._samples]
        if all(mask is None for mask in masks):
            return None
        shape = (self._clips.shape[1], 1, *self._clips.shape[-2:])
        for index, clip in enumerate(clip_names(self._samples)):
            if masks[index] is None:
                masks[index] = self._clips.new_ones(shape)
            check_shape(f"gt_masks of the clip '{clip}'", masks[index], shape)
        return torch.cat([mask.to(self._clips) for mask in masks])

    @cached_property
    def masks(self) -> torch.Tensor | None:
        """(B, 1, H, W) skin, 0..1; None if no clip of the batch has masks.

        Real data lacks some: a clip without masks gets ones (no pixel is
        excluded) if another one has masks.
        """
        own = self._own_masks
        return None if own is None else self._of_all_copies(own)

    @cached_property
    def _own_codes(self) -> dict[str, torch.Tensor]:
        codes = self._fields('gt_codes')
        shared = set.intersection(*map(set, codes))
        return {
            key: torch.cat([code[key] for code in codes]).to(self._clips)
            for key in sorted(shared)
        }

    @cached_property
    def codes(self) -> dict[str, torch.Tensor]:
        """Name -> (B, C) of the codes that all clips have."""
        return {key: self._of_all_copies(code)
                for key, code in self._own_codes.items()}

    @torch.no_grad()
    def _made(self, name: str, make: Callable[..., torch.Tensor],
              *codes: str) -> torch.Tensor:
        """Geometry of true codes, for data that keeps codes only."""
        own = self._own_codes
        if lacking := [code for code in codes if code not in own]:
            raise Unavailable(
                f"needs 'gt_{name}'. The data has none, and no codes "
                f'{lacking} either to make them of; use data that has them')
        return make(*(own[code] for code in codes))

    @cached_property
    def _own_vertices(self) -> torch.Tensor:
        if any(sample.get('gt_vertices') is not None
               for sample in self._samples):
            return self._frames('gt_vertices', 'V', 3)
        return self._made('vertices', lambda *codes: self._flame(
            *codes).vertices, 'shape', 'exp', 'pose')

    @cached_property
    def vertices(self) -> torch.Tensor:
        """(B, V, 3) metres, model space; of true codes if there are none."""
        return self._of_all_copies(self._own_vertices)

    @cached_property
    def neutral_vertices(self) -> torch.Tensor:
        """(B, V, 3) metres, of the true shape alone."""
        return self._of_all_copies(self._made(
            'neutral_vertices', self._flame.neutral, 'shape'))

    @cached_property
    def neutral_landmarks(self) -> torch.Tensor:
        """(B, 68, 3) metres, fixed points of the true neutral heads."""
        return self._of_all_copies(self._made(
            'neutral_landmarks',
            lambda shape: neutral_landmarks(self._flame, shape), 'shape'))

    @cached_property
    def expression_landmarks(self) -> torch.Tensor:
        """(B, 68, 3) metres: true expression and jaw on the mean head."""
        return self._of_all_copies(self._made(
            'expression_landmarks',
            lambda *codes: expression_landmarks(self._flame, *codes),
            'exp', 'pose'))


class DetailTargets(Targets):
    """Targets of the detail stage, in the UV map.

    Args:
        images: (n, t, 3, H, W) RGB [0, 1].
        samples: n samples.
        flame: The head model.
        branch: The :class:`~.reconstructors.DetailBranch`.
        outputs: On whose head the images are sampled.
    """

    def __init__(self, images: torch.Tensor,
                 samples: Sequence[FaceClipSample], flame: nn.Module,
                 branch: nn.Module, outputs: DetailOutputs) -> None:
        super().__init__(images, samples, flame, outputs.num_copies)
        self._branch, self._coarse = branch, outputs.coarse

    @cached_property
    def _own_displacement(self) -> torch.Tensor:
        # Resizing would flatten the wrinkles.
        size = self._branch.size
        return self._frames('gt_displacement', 1, size, size)

    @cached_property
    def displacement(self) -> torch.Tensor:
        """(B, 1, S, S) metres along the normal."""
        return self._of_all_copies(self._own_displacement)

    @cached_property
    @torch.no_grad()
    def _sampled(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self._branch.sample(
            self._clips.flatten(0, 1), self._own_masks, self._coarse.maps,
            self._coarse.codes['cam'], self._coarse.geometry['vertices_ndc'])

    @cached_property
    def uv_images(self) -> torch.Tensor:
        """(B, 3, S, S) RGB, the input where it shows the coarse surface."""
        return self._of_all_copies(self._sampled[0])

    @cached_property
    def uv_visibility(self) -> torch.Tensor:
        """(B, 1, S, S) 0..1 where that is skin, 0 outside of the face."""
        return self._of_all_copies(self._sampled[1])

    @cached_property
    @torch.no_grad()
    def uv_normals(self) -> torch.Tensor:
        """(B, 3, S, S) of the true surface, moved onto the predicted head."""
        return self._of_all_copies(self._branch.true_normals(
            self._own_vertices, self._own_displacement,
            self._coarse.geometry['vertices']))
