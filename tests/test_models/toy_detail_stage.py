# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Models of the detail stage, shared by its tests.

Importing this module registers a loss that keeps what it was given.
"""
import torch
from helpers.toy_reconstructor import toy_batch, toy_config, toy_detail

from mmtvface.models.losses import FaceLoss
from mmtvface.registry import MODELS

SIZE = 32
LOSSES = dict(
    photo=dict(type='PhotoDetailLoss', patch_size=SIZE),
    prior=dict(type='DisplacementPriorLoss'),
    smooth=dict(type='ShadingSmoothnessLoss'),
    symmetry=dict(type='DetailSymmetryLoss'))


@MODELS.register_module()
class CaptureDetail(FaceLoss):
    """Reads everything, keeps it."""

    def compute(self, outputs, targets):
        self.seen = (
            {name: getattr(outputs, name) for name in (
                'displacement', 'uv_normals', 'uv_shading', 'uv_images',
                'face_mask_uv', 'num_frames', 'num_copies')},
            {name: getattr(targets, name) for name in (
                'uv_images', 'uv_visibility', 'displacement')})
        return outputs.displacement.square().mean()


def build(**changes):
    torch.manual_seed(0)
    return MODELS.build(toy_config(**toy_detail(**changes)))


def branch(**changes):
    return toy_detail()['detail'] | changes


def batch(*indices, **kwargs):
    """Clips whose displacement is known."""
    data = toy_batch(*indices, **kwargs)
    for index, sample in zip(indices, data['data_samples'], strict=True):
        generator = torch.Generator().manual_seed(index)
        sample.gt_displacement = 1e-3 * torch.randn(
            len(sample.gt_landmarks), 1, SIZE, SIZE, generator=generator)
    return data


def run(model, data, mode):
    return model(**model.data_preprocessor(data), mode=mode)


def spy(module, method, calls):
    original = getattr(module, method)

    def wrapper(*args, **kwargs):
        calls.append(args)
        return original(*args, **kwargs)

    object.__setattr__(module, method, wrapper)


def parts(model, kind):
    """State of the model, without or only with what is below detail."""
    return {name: value.clone() for name, value in model.state_dict().items()
            if name.startswith('detail.') == (kind == 'detail')}


def assert_equal(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
