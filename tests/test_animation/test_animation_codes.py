# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import pytest
import torch

from mmtvface.animation.tracks import (
    CodeTrack,
    pick_identity,
    read_codes,
    robust_mean,
)
from mmtvface.animation.transfer import (
    degrees_to_axis_angle,
    relative_jaw,
    transfer_codes,
)
from mmtvface.geometry.rotation import axis_angle_to_matrix


def source_codes():
    return dict(
        shape=np.full(4, 1.), tex=np.full(3, 2.), light=np.full((9, 3), 3.),
        detail=np.full(5, 4.), cam=np.array([8., .1, .2]),
        exp=np.full(3, 5.), pose=np.array([.1, .2, .3, .05, 0., 0.]))


def driver_codes(frames=4):
    time = np.arange(frames, dtype=float)[:, None]
    pose = np.zeros((frames, 6))
    pose[:, 1:2] = -.1 * time
    pose[:, 3:4] = .1 * time
    return dict(
        shape=np.full((frames, 4), -1.), tex=np.full((frames, 3), -2.),
        light=np.full((frames, 9, 3), -3.), detail=np.full((frames, 5), -4.),
        cam=np.full((frames, 3), -5.), exp=time * [1., 10., 100.], pose=pose)


def arrays(frames=4, **changes):
    return driver_codes(frames) | changes


def test_identity_is_the_sources_and_expression_the_drivers():
    source, driver = source_codes(), driver_codes()
    codes = transfer_codes(source, driver)
    for name in ('shape', 'tex', 'light', 'detail', 'cam'):
        assert codes[name].shape == driver[name].shape
        assert (codes[name] == source[name]).all()
    assert (codes['exp'] == driver['exp']).all()
    assert (codes['pose'] == driver['pose']).all()
    # What was given is as it was.
    codes['exp'] += 1
    codes['shape'] += 1
    assert driver['exp'][0, 0] == 0 and source['shape'][0] == 1


@pytest.mark.parametrize('pose, expected', [
    ('source', [.1, .2, .3]), ('fixed', [0., np.pi / 6, 0.])])
def test_pose_of_the_head_leaves_the_jaw(pose, expected):
    driver = driver_codes()
    codes = transfer_codes(source_codes(), driver, pose, (30., 0., 0.))
    np.testing.assert_allclose(codes['pose'][:, :3], [expected] * 4)
    assert (codes['pose'][:, 3:] == driver['pose'][:, 3:]).all()


def test_relative_adds_the_change_to_the_sources_expression():
    codes = transfer_codes(source_codes(), driver_codes(5), relative=True)
    # The driver's median is frame 2; rotations about one axis add up.
    np.testing.assert_allclose(
        codes['exp'][:, 1], 5 + 10. * np.arange(-2, 3))
    np.testing.assert_allclose(
        codes['pose'][:, 3], .05 + .1 * np.arange(-2, 3), atol=1e-12)
    np.testing.assert_allclose(codes['pose'][:, 1], -.1 * np.arange(5))


def test_relative_to_a_given_face_at_rest():
    driver = driver_codes()
    rest = dict(exp=driver['exp'][1], pose=driver['pose'][1])
    codes = transfer_codes(source_codes(), driver, relative=True,
                           neutral=rest)
    np.testing.assert_allclose(codes['exp'][1], [5.] * 3)
    np.testing.assert_allclose(codes['pose'][1, 3:], [.05, 0, 0], atol=1e-12)
    np.testing.assert_allclose(codes['exp'][3], [7, 25, 205])


def test_jaws_are_composed_as_rotations():
    rng = np.random.default_rng(0)
    jaw, rest, target = rng.normal(0, .3, (3, 2, 3))
    found = relative_jaw(jaw, rest[0], target[0])

    def matrix(value):
        return axis_angle_to_matrix(torch.from_numpy(value))

    for given, result in zip(jaw, found, strict=True):
        expected = (matrix(given) @ torch.linalg.inv(matrix(rest[0]))
                    @ matrix(target[0]))
        torch.testing.assert_close(matrix(result), expected)
    # Whoever is at rest gets the rest of the other one.
    np.testing.assert_allclose(
        relative_jaw(rest[:1], rest[0], target[0])[0], target[0])


