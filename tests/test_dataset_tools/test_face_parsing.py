# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import sys

import numpy as np
import pytest
import torch

from mmtvface.dataset_tools.face_parsing import CLASSES, SKIN, FaceParser


@pytest.fixture(scope='module')
def bisenet():
    module = pytest.importorskip('facexlib.parsing.bisenet')
    torch.manual_seed(0)
    return module.BiSeNet(num_class=19).eval()


@pytest.fixture(scope='module')
def weights(bisenet, tmp_path_factory):
    path = tmp_path_factory.mktemp('weights') / 'parsing_bisenet.pth'
    torch.save(bisenet.state_dict(), path)
    return path


def answer_with(parser, classes):
    """Replace the network by one that answers a class per pixel."""
    def network(batch):
        assert batch.shape == (1, 3, 512, 512)
        network.seen = batch
        logits = torch.full((1, 19, 512, 512), -9.)
        return (logits.scatter_(1, classes[None, None], 9.), None, None)
    parser._network = network
    return network


def test_random_weights_give_what_the_network_says(bisenet, weights):
    image = np.random.default_rng(0).integers(0, 255, (512, 512, 3),
                                              dtype=np.uint8)
    mask = FaceParser(weights, 'cpu')(image)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    batch = (torch.from_numpy(image).permute(2, 0, 1) / 255. - mean) / std
    with torch.no_grad():
        share = bisenet(batch[None])[0].softmax(1)[0]
    # skin, brows, nose, upper and lower lip
    expected = share[[1, 2, 3, 10, 12, 13]].sum(0) > 0.5
    assert mask.shape == (512, 512) and mask.dtype == np.uint8
    assert (mask == expected.numpy()).mean() > 0.999


def test_classes_are_joined(weights):
    parser = FaceParser(weights, 'cpu')
    # One stripe of 16 columns for every class, hair to the right of them.
    classes = torch.full((512, 512), CLASSES.index('hair'))
    for number in range(19):
        classes[:, 16 * number:16 * number + 16] = number
    answer_with(parser, classes)
    mask = parser(np.zeros((512, 512, 3), np.uint8))
    kept = {CLASSES[i] for i in range(19) if mask[0, 16 * i + 8]}
    assert kept == set(SKIN) and mask[:, 16 * 19:].sum() == 0
    assert 'mouth' not in kept and 'left_eye' not in kept


def test_other_shapes_are_padded_and_mapped_back(weights):
    parser = FaceParser(weights, 'cpu')
    classes = torch.zeros(512, 512, dtype=torch.int64)
    classes[128:384, 64:256] = 1
    network = answer_with(parser, classes)
    image = np.full((200, 256, 3), 255, np.uint8)
    mask = parser(image)
    assert mask.shape == (200, 256)
    expected = np.zeros((256, 256), np.uint8)
    expected[64:192, 32:128] = 1
    np.testing.assert_array_equal(mask, expected[:200])
    # White above the padding, black in it.
    white = (1 - 0.485) / 0.229
    assert network.seen[0, 0, 0, 0].item() == pytest.approx(white, abs=1e-5)
    assert network.seen[0, 0, -1, 0].item() == pytest.approx(-0.485 / 0.229)


def test_files_are_checked(weights, tmp_path):
    with pytest.raises(FileNotFoundError, match='none.pth'):
        FaceParser(tmp_path / 'none.pth', 'cpu')
    other = tmp_path / 'other.pth'
    torch.save({'weight': torch.zeros(3)}, other)
    with pytest.raises(ValueError, match='other.pth holds no weights.*parsing'
                       '_bisenet.pth'):
        FaceParser(other, 'cpu')
    torch.save([1, 2], other)
    with pytest.raises(ValueError, match='other.pth holds no weights'):
        FaceParser(other, 'cpu')


def test_images_are_checked(weights):
    with pytest.raises(ValueError, match=r'uint8.*\(5, 5\) float64'):
        FaceParser(weights, 'cpu')(np.zeros((5, 5)))


def test_a_missing_package_is_named_with_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, 'facexlib.parsing.bisenet', None)
    with pytest.raises(ImportError, match='pip install .facexlib'):
        FaceParser(tmp_path / 'any.pth')
