# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
r"""Tell in two minutes what the features of a trained trunk know.

Head pose, jaw and the openings of mouth and eyelids are fitted in closed form
(ridge regression) to the features of rendered frames, once to those of the
encoder and once to the hidden layer of the regressor, and tested on frames of
other people. A trunk that never learned to see mouths has an r2 of about 0
for them, whatever the last layers are made of; the model's own codes are
shown beside it.

Example::

    python tools/analysis_tools/probe_trunk.py CONFIG CHECKPOINT
"""
# ruff: noqa: E402

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np
import torch
from torch import nn

from mmtvface.benchmarks.synthtv import SynthTVDataset
from mmtvface.benchmarks.synthtv.evaluate import data_settings
from mmtvface.cli.shared import positive
from mmtvface.evaluation.functional import code_signals, landmark_signals
from mmtvface.evaluation.tables import markdown_table
from mmtvface.models.outputs import expression_landmarks
from mmtvface.reconstruction.model_setup import (
    build_model,
    choose_model,
    load_config,
)
from mmtvface.utils.command_line import run_command
from mmtvface.utils.setup_env import register_all_modules

SOURCES = {'encoder': 'encoder features', 'hidden': 'hidden layer',
           'codes': "the model's codes"}
_RIDGE = .1  # of the features' variance
_LENGTH = 5  # frames of a clip


def fitted_r2(features: np.ndarray, values: np.ndarray,
              test_features: np.ndarray, test_values: np.ndarray,
              ridge: float = _RIDGE) -> np.ndarray:
    """Share of the variance that a linear fit explains in other data.

    Args:
        features: (N, F).
        values: (N, K).
        test_features: (M, F).
        test_values: (M, K).
        ridge: Weight of the prior against the variance of a feature.

    Returns:
        (K,) r2, at most 1; below 0: worse than the mean.
    """
    center, scale = features.mean(0), features.std(0) + 1e-6
    inputs, tests = ((part - center) / scale
                     for part in (features, test_features))
    mean = values.mean(0)
    gram = inputs.T @ inputs + len(inputs) * ridge * np.eye(inputs.shape[1])
    slope = np.linalg.solve(gram, inputs.T @ (values - mean))
    return explained(tests @ slope + mean, test_values)


def explained(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(K,) r2 of (M, K) predictions, see :func:`fitted_r2`."""
    error = ((found - wanted)**2).mean(0)
    return 1 - error / np.maximum(wanted.var(0), 1e-12)


def signals(flame: nn.Module, codes: Mapping[str, torch.Tensor]
            ) -> dict[str, np.ndarray]:
    """What is to be seen in the frames of codes: name -> (T,)."""
    points = expression_landmarks(flame, codes['exp'], codes['pose'])
    return {**landmark_signals(points.numpy()[..., :2]),
            **code_signals(codes['pose'])}


@torch.no_grad()
def look(model: nn.Module, dataset: SynthTVDataset
         ) -> tuple[dict[str, np.ndarray], np.ndarray, list[str]]:
    """Features and truth of all frames of a data set.

    Args:
        model: A TemporalDECA in evaluation mode, on the CPU.
        dataset: Its clips.

    Returns:
        ``encoder`` and ``hidden`` (N, F) and ``codes`` (N, K): signals of the
        model's codes; the true signals (N, K), and their names.
    """
    parts: dict[str, list] = {name: [] for name in (*SOURCES, 'truth')}
    for index in range(len(dataset)):
        item = dataset[index]
        inputs = model.data_preprocessor(dict(
            inputs=[item['inputs']]))['inputs']
        features = model.encoder(inputs)
        parts['encoder'].append(features[0].double().numpy())
        parts['hidden'].append(
            model.head.hidden(features)[0].double().numpy())
        own = signals(model.flame, model.layout.split(
            model.head(features)[0]))
        truth = signals(model.flame, item['data_samples'].gt_codes)
        parts['codes'].append(np.stack(list(own.values()), 1))
        parts['truth'].append(np.stack(list(truth.values()), 1))
    arrays = {name: np.concatenate(part) for name, part in parts.items()}
    return arrays, arrays.pop('truth'), list(truth)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('config', nargs='?', help='default: the model of the '
                        'package')
    parser.add_argument('checkpoint', nargs='?')
    parser.add_argument('--clips', type=positive(int), default=600,
                        help='of five frames, to fit (default: %(default)s)')
    parser.add_argument('--test-clips', type=positive(int), default=100,
                        help='to test (default: %(default)s)')
    return parser.parse_args(arguments)


def probe(args: argparse.Namespace) -> str:
    """The table."""
    register_all_modules()
    config, checkpoint = choose_model(args.config, args.checkpoint)
    config = load_config(config)
    model = build_model(config, checkpoint, 'cpu')
    options = {**data_settings(config, None), 'clip_length': _LENGTH,
               'scene_length': _LENGTH}
    sets = [SynthTVDataset(split, 'easy', num_clips=count, num_scenes=count,
                           **options)
            for split, count in (('train', args.clips),
                                 ('test', args.test_clips))]
    (seen, values, names), (others, wanted, _) = (
        look(model, part) for part in sets)
    columns = [fitted_r2(seen[name], values, others[name], wanted)
               for name in ('encoder', 'hidden')]
    columns.append(explained(others['codes'], wanted))
    rows = [(name, *(f'{column[k]:.2f}' for column in columns))
            for k, name in enumerate(names)]
    return markdown_table(('r2', *SOURCES.values()), rows)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; errors of the user are one sentence and code 2."""
    args = parse_args(arguments)

    def work() -> None:
        sys.stdout.write(probe(args) + '\n')

    return run_command(work)


if __name__ == '__main__':
    sys.exit(main())
