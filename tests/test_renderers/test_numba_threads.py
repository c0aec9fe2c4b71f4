# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Threads, forks and copies around the numba rasterizer."""

import copy
import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from helpers.toy_meshes import toy_ellipsoid
from torch.utils.data import DataLoader, Dataset

from mmtvface.renderers import build_rasterizer

pytest.importorskip('numba')
SIZE = 48, 40


def scene(batch=3):
    template, topology = toy_ellipsoid()
    scale = torch.linspace(5, 9, batch)[:, None, None]
    return (torch.tensor(template).float() * scale,
            torch.tensor(topology.faces))


@pytest.fixture
def threads():
    """Set the number of PyTorch threads for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


class RenderedDataset(Dataset):

    def __init__(self):
        self.rasterizer = build_rasterizer('auto')
        self.vertices, self.faces = scene()

    def __len__(self):
        return len(self.vertices)

    def __getitem__(self, index):
        return self.rasterizer(self.vertices[index][None], self.faces,
                               SIZE).face_index[0]


@pytest.mark.parametrize('batch', [1, 3])
def test_result_does_not_depend_on_threads(threads, batch):
    vertices, faces = scene(batch)
    vertices.requires_grad_()
    rasterizer = build_rasterizer('numba')
    results = []
    for count in (1, 2, 5):
        threads(count)
        fragments = rasterizer(vertices, faces, SIZE)
        grad, = torch.autograd.grad(
            fragments.barycentrics.square().sum(), vertices)
        results.append((*fragments, grad))
    for other in results[1:]:
        assert all(map(torch.equal, results[0], other))


@pytest.mark.skipif('fork' not in multiprocessing.get_all_start_methods(),
                    reason='this platform cannot fork')
def test_works_in_forked_data_loading_workers(threads):
    threads(2)
    vertices, faces = scene()
    # Threads run in the parent first, then the workers start.
    expected = build_rasterizer('numba')(vertices, faces, SIZE).face_index
    loader = DataLoader(RenderedDataset(), batch_size=1, num_workers=2,
                        multiprocessing_context='fork', timeout=60)
    for _ in range(2):
        assert torch.equal(torch.cat(list(loader)), expected)
    again = build_rasterizer('numba')(vertices, faces, SIZE).face_index
    assert torch.equal(again, expected)


def test_works_from_several_python_threads(threads):
    threads(2)
    vertices, faces = scene()
    rasterizer = build_rasterizer('numba')
    expected = rasterizer(vertices, faces, SIZE).face_index
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(rasterizer, vertices, faces, SIZE)
                   for _ in range(12)]
    assert all(torch.equal(f.result().face_index, expected)
               for f in futures)


@pytest.mark.parametrize('name', ['numba', 'torch', 'auto'])
def test_rasterizers_can_be_copied_and_pickled(name):
    vertices, faces = scene(1)
    rasterizer = build_rasterizer(name)
    expected = rasterizer(vertices, faces, SIZE).face_index
    for other in (copy.deepcopy(rasterizer),
                  pickle.loads(pickle.dumps(rasterizer))):
        assert torch.equal(other(vertices, faces, SIZE).face_index, expected)


def test_auto_follows_the_device_of_each_call():
    auto = build_rasterizer('auto')
    assert type(auto.backend(torch.device('cpu'))).__name__ == (
        'NumbaRasterizer')
    assert type(auto.backend(torch.device('xpu'))).__name__ == (
        'TorchRasterizer')


def test_tensors_elsewhere_are_refused():
    vertices, faces = scene(1)
    with pytest.raises(ValueError, match='works on CPU tensors'):
        build_rasterizer('numba').find_fragments(
            vertices.to('meta'), faces, *SIZE)
