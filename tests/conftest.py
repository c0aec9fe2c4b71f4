# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Settings of the whole suite."""

import os
from pathlib import Path

import pytest
import torch

if not torch.cuda.is_available():
    # Read once, when triton is first imported, which any test may do: so it
    # is set before all of them. Kernels then run on CPU tensors.
    os.environ.setdefault('TRITON_INTERPRET', '1')


# Processes that tests start import the helpers, too.
os.environ['PYTHONPATH'] = os.pathsep.join(filter(None, (
    str(Path(__file__).parent), os.environ.get('PYTHONPATH'))))


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers."""
    config.addinivalue_line(
        'markers', 'gpu: says most on a GPU; gpu_check.py runs these there')


@pytest.fixture
def device() -> torch.device:
    """A GPU, or the CPU where there is none."""
    return torch.device('cuda' if torch.cuda.is_available() else 'cpu')


@pytest.fixture
def model_files(tmp_path):
    """Config and checkpoint of a small model."""
    from helpers.model_files import write_model
    return write_model(tmp_path)


@pytest.fixture(scope='session')
def shared_model_files(tmp_path_factory):
    """The same for all tests that do not change it."""
    from helpers.model_files import write_model
    return write_model(tmp_path_factory.mktemp('model'))


@pytest.fixture(scope='session')
def toy_head_config(tmp_path_factory):
    """``head`` of a synthetic dataset: a sphere of 1200 vertices."""
    from helpers.round_head import write_round_head
    return write_round_head(tmp_path_factory.mktemp('toy_head'))
