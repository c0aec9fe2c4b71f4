# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import pytest
import torch
import torch.nn.functional as F
from mmcv.ops import ModulatedDeformConv2d
from toy_encoders import randomize_alignment, tiny

from mmtvface.models.encoders import deform_conv as deform
from mmtvface.models.encoders import flow as flow_module
from mmtvface.models.encoders import propagation as prop


# ------------------------------------------------- deformable convolution
def deform_inputs(dtype=torch.float32):
    torch.manual_seed(0)
    align = prop.SecondOrderAlignment(
        8, 4, 3, padding=1, deform_groups=4).to(dtype)
    torch.nn.init.normal_(align.bias)
    return (torch.randn(2, 8, 5, 6, dtype=dtype),
            3 * torch.randn(2, 72, 5, 6, dtype=dtype),
            torch.rand(2, 36, 5, 6, dtype=dtype), align)


def value_and_gradients(inputs, align, deform_op):
    tensors = [x.clone().requires_grad_() for x in inputs]
    out = deform.deform_conv(*tensors, align, deform_op)
    weights = torch.linspace(-1, 1, out.numel()).view_as(out)
    return (out, *torch.autograd.grad(
        (out * weights).sum(), [*tensors, align.weight, align.bias]))


@pytest.mark.parametrize('deform_op', ['compiled', 'grid_sample', 'numba'])
def test_deformable_operators_agree(monkeypatch, deform_op):
    *inputs, align = deform_inputs()
    expected = value_and_gradients(inputs, align, 'compiled')
    monkeypatch.setattr(deform, 'mmcv_has_op_for', lambda _: False)
    result = value_and_gradients(inputs, align, deform_op)
    for own, other in zip(result, expected, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize('op, groups', [('grid_sample', 2), ('numba', 1)])
def test_operators_with_stride_groups_and_no_bias(op, groups):
    torch.manual_seed(0)
    conv = ModulatedDeformConv2d(
        8, 6, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2),
        groups=groups, deform_groups=4, bias=False).double()
    x = torch.randn(2, 8, 7, 6, dtype=torch.float64)
    offset = 3 * torch.randn(2, 48, 4, 8, dtype=torch.float64)
    mask = torch.rand(2, 24, 4, 8, dtype=torch.float64)
    torch.testing.assert_close(
        deform.deform_conv(x, offset, mask, conv, op), conv(x, offset, mask))


def test_numba_operator_in_blocks_and_threads(monkeypatch):
    """Blocks that do not divide the image, several threads, far offsets."""
    from mmtvface.models.encoders import deform_conv_numba as own
    *inputs, align = deform_inputs()
    inputs[1][0, :, :2] *= 1e6
    expected = value_and_gradients(inputs, align, 'compiled')
    monkeypatch.setattr(own, '_BLOCK', 7)
    monkeypatch.setattr(own, '_SERIAL', 0)
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 3)
    result = value_and_gradients(inputs, align, 'numba')
    for mine, other in zip(result, expected, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=2e-5)


def test_numba_operator_survives_nan():
    *inputs, align = deform_inputs()
    inputs[1][0, 0, 0, 0] = float('nan')
    out, *_ = value_and_gradients(inputs, align, 'numba')
    assert out[1].isfinite().all()


def test_automatic_operator(monkeypatch):
    monkeypatch.setattr(deform, 'best_op_for',
                        deform.best_op_for.__wrapped__)
    assert deform.best_op_for('cpu') == 'numba'
    assert deform.best_op_for('cpu', conv_groups=2) == 'compiled'
    assert deform.best_op_for('cuda') == 'compiled'
    monkeypatch.setattr(deform.importlib.util, 'find_spec', lambda _: None)
    assert deform.best_op_for('cpu') == 'compiled'


def test_operator_depends_on_the_device(monkeypatch):
    assert deform.mmcv_has_op_for('cpu')
    assert not deform.mmcv_has_op_for('mps')
    for version, expected in (('not available', False), ('12.1', True)):
        deform.mmcv_has_op_for.cache_clear()
        monkeypatch.setattr(deform, 'get_compiling_cuda_version',
                            lambda v=version: v)
        assert deform.mmcv_has_op_for('cuda') is expected
    deform.mmcv_has_op_for.cache_clear()


@pytest.mark.parametrize('deform_op', ['compiled', 'grid_sample', 'numba'])
def test_alignment_gradients(deform_op):
    align = deform_inputs(torch.float64)[-1]
    align.deform_op = deform_op
    randomize_alignment(align)
    inputs = [torch.randn(1, c, 3, 3, dtype=torch.float64)
              for c in (8, 12, 2, 2)]
    assert torch.autograd.gradcheck(
        align, [x.requires_grad_() for x in inputs], fast_mode=True)


# ------------------------------------------------- residual blocks
def test_residual_block_by_hand():
    block = prop.NormedResidualBlock(3, dict(type='BN')).double().eval()
    block.bn.running_mean.normal_()
    block.bn.running_var.uniform_(0.5, 2)
    x = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    hidden = F.conv2d(x, block.conv1.weight, block.conv1.bias, padding=1)
    hidden = ((hidden - block.bn.running_mean[:, None, None]) /
              (block.bn.running_var[:, None, None] + 1e-5).sqrt())
    expected = x + F.conv2d(hidden.clamp(min=0), block.conv2.weight,
                            block.conv2.bias, padding=1)
    torch.testing.assert_close(block(x), expected)


# ------------------------------------------------- flows
class MeanDifference(torch.nn.Module):
    """In place of SPyNet: red difference, and the batch sizes it saw."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def forward(self, first, second):
        self.sizes.append(len(first))
        return (second - first)[:, :2]


def test_flows_go_both_ways_in_one_call():
    net = MeanDifference()
    frames = torch.randn(2, 4, 3, 5, 6)
    forward, backward = flow_module.estimate_flows(net, frames)
    assert net.sizes == [2 * 2 * 3]
    for i in range(3):
        step = (frames[:, i + 1] - frames[:, i])[:, :2]
        torch.testing.assert_close(backward[:, i], step)
        torch.testing.assert_close(forward[:, i], -step)


def test_mirrored_clips_cost_half_and_leave_no_trace():
    net = MeanDifference()
    frames = torch.randn(1, 4, 3, 5, 6)
    mirrored = torch.cat([frames[:, :2], frames[:, :2].flip(1)], 1)
    forward, backward = flow_module.estimate_flows(net, mirrored)
    for i in range(3):
        step = (mirrored[:, i + 1] - mirrored[:, i])[:, :2]
        torch.testing.assert_close(backward[:, i], step)
        torch.testing.assert_close(forward[:, i], -step)
    flow_module.estimate_flows(net, frames)
    assert net.sizes == [3, 6]
    encoder = tiny().eval()
    clips = [torch.rand(1, 2, 3, 32, 32) for _ in range(2)]
    clips[0][:, 1] = clips[0][:, 0]
    with torch.no_grad():
        fresh = encoder(clips[1])
        encoder(clips[0])
        assert torch.equal(encoder(clips[1]), fresh)


def test_frozen_flow_network_runs_in_parts(monkeypatch):
    frames = torch.randn(1, 5, 3, 4, 4)
    whole = flow_module.estimate_flows(MeanDifference(), frames)
    monkeypatch.setattr(flow_module, 'FLOW_BATCH', 3)
    net = MeanDifference()
    parts = flow_module.estimate_flows(net, frames)
    assert net.sizes == [3, 3, 2]
    torch.testing.assert_close(parts, whole)
