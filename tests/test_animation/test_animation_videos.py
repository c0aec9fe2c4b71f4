# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import json

import cv2
import numpy as np
import pytest
import torch
from helpers.toy_animation import write_toy_clip, write_toy_model

from mmtvface.animation.pictures import AnimatedFrame, inset
from mmtvface.animation.settings import Look, TeaserOptions, TransferOptions
from mmtvface.animation.subject import CodePlayer
from mmtvface.animation.teaser import animate_teaser
from mmtvface.animation.tracks import CodeTrack, read_codes, reconstruct_codes
from mmtvface.animation.transfer import animate_transfer, transfer_codes
from mmtvface.apis import FaceReconstructor
from mmtvface.export.writers.codes import stack_results
from mmtvface.geometry.camera import project
from mmtvface.io.mesh import read_mesh
from mmtvface.io.video_reader import decode_video, probe_video, read_video

SIZE = 48


@pytest.fixture(scope='module')
def reconstructor(tmp_path_factory):
    files = write_toy_model(tmp_path_factory.mktemp('model'))
    return FaceReconstructor(*files, 'cpu', refine=0)


@pytest.fixture
def clips(tmp_path):
    """Folders of a source and of a driver with a broken frame."""
    return (write_toy_clip(tmp_path / 'me', 2),
            write_toy_clip(tmp_path / 'actor', 4, faceless=[2]))


def look(**changes):
    return Look(**(dict(size=SIZE) | changes))


def test_a_transfer_from_clips(reconstructor, clips, tmp_path):
    steps = []
    made = animate_transfer(
        reconstructor, *clips, tmp_path / 'out',
        TransferOptions(look(), save=('codes', 'obj', 'dense'), fps=10.),
        progress=lambda *step: steps.append(step))
    assert steps[-1] == ('Transferring', 4, 4)
    assert {step.partition('(')[2] for step, _, _ in steps} == {
        'source)', 'driver)', ''}
    assert made['frames_animated'] == 3 and made['skipped'] == ['003']
    assert made['detail'] and made['textured']
    assert json.loads((tmp_path / 'out/metrics.json').read_text())[
        'options']['look']['size'] == SIZE

    video = list(read_video(made['files']['video']))
    assert len(video) == 4
    assert video[0].shape == (SIZE, 4 * SIZE, 3)
    assert probe_video(made['files']['video']).fps == 10.
    # Without a frame its pictures are black, and no head is shown.
    assert video[2][:, :2 * SIZE].max() < 30
    assert video[2][:, 3 * SIZE + 4:].min() > 225
    # The head is drawn, and not where the source's picture is.
    assert video[1][:, 3 * SIZE:].min() < 200

    # Meshes are those of the codes.
    track = read_codes(made['files']['codes'])
    assert track.valid.tolist() == [True, True, False, True]
    assert track.frame_names == ['001', '002', '003', '004']
    assert track.fps == 10.
    flame = reconstructor.model.flame
    for row, name in ((0, '001'), (3, '004')):
        codes = {key: torch.from_numpy(code[row:row + 1])
                 for key, code in track.codes.items()}
        expected = flame(codes['shape'], codes['exp'], codes['pose'])
        vertices, faces = read_mesh(tmp_path / f'out/meshes/{name}.obj')
        np.testing.assert_allclose(vertices, expected.vertices[0], atol=2e-6)
        assert (faces == flame.faces.numpy()).all()
        assert (tmp_path / f'out/dense/{name}.ply').is_file()
        ndc = project(expected.landmarks3d, codes['cam'])[0, :, :2]
        np.testing.assert_allclose(
            track.landmarks3d[row, :, :2],
            ((ndc + 1) * SIZE - 1) / 2, atol=1e-3)
    assert not (tmp_path / 'out/meshes/003.obj').exists()


