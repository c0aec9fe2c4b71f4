# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Propagation and encoder over streams, chunk by chunk."""

import pytest
import torch

from mmtvface.models.encoders.gated_propagation import (
    GatedPropagation,
    Memory,
)
from mmtvface.registry import MODELS

BOTH = ('backward', 'forward')
FRAMES = 9


def propagation(branches):
    torch.manual_seed(0)
    module = GatedPropagation(4, 4, branches)
    torch.nn.init.normal_(module.expand.weight)
    for branch in module.branches:
        torch.nn.init.normal_(branch.mix.weight, std=.5)
    return module.requires_grad_(False)


def lite(branches=BOTH):
    torch.manual_seed(0)
    encoder = MODELS.build(dict(
        type='LiteTemporalEncoder', depth=18, base_channels=8,
        propagation_channels=8, branches=branches)).eval()
    torch.nn.init.normal_(encoder.temporal.expand.weight, std=.5)
    return encoder.requires_grad_(False)


def forget(branch, enter):
    """Make a branch read nothing but its own frame."""
    channels = branch.mix.out_channels // 2
    torch.nn.init.zeros_(branch.mix.weight)
    torch.nn.init.constant_(enter.bias[:channels], -100.)


def maps_of_clips():
    return torch.rand(2, FRAMES, 4, 5, 5, generator=torch.manual_seed(1))


def clips(count=FRAMES, streams=2):
    return torch.rand(streams, count, 3, 32, 32,
                      generator=torch.manual_seed(1))


def in_chunks(module, maps, ready, look_ahead):
    """Whole streams through :meth:`GatedPropagation.advance`."""
    state, out, states = None, [], []
    for start in range(0, maps.shape[1], ready):
        seen = maps[:, start:start + ready + look_ahead]
        part, state = module.advance(seen, state, min(ready, seen.shape[1]))
        out.append(part)
        states.append(state)
    return torch.cat(out, 1), states


def stream(encoder, frames, chunk, look_ahead):
    """Whole streams through :meth:`LiteTemporalEncoder.advance`."""
    state, out = None, []
    for piece in frames.split(chunk, 1):
        part, state = encoder.advance(piece, state, look_ahead)
        out.append(part)
    part, state = encoder.advance(frames[:, :0], state, look_ahead, last=True)
    assert state is None
    return torch.cat([*out, part], 1)


def close(one, other):
    torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('chunk', [1, 2, 4, FRAMES])
def test_forward_branches_continue_exactly(chunk):
    module, maps = propagation(('forward', ) * 2), maps_of_clips()
    for look_ahead in (0, 3):
        close(in_chunks(module, maps, chunk, look_ahead)[0], module(maps))


@pytest.mark.parametrize('branches', [
    ('backward', ), BOTH, BOTH[::-1], BOTH * 2,
    ('forward', 'backward', 'forward')])
def test_one_chunk_is_the_clip(branches):
    module, maps = propagation(branches), maps_of_clips()
    out, state = module.advance(maps, None, FRAMES)
    assert torch.equal(out, module(maps)) and len(state) == len(branches)
    for direction, memory in zip(branches, state, strict=True):
        assert (memory == Memory()) == (direction == 'backward')


@pytest.mark.parametrize('branches', [
    ('backward', ), BOTH, BOTH[::-1], BOTH * 2,
    ('forward', 'backward', 'forward')])
def test_a_look_ahead_to_the_end_is_exact(branches):
    module, maps = propagation(branches), maps_of_clips()
    whole = module(maps)
    close(in_chunks(module, maps, 2, FRAMES)[0], whole)
    short = in_chunks(module, maps, 2, 1)[0]
    assert (short - whole)[:, :-3].abs().amax() > 1e-3
    # the last chunks see the end
    if branches == ('backward', ):
        close(short[:, -3:], whole[:, -3:])


def test_a_first_forward_branch_remembers_exactly():
    """Whatever a backward branch behind it does not see."""
    module, maps = propagation(BOTH[::-1]), maps_of_clips()
    _, states = in_chunks(module, maps, 2, 1)
    for end, state in zip((2, 4, 6, 8, 9), states, strict=True):
        _, whole = module.advance(maps, None, end)
        close(state[0].last, whole[0].last)
        close(state[0].before, whole[0].before)
        assert state[1] == Memory()


