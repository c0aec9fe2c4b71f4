# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What the public class adds: batches, files, names, earlier names."""

import inspect

import cv2
import numpy as np
import pytest
import torch
from helpers.toy_pictures import find_bright_boxes, picture

from mmtvface.apis import FaceReconstructor, open_frames, to_datasample
from mmtvface.reconstruction.settings import (
    EncoderSettings,
    ReconstructSettings,
)
from mmtvface.structures import FaceClipSample
from mmtvface.utils.packaged_model import PACKAGED_NAME, packaged_model


@pytest.fixture(scope='module')
def reconstructor(shared_model_files):
    return FaceReconstructor(*shared_model_files, device='cpu',
                             detector=find_bright_boxes)


@pytest.fixture
def folders(tmp_path):
    """Two folders of images, of the same name."""
    paths = []
    for number in (1, 2):
        paths.append(tmp_path / str(number) / 'clip')
        paths[-1].mkdir(parents=True)
        for name in range(number):
            cv2.imwrite(str(paths[-1] / f'{name}.png'), picture(x=30 + name))
    return [str(path) for path in paths]


def test_several_inputs(reconstructor, folders, tmp_path):
    single = [result for path in folders for result in reconstructor(path)]
    both = list(reconstructor(folders))
    assert [result.source for result in both] == [
        folders[0], folders[1], folders[1]]
    assert [result.name for result in both] == ['0', '0', '1']
    for one, other in zip(single, both, strict=True):
        np.testing.assert_array_equal(one.vertices, other.vertices)
    with pytest.raises(FileNotFoundError, match='nowhere'):
        reconstructor([folders[0], 'nowhere.mp4'])
    out = tmp_path / 'out'
    list(reconstructor(folders, out_dir=out, save=['codes'], resume=True))
    assert sorted(str(path.relative_to(out)) for path in out.rglob('*.*')) == [
        'clip/codes.npz', 'clip/metrics.json', 'clip_2/codes.npz',
        'clip_2/metrics.json']
    with pytest.raises(ValueError, match='no effect without out_dir'):
        reconstructor(folders, save=['codes'])
    with pytest.raises(ValueError, match='resume must be True'):
        reconstructor(folders, resume=out)
    with pytest.raises(TypeError, match=r"no settings \['sav'\]"):
        reconstructor(folders, out_dir=out, sav=['codes'])
    with pytest.raises(TypeError, match='no input'):
        reconstructor()


def test_an_input_as_files(reconstructor, folders, tmp_path):
    saved = reconstructor.write(folders[1], tmp_path / 'out', fps=5,
                                save=['codes'], resume=False)
    assert saved['frames'] == 2 and set(saved['files']) == {
        'codes', 'metrics'}
    with np.load(saved['files']['codes']) as codes:
        assert codes['fps'] == 5
    assert not (tmp_path / 'out/.resume').exists()
    # Frames that are no files leave nothing to resume from.
    saved = reconstructor.write([picture()] * 2, tmp_path / 'arrays',
                                save=['codes'], resume=False)
    assert saved['frames'] == 2


def test_frames_of_the_caller_stay_as_they_are(reconstructor, folders):
    frames = open_frames(folders[1])
    assert list(reconstructor(frames, fps=5)) and frames.fps != 5


def test_a_name_and_its_earlier_one(reconstructor, folders, tmp_path):
    with pytest.raises(TypeError, match="'inputs', not 'source'"):
        reconstructor(folders[0], source=folders[1])
    with pytest.raises(TypeError, match="'resume', not 'journal'"):
        reconstructor(folders[0], resume=tmp_path, journal=tmp_path)


def test_data_samples(reconstructor):
    frames = [picture(), picture(side=0)]
    result = next(iter(reconstructor(frames)))
    sample, = reconstructor(frames, return_datasamples=True)
    assert isinstance(sample, FaceClipSample)
    assert sample.metainfo == to_datasample(result).metainfo | dict(
        crop_matrices=sample.crop_matrices)
    assert sample.pred_vertices.shape == (1, *result.vertices.shape)
    crop = torch.from_numpy(result.vertices[None])
    cam = sample.pred_codes['cam']
    ndc = (crop[..., :2] + cam[:, None, 1:]) * cam[:, None, :1]
    # The toy's first 68 vertices are its landmarks; y points down.
    for name in ('pred_landmarks2d', 'pred_landmarks3d'):
        points = getattr(sample, name)
        np.testing.assert_allclose(points[..., 0], ndc[:, :68, 0], atol=1e-4)
        np.testing.assert_allclose(points[..., 1], -ndc[:, :68, 1],
                                   atol=1e-4)
    depth = -crop[:, :68, 2] * cam[:, :1]
    np.testing.assert_allclose(sample.pred_landmarks3d[..., 2], depth,
                               atol=1e-4)


def test_models_by_name():
    assert PACKAGED_NAME in FaceReconstructor.list_models()
    reconstructor = FaceReconstructor(model=PACKAGED_NAME, device='cpu')
    assert reconstructor.config.filename == str(packaged_model().config)
    with pytest.raises(ValueError, match=f'Only the config.*{PACKAGED_NAME}'):
        FaceReconstructor('no-such-model')
    with pytest.raises(ValueError, match='Only the checkpoint'):
        FaceReconstructor(checkpoint='w.pth')
    with pytest.raises(ValueError, match='model or config'):
        FaceReconstructor('a', model='b')


def test_earlier_names_work_and_warn(shared_model_files, reconstructor,
                                     tmp_path):
    with pytest.warns(DeprecationWarning, match='by their names'):
        made = FaceReconstructor(*shared_model_files, 'cpu', 2, 1, 1.3)
    encoder = made.settings.encoder
    assert (encoder.clip_length, encoder.overlap, made.crop.scale) == (
        2, 1, 1.3)
    with pytest.warns(DeprecationWarning, match='triangles'):
        np.testing.assert_array_equal(reconstructor.faces,
                                      reconstructor.triangles)
    with pytest.warns(DeprecationWarning, match="'source' is now 'inputs'"):
        assert next(reconstructor(source=picture())).valid
    path = tmp_path / 'a.png'
    cv2.imwrite(str(path), picture())
    with pytest.warns(DeprecationWarning, match="'journal' is now 'resume'"):
        assert next(reconstructor(path, journal=tmp_path / 'j')).valid


def test_settings_are_the_options(shared_model_files):
    parameters = inspect.signature(FaceReconstructor).parameters
    assert parameters['fill_gaps'].default == 0
    assert list(parameters)[:3] == ['config', 'checkpoint', 'device']
    settings = ReconstructSettings(
        device='cpu', encoder=EncoderSettings(clip_length=2, batch_size=3))
    made = FaceReconstructor(*shared_model_files, settings=settings)
    encoder = made.settings.encoder
    assert (encoder.clip_length, encoder.batch_size) == (2, 3)
    with pytest.raises(ValueError, match='not both'):
        FaceReconstructor(settings=settings, overlap=1)
    with pytest.raises(TypeError, match=r"\['clip_lenght'\].*'clip_length'"):
        FaceReconstructor(clip_lenght=2)
    with pytest.raises(ValueError, match='single_frame means'):
        FaceReconstructor(clip_length=2, single_frame=True)
