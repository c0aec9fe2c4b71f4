# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
r"""Pack a set of face clips into one LMDB file per split.

File systems of clusters are slow with millions of small files; a packed
split is one file, which ``FaceClipDataset`` reads as well as the folders.

Example::

    python tools/dataset_converters/pack_clips.py data/face_clips
    python tools/dataset_converters/pack_clips.py data/face_clips \
        --splits train --out /scratch/face_clips
"""
# ruff: noqa: E402

import argparse
import sys
from pathlib import Path

# The package of this checkout, installed or not.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Pack a set of face clips into one file per split.')
    parser.add_argument('root', help='folder of the set: with manifest.json, '
                        'or with <split>/<id>/jpg')
    parser.add_argument('--splits', nargs='+', metavar='SPLIT',
                        help='splits to pack (default: all)')
    parser.add_argument('--out', help='folder of the packed files (default: '
                        'the folder of the set)')
    parser.add_argument('--overwrite', action='store_true',
                        help='write complete files again, which '
                        'happens by itself where clips have changed')
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; errors of the user are one sentence and code 2."""
    args = parse_args(arguments)
    from rich.console import Console
    from rich.progress import Progress

    from mmtvface.dataset_tools.clip_packing import find_splits, pack_clips
    console = Console()
    try:
        root = Path(args.root).expanduser()
        target = Path(args.out).expanduser() if args.out else root
        for split in args.splits or find_splits(root):
            with Progress(console=console) as bar:
                task = bar.add_task(split, total=None)
                path = pack_clips(
                    root, split, target / f'{split}.lmdb',
                    overwrite=args.overwrite,
                    progress=lambda done, total, task=task, bar=bar:
                    bar.update(task, completed=done, total=total))
                bar.update(task, total=1, completed=1)
            size = path.stat().st_size / 2**20
            console.print(f'{path}: {size:.1f} MiB', highlight=False,
                          soft_wrap=True)
    except (OSError, ValueError, ImportError) as error:
        console.print(f'Error: {error}', style='red', markup=False,
                      soft_wrap=True)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