def test_a_second_forward_branch_remembers_exactly():
    """Behind a backward branch that needs no look-ahead."""
    module, maps = propagation(BOTH), maps_of_clips()
    forget(module.branches[0], module.enter[0])
    for look_ahead in (0, 1):
        close(in_chunks(module, maps, 2, look_ahead)[0], module(maps))
    # and in fact it remembers
    changed = maps.clone()
    changed[:, 0] += 1
    difference = module(changed) - module(maps)
    assert difference[:, -1].abs().amax() > 1e-3


def test_the_look_ahead_is_not_read_in_vain():
    """Forward branches run over it only where a backward one follows."""
    module, maps = propagation(('forward', 'backward', 'forward')), (
        maps_of_clips())
    counts = []
    for branch in module.branches:
        branch.register_forward_hook(
            lambda _, given, __: counts.append(len(given[0])))
    module.advance(maps, None, 4)
    assert counts == [FRAMES, FRAMES, 4]


@pytest.mark.parametrize('ready', [0, FRAMES + 1])
def test_frames_that_are_not_there(ready):
    with pytest.raises(ValueError, match='ready must be 1 to 9'):
        propagation(BOTH).advance(maps_of_clips(), None, ready)


@pytest.mark.parametrize('chunk', [1, 2, 5, FRAMES])
def test_streams_of_an_encoder(chunk):
    encoder, frames = lite(), clips()
    whole = encoder.trunk(frames).unflatten(0, frames.shape[:2])
    close(stream(encoder, frames, chunk, FRAMES), whole)
    near = stream(encoder, frames, chunk, 2)
    assert near.shape == whole.shape
    if chunk < 5:
        assert (near - whole).abs().amax() > 1e-3


def test_a_causal_stream_is_that_of_single_steps():
    encoder, frames = lite(('forward', )), clips()
    maps = stream(encoder, frames, 4, 0)
    state, features = None, []
    for frame in frames.unbind(1):
        feature, state = encoder.step(frame, state)
        features.append(feature)
    close(encoder.stages(maps.flatten(0, 1)),
          torch.stack(features, 1).flatten(0, 1))


def test_how_many_frames_are_final():
    encoder, state, counts = lite(), None, []
    for count in (2, 1, 4, 0):
        maps, state = encoder.advance(clips(count), state, 3)
        counts.append((maps.shape[1], state.pending.shape[1],
                       state.memories is None))
        assert maps.shape[2:] == state.pending.shape[2:]
    assert counts == [(0, 2, True), (0, 3, True), (4, 3, False),
                      (0, 3, False)]
    maps, state = encoder.advance(clips(1), state, 3, last=True)
    assert maps.shape[1] == 4 and state is None


def test_the_trunk_sees_every_frame_once_and_few_at_a_time(monkeypatch):
    monkeypatch.setattr('mmtvface.models.encoders.lite_encoder.PIECE', 4)
    encoder, frames = lite(), clips()
    seen = []
    encoder.conv1.register_forward_hook(
        lambda _, given, __: seen.append(given[0]))
    stream(encoder, frames, 5, 3)
    assert max(map(len, seen)) == 4
    # n streams by t frames, piece by piece
    assert torch.equal(torch.cat([piece.unflatten(0, (2, -1))
                                  for piece in seen], 1), frames)


def test_streams_that_are_not_possible():
    encoder = lite()
    with pytest.raises(ValueError, match='look_ahead must not be negative'):
        encoder.advance(clips(), look_ahead=-1)
    with pytest.raises(ValueError, match='begins with at least one frame'):
        encoder.advance(clips(0), last=True)
    _, state = encoder.advance(clips(), look_ahead=4)
    with pytest.raises(ValueError, match=r'frames must have the shape \(2, k'):
        encoder.advance(clips(streams=3), state, 4)
    with pytest.raises(ValueError, match='have one size, but these give maps '
                       r'of \(6, 6\) cells, those before \(4, 4\)'):
        encoder.advance(torch.rand(2, 1, 3, 48, 48), state, 4)
    with pytest.raises(RuntimeError, match=r'call eval\(\) before'):
        encoder.train().advance(clips())
