# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Converted checkpoints against the published arithmetic, at full width."""
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from published_networks import (
    decode_detail,
    decoder_shapes,
    encoder_shapes,
    image_features,
    random_state,
    regress,
    temporal_features,
)

from mmtvface.converters.jobs import (
    convert_deca_file,
    deca_config,
    read_config,
)

REPO = Path(__file__).resolve().parents[2]
SIZES = dict(shape=100, tex=50, exp=50, pose=6, cam=3, light=27)


def config_of(width):
    """The default config; narrower with another width."""
    def read(facts):
        config = read_config(REPO / deca_config(facts))
        # Codes and displacements need neither.
        config.model.renderer = config.model.texture = None
        if width != 64:
            for part in (config.model, config.model.detail):
                part.encoder.mid_channels = width
                part.encoder.base_channels = width
            config.model.regressor.in_channels = 32 * width
        return config

    return read


def assert_close(ours, expected, relative=1e-5):
    assert ours.shape == expected.shape
    error = (ours - expected).abs().max() / expected.abs().max()
    assert error < relative, f'relative difference {error:.1e}'


def compare(path, inputs, features, bound, width=64):
    """Convert a file and compare what its model predicts.

    Args:
        path: The checkpoint.
        inputs: (n, t, 3, H, W).
        features: Part and clips -> (n, t, C) by plain functions.
        bound: Largest displacement in metres.
        width: Channels of the first layers.
    """
    job = convert_deca_file(path, config_of(width))
    target = job.save(path.with_suffix('.pth'))
    model = job.model.eval()
    # What counts is the file, not the model that proved it.
    for value in model.state_dict().values():
        value.zero_()
    model.load_state_dict(torch.load(target, weights_only=True)['state_dict'])
    content = torch.load(path, weights_only=True)
    with torch.no_grad():
        expected = features(content['E_flame'], inputs)
        assert_close(model.encoder(inputs), expected)
        flat = regress(content['E_flame'], expected)
        codes = dict(zip(SIZES, flat.split(list(SIZES.values()), -1),
                         strict=True))
        codes['light'] = codes['light'].unflatten(-1, (9, 3))
        codes['detail'] = regress(content['E_detail'], features(
            content['E_detail'], inputs))
        for index, sample in enumerate(model(inputs, mode='predict')):
            ours = sample.pred_codes
            for name, code in codes.items():
                assert_close(ours[name], code[index])
            for source, tolerance in (
                    (ours, 1e-5),
                    # The random decoder enlarges differences of the codes.
                    ({key: code[index] for key, code in codes.items()},
                     1e-4)):
                latent = torch.cat([source['pose'][:, 3:], source['exp'],
                                    source['detail']], -1)
                maps = decode_detail(content['D_detail'], latent, bound)
                assert maps.std() > .02 * bound
                assert_close(sample.pred_displacement, maps, tolerance)
    return job


def save(path, temporal, zipped=True, own_flow=False, **options):
    def network(out, seed):
        return random_state(encoder_shapes(out, temporal, **options), seed)

    content = dict(E_flame=network(236, 0), E_detail=network(128, 1),
                   D_detail=random_state(decoder_shapes()))
    for key, value in content['E_flame'].items():
        if not own_flow and '.spynet.' in key:
            content['E_detail'][key] = value
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def test_single_frame(tmp_path):
    def features(state, clips):
        return image_features(state, clips.flatten(0, 1)).unflatten(
            0, clips.shape[:2])

    torch.manual_seed(0)
    path = save(tmp_path / 'deca_model.tar', False, zipped=False)
    job = compare(path, torch.rand(1, 2, 3, 64, 64), features, .01)
    assert not job.report.overrides
    assert job.report.count('missing') == job.report.count('unused') == 0


def test_published_pooling_at_its_own_size():
    # The published 7x7 window is the global average at 224.
    maps = torch.rand(1, 3, 7, 7)
    torch.testing.assert_close(
        F.avg_pool2d(maps, 7, 1).flatten(1), maps.mean((-2, -1)))


def test_temporal(tmp_path):
    torch.manual_seed(1)
    path = save(tmp_path / 'seed.tar', True)
    job = compare(path, torch.rand(1, 3, 3, 64, 64), temporal_features, .001)
    assert set(job.report.overrides) <= {'model.encoder.spynet_pretrained'}
    assert job.report.count('unused') == 64


@pytest.mark.parametrize('options, overrides, unused', [
    (dict(own_flow=True), {'model.detail.encoder.with_flow': True}, 2),
    (dict(aligned=False), {'model.encoder.with_alignment': False,
                           'model.detail.encoder.with_alignment': False},
     126)], ids=['two flows', 'without alignment'])
def test_temporal_variants(tmp_path, options, overrides, unused):
    torch.manual_seed(2)
    path = save(tmp_path / 'seed.tar', True, width=16, **options)
    job = compare(path, torch.rand(2, 3, 3, 64, 64), temporal_features, .001,
                  width=16)
    actual = dict(job.report.overrides)
    assert actual.pop('model.encoder.spynet_pretrained', None) is None
    assert actual == overrides
    assert job.report.count('unused') == unused