def test_a_transfer_from_files_of_codes(reconstructor, clips, tmp_path):
    source, driver = (reconstruct_codes(reconstructor, clip)
                      for clip in clips)
    paths = []
    for name, track in (('a', source), ('b', driver)):
        paths.append(tmp_path / f'{name}.npz')
        np.savez(paths[-1], fps=12., camera=track.camera,
                 landmarks3d=track.landmarks3d, frame_size=[(120, 160)] * len(
                     track), frame_name=track.frame_names, **track.codes)
    made = animate_transfer(
        reconstructor, *paths, tmp_path / 'out',
        TransferOptions(look(), pose='fixed', angles=(20., 0., 0.),
                        relative=True, neutral_frame='001',
                        source_frame=1, camera='fit'))
    expected = transfer_codes(
        {name: code[1] for name, code in source.codes.items()},
        driver.codes, 'fixed', (20., 0., 0.), True,
        {name: driver.codes[name][0] for name in ('exp', 'pose')})
    found = read_codes(made['files']['codes'])
    for name in ('shape', 'exp', 'pose', 'detail', 'tex', 'light'):
        np.testing.assert_allclose(found.codes[name], expected[name],
                                   atol=1e-6)
    assert found.fps == 12.
    # One camera, and everything that is drawn lies in the picture.
    assert (found.codes['cam'][found.valid] == found.codes['cam'][0]).all()
    for result in CodePlayer(reconstructor.model, batch_size=2).play(
            found.codes, image_size=SIZE):
        if result.valid:
            points = result.vertices_image[:, :2]
            assert points.min() > -.5 and points.max() < SIZE - .5
    # The driver has no frames: its shape is shown alone.
    video = list(read_video(made['files']['video']))
    assert video[0].shape == (SIZE, 3 * SIZE, 3)

    made = animate_transfer(reconstructor, *paths, tmp_path / 'out',
                            TransferOptions(look()), driver_frames=clips[1])
    # The source's scale, and the face in the middle.
    found = read_codes(made['files']['codes'])
    assert found.codes['cam'][0, 0] == pytest.approx(
        source.codes['cam'][:, 0].mean())
    points = found.landmarks3d[found.valid].reshape(-1, 3)[:, :2]
    np.testing.assert_allclose(points.min(0) + points.max(0), SIZE - 1,
                               atol=1e-3)
    assert next(read_video(made['files']['video'])).shape[1] == 4 * SIZE


def test_wrinkles_are_the_sources_and_follow_the_driver(reconstructor, clips):
    source, driver = (reconstruct_codes(reconstructor, clip)
                      for clip in clips)
    driver.codes['exp'][3] += [1., -2., 1.]
    driver.codes['pose'][3, 3] += .3
    one = {name: code[0] for name, code in source.codes.items()}
    codes = transfer_codes(one, driver.codes)
    player = CodePlayer(reconstructor.model)
    results = list(player.play(codes))
    branch = reconstructor.model.detail
    for result in (results[0], results[3]):
        with torch.no_grad():
            expected = branch.decoder(
                torch.from_numpy(driver.codes['pose'][[result.index], 3:]),
                torch.from_numpy(driver.codes['exp'][[result.index]]),
                torch.from_numpy(one['detail'][None]))[0, 0]
        np.testing.assert_allclose(result.displacement, expected, atol=1e-8)
    assert np.abs(results[0].displacement
                  - results[3].displacement).max() > 1e-6
    other = codes | dict(detail=codes['detail'] + 1)
    assert np.abs(next(player.play(other)).displacement
                  - results[0].displacement).max() > 1e-6
    coarse = CodePlayer(reconstructor.model, detail=False)
    assert next(coarse.play(codes)).displacement is None


