# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import pytest
import torch
from helpers.given import given
from scipy import ndimage

from mmtvface.heads.providers.procedural import procedural_head
from mmtvface.models.losses import (
    DetailSymmetryLoss,
    DisplacementLoss,
    DisplacementPriorLoss,
    PhotoDetailLoss,
    ShadingSmoothnessLoss,
)
from mmtvface.models.losses.base_loss import REFERENCE_FRAMES
from mmtvface.models.losses.displacement import (
    displacement_errors_mm,
    hidden_texels,
    shading_roughness,
)
from mmtvface.models.losses.photo_detail import (
    FACE_BOX,
    texture_patch_error,
    uv_patch,
)
from mmtvface.registry import MODELS


def maps(*shape, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=dtype)


@pytest.mark.parametrize('size, low, high', [
    (2048, 400, 1648), (256, 50, 206), (64, 12, 52), (32, 6, 26)])
def test_patch_is_the_scaled_box(size, low, high):
    image = maps(1, 2, size, size)
    # At its own size, nothing is interpolated.
    assert torch.equal(
        uv_patch(image, patch_size=high - low),
        image[..., low:high, low:high])


def test_patch_against_bilinear_by_hand():
    image = maps(1, 1, 16, 16)
    box = (256, 768, 512, 1536)  # columns 2..6, rows 4..12
    patch = uv_patch(image, box, 16)
    for row, column in ((0, 0), (5, 7), (15, 15), (8, 3)):
        y = min(max((row + 0.5) * 8 / 16 - 0.5, 0), 7)
        x = min(max((column + 0.5) * 4 / 16 - 0.5, 0), 3)
        y0, x0 = int(y), int(x)
        expected = 0.
        for dy, wy in ((0, 1 - (y - y0)), (1, y - y0)):
            for dx, wx in ((0, 1 - (x - x0)), (1, x - x0)):
                if wy and wx:
                    expected += wy * wx * image[0, 0, 4 + y0 + dy,
                                                2 + x0 + dx].item()
        assert patch[0, 0, row, column].item() == pytest.approx(expected)


