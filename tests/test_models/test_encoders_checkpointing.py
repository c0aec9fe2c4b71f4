# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import torch
from torch import nn

from mmtvface.models.encoders.checkpointing import checkpointed, run_blocks


class Block(nn.Module):
    """A residual block that counts its calls."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn = nn.Conv2d(2, 2, 3, 1, 1), nn.BatchNorm2d(2)
        self.conv2 = nn.Conv2d(2, 2, 3, 1, 1)
        self.calls = [0, 0]

    def forward(self, x):
        self.calls[0] += 1
        y = self.conv2(self.bn(self.conv1(x)).relu())
        self.calls[1] += 1
        return x + y


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 2, 3), nn.LeakyReLU(0.1, inplace=True),
        nn.Sequential(Block(), Block()))


def test_same_gradients_and_statistics():
    image = torch.rand(2, 3, 6, 6)
    nets = [net(), net()]
    for module, with_cp in zip(nets, (False, True), strict=True):
        run_blocks(module, image, with_cp).square().sum().backward()
    plain, saving = nets
    torch.testing.assert_close([p.grad for p in saving.parameters()],
                               [p.grad for p in plain.parameters()])
    torch.testing.assert_close(saving.state_dict(), plain.state_dict())
    assert saving[2][0].bn.num_batches_tracked == 1
    # Run twice, the second time not to the end.
    assert saving[2][0].calls == [2, 1] and plain[2][0].calls == [1, 1]


def kept(module, with_cp):
    """Numbers that the graph keeps."""
    sizes = {}
    with torch.autograd.graph.saved_tensors_hooks(
            lambda x: sizes.setdefault(x.data_ptr(), x.numel()) and x,
            lambda x: x):
        out = run_blocks(module, torch.rand(2, 3, 34, 34), with_cp)
    return out, sum(sizes.values())


def test_less_is_kept():
    assert kept(net(), True)[1] < 0.7 * kept(net(), False)[1]


def test_without_gradients_nothing_is_recorded():
    block = Block()
    with torch.no_grad():
        out = checkpointed(block, block, torch.rand(1, 2, 4, 4))
    assert not out.requires_grad and block.calls == [1, 1]