def test_a_driver_of_two_faces_at_changing_times(reconstructor, clips,
                                                 tmp_path):
    """The one that is seen most drives; its frames keep their times."""
    times, path = [0., .1, .14, .3], tmp_path / 'driver.npz'
    arrays = stack_results([*reconstructor(clips[1])])
    pairs = {name: np.repeat(array, 2, 0) for name, array in arrays.items()}
    pairs['track_id'] = pairs['track_id'] + np.array([0, 5, 0, 5, 0, 0, 0, 0])
    np.savez(path, **pairs | dict(time=np.repeat(times, 2), fps=25.))
    animate_transfer(reconstructor, clips[0], path, tmp_path / 'out',
                     TransferOptions(look()))
    shown = decode_video(tmp_path / 'out/animation.mp4')
    np.testing.assert_allclose([frame.time for frame in shown], times,
                               atol=2e-3)
    track = read_codes(tmp_path / 'out/codes.npz')
    assert track.valid.tolist() == [True, True, False, True]
    np.testing.assert_allclose(track.time, times)


def test_batches_make_no_difference(reconstructor, clips):
    codes = reconstruct_codes(reconstructor, clips[1]).codes
    one, many = (list(CodePlayer(reconstructor.model, batch_size=size).play(
        codes)) for size in (1, 3))
    for a, b in zip(one, many, strict=True):
        assert (a.valid, a.name, a.index) == (b.valid, b.name, b.index)
        if a.valid:
            np.testing.assert_allclose(a.vertices, b.vertices, atol=1e-7)
            np.testing.assert_allclose(a.displacement, b.displacement,
                                       atol=1e-8)
    with pytest.raises(ValueError, match='batch_size'):
        CodePlayer(reconstructor.model, batch_size=0)


def test_codes_of_another_model_are_refused(reconstructor, clips, tmp_path):
    player = CodePlayer(reconstructor.model)
    track = reconstruct_codes(reconstructor, clips[0])
    player.check(track, identity=True)

    def changed(**codes):
        return CodeTrack(**(vars(track) | dict(codes=track.codes | codes)))

    frames = len(track)
    with pytest.raises(ValueError, match="'exp' has 9 entries.* model 3"):
        player.check(changed(exp=np.zeros((frames, 9), np.float32)))
    with pytest.raises(ValueError, match="'detail' has 128 entries.* 5"):
        player.check(changed(detail=np.zeros((frames, 128), np.float32)),
                     identity=True)
    with pytest.raises(ValueError, match='another head model'):
        player.check(changed(shape=track.codes['shape'] + 50))
    for name, expected in (('detail', 'no detail codes'),
                           ('tex', r"no codes \['tex'\]")):
        codes = {key: code for key, code in track.codes.items()
                 if key != name}
        lacking = CodeTrack(**(vars(track) | dict(codes=codes)))
        player.check(lacking)  # of a driver, neither is needed
        with pytest.raises(ValueError, match=expected):
            player.check(lacking, identity=True)
    # A head with other vertices, and the same codes.
    other = FaceReconstructor(
        *write_toy_model(tmp_path / 'other', seed=1), 'cpu')
    with pytest.raises(ValueError, match='another head model'):
        CodePlayer(other.model).check(track)


def test_a_teaser(reconstructor, clips, tmp_path):
    made = animate_teaser(
        reconstructor, clips[0], tmp_path / 'out',
        TeaserOptions(look(), frames=12, fps=5., expressions=('0', 'jaw')))
    video = list(read_video(made['files']['video']))
    assert len(video) == 12 and video[0].shape == (SIZE, 3 * SIZE, 3)
    assert probe_video(made['files']['video']).fps == 5.
    assert list(made['stills']) == ['front', 'left', 'right',
                                    'expression 0 +', 'expression 0 -', 'jaw']
    sheet = cv2.imread(made['files']['sheet'])
    assert sheet.shape == (2 * SIZE + 2, 7 * SIZE + 12, 3)
    # The first picture does not move, and the background is plain.
    change = np.abs(np.diff(np.stack(video).astype(int), axis=0))
    assert change[..., :SIZE - 2, :].mean() < 1
    assert change[..., SIZE + 2:, :].mean() > 3
    for frame in video:
        right = frame[:, SIZE + 8:]
        assert right[0].min() > 200 and right[-1].min() > 200


