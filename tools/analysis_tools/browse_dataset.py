# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
r"""Show what a model sees of a data set: PNG sheets of clips.

A clip is two rows. The first shows the original frames with their landmarks
and the crop, the second the crops that the pipeline gives, with landmarks
(green; hidden ones are not drawn) and everything outside of the mask tinted
red. Generated data has the second row only.

Example::

    python tools/analysis_tools/browse_dataset.py CONFIG --num 12 \
        --out work_dirs/browse
"""
# ruff: noqa: E402

import argparse
import sys
from itertools import islice
from pathlib import Path
from typing import Any

# The package of this checkout, installed or not.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
import numpy as np

from mmtvface.geometry.camera import ndc_to_pixel
from mmtvface.heads import share_settings
from mmtvface.structures import FaceClipSample
from mmtvface.visualization.drawing import (
    add_caption,
    draw_landmarks,
    image_grid,
    spread,
)

YELLOW = (255, 220, 40)
TINT = np.array([255., 40., 40.])


def draw_crop(image: np.ndarray, landmarks: np.ndarray | None,
              mask: np.ndarray | None) -> np.ndarray:
    """One frame as the model sees it.

    Args:
        image: (H, W, 3) uint8 RGB.
        landmarks: (68, 3) NDC of the crop and visibility, or None.
        mask: (H, W) 0..1, or None.

    Returns:
        (H, W, 3) uint8.
    """
    if mask is not None:
        outside = .45 * (1 - mask[..., None])
        image = np.rint((1 - outside) * image + outside * TINT).astype(
            np.uint8)
    if landmarks is not None:
        points = np.array(landmarks, np.float64)
        size = np.array(image.shape[1::-1], np.float64)
        points[:, :2] = ndc_to_pixel(points[:, :2], size)
        image = draw_landmarks(image, points)
    return image