def test_frames_without_a_face_stay_without():
    driver = driver_codes()
    driver['exp'][1] = driver['pose'][1] = np.nan
    for relative in (False, True):
        codes = transfer_codes(source_codes(), driver, relative=relative)
        for code in codes.values():
            assert np.isnan(code[1]).all()
            assert np.isfinite(code[[0, 2, 3]]).all()


def test_wrong_pose_and_other_sizes_are_refused():
    with pytest.raises(ValueError, match="pose must be one of .*'front'"):
        transfer_codes(source_codes(), driver_codes(), 'front')
    driver = driver_codes()
    driver['exp'] = driver['exp'][:, :2]
    with pytest.raises(ValueError, match="'exp' of the source has 3 .* 2"):
        transfer_codes(source_codes(), driver)


def test_signs_of_head_turns():
    nose = torch.tensor([0., 0., 1.], dtype=torch.float64)
    crown = torch.tensor([0., 1., 0.], dtype=torch.float64)

    def turned(angles, point):
        rotation = torch.from_numpy(degrees_to_axis_angle(angles))
        return axis_angle_to_matrix(rotation) @ point

    assert turned((30, 0, 0), nose)[0] > .4  # to the left, which is +x
    assert turned((0, 30, 0), nose)[1] < -.4  # down
    assert turned((0, 0, 30), crown)[0] < -.4  # to the right shoulder
    assert degrees_to_axis_angle(np.zeros((2, 5, 3))).shape == (2, 5, 3)


def test_robust_mean_leaves_out_what_lies_apart():
    near = np.array([[1., 0], [0, 1], [-1, 0], [0, -1]])
    values = np.concatenate([near, [[100., 100.]]])
    np.testing.assert_allclose(robust_mean(values), [0., 0.], atol=.3)
    np.testing.assert_allclose(robust_mean(near), [0., 0.])
    np.testing.assert_allclose(robust_mean(near[:1]), near[0])
    # Frames that are all the same, and codes of two axes.
    assert robust_mean(np.ones((3, 9, 3), np.float32)).shape == (9, 3)
    assert robust_mean(np.ones((3, 2), np.float32)).dtype == np.float32


def test_identity_of_the_face_that_is_seen_most():
    track = CodeTrack.from_arrays(arrays(
        shape=np.array([[9.] * 4, [1.] * 4, [2.] * 4, [3.] * 4]),
        track_id=np.array([0, 1, 1, 1])), 'clip')
    np.testing.assert_allclose(pick_identity(track)['shape'], [2.] * 4)
    np.testing.assert_allclose(pick_identity(track, 0)['shape'], [9.] * 4)
    np.testing.assert_allclose(
        pick_identity(track, '000003')['shape'], [3.] * 4)


def test_arrays_of_a_reconstruction(tmp_path):
    exp = driver_codes()['exp']
    exp[2] = np.nan
    path = tmp_path / 'codes.npz'
    np.savez(path, **arrays(
        exp=exp, fps=12.5, frame_name=np.array(['a', 'b', 'c', '7']),
        frame_index=np.array([0, 2, 3, 9]),
        valid=np.array([True, False, True, True]),
        camera=np.zeros((4, 3, 4)), frame_size=np.array([[5, 7]] * 4)))
    track = read_codes(path)
    assert track.fps == 12.5 and len(track) == 4
    assert track.valid.tolist() == [True, False, False, True]
    assert np.isnan(track.codes['shape'][[1, 2]]).all()
    assert track.camera.shape == (4, 3, 4) and track.landmarks3d is None
    assert track.frame_size.tolist() == [5, 7]
    # A name comes before a position.
    assert track.index_of('7') == 3 and track.index_of(9) == 3
    assert track.index_of('0') == 0
    with pytest.raises(ValueError, match="no frame 'z'; its 4 .* a .. 7"):
        track.index_of('z')
    with pytest.raises(ValueError, match="No face .* 'b' .* 'a'"):
        track.index_of('b')