def test_the_box_holds_the_face_of_the_built_in_head():
    mask = procedural_head().topology.uv_face_eye_mask
    size = len(mask)
    # The eyeballs have their own charts in the upper corners.
    face = ndimage.label(mask > 0)[0]
    face = mask * (face == face[size // 2, size // 2])
    left, right, top, bottom = (round(v * size / 2048) for v in FACE_BOX)
    inside = face[top:bottom, left:right]
    assert inside.sum() > 0.97 * face.sum()
    assert inside.mean() > 0.8


def test_photo_detail_is_the_published_mean():
    pred, goal, seen = maps(4, 3, 32, 32), maps(4, 3, 32, 32, seed=1), maps(
        4, 1, 32, 32, seed=2)
    patches = [uv_patch(m, patch_size=24) for m in (pred, goal, seen)]
    expected = 2. * (patches[0] * patches[2] -
                     patches[1] * patches[2]).abs().mean()
    loss = PhotoDetailLoss(patch_size=24)
    value = loss(given(uv_images=pred),
                 given(uv_images=goal, uv_visibility=seen))
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)


def test_photo_detail_hand_computed():
    pred = torch.full((2, 3, 16, 16), 0.75)
    seen = torch.zeros(2, 1, 16, 16)
    seen[0, :, :8] = 1.  # half of the box in one of two frames
    loss = PhotoDetailLoss(1., box=(0, 2048, 0, 2048), patch_size=16)
    value = loss(given(uv_images=pred), given(
        uv_images=torch.full_like(pred, 0.25), uv_visibility=seen))
    assert value.item() == pytest.approx(0.5 / 4)


def test_photo_detail_gradient():
    pred = maps(2, 3, 10, 10, dtype=torch.float64).requires_grad_()
    goal = maps(2, 3, 10, 10, seed=1, dtype=torch.float64)
    seen = maps(2, 1, 10, 10, seed=2, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: texture_patch_error(x, goal, seen, patch_size=7), (pred, ))
    value = texture_patch_error(pred, goal, torch.zeros_like(seen))
    value.backward()
    assert value == 0 and not pred.grad.any()


def test_wrong_boxes():
    for box in ((0, 10, 5), (10, 10, 0, 5), (-1, 5, 0, 5), (0, 5, 0, 2049)):
        with pytest.raises(ValueError, match='box must be .left, right'):
            PhotoDetailLoss(box=box)
    with pytest.raises(ValueError, match=r'empty .*\(1, 1, 8, 8\)'):
        uv_patch(torch.zeros(1, 1, 8, 8), (0, 64, 0, 2048))


def test_displacement_prior():
    z = torch.tensor([0.002, -0.004]).reshape(2, 1, 1, 1).expand(2, 1, 4, 4)
    value = DisplacementPriorLoss()(given(displacement=z), given())
    assert value.item() == pytest.approx(0.005 * 0.003)


def test_shading_smoothness_against_loop():
    shading = maps(2, 3, 5, 5, dtype=torch.float64)
    array = shading.numpy()
    dx = [(array[b, c, i, j + 1] - array[b, c, i, j])**2 for b in range(2)
          for c in range(3) for i in range(1, 4) for j in range(4)]
    dy = [(array[b, c, i + 1, j] - array[b, c, i, j])**2 for b in range(2)
          for c in range(3) for i in range(4) for j in range(1, 4)]
    value = ShadingSmoothnessLoss()(given(uv_shading=shading), given())
    assert value.item() == pytest.approx(0.005 * (np.mean(dx) + np.mean(dy)))
    assert torch.autograd.gradcheck(shading_roughness,
                                    (shading.requires_grad_(), ))
    assert shading_roughness(torch.ones(1, 3, 4, 4)) == 0


def test_erosion_is_that_of_scipy():
    visibility = (maps(3, 1, 20, 24) > 0.05).float() * 0.3
    visibility[1] = 1.
    visibility[2] = 0.
    for width in (1, 3, 5):
        found = hidden_texels(visibility, width)
        for b in range(3):
            seen = ndimage.binary_erosion(
                visibility[b, 0].numpy() != 0, np.ones((width, width)))
            assert np.array_equal(1 - found[b, 0].numpy(), seen)
    assert 0 < hidden_texels(visibility)[0].mean() < 1


def test_symmetry_is_the_published_sum_at_the_published_batch():
    z = 0.01 * maps(REFERENCE_FRAMES, 1, 256, 256)
    seen = maps(REFERENCE_FRAMES, 1, 32, 32, seed=1).gt(
        0.3).float().repeat_interleave(8, -1).repeat_interleave(8, -2)
    expected = 0.
    for b in range(REFERENCE_FRAMES):
        eroded = ndimage.binary_erosion(seen[b, 0].numpy(), np.ones((5, 5)))
        array = z[b, 0].double().numpy()
        expected += ((1 - eroded) * np.abs(array - array[:, ::-1])).sum()
    value = DetailSymmetryLoss()(given(displacement=z),
                                 given(uv_visibility=seen))
    assert value.item() == pytest.approx(0.005 * expected, rel=1e-4)


def test_symmetry_gradient_reaches_the_hidden_side_only():
    z = torch.zeros(1, 1, 16, 16)
    z[..., 2] = 0.001
    z.requires_grad_()
    seen = torch.zeros(1, 1, 16, 16)
    seen[..., 6:] = 1.  # the mirror image of column 2 is column 13
    value = DetailSymmetryLoss(1.)(given(displacement=z),
                                   given(uv_visibility=seen))
    value.backward()
    # 5 x 5 erosion: columns 8..13 are seen in rows 2..13.
    hidden = torch.ones(16, 16)
    hidden[2:14, 8:14] = 0
    scale = REFERENCE_FRAMES * 16**2
    expected = torch.zeros(16, 16)
    expected[:, 2] = scale
    expected[:, 13] = -scale * hidden[:, 13]
    assert value.item() == pytest.approx(scale * 0.001 * (16 + 4))
    assert torch.equal(z.grad[0, 0], expected)


def test_symmetry_does_not_depend_on_the_size_of_the_uv_map():
    z = 0.01 * maps(2, 1, 32, 32)
    seen = torch.zeros(2, 1, 32, 32)
    loss = DetailSymmetryLoss()
    value = loss(given(displacement=z), given(uv_visibility=seen))
    fine = loss(
        given(displacement=z.repeat_interleave(2, -1).repeat_interleave(2,
                                                                       -2)),
        given(uv_visibility=torch.zeros(2, 1, 64, 64)))
    assert fine.item() == pytest.approx(value.item(), rel=1e-5)


def test_displacement_loss_hand_computed():
    target = torch.zeros(2, 1, 4, 4)
    pred = torch.zeros(2, 1, 4, 4)
    pred[0, 0, 1, 2] = 0.003
    pred[1, 0, 0, 0] = 9.  # outside
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., 1:3, 1:3] = 1
    error, slopes = displacement_errors_mm(pred, target, mask)
    assert error.item() == pytest.approx(3 / 8)
    # One of 2 pairs in x and one of 2 in y per frame, texels 64 times larger.
    assert slopes.item() == pytest.approx((3 / 4 + 3 / 4) * 4 / 256)
    loss = DisplacementLoss(2., gradient_weight=10.)
    value = loss(given(displacement=pred, face_mask_uv=mask),
                 given(displacement=target))
    assert value.item() == pytest.approx(2 * (3 / 8 + 15 * 4 / 256))