def draw_original(frame: np.ndarray, landmarks: np.ndarray,
                  matrix: np.ndarray, crop_size: int) -> np.ndarray:
    """An original frame with landmarks and the outline of the crop.

    Args:
        frame: (H, W, 3) uint8 RGB.
        landmarks: (68, 3) pixel indices of the frame and visibility.
        matrix: (3, 3) frame -> crop pixel indices.
        crop_size: Side of the crop.

    Returns:
        (H, W, 3) uint8.
    """
    image = draw_landmarks(frame, landmarks)
    low, high = -.5, crop_size - .5
    corners = np.array([[low, low, 1], [high, low, 1], [high, high, 1],
                        [low, high, 1]]) @ np.linalg.inv(matrix).T
    cv2.polylines(image, [np.rint(16 * corners[:, None, :2]).astype(int)],
                  True, YELLOW, max(1, frame.shape[1] // 150), cv2.LINE_AA, 4)
    return image


def load_originals(dataset: Any, index: int, sample: FaceClipSample
                   ) -> dict | None:
    """Frames of a sample as they are stored.

    Returns:
        What ``LoadFaceClip`` gives, or None if the data set stores no frames
        or gave another sample in place of an unreadable one.
    """
    from mmtvface.datasets import LoadFaceClip
    while hasattr(dataset, '_get_ori_dataset_idx'):
        which, index = dataset._get_ori_dataset_idx(index)
        dataset = dataset.datasets[which] if hasattr(
            dataset, 'datasets') else dataset.dataset
    if not hasattr(dataset, 'describe_frames'):
        return None
    if dataset.get_data_info(index)['clip_id'] != sample.clip_id:
        return None
    info = dataset.describe_frames(index, sample.frame_indices)
    if [Path(name).stem for name in info['image_names']] != list(
            sample.frame_names):
        return None
    return LoadFaceClip()({**info, 'mask_names': None})


def enlarge(image: np.ndarray, factor: int) -> np.ndarray:
    """Repeat every pixel, so that lines on small crops are not too thick."""
    return image.repeat(factor, 0).repeat(factor, 1)


def draw_item(item: dict, originals: dict | None, max_frames: int,
              cell: int = 224) -> list[list[np.ndarray]]:
    """Rows of pictures of one clip: originals, if there are, and crops."""
    sample = item['data_samples']
    images = item['inputs'].numpy().transpose(0, 2, 3, 1)
    shown = spread(len(images), max_frames)
    landmarks = sample.get('gt_landmarks')
    masks = sample.get('gt_masks')
    factor = max(1, cell // images.shape[1])
    crops = [draw_crop(
        enlarge(images[i], factor),
        None if landmarks is None else landmarks[i].numpy(),
        None if masks is None else enlarge(masks[i, 0].numpy(), factor))
        for i in shown]
    crops[0] = add_caption(
        crops[0], f'{sample.get("identity", "")} {sample.clip_id}')
    if originals is None:
        return [crops]
    frames = [draw_original(
        cv2.cvtColor(originals['frames'][i], cv2.COLOR_BGR2RGB),
        originals['landmarks'][i], sample.crop_matrices[i],
        images.shape[1]) for i in shown]
    return [frames, crops]


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    from mmengine.config import DictAction
    parser = argparse.ArgumentParser(
        description='Show samples of a data set with landmarks and masks.')
    parser.add_argument('config', help='config with the data set')
    parser.add_argument('--out', default='work_dirs/browse',
                        help='folder of the sheets (default: %(default)s)')
    parser.add_argument('--num', type=int, default=12,
                        help='number of clips (default: %(default)s)')
    parser.add_argument('--split', choices=('train', 'val', 'test'),
                        default='train', help='which data loader of the '
                        'config (default: %(default)s)')
    parser.add_argument('--per-sheet', type=int, default=4,
                        help='clips on one sheet (default: %(default)s)')
    parser.add_argument('--max-frames', type=int, default=8,
                        help='frames of a clip that are shown (default: '
                        '%(default)s)')
    parser.add_argument('--cell', type=int, default=224,
                        help='side of a picture in pixels (default: '
                        '%(default)s)')
    parser.add_argument('--seed', type=int, default=0,
                        help='of the sampler (default: %(default)s)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction,
                        help='changes to the config, key=value')
    return parser.parse_args(arguments)


def browse(args: argparse.Namespace) -> list[Path]:
    """Write the sheets in the order in which a training draws the clips.

    Returns:
        Their files.

    Raises:
        ValueError: If the config has no such data loader or the folder
            cannot be written to.
    """
    from mmengine.config import Config

    from mmtvface.registry import DATA_SAMPLERS, DATASETS
    from mmtvface.utils.atomic import atomic_path, writable_dir
    from mmtvface.utils.setup_env import register_all_modules
    register_all_modules()
    cfg = Config.fromfile(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    share_settings(cfg)
    loader = cfg.get(f'{args.split}_dataloader')
    if loader is None:
        there = sorted(key for key in cfg if key.endswith('_dataloader'))
        raise ValueError(f"'{args.config}' has no {args.split}_dataloader; "
                         f'it has {there}.')
    if min(args.num, args.per_sheet, args.max_frames) < 1:
        raise ValueError('--num, --per-sheet and --max-frames must be at '
                         'least 1.')
    out = writable_dir(args.out)
    dataset = DATASETS.build(loader.dataset)
    sampler = DATA_SAMPLERS.build(
        dict(loader.sampler), default_args=dict(dataset=dataset,
                                                seed=args.seed))
    sheets, rows = [], []
    indices = list(islice(iter(sampler), args.num))
    for number, index in enumerate(indices):
        item = dataset[index]
        rows += draw_item(
            item, load_originals(dataset, int(index), item['data_samples']),
            args.max_frames, args.cell)
        if (number + 1) % args.per_sheet == 0 or number + 1 == len(indices):
            sheet = image_grid(rows, (args.cell, args.cell))
            path = out / f'{args.split}_{len(sheets):03d}.png'
            with atomic_path(path) as part:
                cv2.imwrite(str(part), sheet[..., ::-1])
            sheets.append(path)
            rows = []
    return sheets


def main(arguments: list[str] | None = None) -> int:
    """Run the command; errors of the user are one sentence and code 2."""
    args = parse_args(arguments)
    from rich.console import Console
    console = Console()
    try:
        sheets = browse(args)
    except (OSError, ValueError, ImportError) as error:
        console.print(f'Error: {error}', style='red', markup=False,
                      soft_wrap=True)
        return 2
    for path in sheets:
        console.print(str(path), highlight=False, soft_wrap=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
