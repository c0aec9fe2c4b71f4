# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The published networks by plain functions on dicts of tensors.

Names, shapes and arithmetic follow the papers, with nothing of the package,
so that a converted model can be compared with them.
"""
import math
import zlib

import torch
import torch.nn.functional as F
from torchvision.ops import deform_conv2d

BRANCHES = ('backward_1', 'forward_1', 'backward_2', 'forward_2')
LAYERS = (3, 4, 6, 3)
SPYNET = (8, 32, 64, 32, 16, 2)
# Residues, which would add up to huge numbers (and codes, which would drive
# the decoder into its bound).
SMALL = ('.main.0.', '.0.conv2.', '.1.conv2.', '.2.conv2.', '.3.conv2.',
         '.4.conv2.', 'basic_module.4.conv.', 'conv_offset.6.')
DECODER = (128, 128, 64, 64, 32, 16)


# Names and shapes ---------------------------------------------------------

def conv_shapes(name, out, into, kernel, bias=True):
    shapes = {f'{name}.weight': (out, into, kernel, kernel)}
    return shapes | ({f'{name}.bias': (out, )} if bias else {})


def linear_shapes(name, out, into):
    return {f'{name}.weight': (out, into), f'{name}.bias': (out, )}


def norm_shapes(name, channels):
    names = ('weight', 'bias', 'running_mean', 'running_var')
    return ({f'{name}.{key}': (channels, ) for key in names}
            | {f'{name}.num_batches_tracked': ()})


def resnet_shapes(prefix='', base=64):
    shapes = conv_shapes(f'{prefix}conv1', base, 3, 7, bias=False)
    shapes |= norm_shapes(f'{prefix}bn1', base)
    before = base
    for layer, count in enumerate(LAYERS, 1):
        width = base * 2**(layer - 1)
        for index in range(count):
            name = f'{prefix}layer{layer}.{index}'
            sizes = ((width, before, 1), (width, width, 3),
                     (4 * width, width, 1))
            for part, size in enumerate(sizes, 1):
                shapes |= conv_shapes(f'{name}.conv{part}', *size, bias=False)
                shapes |= norm_shapes(f'{name}.bn{part}', size[0])
            if index == 0:
                shapes |= conv_shapes(f'{name}.downsample.0', 4 * width,
                                      before, 1, bias=False)
                shapes |= norm_shapes(f'{name}.downsample.1', 4 * width)
            before = 4 * width
    return shapes


def block_shapes(prefix, channels, count, norm=True):
    shapes = {}
    for index in range(count):
        for part in ('conv1', 'conv2'):
            shapes |= conv_shapes(f'{prefix}.{index}.{part}', channels,
                                  channels, 3)
        if norm:
            shapes |= norm_shapes(f'{prefix}.{index}.bn', channels)
    return shapes


def spynet_shapes(prefix='', constants=True):
    shapes = {f'{prefix}{name}': (1, 3, 1, 1)
              for name in ('mean', 'std') if constants}
    for level in range(6):
        for index in range(5):
            shapes |= conv_shapes(
                f'{prefix}basic_module.{level}.basic_module.{index}.conv',
                SPYNET[index + 1], SPYNET[index], 7)
    return shapes


def propagation_shapes(prefix, fusion, mid=64, blocks=5, norm=True,
                       aligned=True):
    shapes = {}
    for index, branch in enumerate(BRANCHES):
        if aligned:
            name = f'{prefix}deform_align.{branch}'
            shapes |= conv_shapes(name, mid, 2 * mid, 3)
            sizes = [3 * mid + 4, mid, mid, mid, 27 * 16]
            for layer in range(4):
                shapes |= conv_shapes(f'{name}.conv_offset.{2 * layer}',
                                      sizes[layer + 1], sizes[layer], 3)
        name = f'{prefix}backbone.{branch}.main'
        shapes |= conv_shapes(f'{name}.0', mid, (2 + index) * mid, 3)
        shapes |= block_shapes(f'{name}.2', mid, blocks, norm)
    shapes |= conv_shapes(f'{prefix}{fusion}.main.0', mid, 5 * mid, 3)
    return shapes | block_shapes(f'{prefix}{fusion}.main.2', mid, 5, norm)


def encoder_shapes(out, temporal=False, aligned=True, width=64):
    """E_flame (out = 236) or E_detail (128); the published width is 64."""
    shapes = resnet_shapes('encoder.', width)
    if temporal:
        shapes |= spynet_shapes('encoder.spynet.')
        shapes |= conv_shapes('encoder.head', width, 3, 3)
        for name in ('down1', 'down2'):
            shapes |= block_shapes(f'encoder.{name}.0', width, 5)
            shapes |= conv_shapes(f'encoder.{name}.1', width, width, 3)
        shapes |= propagation_shapes('encoder.rnn.', 'fusion', width,
                                     aligned=aligned)
    return (shapes | linear_shapes('layers.0', 1024, 32 * width)
            | linear_shapes('layers.2', out, 1024))


def decoder_shapes():
    shapes = linear_shapes('l1.0', 128 * 8 * 8, 181)
    shapes |= norm_shapes('conv_blocks.0', 128)
    for index, (into, out) in enumerate(
            zip(DECODER[:-1], DECODER[1:], strict=True)):
        shapes |= conv_shapes(f'conv_blocks.{2 + 4 * index}', out, into, 3)
        shapes |= norm_shapes(f'conv_blocks.{3 + 4 * index}', out)
    return shapes | conv_shapes('conv_blocks.21', 1, 16, 3)


def random_state(shapes, seed=0):
    """Values with which signals keep their size and no part is idle."""
    state = {}
    for name, shape in shapes.items():
        generator = torch.Generator().manual_seed(
            zlib.crc32(name.encode()) + seed)
        if name.endswith('num_batches_tracked'):
            state[name] = torch.tensor(1234)
        elif name.endswith('spynet.mean'):
            state[name] = torch.tensor([.485, .456, .406]).view(shape)
        elif name.endswith('spynet.std'):
            state[name] = torch.tensor([.229, .224, .225]).view(shape)
        elif name.endswith('running_var') or (
                len(shape) == 1 and name.endswith('weight')):
            gain = .3 if '.bn3.weight' in name else 1
            state[name] = gain * (
                torch.rand(shape, generator=generator) + .5)
        elif len(shape) > 1:
            gain = math.sqrt(2 / math.prod(shape[1:]))
            if name in ('layers.2.weight', 'conv_blocks.21.weight'):
                gain *= .3
            elif 'layer' not in name and any(part in name for part in SMALL):
                gain *= .2
            state[name] = gain * torch.randn(shape, generator=generator)
        else:
            state[name] = .1 * torch.randn(shape, generator=generator)
    return state


# Arithmetic ---------------------------------------------------------------

def conv(state, name, x, stride=1):
    weight = state[f'{name}.weight']
    return F.conv2d(x, weight, state.get(f'{name}.bias'), stride,
                    weight.shape[-1] // 2)


def linear(state, name, x):
    return F.linear(x, state[f'{name}.weight'], state[f'{name}.bias'])


def norm(state, name, x, eps=1e-5):
    mean, var, scale, shift = (
        state[f'{name}.{key}'][:, None, None]
        for key in ('running_mean', 'running_var', 'weight', 'bias'))
    return (x - mean) / (var + eps).sqrt() * scale + shift


def resnet_layers(state, x, prefix='encoder.'):
    for layer, count in enumerate(LAYERS, 1):
        for index in range(count):
            name = f'{prefix}layer{layer}.{index}'
            stride = 2 if layer > 1 and index == 0 else 1
            y = norm(state, f'{name}.bn1', conv(state, f'{name}.conv1', x))
            y = conv(state, f'{name}.conv2', y.relu(), stride)
            y = norm(state, f'{name}.bn2', y).relu()
            y = norm(state, f'{name}.bn3', conv(state, f'{name}.conv3', y))
            if index == 0:
                x = conv(state, f'{name}.downsample.0', x, stride)
                x = norm(state, f'{name}.downsample.1', x)
            x = (x + y).relu()
    return x.mean((-2, -1))


def image_features(state, images):
    """(B, 3, H, W) -> (B, 2048)."""
    x = norm(state, 'encoder.bn1', conv(state, 'encoder.conv1', images, 2))
    return resnet_layers(state, F.max_pool2d(x.relu(), 3, 2, 1))


def regress(state, features):
    return linear(state, 'layers.2', linear(state, 'layers.0',
                                            features).relu())


def decode_detail(state, inputs, bound):
    """(B, 181) -> (B, 1, 256, 256) metres."""
    x = linear(state, 'l1.0', inputs).view(-1, 128, 8, 8)
    x = norm(state, 'conv_blocks.0', x)
    for index in range(5):
        size = 2 * x.shape[-1]
        x = F.interpolate(x, (size, size), mode='bilinear',
                          align_corners=False)
        x = conv(state, f'conv_blocks.{2 + 4 * index}', x)
        x = norm(state, f'conv_blocks.{3 + 4 * index}', x, eps=.8)
        x = torch.where(x > 0, x, .2 * x)
    return bound * conv(state, 'conv_blocks.21', x).tanh()


def sample(maps, x, y, border=False):
    """Bilinear values of (n, C, h, w) at pixels x, y (n, h', w')."""
    n, channels, height, width = maps.shape
    if border:
        x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    x0, y0 = x.floor(), y.floor()
    total = 0
    for dx in (0, 1):
        for dy in (0, 1):
            xi, yi = x0 + dx, y0 + dy
            weight = (1 - (x - xi).abs()) * (1 - (y - yi).abs())
            weight = weight * ((xi >= 0) & (xi < width) & (yi >= 0)
                               & (yi < height))
            index = (yi.clamp(0, height - 1) * width
                     + xi.clamp(0, width - 1)).long().flatten(1)
            values = maps.flatten(2).gather(
                2, index[:, None].expand(-1, channels, -1))
            total = total + weight[:, None] * values.view(
                n, channels, *x.shape[1:])
    return total


def warp(maps, flow, border=False):
    """Values of (n, C, h, w) at pixel + flow (n, 2, h, w)."""
    height, width = maps.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width),
                          indexing='ij')
    return sample(maps, x + flow[:, 0], y + flow[:, 1], border)


def spynet(state, first, second, prefix='encoder.spynet.'):
    """Flow (n, 2, h, w) from the first to the second image; h, w <= 32."""
    height, width = first.shape[-2:]
    levels = []
    for image in (first, second):
        image = F.interpolate(image, (32, 32), mode='bilinear',
                              align_corners=False)
        pyramid = [(image - state[f'{prefix}mean']) / state[f'{prefix}std']]
        for _ in range(5):
            pyramid.insert(0, F.avg_pool2d(pyramid[0], 2))
        levels.append(pyramid)
    flow = torch.zeros(len(first), 2, 1, 1)
    for level, (a, b) in enumerate(zip(*levels, strict=True)):
        if level:
            flow = 2 * F.interpolate(flow, a.shape[-2:], mode='bilinear',
                                     align_corners=True)
        x = torch.cat([a, warp(b, flow, border=True), flow], 1)
        for index in range(5):
            x = conv(state, f'{prefix}basic_module.{level}.basic_module.'
                     f'{index}.conv', x)
            x = x.relu() if index < 4 else x
        flow = flow + x
    flow = F.interpolate(flow, (height, width), mode='bilinear',
                         align_corners=False)
    return flow * torch.tensor([width / 32, height / 32]).view(2, 1, 1)


def blocks(state, prefix, x):
    index = 0
    while f'{prefix}.{index}.conv1.weight' in state:
        y = conv(state, f'{prefix}.{index}.conv1', x)
        if f'{prefix}.{index}.bn.weight' in state:
            y = norm(state, f'{prefix}.{index}.bn', y)
        x = x + conv(state, f'{prefix}.{index}.conv2', y.relu())
        index += 1
    return x


def input_blocks(state, name, x):
    x = conv(state, f'{name}.main.0', x)
    return blocks(state, f'{name}.main.2', torch.where(x > 0, x, .1 * x))


def align(state, name, last, before, conditions, flow_1, flow_2):
    x = torch.cat([*conditions, flow_1, flow_2], 1)
    for layer in range(4):
        x = conv(state, f'{name}.conv_offset.{2 * layer}', x)
        x = torch.where(x > 0, x, .1 * x) if layer < 3 else x
    rows, columns, mask = x.chunk(3, 1)
    offset = 10 * torch.cat([rows, columns], 1).tanh()
    half = offset.shape[1] // 2
    # (y, x) for each tap; the flows are (x, y)
    offset = torch.cat([
        offset[:, :half] + flow_1.flip(1).repeat(1, half // 2, 1, 1),
        offset[:, half:] + flow_2.flip(1).repeat(1, half // 2, 1, 1)
    ], 1)
    return deform_conv2d(torch.cat([last, before], 1), offset,
                         state[f'{name}.weight'], state[f'{name}.bias'],
                         padding=1, mask=mask.sigmoid())


def propagate(state, frames, to_earlier, to_later, prefix, fusion):
    """Second-order propagation of t features (n, C, h, w).

    ``to_earlier[i]`` is the flow from frame i to i - 1, ``to_later[i]`` that
    from i to i + 1 (None at the ends).
    """
    known = [frames]
    for branch in BRANCHES:
        order = list(range(len(frames)))
        flows = to_earlier
        if branch.startswith('backward'):
            order, flows = order[::-1], to_later
        done = {}
        for step, index in enumerate(order):
            carried = torch.zeros_like(frames[0])
            if step and f'{prefix}deform_align.{branch}.weight' not in state:
                carried = done[order[step - 1]]
            elif step:
                last, flow_1 = done[order[step - 1]], flows[index]
                before, flow_2 = torch.zeros_like(last), 0 * flow_1
                if step > 1:
                    before = done[order[step - 2]]
                    flow_2 = flow_1 + warp(flows[order[step - 1]], flow_1)
                conditions = (warp(last, flow_1), frames[index],
                              warp(before, flow_2))
                carried = align(state, f'{prefix}deform_align.{branch}',
                                last, before, conditions, flow_1, flow_2)
            x = torch.cat([feats[index] for feats in known] + [carried], 1)
            done[index] = carried + input_blocks(
                state, f'{prefix}backbone.{branch}', x)
        known.append([done[index] for index in range(len(frames))])
    return [input_blocks(state, f'{prefix}{fusion}', torch.cat(feats, 1))
            for feats in zip(*known, strict=True)]


def temporal_features(state, clips):
    """(n, t, 3, 64, 64) -> (n, t, 2048)."""
    n, t = clips.shape[:2]
    small = F.interpolate(clips.flatten(0, 1), scale_factor=.5,
                          mode='bicubic', align_corners=False)
    small = small.unflatten(0, (n, t)).unbind(1)
    to_earlier = [None] + [spynet(state, small[i], small[i - 1])
                           for i in range(1, t)]
    to_later = [spynet(state, small[i], small[i + 1]) for i in range(t - 1)]

    def down(name, x):
        x = blocks(state, f'encoder.{name}.0', x)
        return conv(state, f'encoder.{name}.1', x, 2)

    frames = [down('down1', conv(state, 'encoder.head', x))
              for x in clips.unbind(1)]
    frames = propagate(state, frames, to_earlier, [*to_later, None],
                       'encoder.rnn.', 'fusion')
    x = down('down2', torch.stack(frames, 1).flatten(0, 1))
    x = norm(state, 'encoder.bn1', x).relu()
    return resnet_layers(state, x).unflatten(0, (n, t))
