# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Mouth and eyes, looked at in the pixels."""

import numpy as np
import pytest
import torch
from helpers.toy_reconstructor import toy_batch, toy_config

from mmtvface.geometry.landmarks import MIRROR
from mmtvface.models.encoders import LandmarkLocator
from mmtvface.models.encoders.landmark_locator import CloseLook, cell_centers
from mmtvface.registry import MODELS

EYE = range(36, 42)


class Told(torch.nn.Module):
    """Points from outside, whatever the maps are."""

    def __init__(self, points):
        super().__init__()
        self.given = points

    def forward(self, levels):
        return self.given.expand(len(levels[0]), -1, -1)


def face(shift=(0., 0.)):
    """(1, 68, 2) points of which the right eye's middle is known."""
    points = .3 * torch.randn(1, 68, 2, generator=torch.manual_seed(0))
    return points + torch.tensor(shift)


def radius(points):
    return (points - points.mean(1)).square().sum(-1).mean().sqrt()


def test_what_is_cut_out():
    """A picture whose colours are x and y shows where patches lie."""
    look = CloseLook(EYE, reach=.5, size=6, both_sides=True).eval()
    seen = []
    look.enter.register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0]))
    points = torch.cat([face((.1, -.05)), .8 * face((-.2, .1))])
    x, y = cell_centers(40, 40, points)
    with torch.no_grad():
        look(torch.stack([x, y, 0 * x]).expand(2, -1, -1, -1), points)
    px, py = cell_centers(6, 6, points)
    for patches, rows, sign in (
            (seen[0][:2], list(EYE), 1),
            (seen[0][2:], [MIRROR[row] for row in EYE], -1)):
        for patch, frame in zip(patches, points, strict=True):
            middle, half = frame[rows].mean(0), .5 * radius(frame[None])
            torch.testing.assert_close(patch[0], middle[0] + sign * half * px)
            torch.testing.assert_close(patch[1], middle[1] + half * py)


def test_what_is_found_is_told_in_the_picture():
    look = CloseLook(EYE, reach=.5, size=6, both_sides=True).eval()
    told = torch.zeros(1, 6, 3)
    told[0, 0] = torch.tensor([-.8, .2, .1])  # the outer corner
    look.points = Told(told)
    points = face()
    found = dict(zip(look.rows.tolist(),
                     look(torch.rand(1, 3, 9, 9), points)[0], strict=True))
    half = .5 * radius(points)
    right, left = points[0, 36:42].mean(0), points[0, 42:48].mean(0)
    for row, middle, sign in ((36, right, 1), (45, left, -1)):
        torch.testing.assert_close(found[row], torch.stack([
            middle[0] - sign * .8 * half, middle[1] + .2 * half, .1 * half]))
    torch.testing.assert_close(found[39][:2], right)


def test_closer_than_the_maps_can_tell():
    """Two dots in a picture, found to a fraction of a pixel."""
    torch.manual_seed(0)
    look = CloseLook(range(48, 50), reach=.6, size=16)
    around = torch.randn(1, 68, 2)
    around[:, 48:50] = 0
    around = .3 * around / around.square().sum(-1).mean().sqrt()

    def pictures(count):
        """Dots at random places, 40 pixels for -1 to 1."""
        places = torch.stack([torch.rand(count, 2) * .1 - .14,
                              torch.rand(count, 2) * .1 + .04], 1)
        away = places[..., None, None] - cell_centers(40, 40, places)
        dots = (-away.square().sum(2) / (2 * .04**2)).exp()
        image = torch.cat([dots, dots[:, :1] * 0], 1)
        return image, places, around.expand(count, -1, -1)

    optimizer = torch.optim.Adam(look.parameters(), 5e-3)
    for _ in range(60):
        image, places, points = pictures(32)
        found = look(image, points)
        loss = (found[..., :2] - places).abs().mean() + .1 * found[
            ..., 2].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    image, places, points = pictures(64)
    with torch.no_grad():
        found = look.eval()(image, points)[..., :2]
    gaps = [np.diff(part.numpy()[..., 0], axis=1)[:, 0]
            for part in (found, places)]
    assert np.corrcoef(*gaps)[0, 1] > .9
    assert (found - places).norm(dim=-1).mean() < .03  # 0.6 pixels


def lite(**options):
    torch.manual_seed(0)
    return MODELS.build(dict(
        type='LiteTemporalEncoder', depth=18, base_channels=4,
        propagation_channels=4, with_landmarks=True, **options)).eval()


@pytest.mark.parametrize('factor', [1, 1.5])
def test_pictures_go_with_the_maps(factor):
    """Looks see the frames, the maps are those of smaller ones."""
    encoder, seen = lite(close_looks=factor), []
    encoder.locator.looks[0].register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0]))
    clip = torch.rand(1, 2, 3, 48, 72)
    features = encoder(clip)
    torch.testing.assert_close(seen[0], clip[0])
    maps = encoder.trunk(clip)
    small = torch.nn.functional.interpolate(
        clip[0], [round(48 / factor), round(72 / factor)], mode='bilinear',
        antialias=True)[None]
    plain = lite()
    plain.load_state_dict(encoder.state_dict(), strict=False)
    torch.testing.assert_close(
        maps[:, :plain.trunk_channels], plain.trunk(small))
    assert encoder.trunk_channels == plain.trunk_channels
    first = LandmarkLocator.read(features, first=True)
    found = LandmarkLocator.read(features)
    torch.testing.assert_close(first, LandmarkLocator.read(plain(small)))
    torch.testing.assert_close(found[..., :36, :], first[..., :36, :])
    assert (found - first)[..., 36:, :].abs().amin((0, 1, 3)).gt(0).all()
    # what the looks find does not move what they start from
    found.sum().backward()
    assert not any(parameter.grad is not None and parameter.grad.any()
                   for parameter in encoder.locator.votes.parameters())
    for look in encoder.locator.looks:
        assert look.enter[0].weight.grad.any()