def test_models_with_fewer_parts(tmp_path, clips):
    for parts, panels, textured in (((), 3, False), (('renderer', ), 3, False),
                                    (('renderer', 'texture'), 4, True)):
        folder = tmp_path / '_'.join(('with', *parts))
        model = FaceReconstructor(*write_toy_model(folder, parts), 'cpu')
        made = animate_transfer(model, *clips, folder / 'out',
                                TransferOptions(look(), save=()))
        assert made['textured'] == textured and not made['detail']
        frame = next(read_video(made['files']['video']))
        assert frame.shape == (SIZE, panels * SIZE, 3)
        with pytest.raises(ValueError, match="save 'dense'.* detail branch"
                           if parts else "save 'dense'.* UV map"):
            animate_transfer(model, *clips, folder / 'out',
                             TransferOptions(look(), save=('dense', )))
        made = animate_teaser(model, clips[0], folder / 'out',
                              TeaserOptions(look(), frames=2))
        assert len(list(read_video(made['files']['video']))) == 2
    with pytest.raises(ValueError, match='needs a UV map'):
        animate_teaser(FaceReconstructor(
            *write_toy_model(tmp_path / 'bare', ()), 'cpu'), clips[0],
            tmp_path / 'out', TeaserOptions(look(texture='photo')))


def test_the_picture_of_the_source_as_texture(reconstructor, clips,
                                              tmp_path):
    options = TeaserOptions(look(texture='photo', background=0), frames=2)
    made = animate_teaser(reconstructor, clips[0], tmp_path / 'out', options)
    # The toy's frames are white squares on green: no albedo model has that.
    frame = next(read_video(made['files']['video']))[:, 2 * SIZE:]
    assert frame.max() > 150
    track = reconstruct_codes(reconstructor, clips[0])
    np.savez(tmp_path / 'a.npz', **track.codes)
    with pytest.raises(ValueError, match="'photo' needs an image"):
        animate_teaser(reconstructor, tmp_path / 'a.npz', tmp_path / 'out',
                       options)


@pytest.mark.parametrize('pitch, hole', [(0., False), (-1., True)])
def test_an_open_neck_shows_the_background(reconstructor, clips, pitch, hole):
    codes = reconstruct_codes(reconstructor, clips[0]).codes
    codes['pose'][:, :3] = [pitch, 0., 0.]  # straight on, and from below
    codes['pose'][:, 3:] = codes['exp'][:] = 0
    codes['cam'][:] = [6., 0., 0.]
    result = next(CodePlayer(reconstructor.model).play(codes, image_size=96))
    frame = AnimatedFrame(reconstructor.build_painter(), result)
    gray, = frame.panels(['shape'], 255)
    painted = frame.painter.paint(
        frame.face, np.full((96, 96, 3), 255, np.uint8), ['overlay'])
    covered = painted['overlay'].min(-1) < 255
    lost = covered & (gray.min(-1) == 255)
    # The toy is a sphere that is cut off at 27 degrees from both poles.
    assert (lost.sum() > .05 * covered.sum()) == hole
    assert lost[:48].sum() < 5
    near = cv2.dilate(covered.astype(np.uint8), np.ones((3, 3))) > 0
    assert (gray[~near] == 255).all()


def test_an_inset():
    panel = np.zeros((128, 128, 3), np.uint8)
    out = inset(panel, np.full((64, 64, 3), 100, np.uint8))
    assert (out[95:127, 1:33] == 100).all()
    assert (out[127, :34] == 255).all() and (out[94, :34] == 255).all()
    assert not out[:94].any() and not panel.any()