def test_displacement_loss_slope_does_not_depend_on_the_size():
    def slopes(size):
        grid = torch.linspace(-1, 1, size + 1)[:-1] + 1 / size
        ramp = (0.01 * grid).expand(1, 1, size, size)
        return displacement_errors_mm(
            ramp, torch.zeros_like(ramp), torch.ones(1, 1, size, size))[1]
    assert slopes(64).item() == pytest.approx(slopes(256).item(), rel=1e-3)
    assert slopes(256).item() == pytest.approx(20 / 256, rel=1e-3)


def test_displacement_loss_gradient_and_empty_mask():
    pred = maps(2, 1, 6, 6, dtype=torch.float64).requires_grad_()
    target = maps(2, 1, 6, 6, seed=1, dtype=torch.float64)
    mask = maps(1, 1, 6, 6, seed=2, dtype=torch.float64)
    loss = DisplacementLoss()
    assert torch.autograd.gradcheck(
        lambda x: loss(given(displacement=x, face_mask_uv=mask),
                       given(displacement=target)), (pred, ))
    value = loss(given(displacement=pred, face_mask_uv=0 * mask),
                 given(displacement=target))
    value.backward()
    assert value == 0 and not pred.grad.any()


def test_displacement_loss_rejects_other_sizes():
    outputs = given(displacement=torch.zeros(2, 1, 8, 8),
                   face_mask_uv=torch.ones(1, 1, 8, 8))
    with pytest.raises(ValueError, match=r'8, 8\).*16, 16\)'):
        DisplacementLoss()(outputs,
                           given(displacement=torch.zeros(2, 1, 16, 16)))


@pytest.mark.parametrize('config', [
    dict(type='PhotoDetailLoss', patch_size=16),
    dict(type='DisplacementPriorLoss'), dict(type='ShadingSmoothnessLoss'),
    dict(type='DetailSymmetryLoss'), dict(type='DisplacementLoss')])
def test_weights_do_not_depend_on_the_batch(config):
    loss = MODELS.build(dict(config, type=f"mmtvface.{config['type']}"))
    frames = dict(displacement=0.01 * maps(3, 1, 32, 32),
                  uv_images=maps(3, 3, 32, 32),
                  uv_shading=maps(3, 3, 32, 32))
    goals = dict(displacement=0.01 * maps(3, 1, 32, 32, seed=1),
                 uv_images=maps(3, 3, 32, 32, seed=1),
                 uv_visibility=maps(3, 1, 32, 32, seed=1).gt(0.1).float())
    mask = dict(face_mask_uv=torch.ones(1, 1, 32, 32))
    value = loss(given(**frames, **mask), given(**goals))
    twice = {key: m.repeat(2, 1, 1, 1) for key, m in frames.items()}
    goals = {key: m.repeat(2, 1, 1, 1) for key, m in goals.items()}
    for copies in (1, 2):
        again = loss(given(**twice, **mask, num_copies=copies),
                     given(**goals))
        assert again.item() == pytest.approx(value.item(), rel=1e-5)
    assert value > 0


def test_wrong_options():
    with pytest.raises(ValueError, match='odd.*4'):
        DetailSymmetryLoss(erosion=4)
    with pytest.raises(ValueError, match='gradient_weight.*-1'):
        DisplacementLoss(gradient_weight=-1)