def test_sizes_that_do_not_divide():
    """Pictures fit the cells of the maps."""
    encoder, seen = lite(close_looks=1.5), []
    encoder.locator.looks[0].register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0]))
    encoder(torch.rand(1, 2, 3, 50, 64))
    assert seen[0].shape == (2, 3, 60, 72)


def test_streams_carry_pictures_along():
    encoder = lite(close_looks=1.5)
    torch.nn.init.normal_(encoder.temporal.expand.weight, std=.5)
    clip = torch.rand(1, 5, 3, 48, 48)
    whole, state, parts = encoder(clip), None, []
    for start in range(0, 5, 2):
        maps, state = encoder.advance(
            clip[:, start:start + 2], state, 5, start == 4)
        parts.append(maps)
    features = encoder.stages(torch.cat(parts, 1).flatten(0, 1))
    torch.testing.assert_close(features[None], whole)


def test_steps_carry_pictures_along():
    encoder = lite(close_looks=1, branches=('forward', ))
    torch.nn.init.normal_(encoder.temporal.expand.weight, std=.5)
    clip, state, parts = torch.rand(1, 3, 3, 32, 32), None, []
    for frame in clip.unbind(1):
        features, state = encoder.step(frame, state)
        parts.append(features)
    torch.testing.assert_close(torch.stack(parts, 1), encoder(clip))


def test_frames_of_a_batch_that_are_alone():
    encoder = lite(alone=.5)
    torch.nn.init.normal_(encoder.temporal.expand.weight, std=.5)
    clips = torch.rand(6, 3, 3, 32, 32)
    together = encoder(clips)
    apart = encoder(clips.flatten(0, 1)[:, None]).unflatten(0, (6, 3))[:, :, 0]
    encoder.training = True  # but for the batch norm
    torch.manual_seed(2)
    alone = torch.rand(6) < .5
    assert 0 < alone.sum() < 6
    torch.manual_seed(2)
    torch.testing.assert_close(encoder(clips), torch.where(
        alone[:, None, None], apart, together))
    assert (apart - together).abs().amax((1, 2)).gt(1e-3).all()


def test_options_that_do_not_fit():
    with pytest.raises(ValueError, match='alone must be'):
        lite(alone=1.)
    with pytest.raises(ValueError, match='need with_landmarks=True'):
        MODELS.build(dict(type='LiteTemporalEncoder', depth=18,
                          base_channels=4, close_looks=1))
    for factor in (.5, -1., 1.3):
        with pytest.raises(ValueError, match='at least 1 and a whole number'):
            lite(close_looks=factor)
    config = toy_config(losses=dict(located=dict(type='LocatedLandmarkLoss')))
    config['encoder'] = dict(type='LiteTemporalEncoder', depth=18,
                             base_channels=4, with_landmarks=True,
                             close_looks=1.5)
    with pytest.raises(ValueError, match='close looks.*located_first'):
        MODELS.build(config)
    first = dict(type='LocatedLandmarkLoss', source='located_first')
    config['losses'] = dict(first=first)
    with pytest.raises(ValueError, match='close looks.*located_landmarks'):
        MODELS.build(config)
    with pytest.raises(ValueError, match="first.*with_landmarks=True"):
        model = MODELS.build(toy_config(losses=dict(first=first)))
        model(**model.data_preprocessor(toy_batch(0)), mode='loss')
    with pytest.raises(ValueError, match='source must be one of'):
        MODELS.build(dict(type='LocatedLandmarkLoss', source='landmarks2d'))
    with pytest.raises(ValueError, match='at least 48x48 .* 47x60'):
        lite(close_looks=1.5)(torch.rand(1, 1, 3, 47, 60))


def test_training_in_bfloat16():
    encoder = lite(close_looks=1.5).train()
    with torch.autocast('cpu', torch.bfloat16):
        features = encoder(torch.rand(1, 2, 3, 48, 48))
    assert features.dtype == torch.float32
    LandmarkLocator.read(features).square().sum().backward()
    for look in encoder.locator.looks:
        assert look.enter[0].weight.grad.isfinite().all()


def test_a_detail_branch_sees_the_maps_only():
    encoder = lite(close_looks=1.5)
    detail = MODELS.build(dict(
        type='SharedTrunkEncoder', depth=18, base_channels=4,
        in_channels=encoder.trunk_channels)).eval()
    maps = encoder.trunk(torch.rand(1, 2, 3, 48, 48))
    torch.testing.assert_close(
        detail(maps), detail(maps[:, :encoder.trunk_channels]))