def test_what_is_done_survives_a_stop(reconstructor, clips, tmp_path,
                                      monkeypatch):
    def stop(step, done, total):
        if (step, done) == ('Transferring', 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        animate_transfer(reconstructor, *clips, tmp_path / 'out',
                         TransferOptions(look()), progress=stop)
    assert len(list(read_video(tmp_path / 'out/animation.mp4'))) == 2
    assert len(read_codes(tmp_path / 'out/codes.npz')) == 2
    metrics = json.loads((tmp_path / 'out/metrics.json').read_text())
    assert metrics['stopped'].startswith('KeyboardInterrupt')
    assert metrics['frames_animated'] == 2


def test_a_teaser_that_fails_leaves_no_half_file(reconstructor, clips,
                                                 tmp_path):
    def stop(step, done, total):
        if (step, done) == ('Animating', 2):
            raise OSError('no space')

    with pytest.raises(OSError, match='no space'):
        animate_teaser(reconstructor, clips[0], tmp_path / 'out',
                       TeaserOptions(look(), frames=4), stop)
    assert not list((tmp_path / 'out').iterdir())


def test_inputs_that_cannot_be_used(reconstructor, clips, tmp_path):
    out = tmp_path / 'out'
    empty = tmp_path / 'empty'
    empty.mkdir()
    cv2.imwrite(str(empty / 'x.png'), np.zeros((40, 40, 3), np.uint8))
    reconstructor.detector = lambda image: []
    with pytest.raises(ValueError, match='No face .* of .*empty'):
        animate_transfer(reconstructor, empty, clips[1], out)
    with pytest.raises(ValueError, match='No face .* of .*empty'):
        animate_teaser(reconstructor, empty, out)
    with pytest.raises(FileNotFoundError, match='nowhere'):
        animate_transfer(reconstructor, clips[0], 'nowhere.mp4', out)
    with pytest.raises(ValueError, match="no expression 'smile'"):
        animate_teaser(reconstructor, clips[0], out,
                       TeaserOptions(look(), expressions=('smile', )))
    with pytest.raises(ValueError, match="no frame '7'"):
        animate_transfer(reconstructor, *clips, out,
                         TransferOptions(look(), source_frame='7'))
    track = reconstruct_codes(reconstructor, clips[1])
    np.savez(tmp_path / 'b.npz', **track.codes)
    with pytest.raises(ValueError, match='where the face lies'):
        animate_transfer(reconstructor, clips[0], tmp_path / 'b.npz', out,
                         TransferOptions(look()), driver_frames=clips[1])
    np.savez(tmp_path / 'b.npz', camera=track.camera,
             landmarks3d=track.landmarks3d, **track.codes)
    with pytest.raises(ValueError, match='has 2 frames, .* belong to 4'):
        animate_transfer(reconstructor, clips[0], tmp_path / 'b.npz', out,
                         TransferOptions(look()), driver_frames=clips[0])


@pytest.mark.parametrize('make, expected', [
    (lambda: Look(size=8), 'from 16 on'),
    (lambda: Look(background=256), 'from 0 to 255'),
    (lambda: Look(texture='paint'), "'paint'"),
    (lambda: TransferOptions(camera='far'), "'far'"),
    (lambda: TransferOptions(save=('mp3', )), 'mp3'),
    (lambda: TransferOptions(neutral_frame=0), 'no effect'),
    (lambda: TransferOptions(fps=0.), 'fps must be .* above 0.* 0.0'),
    (lambda: TransferOptions(fps=float('inf')), 'fps must be .* inf'),
    (lambda: TransferOptions(angles=(0., float('nan'), 0.)), 'angles .*nan'),
    (lambda: TeaserOptions(fps=-1.), 'fps must be a finite'),
    (lambda: TeaserOptions(fps=float('nan')), 'fps must be a finite'),
    (lambda: TeaserOptions(yaw=float('nan')), 'yaw must be a finite'),
    (lambda: TeaserOptions(strength=float('inf')), 'strength must be a fin'),
    (lambda: TeaserOptions(frames=1), 'from 2 on'),
    (lambda: TeaserOptions(turn_share=1.), 'above 0 and below 1'),
])
def test_options_out_of_range(make, expected):
    with pytest.raises(ValueError, match=expected):
        make()
