# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""mmagic's video restorers in front, with random weights."""

import numpy as np
import pytest
import torch
from helpers.toy_pictures import find_bright_boxes, picture
from mmengine.config import Config

from mmtvface.apis import FaceReconstructor
from mmtvface.reconstruction.restoration import build_restorer, enlargement
from mmtvface.registry import MODELS

PLUS_PLUS = dict(type='BasicVSRPlusPlusNet', mid_channels=8, num_blocks=1,
                 spynet_pretrained='https://not.read/spynet.pth')
REAL = dict(type='RealBasicVSRNet', mid_channels=8, num_propagation_blocks=1,
            num_cleaning_blocks=1, is_sequential_cleaning=True)


def write_restorer(folder, generator, last=0., prefix='generator'):
    """Config and checkpoint as mmagic writes them.

    With ``last=0`` the last layer is zero: the network is its bilinear skip
    connection.
    """
    config = folder / f'{generator["type"]}.py'
    Config(dict(model=dict(
        type='BasicVSR', generator=generator,
        data_preprocessor=dict(type='DataPreprocessor', mean=[0., 0., 0.],
                               std=[255., 255., 255.])))).dump(config)
    torch.manual_seed(0)
    network = MODELS.build({
        **generator, 'type': f'mmagic.{generator["type"]}',
        'spynet_pretrained': None})
    with torch.no_grad():
        part = getattr(network, 'basicvsr', network)
        part.conv_last.weight.mul_(last)
        part.conv_last.bias.mul_(last)
        if hasattr(network, 'image_cleaning'):
            network.image_cleaning[-1].weight.mul_(last)
            network.image_cleaning[-1].bias.mul_(last)
    state = {f'{prefix}.{key}': value
             for key, value in network.state_dict().items()}
    path = folder / f'{generator["type"]}.pth'
    torch.save(dict(state_dict=state | dict(step_counter=torch.ones(1))),
               path)
    return config, path


def reconstruct(model_files, **options):
    reconstructor = FaceReconstructor(
        *model_files, device='cpu', detector=find_bright_boxes, **options)
    return list(reconstructor([picture(40 + i) for i in range(2)]))


@pytest.fixture(scope='module')
def plain(shared_model_files):
    return reconstruct(shared_model_files)


@pytest.mark.parametrize('generator', [PLUS_PLUS, REAL],
                         ids=['BasicVSR++', 'RealBasicVSR'])
def test_results_stay_in_place(shared_model_files, plain, generator,
                               tmp_path):
    restored = reconstruct(shared_model_files, restore=write_restorer(
        tmp_path, generator))
    for one, other in zip(restored, plain, strict=True):
        assert one.valid and (one.crop_size, other.crop_size) == (64, 32)
        # The crop is cut finer and enlarged: the toy's pooled pixels differ
        # a little, and so do 40 pixels of face.
        np.testing.assert_allclose(one.landmarks2d, other.landmarks2d,
                                   atol=0.5)
        np.testing.assert_allclose(one.camera, other.camera, rtol=0.02,
                                   atol=1)
        assert not np.array_equal(one.landmarks2d, other.landmarks2d)


def test_the_weights_are_those_of_the_file(shared_model_files, plain,
                                           tmp_path):
    files = write_restorer(tmp_path, REAL, 30., 'generator_ema')
    network = build_restorer(*files)
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    state = torch.load(files[1])['state_dict']
    torch.testing.assert_close(
        {f'generator_ema.{k}': v for k, v in network.state_dict().items()},
        {k: v for k, v in state.items() if k != 'step_counter'})
    other = reconstruct(shared_model_files, restore=files)
    assert abs(other[0].landmarks2d - plain[0].landmarks2d).max() > 0.5


def test_what_is_no_restorer_of_clips(tmp_path):
    class Middle(torch.nn.Conv2d):
        def forward(self, clips):
            return super().forward(clips[:, 0])

    with pytest.raises(ValueError, match=r'Middle makes \(1, 3, 64, 64\)'):
        enlargement(Middle(3, 3, 1))
    with pytest.raises(ValueError, match='Conv2d cannot restore clips'):
        enlargement(torch.nn.Conv2d(3, 3, 1))


def test_files_that_do_not_fit(tmp_path):
    config, weights = write_restorer(tmp_path, PLUS_PLUS)
    with pytest.raises(FileNotFoundError, match='Config of the restorer'):
        build_restorer(tmp_path / 'none.py', weights)
    with pytest.raises(FileNotFoundError, match='weights of the restorer'):
        build_restorer(config, tmp_path / 'none.pth')
    other = tmp_path / 'other.py'
    other.write_text('model = dict(type="TemporalDECA")')
    with pytest.raises(ValueError, match='other.py is no config of a rest'):
        build_restorer(other, weights)
    other.write_text(f'_base_ = "{config.name}"\nmodel = dict('
                     'data_preprocessor=dict(mean=[127.5] * 3))')
    with pytest.raises(ValueError, match=r'RGB in \[0, 1\].*127.5'):
        build_restorer(other, weights)
    other.write_text(f'_base_ = "{config.name}"\nmodel = dict('
                     'generator=dict(mid_channels=4))')
    with pytest.raises(ValueError, match=r'BasicVSRPlusPlusNet: .*another sh'):
        build_restorer(other, weights)


def test_configs_of_the_installed_mmagic(monkeypatch, tmp_path):
    built = []
    monkeypatch.setattr('mmtvface.reconstruction.restoration.load_restorer',
                        lambda module, path: built.append(module))
    build_restorer(
        'mmagic::basicvsr_pp/basicvsr-pp_c64n7_8xb1-600k_reds4.py', 'x.pth')
    assert type(built[0]).__module__.startswith('mmagic.')
    assert built[0].mid_channels == 64
