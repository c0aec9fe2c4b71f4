# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""bfloat16 for the encoder only, and activations computed twice."""

import pytest
import torch
from helpers.toy_reconstructor import (
    toy_batch,
    toy_config,
    toy_detail,
    toy_rendering,
)

from mmtvface.models.encoders import ResNetEncoder
from mmtvface.registry import MODELS

CONFIGS = dict(
    coarse=toy_config(
        **toy_rendering(),
        losses=dict(landmark=dict(type='LandmarkLoss'),
                    photometric=dict(type='PhotometricLoss'))),
    detail=toy_config(**toy_detail()))


def step(model, mixed):
    """Losses, gradients and the geometry of a step."""
    seen, decode = {}, model.decode

    def watched(codes):
        seen.update(decode(codes), **codes)
        return seen

    model.decode = watched
    data = model.data_preprocessor(toy_batch(0, 1))
    with torch.autocast('cpu', torch.bfloat16, enabled=mixed):
        losses = model(**data, mode='loss')
    sum(value for key, value in losses.items() if 'loss' in key).backward()
    grads = {name: parameter.grad
             for name, parameter in model.named_parameters()
             if parameter.grad is not None}
    return losses, grads, seen


def rounding_model(stage, mixed):
    """Its features are bfloat16 numbers, in float32 if not ``mixed``."""
    torch.manual_seed(0)
    model = MODELS.build(CONFIGS[stage]).train()
    encoders = [model.encoder]
    if stage == 'detail':
        encoders.append(model.detail.encoder)
    for encoder in encoders:
        def rounded(maps, stages=encoder.stages):
            with torch.autocast('cpu', enabled=False):
                features = stages(maps.float()).bfloat16()
            return features if mixed else features.float()
        encoder.stages = rounded
    return model


@pytest.mark.parametrize('stage', ['coarse', 'detail'])
def test_nothing_behind_the_encoder_is_rounded(stage):
    expected, found = (step(rounding_model(stage, mixed), mixed)
                       for mixed in (False, True))
    assert 'vertices_ndc' in found[2] and 'cam' in found[2] and found[1]
    for value, reference in zip(found, expected, strict=True):
        assert value.keys() == reference.keys()
        for name, tensor in reference.items():
            assert tensor.dtype == value[name].dtype == torch.float32
            assert torch.equal(value[name], tensor), name


def test_a_step_in_bfloat16_is_close_to_one_in_float32():
    results, dtypes = [], []
    for mixed in (False, True):
        torch.manual_seed(0)
        model = MODELS.build(CONFIGS['coarse']).train()
        model.encoder.body[2].register_forward_hook(
            lambda *args: dtypes.append(args[2].dtype))
        results.append(step(model, mixed))
    assert dtypes == [torch.float32, torch.bfloat16]
    (losses, grads, seen), (mixed_losses, mixed_grads, mixed_seen) = results
    torch.testing.assert_close(mixed_losses, losses, rtol=.02, atol=1e-4)
    # Batch norm magnifies what the rounding does to clips of mere noise.
    torch.testing.assert_close(mixed_seen, seen, rtol=0, atol=.06)
    assert not torch.equal(mixed_seen['vertices'], seen['vertices'])
    one, other = (torch.cat([grad.flatten() for grad in parts.values()])
                  for parts in (grads, mixed_grads))
    assert torch.cosine_similarity(one, other, 0) > .99


@pytest.mark.parametrize('depth', [18, 50])
def test_checkpointed_residual_blocks_change_nothing(depth):
    results = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        encoder = ResNetEncoder(depth, 4, with_cp=with_cp).train()
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(
                lambda x: kept.append(x.numel()) or x,  # noqa: B023
                lambda x: x):
            features = encoder(torch.rand(1, 2, 3, 32, 32))
        features.square().sum().backward()
        results.append((
            features.detach(),
            {name: parameter.grad
             for name, parameter in encoder.named_parameters()},
            {name: buffer.clone()
             for name, buffer in encoder.named_buffers()}))
        results[-1][1]['kept'] = torch.tensor(sum(kept))
    (_, grads, buffers), (_, grads_cp, _) = results
    assert grads_cp.pop('kept') < grads.pop('kept') / 2
    torch.testing.assert_close(results[1], results[0])
    assert buffers['layer4.1.bn1.num_batches_tracked'] == 1
