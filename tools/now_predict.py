# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Write neutral meshes of the NoW images, as the benchmark takes them.

Example::

    python tools/now_predict.py CONFIG CHECKPOINT data/now --out work_dirs/now
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

EPILOG = """\
NOW_ROOT has imagepathsvalidation.txt, imagepathstest.txt, iphone_pictures/ and
detected_face/, or final_release_version/ with them. In the output folder:

  predicted_meshes/<subject>/<challenge>/<image>.obj   neutral head, metres
  predicted_meshes/<subject>/<challenge>/<image>.npy   (7, 3) landmarks
  report.json                                          counts; what was skipped
  model.json                                           what made the meshes

A run that is started again continues where it stopped, with the same model
only; --overwrite makes all meshes again. tools/now_evaluate.py measures the
result against scans."""


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Write neutral meshes of the NoW images.', epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file of the model')
    parser.add_argument('checkpoint', help='weights (.pth)')
    parser.add_argument('now_root', help='folder of the benchmark')
    parser.add_argument('--out', required=True, help='output folder')
    parser.add_argument('--split', choices=('val', 'test'), default='val',
                        help='default: %(default)s')
    parser.add_argument('--list', default='', metavar='TXT',
                        help='another list of images')
    parser.add_argument('--device', help='cpu, cuda, cuda:1, ... (default: '
                        'cuda if there is one)')
    parser.add_argument('--batch-size', type=int, default=16,
                        help='images at once (default: %(default)s)')
    parser.add_argument('--workers', type=int, default=2,
                        help='processes that load images (default: '
                        '%(default)s)')
    parser.add_argument('--crop-scale', type=float, default=1.6,
                        help='side of the crop relative to the box of the '
                        'face (default: %(default)s)')
    parser.add_argument('--overwrite', action='store_true',
                        help='do not keep the meshes that are there')
    args = parser.parse_args(arguments)
    if args.batch_size < 1 or args.workers < 0 or not args.crop_scale > 0:
        parser.error('--batch-size must be at least 1, --workers at least 0 '
                     'and --crop-scale positive')
    return args


def predict(args: argparse.Namespace) -> dict[str, Any]:
    """Write the meshes; return the report."""
    import torch
    from mmengine.dataset import pseudo_collate
    from rich.progress import track
    from torch.utils.data import DataLoader, Subset

    from mmtvface.datasets import NoWDataset
    from mmtvface.evaluation.now.export import is_exported
    from mmtvface.evaluation.now.files import FOLDER
    from mmtvface.reconstruction.model_setup import (
        build_model,
        choose_device,
        load_config,
    )
    from mmtvface.utils.atomic import atomic_path, writable_dir
    from mmtvface.utils.setup_env import register_all_modules

    register_all_modules()
    config = load_config(args.config)
    dataset = NoWDataset(
        args.now_root, args.split, args.list, scale=args.crop_scale,
        image_size=int(config.model.get('image_size', 224)))
    out = writable_dir(args.out)
    folder = out / FOLDER
    claim_folder(out, folder, dict(
        checkpoint=file_hash(args.checkpoint), crop_scale=args.crop_scale,
        model=hashlib.sha256(repr(config.model).encode()).hexdigest()))
    keys = [dataset.get_data_info(i)['clip_id'] for i in range(len(dataset))]
    todo = [index for index, key in enumerate(keys)
            if args.overwrite or not is_exported(folder, key)]
    report = dict(images=len(keys) + len(dataset.skipped), exported=0,
                  kept=len(keys) - len(todo), skipped=dict(dataset.skipped))
    model = build_model(config, args.checkpoint, choose_device(args.device))
    loader = DataLoader(Subset(dataset, todo), args.batch_size,
                        num_workers=args.workers, collate_fn=pseudo_collate)
    with torch.inference_mode():
        for batch in track(loader, description='NoW'):
            for sample in model.test_step(batch):
                key = sample.clip_id
                reason = write_neutral(model, sample, folder)
                if reason:
                    report['skipped'][key] = reason
                else:
                    report['exported'] += 1
    with atomic_path(out / 'report.json') as part:
        part.write_text(json.dumps(report, indent=2) + '\n')
    return report


def file_hash(path: str) -> str:
    """SHA-256 of a file.

    Raises:
        FileNotFoundError: If there is none.
    """
    from mmtvface.utils.assets import require_file
    path = require_file(path, 'Checkpoint', 'Train one with tools/train.py.')
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def claim_folder(out: Path, folder: Path, maker: dict[str, Any]) -> None:
    """Make sure that all meshes in a folder are of one model.

    Args:
        out: Output folder, with ``model.json``.
        folder: Of the meshes.
        maker: What the meshes depend on.

    Raises:
        ValueError: If there are meshes of another model.
    """
    from mmtvface.utils.atomic import atomic_path
    note = out / 'model.json'
    text = json.dumps(maker, indent=2) + '\n'
    if note.is_file() and note.read_text(encoding='utf-8') == text:
        return
    if next(folder.rglob('*.obj'), None) is not None:
        raise ValueError(
            f'{folder} has meshes of another checkpoint, config or '
            '--crop-scale, which must not be mixed with new ones. Choose '
            'another --out, or remove that folder.')
    with atomic_path(note) as part:
        part.write_text(text, encoding='utf-8')


def write_neutral(model: Any, sample: Any, folder: Path) -> str:
    """Write one neutral head; returns why it was not, or ''."""
    from mmtvface.evaluation.functional import neutral_heads
    from mmtvface.evaluation.now.export import export_prediction
    shape = sample.pred_codes['shape']
    if not sample.get('readable', True):
        return 'the image cannot be used, see the warnings'
    if not shape.isfinite().all():
        return 'the shape code is not finite'
    vertices, landmarks = neutral_heads(
        model.flame, shape.mean(0, keepdim=True).float())
    export_prediction(folder, sample.clip_id, vertices[0].cpu().numpy(),
                      model.flame.faces.cpu().numpy(),
                      landmarks[0].cpu().numpy())
    return ''


def summary(report: dict[str, Any], out: str) -> str:
    """Lines that say what was made and what was not."""
    skipped = report['skipped']
    lines = [f'{report["images"]} images: {report["exported"]} exported, '
             f'{report["kept"]} were there already, {len(skipped)} skipped.']
    lines += [f'  {key}: {reason}'
              for key, reason in list(skipped.items())[:5]]
    lines += ['  ... (all in report.json)'] * (len(skipped) > 5)
    return '\n'.join([*lines, f'Written to {out}.', ''])


def main(arguments: list[str] | None = None) -> int:
    """Run the command; errors of the user are one sentence and code 2."""
    args = parse_args(arguments)
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from mmtvface.utils.command_line import run_command

    def work() -> None:
        sys.stdout.write(summary(predict(args), args.out))

    return run_command(work, 'Interrupted; the same command continues.')


if __name__ == '__main__':
    sys.exit(main())
