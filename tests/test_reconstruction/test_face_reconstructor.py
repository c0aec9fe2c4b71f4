# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import cv2
import numpy as np
import pytest
import torch
from helpers.fake_face_alignment import install
from helpers.toy_pictures import POINTS, find_bright_boxes, picture
from helpers.toy_reconstructor import toy_topology
from mmengine.config import Config

from mmtvface.apis import FaceReconstructor
from mmtvface.geometry.camera import ndc_to_pixel, project
from mmtvface.geometry.crop import (
    crop_matrix,
    landmark_box,
    transform_points,
    warp,
)
from mmtvface.io.video_writer import write_video
from mmtvface.reconstruction.model_setup import crop_settings
from mmtvface.renderers import DetailSurface


def build(model_files, **kwargs):
    kwargs.setdefault('detector', find_bright_boxes)
    return FaceReconstructor(*model_files, device='cpu', **kwargs)


def direct(reconstructor, image, landmarks):
    """Codes and landmarks of one frame without the API's machinery."""
    matrix = crop_matrix(landmark_box(landmarks), 32, 1.5)
    crop = torch.from_numpy(warp(image, matrix, 32)).permute(2, 0, 1)
    model = reconstructor.model
    with torch.no_grad():
        sample, = model.test_step(dict(inputs=[crop[None]]))
    ndc = sample.pred_landmarks2d[0].double().numpy()
    inverse = np.linalg.inv(matrix)
    return sample, transform_points(ndc_to_pixel(ndc, 32), inverse)


def test_one_image(model_files):
    reconstructor = build(model_files)
    image = picture()
    result, = reconstructor(image)
    assert result.valid and result.track_id == 0
    assert result.frame_size == (120, 160)
    np.testing.assert_allclose(result.detection, POINTS * 39 + [40, 30])
    sample, landmarks = direct(reconstructor, image, result.detection)
    np.testing.assert_allclose(result.landmarks2d, landmarks, atol=1e-3)
    np.testing.assert_allclose(
        result.codes['shape'], sample.pred_codes['shape'][0], atol=1e-5)
    assert result.codes['light'].shape == (9, 3)
    # The toy's first 68 vertices are its landmarks.
    np.testing.assert_allclose(result.vertices_image[:68, :2],
                               result.landmarks2d, atol=1e-3)
    np.testing.assert_allclose(result.landmarks3d,
                               result.vertices_image[:68], atol=1e-3)
    ndc = project(torch.from_numpy(result.vertices)[None],
                  torch.from_numpy(result.codes['cam'])[None])[0, :, :2]
    np.testing.assert_allclose(
        transform_points(result.vertices_image[:, :2], result.crop_matrix),
        ndc_to_pixel(ndc.numpy(), 32), atol=1e-3)


def test_results_do_not_depend_on_batches_or_windows(model_files):
    frames = [picture(x=30 + 4 * i, y=20 + i) for i in range(8)]
    plain = dict(crop_sigma=0., identity='frame')
    expected = list(build(model_files, clip_length=1, **plain)(frames))
    for options in (dict(), dict(batch_size=4), dict(clip_length=5)):
        found = list(build(model_files, **plain, **options)(frames))
        assert [r.index for r in found] == list(range(8))
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a.vertices, b.vertices, atol=1e-6)
            np.testing.assert_allclose(a.landmarks2d, b.landmarks2d,
                                       atol=1e-3)
    # The faces differ, so equality above means something.
    assert np.abs(expected[0].vertices - expected[7].vertices).max() > 1e-6


def test_frames_without_a_face_are_flagged_in_their_place(model_files):
    frames = [picture(side=0), picture(), picture(side=0), picture(),
              picture()]
    results = list(build(model_files)(frames))
    assert [r.status for r in results] == [
        'no_face', 'ok', 'no_face', 'ok', 'ok']
    assert results[0].codes == {} and results[0].vertices is None
    assert results[0].problem == 'no face was found'
    assert [r.track_id for r in results] == [-1, 0, -1, 0, 0]


def test_the_larger_face_is_followed(model_files):
    frames = []
    for i in range(4):
        frame = picture(x=20 + 5 * i, side=50)
        frame[80:100, 130:150] = 255
        frames.append(frame)
    results = list(build(model_files)(frames))
    assert {r.track_id for r in results} == {0}
    assert [np.ptp(r.detection[:, 0]) for r in results] == [49.] * 4


def test_independent_images_are_not_smoothed(model_files):
    frames = [picture(x=20), picture(x=80), picture(x=20)]
    reconstructor = build(model_files)
    joined = list(reconstructor(frames))
    alone = list(reconstructor(frames, independent=True))
    assert [r.track_id for r in alone] == [0, 1, 2]
    np.testing.assert_allclose(alone[0].vertices, alone[2].vertices,
                               atol=1e-6)
    expected = crop_matrix(landmark_box(alone[1].detection), 32, 1.5)
    np.testing.assert_allclose(alone[1].crop_matrix, expected)
    assert len({r.track_id for r in joined}) > 1  # the face jumps


