# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Training and reconstruction see the same faces, to the pixel."""

import numpy as np
import pytest
import torch
from helpers.fake_datasets import clip_pipeline
from helpers.scripted_faces import ScriptedDetector, box_around

from mmtvface.apis import FaceReconstructor
from mmtvface.dataset_tools.clip_maker import (
    ClipSettings,
    build_mask_maker,
    extract_clips,
    open_state,
)
from mmtvface.datasets import FaceClipDataset

av = pytest.importorskip('av')
LENGTH, HEIGHT, WIDTH = 24, 240, 320
# Faces that move by parts of pixels, and grow, beside the frame's edge, too.
SCRIPT = [dict(ann=box_around(90 + 2.3 * i, 100 + .7 * i, 60 + .37 * i),
               bob=box_around(270 + .4 * i, 60 - .3 * i, 50.2))
          for i in range(LENGTH)]


@pytest.fixture
def video(tmp_path):
    """Lossless noise that moves over a slope; a pixel has the number."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 24, (HEIGHT, WIDTH, 3), np.uint8)
    slope = np.linspace(20, 200, WIDTH)[:, None] * [1., .8, .6]
    path = tmp_path / 'video.mkv'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('ffv1', rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, 'bgr0'
        for number in range(LENGTH):
            image = np.roll(noise, number, axis=1) + slope.astype(np.uint8)
            image[0, 0, :2] = divmod(number, 256)
            container.mux(stream.encode(
                av.VideoFrame.from_ndarray(image, format='rgb24')))
        container.mux(stream.encode(None))
    return path


def test_crops_of_prepare_and_of_reconstruct(model_files, video, tmp_path):
    """As the data set crops by default: by each frame's landmarks."""
    settings = ClipSettings(min_length=5, min_size=20., max_yaw=180.,
                            masks='none', image_format='png')
    state = open_state(tmp_path / 'work', 'video', {},
                           settings.fingerprint())
    extract_clips(video, state, settings, build_mask_maker(settings),
                  ScriptedDetector(SCRIPT))
    assert not state.lost_frames
    assert [clip['num_frames'] for clip in state.clips] == [LENGTH] * 2
    dataset = FaceClipDataset(
        data_root=str(tmp_path / 'work/clips'), clip_length=LENGTH,
        image_size=32, test_mode=True,
        pipeline=clip_pipeline(strict=True, scale=1.5))
    trained = sorted((item['inputs'] for item in dataset), key=_mean)

    reconstructor = FaceReconstructor(
        *model_files, device='cpu', detector=ScriptedDetector(SCRIPT),
        faces='all', clip_length=LENGTH, overlap=0, crop_sigma=0.)
    seen = []
    reconstructor.model.data_preprocessor.register_forward_pre_hook(
        lambda _, given: seen.extend(given[0]['inputs']))
    assert sum(result.valid for result in reconstructor(video)) == 2 * LENGTH
    seen.sort(key=_mean)
    for one, other in zip(trained, seen, strict=True):
        assert one.dtype == other.dtype == torch.uint8
        assert one.shape == other.shape == (LENGTH, 3, 32, 32)
        assert one.float().std() > 10
        apart = (one.int() - other.int()).abs().amax((1, 2, 3))
        assert not apart.any(), apart


def _mean(clip):
    return clip.float().mean().item()