def test_the_portrait_looks_straight_ahead():
    pose = np.full((4, 6), .5)
    pose[2, :3] = .1
    assert CodeTrack.from_arrays(arrays(pose=pose), 'x').portrait_index == 2


@pytest.mark.parametrize('change, expected', [
    (dict(light=np.zeros((4, 27))), r"'light' .* \(T, 9, 3\).*\(4, 27\)"),
    (dict(tex=np.zeros((3, 3))), "as many frames .* 4, .*'tex': 3"),
    (dict(cam=np.full((4, 3), np.nan)), 'no frame with a face'),
    (dict(shape=np.array(['a'] * 4)), "'shape' must be numbers"),
    (dict(fps=0.), "clip: 'fps' must be one finite .* above 0.* 0.0"),
    (dict(fps=np.nan), "clip: 'fps' .* nan"),
    (dict(fps=np.inf), "clip: 'fps' .* inf"),
    (dict(fps=np.array([25., 25.])), "clip: 'fps' must be one"),
    (dict(fps=np.array('fast')), "clip: 'fps' .* fast"),
    (dict(camera=np.zeros((4, 3, 3))),
     r"clip: 'camera' .* \(4, 3, 4\), .*\(4, 3, 3\)"),
    (dict(camera=np.zeros((3, 3, 4))), "clip: 'camera' must be numbers"),
    (dict(landmarks3d=np.zeros((4, 68, 2))), "clip: 'landmarks3d' must"),
    (dict(frame_size=np.zeros(2)), "clip: 'frame_size' must be numbers"),
    (dict(frame_index=np.arange(4.)), "clip: 'frame_index' .*int64.*float64"),
    (dict(frame_index=np.arange(3)), r"'frame_index' .* 4 frames.*\(3,\)"),
    (dict(frame_index=np.array([0, 2, 1, 3])),
     r"clip: 'frame_index' must not decrease.*\[0, 2, 1, 3\]"),
    (dict(frame_index=np.arange(-1, 3)), "'frame_index' must not decrease"),
    (dict(time=np.array([0., .1, .05, .2])), "clip: 'time' must not decrease"),
    (dict(time=np.zeros(3)), "clip: 'time' must have one entry"),
    (dict(valid=np.ones(3, bool)), "clip: 'valid' must have one entry"),
])
def test_arrays_that_are_no_codes(change, expected):
    with pytest.raises(ValueError, match=expected) as error:
        CodeTrack.from_arrays(arrays(**change), 'clip')
    assert '\n' not in str(error.value)


def test_no_frames_and_arrays_that_are_not_known():
    with pytest.raises(ValueError, match="clip: 'shape' has 0 frames"):
        CodeTrack.from_arrays(driver_codes(0), 'clip')
    blank = np.full((4, 0), np.nan)
    track = CodeTrack.from_arrays(
        arrays(camera=blank, landmarks3d=blank), 'clip')
    assert track.camera is None and track.landmarks3d is None
    with pytest.raises(ValueError, match="clip: 'fps' must be one finite"):
        CodeTrack.from_arrays(arrays(), 'clip', fps=0.)


def test_files_that_are_no_codes(tmp_path):
    with pytest.raises(FileNotFoundError, match='Codes not found'):
        read_codes(tmp_path / 'nowhere.npz')
    for name, content in (('a.npz', b'nothing'), ('b.npz', b'PK\3\4 cut')):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match='is no file of codes'):
            read_codes(tmp_path / name)
    np.savez(tmp_path / 'c.npz', shape=np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"no codes \['exp', 'pose', 'cam'"):
        read_codes(tmp_path / 'c.npz')
    np.save(tmp_path / 'd.npy', np.zeros(3))
    (tmp_path / 'd.npy').rename(tmp_path / 'd.npz')
    with pytest.raises(ValueError, match='is no file of codes'):
        read_codes(tmp_path / 'd.npz')
    np.savez(tmp_path / 'e.npz', shape=np.array([dict()], object))
    with pytest.raises(ValueError, match='is no file of codes'):
        read_codes(tmp_path / 'e.npz')