def test_video_and_sizes_that_change(model_files, tmp_path):
    path = write_video(tmp_path / 'a.mp4',
                       [picture(x=30 + i) for i in range(7)])
    results = list(build(model_files)(path))
    assert [r.valid for r in results] == [True] * 7
    assert [r.name for r in results][:2] == ['000000', '000001']
    mixed = [picture(), picture(size=(200, 130))]
    sizes = [r.frame_size for r in build(model_files)(mixed)]
    assert sizes == [(120, 160), (200, 130)]


def test_given_landmarks_are_used_and_gaps_detected(model_files, tmp_path):
    (tmp_path / 'jpg').mkdir()
    (tmp_path / 'kpt').mkdir()
    given = POINTS * 30 + [50, 40]
    for name in ('1', '2', '3'):
        cv2.imwrite(str(tmp_path / 'jpg' / f'{name}.png'), picture())
        np.save(tmp_path / 'kpt' / f'{name}_kpt2d.npy', given)
    (tmp_path / 'kpt' / '2_kpt2d.npy').unlink()
    (tmp_path / 'jpg' / '3.png').write_bytes(b'broken')
    results = list(build(model_files)(tmp_path))
    assert [r.detection_source for r in results] == ['given', 'detected', '']
    np.testing.assert_allclose(results[0].detection, given, atol=1e-5)
    assert results[2].status == 'unreadable'
    assert '3.png' in results[2].problem


