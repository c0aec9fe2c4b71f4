# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The packaged model on a long track: in clips as in one pass."""

import numpy as np
import pytest

from mmtvface.apis import FaceReconstructor
from mmtvface.benchmarks.synthtv import SynthTVDataset
from mmtvface.geometry.camera import ndc_to_pixel
from mmtvface.tracking.frame_source import Frame, FrameSource

LENGTH, SIZE, STEP = 240, 112, 40


class Video(FrameSource):
    """A talking head with its landmarks."""

    name = 'a talking head'

    def __init__(self):
        clip = SynthTVDataset(
            split='test', difficulty='medium', num_clips=1, num_scenes=1,
            clip_length=LENGTH, scene_length=LENGTH, image_size=SIZE)[0]
        self.images = np.ascontiguousarray(
            clip['inputs'].permute(0, 2, 3, 1).numpy())
        self.landmarks = ndc_to_pixel(
            clip['data_samples'].gt_landmarks[..., :2].double().numpy(), SIZE)

    def __len__(self):
        return LENGTH

    def __iter__(self):
        for index in range(LENGTH):
            yield Frame(index, f'{index:06d}', self.images[index],
                        self.landmarks[index])


def reconstruct(video, **options):
    """(T, V, 3) in mm, at their place before the camera, and the codes."""
    results = list(FaceReconstructor(device='cpu', identity='frame',
                                     **options)(video))
    assert {result.track_id for result in results} == {0}
    heads = [1e3 * (r.vertices + [*r.codes['cam'][1:], 0.]) for r in results]
    return np.stack(heads), {
        name: np.stack([result.codes[name] for result in results])
        for name in ('pose', 'exp', 'cam', 'light')}


@pytest.fixture(scope='module')
def video():
    return Video()


def test_no_seam_is_seen(video):
    whole, codes = reconstruct(video, clip_length=LENGTH)
    clips, parts = reconstruct(video)
    error = np.linalg.norm(clips - whole, axis=2).mean(1)[10:-10]
    assert error.mean() < .2 and error.max() < .6
    assert error.mean() > 1e-3  # they are not one and the same run
    # Where a clip ends and the next begins it is as calm as in one pass. All
    # that is left when the video ends belongs to one clip.
    seams = np.array([at + near for at in range(STEP, LENGTH - 80, STEP)
                      for near in (-2, -1)])
    for one, other in ((whole, clips), *(
            (codes[name], parts[name]) for name in codes)):
        calm, motion = (np.linalg.norm(np.diff(values.reshape(
            LENGTH, -1), 2, axis=0), axis=1) for values in (one, other))
        assert motion[seams].mean() < 1.1 * calm[seams].mean()
        assert motion.mean() < 1.02 * calm.mean()


def test_clips_without_memory_differ_more(video):
    """So that the test above means something."""
    whole, _ = reconstruct(video, clip_length=LENGTH)
    blind, _ = reconstruct(video, clip_length=20, overlap=0)
    error = np.linalg.norm(blind - whole, axis=2).mean(1)
    assert error.mean() > .3
