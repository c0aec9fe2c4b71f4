# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Codes of videos that come in chunks."""

import pytest
import torch
from helpers.toy_reconstructor import toy_config, toy_detail

from mmtvface.apis import FaceReconstructor
from mmtvface.benchmarks.synthtv import SynthTVDataset
from mmtvface.models.reconstructors import (
    CodeStream,
    can_stream,
    join_states,
    split_states,
)
from mmtvface.registry import MODELS

FRAMES = 11
ENCODER = dict(type='LiteTemporalEncoder', depth=18, base_channels=8,
               propagation_channels=8)
SHARED = dict(type='SharedTrunkEncoder', depth=18, base_channels=8)


def build(detail=None, encoder=ENCODER, shape_mode='confidence'):
    torch.manual_seed(0)
    config = toy_config(encoder=encoder)
    config['head'] |= dict(shape_mode=shape_mode)
    if detail:
        config |= toy_detail()
        config['encoder'] = encoder
        config['detail'] |= dict(encoder=detail)
    model = MODELS.build(config).eval()
    for name, weight in model.named_parameters():
        if name.endswith(('temporal.expand.weight', 'confidence.weight')):
            torch.nn.init.normal_(weight, std=.5)
    return model


def videos(count=FRAMES, streams=2, seed=1):
    return torch.rand(streams, count, 3, 32, 32,
                      generator=torch.manual_seed(seed))


@torch.no_grad()
def one_pass(model, images):
    flat, detail = model.encode_with_detail(images)
    return flat if detail is None else torch.cat([flat, detail], -1)


def run(model, images, chunk, look_ahead):
    """All rows (n, t, C) of a stream."""
    codes, state, out = CodeStream(model, look_ahead), None, []
    starts = range(0, images.shape[1], chunk)
    for start in starts:
        rows, state = codes.advance(images[:, start:start + chunk], state,
                                    last=start == starts[-1])
        assert rows.dtype == torch.float32 and not rows.requires_grad
        out.append(rows)
    assert state is None
    return torch.cat(out, 1)


def close(one, other):
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('detail', [None, SHARED])
@pytest.mark.parametrize('branches, look_ahead', [
    (('forward', ), 0), (('forward', ), 2), (('backward', 'forward'), FRAMES)])
def test_codes_of_one_pass(detail, branches, look_ahead):
    model = build(detail, ENCODER | dict(branches=branches), 'frame')
    whole = one_pass(model, videos())
    assert whole.shape[-1] == model.layout.total + (6 if detail else 0)
    for chunk in (1, 4, FRAMES):
        close(run(model, videos(), chunk, look_ahead), whole)


@pytest.mark.parametrize('shape_mode', ['clip', 'confidence'])
def test_the_identity_is_that_of_all_frames_so_far(shape_mode):
    model = build(None, ENCODER | dict(branches=('forward', )), shape_mode)
    rows = run(model, videos(), 4, 0)
    for end in (4, 8, FRAMES):
        close(rows[:, (end - 1) // 4 * 4:end],
              one_pass(model, videos()[:, :end])[:, (end - 1) // 4 * 4:])
    # and it goes on changing
    assert (rows[:, 0, :4] - rows[:, -1, :4]).abs().amax() > 1e-4


def test_a_look_ahead_that_is_short():
    model = build(SHARED, ENCODER | dict(branches=('forward', 'backward')),
                  'frame')
    whole = one_pass(model, videos())
    # the last call gives those frames that see the end
    rows = run(model, videos(), 4, 2)
    close(rows[:, 6:], whole[:, 6:])
    errors = [(run(model, videos(), 2, look_ahead) - whole).abs().mean()
              for look_ahead in (0, 2, 6)]
    assert errors[0] > errors[1] > errors[2] and errors[0] > 1e-5


def test_rows_come_when_their_look_ahead_is_there():
    model = build(SHARED)
    stream, state, counts = CodeStream(model, 3), None, []
    for count in (2, 0, 4, 1):
        rows, state = stream.advance(videos(count), state)
        assert rows.shape == (2, rows.shape[1], model.layout.total + 6)
        counts.append(rows.shape[1])
    assert counts == [0, 0, 3, 1]
    rows, state = stream.advance(videos(0), state, last=True)
    assert rows.shape[1] == 3 and state is None


def test_videos_join_a_batch_and_leave_it():
    model = build(SHARED)
    stream, alone = CodeStream(model, 2), []
    images = [videos(12, 1, seed) for seed in range(3)]
    for one in images:
        alone.append(run(model, one, 4, 2))
    states = [stream.advance(one[:, :4])[1] for one in images]
    rows, state = stream.advance(
        torch.cat([one[:, 4:8] for one in images]), join_states(states))
    close(rows, torch.cat([one[:, 2:6] for one in alone]))
    states = split_states(state)
    assert [len(state.encoder.pending) for state in states] == [1] * 3
    close(join_states(states), state)
    rows, _ = stream.advance(images[1][:, 8:], states[1], last=True)
    close(rows, alone[1][:, 6:])
    rows, _ = stream.advance(
        torch.cat([images[2], images[0]])[:, 8:],
        join_states([states[2], states[0]]), last=True)
    close(rows, torch.cat([alone[2], alone[0]])[:, 6:])


def test_states_that_do_not_fit():
    stream = CodeStream(build(), 2)
    states = [stream.advance(videos(count, 1))[1] for count in (1, 2, 3, 9)]
    assert len(split_states(join_states(states[:1] * 2))) == 2
    for pair in (states[:2], states[1:3], states[2:]):
        with pytest.raises(ValueError, match='can only be joined'):
            join_states(pair)


def test_models_that_can_stream():
    assert can_stream(build()) and can_stream(build(SHARED))
    restored = dict(type='RestoredEncoder', encoder=ENCODER,
                    restorer=torch.nn.Identity())
    single = dict(type='ResNetEncoder', depth=18, base_channels=8)
    for model in (build(encoder=restored), build(encoder=single),
                  build(detail=single)):
        assert not can_stream(model)
        with pytest.raises(ValueError, match='needs a LiteTemporalEncoder'):
            CodeStream(model, 2)
    model = build()
    model.head = torch.nn.Linear(1, 1)
    assert not can_stream(model)


def test_what_is_not_possible():
    model = build()
    with pytest.raises(ValueError, match='look_ahead must not be negative'):
        CodeStream(model, -1)
    with pytest.raises(ValueError, match='begins with at least one frame'):
        CodeStream(model, 2).advance(videos(0))
    with pytest.raises(RuntimeError, match='evaluation mode'):
        CodeStream(model.train(), 2).advance(videos())


def test_the_packaged_model_on_a_long_video():
    """Near to one pass over 200 frames, in chunks of 40."""
    images = SynthTVDataset(
        split='test', difficulty='hard', num_clips=1, num_scenes=1,
        clip_length=200, scene_length=200, image_size=112)[0]['inputs']
    images = images[None].float() / 255
    model = FaceReconstructor(device='cpu').model

    def vertices(rows):
        codes = model.layout.split(rows[0])
        return 1e3 * model.decode(codes)['vertices']

    with torch.no_grad():
        whole = vertices(one_pass(model, images))
        errors = [(vertices(run(model, images, 40, look_ahead)) - whole).norm(
            dim=-1).mean().item() for look_ahead in (80, 0)]
    assert 0 < errors[0] < .2 and errors[1] > 3 * errors[0], errors