def test_no_detector_is_needed_with_landmarks(model_files, tmp_path,
                                              monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError('mediapipe was started')

    monkeypatch.setattr(
        'mmtvface.tracking.detection.MediaPipeLandmarkDetector', fail)
    (tmp_path / 'jpg').mkdir()
    (tmp_path / 'kpt').mkdir()
    cv2.imwrite(str(tmp_path / 'jpg' / '1.png'), picture())
    np.save(tmp_path / 'kpt' / '1.npy', POINTS * 30 + [50, 40])
    assert [r.valid for r in build(model_files, detector=None)(tmp_path)] == [
        True]


def test_detectors_by_name(model_files, monkeypatch):
    made = install(monkeypatch)
    reconstructor = build(model_files, detector='face-alignment')
    result, = reconstructor(picture(x=50))
    np.testing.assert_allclose(result.detection, POINTS * 39 + [50, 30],
                               atol=1e-4)
    assert made == [('2d', 'cpu', 'sfd')]
    assert build(model_files, detector='mediapipe').detector is None
    with pytest.raises(ValueError, match="face-alignment.*'dlib'"):
        build(model_files, detector='dlib')


def test_no_face_at_all(model_files, tmp_path):
    for name in ('a', 'b'):
        cv2.imwrite(str(tmp_path / f'{name}.png'), picture(side=0))
    with pytest.raises(ValueError, match=f'2 frames of {tmp_path}.*kpt2d'):
        list(build(model_files)(tmp_path))
    for name in ('a', 'b'):
        (tmp_path / f'{name}.png').write_bytes(b'x')
    with pytest.raises(ValueError, match='None of the 2 frames.*a.png'):
        list(build(model_files)(tmp_path))


def test_a_file_that_vanishes_between_the_passes(model_files, tmp_path):
    for i in range(4):
        cv2.imwrite(str(tmp_path / f'{i}.png'), picture(x=40 + i))
    seen = []

    def remove_third(step, done, total):
        seen.append(step)
        if step == 'Looking for faces' and done == total:
            (tmp_path / '2.png').unlink()

    results = list(build(model_files)(tmp_path, progress=remove_third))
    assert [r.status for r in results] == ['ok', 'ok', 'unreadable', 'ok']
    assert {'Reconstructing', 'Finishing'} < set(seen)


def test_numbers_that_are_not_finite_are_flagged(model_files):
    reconstructor = build(model_files)
    with torch.no_grad():
        reconstructor.model.head.layers[2].bias[0] = torch.nan
    result, = reconstructor(picture())
    assert result.status == 'failed' and 'not finite' in result.problem
    with torch.no_grad():
        reconstructor.model.head.layers[2].bias[:] = torch.nan
    result, = reconstructor(picture())
    assert result.status == 'failed' and result.track_id == 0


def test_detail_of_a_model_with_a_branch(model_files, monkeypatch):
    """Its codes and its displacement come with each frame."""
    reconstructor = build(model_files, clip_length=2, crop_sigma=0.,
                          identity='frame')
    assert next(iter(reconstructor(picture()))).displacement is None
    model = reconstructor.model
    plain = model.encode

    def with_detail(inputs):
        flat = plain(inputs)
        # Something that differs between the frames
        return flat, model.layout.split(flat)['exp'] * 2

    class Branch(torch.nn.Module):
        value = 0.

        def decode(self, codes):
            image = codes['detail'].sum(-1)[:, None, None, None].expand(
                -1, 1, 8, 8).clone()
            image[:, 0, 3, 3] += self.value
            return image

    monkeypatch.setattr(model, 'encode_with_detail', with_detail)
    model.detail = Branch()
    frames = [picture(x=30 + 5 * i) for i in range(3)]
    sums = set()
    for result in reconstructor(frames):
        assert result.displacement.shape == (8, 8)
        sums.add(result.displacement[0, 0])
        np.testing.assert_allclose(result.displacement,
                                   2 * result.codes['exp'].sum(), atol=1e-6)
        np.testing.assert_allclose(result.codes['detail'],
                                   2 * result.codes['exp'], atol=1e-6)
    assert len(sums) == 3
    model.detail.value = torch.inf
    assert next(iter(reconstructor(frames))).status == 'failed'


def test_the_painter_has_the_parts_of_the_model(model_files):
    reconstructor = build(model_files)
    painter = reconstructor.build_painter(48)
    assert painter.texture is reconstructor.model.texture
    assert painter.surface is None and painter.texture_size == 48
    reconstructor.model.detail = torch.nn.Module()
    reconstructor.model.detail.surface = DetailSurface(
        toy_topology(), 32, rasterizer='torch')
    assert reconstructor.build_painter().surface is (
        reconstructor.model.detail.surface)


def test_settings_come_from_the_config(model_files):
    config, _ = model_files
    settings = crop_settings(config)
    assert (settings.clip_length, settings.image_size) == (3, 32)
    assert settings.scale == pytest.approx(1.5)
    assert crop_settings(config, clip_length=7, scale=1.25).clip_length == 7
    bare = crop_settings(Config(dict(model=config.model)))
    assert (bare.clip_length, bare.image_size, bare.scale) == (5, 32, 1.6)


def test_bad_checkpoints_configs_and_devices(model_files, tmp_path):
    config, path = model_files
    with pytest.raises(FileNotFoundError, match='none.pth'):
        FaceReconstructor(config, tmp_path / 'none.pth')
    with pytest.raises(FileNotFoundError, match='none.py'):
        FaceReconstructor(tmp_path / 'none.py', path)
    broken = tmp_path / 'broken.pth'
    broken.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match='broken.pth is no checkpoint'):
        FaceReconstructor(config, broken)
    state = torch.load(path, weights_only=True)['state_dict']
    key = next(k for k in state if k.startswith('encoder'))
    other = tmp_path / 'other.pth'
    torch.save({k: v for k, v in state.items() if k != key}, other)
    with pytest.raises(ValueError, match=f"missing, such as '{key}'"):
        FaceReconstructor(config, other)
    torch.save({**state, key: torch.zeros(1)}, other)
    with pytest.raises(ValueError, match=r'differ in shape.*\(1,\)'):
        FaceReconstructor(config, other)
    torch.save({**state, 'head.code_scale': torch.ones(1)}, other)
    with pytest.raises(ValueError, match='trained with code_scale'):
        FaceReconstructor(config, other)
    with pytest.raises(ValueError, match="device 'nonsense'"):
        FaceReconstructor(config, path, device='nonsense')


class Harmful:
    def __reduce__(self):
        return eval, ('1/0', )


def test_checkpoints_run_no_code(model_files, tmp_path):
    path = tmp_path / 'harmful.pth'
    torch.save(dict(state_dict={}, meta=Harmful()), path)
    with pytest.raises(ValueError, match='read safely'):
        FaceReconstructor(model_files[0], path)


@pytest.mark.parametrize('options, words', [
    (dict(clip_length=0), 'clip_length must be a whole number from 1'),
    (dict(overlap=-1), 'overlap must be a whole number from 0'),
    (dict(overlap=2.5), 'overlap must be a whole number from 0'),
    (dict(clip_length=4, overlap=4), 'Clips of 4 frames cannot have 4'),
    (dict(batch_size=-2), 'batch_size must be a whole number from 1'),
    (dict(fill_gaps=1.5), 'fill_gaps must be a whole number from 0')])
def test_numbers_out_of_range(model_files, options, words):
    with pytest.raises(ValueError, match=words):
        build(model_files, **options)


def test_a_face_that_is_found_twice_is_one(model_files):
    def twice(image):
        face, = find_bright_boxes(image)
        return [face, face + [3, 0]]

    frames = [picture(x=40 + i) for i in range(4)]
    results = list(build(model_files, detector=twice, faces='all')(frames))
    assert [r.name for r in results] == [f'{i:06d}_track0' for i in range(4)]
