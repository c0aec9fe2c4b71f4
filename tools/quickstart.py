# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The whole path once: model, a real face, a generated clip, a test.

The model is that of the package, or a small one that is trained here.

A second run goes on where the first one stopped and repeats nothing that is
finished: the training belongs to a fingerprint of its config.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from setup_steps.progress import Steps, run_logged, say
from setup_steps.quick_input import (
    QuickstartError,
    add_temporal,
    check_input,
    check_path,
    shown,
)

ROOT = Path(__file__).resolve().parent.parent
CLIP_SIZE, CLIP_FRAMES = 224, 24
CONFIG = 'temporal_deca/temporal-deca_tiny_1xb8-quickstart_synthetic.py'
MINUTES = 5.0  # for the training and the start of its process together
START = 0.4
PORTRAIT = ROOT / 'data' / 'astronaut.jpg'  # public domain, NASA
TEST_CLIPS = 16  # for the model of the package, rendered on the fly
STATE = 'quickstart.json'  # in a folder that this tool made
TRAINED = re.compile(r'Iter\(train\)\s*\[\s*(\d+)/(\d+)\]')
LOSS = re.compile(r'\bloss: ([\d.naif]+)')
TESTED = re.compile(r'Iter\((?:test|val)\)\s*\[\s*(\d+)/(\d+)\]')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog='tools/quickstart.sh', description='Reconstruct the faces of '
        'an input with the model of the package, or, by --train, with a '
        'small model that is trained first, and test the model on generated '
        'clips.')
    parser.add_argument(
        'path', nargs='?', type=Path, help='an image, a folder of frames, a '
        'clip folder (jpg/, kpt/) or a video; default: a portrait and '
        'a held-out generated clip')
    parser.add_argument(
        '--work-dir', type=Path, default=ROOT / 'work_dirs' / 'quickstart',
        help='folder of the results, default: %(default)s')
    parser.add_argument(
        '--train', action='store_true', help='train a small model on '
        'generated clips, from nothing')
    parser.add_argument(
        '--config', type=Path, help='config that is trained, default: '
        f'configs/{CONFIG}; implies --train')
    parser.add_argument(
        '--minutes', type=float, help='limit of the training, default: '
        f'{MINUTES:g}; implies --train')
    args = parser.parse_args(argv)
    args.train |= args.config is not None or args.minutes is not None
    args.config = args.config or ROOT / 'configs' / CONFIG
    args.minutes = MINUTES if args.minutes is None else args.minutes
    return args


def fingerprint(config: Path) -> str:
    """Of everything that decides about the training."""
    from mmengine.config import Config
    return hashed(Config.fromfile(config).pretty_text)


def hashed(text: str) -> str:
    """Of a config's text and this version."""
    from mmtvface import __version__
    return hashlib.sha256(f'{__version__}\n{text}'.encode()).hexdigest()


def training_status(output: str) -> str:
    """Newest progress of mmengine's log in a few words."""
    done = TRAINED.findall(output)
    loss = LOSS.findall(output)
    tested = TESTED.findall(output)
    if done:
        text = f'iteration {done[-1][0]} of {done[-1][1]}'
        return f'{text}, loss {loss[-1]}' if loss else text
    return f'clip {tested[-1][0]} of {tested[-1][1]}' if tested else 'starting'


def run_tool(arguments: list, log: Path, label: str) -> None:
    """Run another tool of this folder with its output in a log.

    Raises:
        QuickstartError: If it fails, with the last line it wrote.
    """
    say('      $ python ' + ' '.join(
        shown(a) if isinstance(a, Path) else str(a) for a in arguments))
    # One core is for the process that renders the clips: more threads than
    # cores make each small operation wait for the slowest of them.
    threads = min(4, max(1, len(os.sched_getaffinity(0)) - 1))
    env = {'OMP_NUM_THREADS': str(threads), **os.environ,
           'PYTHONWARNINGS': 'ignore'}
    code, output = run_logged(
        [sys.executable, *map(str, arguments)], log, f'      {label}',
        env=env, status=training_status)
    if code:
        lines = [line for line in output.splitlines() if line.strip()]
        raise QuickstartError(
            f'{label} failed ({lines[-1][:200] if lines else "no output"}): '
            f'see {log}. The same command continues after the cause is '
            'mended.')


def write_head(folder: Path) -> str:
    """Write the built-in head in the official file formats."""
    from mmtvface.heads.providers.procedural import save_procedural_head
    if not (folder / 'generic_model.npz').is_file():  # written last
        save_procedural_head(folder)
    return f'{len(list(folder.iterdir()))} files in {folder}'


def newest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint that a training in this folder would resume from."""
    pointer = folder / 'last_checkpoint'
    if not pointer.is_file():
        return None
    # The pointer holds an absolute path; the checkout may have moved.
    path = folder / Path(pointer.read_text().strip()).name
    return path if path.is_file() else None


def mark_folder(folder: Path, key: str, finished: bool) -> None:
    """Note in a folder what its contents belong to."""
    from mmtvface.utils.atomic import atomic_path
    with atomic_path(folder / STATE) as part:
        part.write_text(json.dumps({'key': key, 'finished': finished}))


def claim_folder(folder: Path, key: str) -> bool:
    """Make a folder the place of results with this key.

    Results with another key are deleted, if an earlier run is known to have
    made them; nothing else ever is.

    Returns:
        Whether the results with this key are there and complete.

    Raises:
        QuickstartError: If the folder holds anything else.
    """
    try:
        known = json.loads((folder / STATE).read_text())
        known_key = known['key']
    except (OSError, ValueError, TypeError, KeyError):
        known, known_key = {}, None
    if known_key == key:
        return known.get('finished') is True
    if isinstance(known_key, str) and known_key:
        say(f'      the config changed: making {shown(folder)} anew')
        # The note goes last: an interrupted deletion is continued.
        for entry in folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != STATE:
                entry.unlink()
    elif folder.is_dir() and any(folder.iterdir()):
        raise QuickstartError(
            f'{folder} is in the way: it has no readable {STATE}, so nothing '
            'shows that the quickstart made it. Move or delete it, or choose '
            'another --work-dir.')
    folder.mkdir(parents=True, exist_ok=True)
    mark_folder(folder, key, finished=False)
    return False


def train(config: Path, folder: Path, minutes: float) -> Path:
    """Train the config, resume, or reuse a finished training.

    Returns:
        The checkpoint.
    """
    key = fingerprint(config)
    finished = claim_folder(folder, key)
    checkpoint = newest_checkpoint(folder)
    if finished and checkpoint:
        say(f'      already trained: {checkpoint}')
        return checkpoint
    # Even if it was finished before and its checkpoint is gone.
    mark_folder(folder, key, finished=False)
    resume = []
    if checkpoint:
        say(f'      resuming from {checkpoint.name}')
        resume = ['--resume', checkpoint]
    run_tool([ROOT / 'tools' / 'train.py', config, '--work-dir', folder,
              '--max-minutes', max(0.1, round(minutes - START, 2)), *resume],
             folder / 'train.log', 'training')
    checkpoint = newest_checkpoint(folder)
    if checkpoint is None:
        raise QuickstartError(
            f'The training left no checkpoint in {folder}: see '
            f'{folder / "train.log"}.')
    mark_folder(folder, key, finished=True)
    return checkpoint


def packaged() -> tuple[Path, Path]:
    """Config and checkpoint of the model of the package, made sure of."""
    from mmtvface.utils.packaged_model import packaged_model
    config, checkpoint, info = packaged_model()
    say(f'      {info["name"]}: {info["parameters"] / 1e6:.1f} million '
        f'parameters, trained by {info["config"]} ({info["date"]})')
    return config, checkpoint


def test(config: Path, checkpoint: Path, out: Path, clips: int = 0) -> dict:
    """Metrics of a checkpoint, measured once.

    Args:
        config: Has the test set.
        checkpoint: Is tested.
        out: JSON file.
        clips: Test on so many; 0: as many as the config says.
    """
    options = ['--cfg-options', f'test_dataloader.dataset.num_clips={clips}',
               'test_dataloader.batch_size=4'] if clips else []
    stamp = {'checkpoint': checkpoint.name,
             'time': checkpoint.stat().st_mtime_ns,
             'config': fingerprint(config), 'clips': clips}
    mark = out.with_suffix('.stamp')
    if not (out.is_file() and mark.is_file()
            and json.loads(mark.read_text()) == stamp):
        run_tool([ROOT / 'tools' / 'test.py', config, checkpoint,
                  '--work-dir', out.parent, '--out', out, *options],
                 out.parent / 'test.log', 'testing')
        mark.write_text(json.dumps(stamp))
    return json.loads(out.read_text())


def held_out_clip(config: Path, folder: Path) -> Path:
    """Write a generated clip that the training never saw."""
    from mmengine.config import Config

    from mmtvface.datasets.synthetic import write_clip_folder
    from mmtvface.registry import DATASETS
    # The people of the test set, sharper and longer than the model sees them.
    dataset = Config.fromfile(config).test_dataloader.dataset
    dataset.update(image_size=CLIP_SIZE, clip_length=CLIP_FRAMES)
    if dataset.get('type') == 'SynthTVDataset':
        dataset.update(scene_length=CLIP_FRAMES, difficulty='easy')
    key = hashed(Config(dict(dataset)).pretty_text)
    if not (claim_folder(folder, key) and (folder / 'serial.npy').is_file()):
        write_clip_folder(DATASETS.build(dataset)[0], folder)
        mark_folder(folder, key, finished=True)
    return folder


def reconstruct(config: Path, checkpoint: Path, source: Path, out: Path
                ) -> dict:
    """Reconstruct an input and write everything that comes of it."""
    from rich.console import Console
    from rich.progress import Progress

    from mmtvface.apis import FaceReconstructor
    from mmtvface.export.save import save_results
    reconstructor = FaceReconstructor(config, checkpoint)
    console = Console()
    with Progress(console=console, transient=True,
                  disable=not console.is_terminal) as bar:
        tasks: dict = {}

        def progress(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bar.add_task(step)
            bar.update(tasks[step], completed=done, total=total or None)

        return save_results(
            reconstructor(source, progress=progress), source, out,
            reconstructor.build_painter())


def summarize(metrics: dict, made: dict[Path, dict]) -> None:
    """Show what was made and where.

    Args:
        metrics: Of the test.
        made: Input -> kind of file -> path.
    """
    from rich.console import Console
    from rich.table import Table
    console = Console()
    for source, files in made.items():
        table = Table('what', 'where', title_justify='left',
                      title=f'Made from {shown(source)}')
        for kind, path in files.items():
            table.add_row(kind, shown(path))
        console.print(table)
    table = Table('metric', 'value', title_justify='left',
                  title='Test on held-out generated clips')
    for key, value in metrics.items():
        table.add_row(key, 'none' if value is None else f'{value:.4g}')
    console.print(table)


def run(args: argparse.Namespace) -> None:
    """All steps.

    Raises:
        QuickstartError: With the reason to stop.
    """
    source, work_dir = args.path, args.work_dir.resolve()
    if source is not None:
        source = source.expanduser().resolve()
        check_path(source)
        check_input(source)
    if args.train:
        add_temporal(args.config)
    from mmtvface.utils.setup_env import register_all_modules
    register_all_modules()
    work_dir.mkdir(parents=True, exist_ok=True)
    # A model of five minutes has seen no real face.
    portrait = source is None and not args.train
    step = Steps(4 + (source is None) + portrait)
    metrics, made, clips = {}, {}, 0
    if args.train:
        config = args.config
        checkpoint = step(
            f'training {config.stem} (at most {args.minutes:g} minutes)',
            train, config, work_dir / 'train', args.minutes)
    else:
        clips = TEST_CLIPS
        config, checkpoint = step(
            'taking the model of the package (--train trains one)', packaged)

    def make(title: str, name: str, source: Path, out: Path) -> None:
        result = step(title, reconstruct, config, checkpoint, source, out)
        made[source] = result.pop('files')
        metrics[name] = result

    if portrait:
        make(f'reconstructing a real face ({shown(PORTRAIT)})', 'portrait',
             PORTRAIT, work_dir / 'portrait')
        say(f'      look at {shown(work_dir / "portrait/overlay_grid.png")}')
    if source is None:
        source = step('writing a held-out generated clip', held_out_clip,
                      config, work_dir / 'clip')
    make(f'reconstructing {shown(source)}', 'reconstruction', source,
         work_dir)
    metrics['test'] = step('testing on held-out generated clips', test,
                           config, checkpoint,
                           work_dir / 'test' / 'metrics.json', clips)
    step('writing the built-in head in the file formats of FLAME', write_head,
         work_dir / 'head')
    part = work_dir / 'metrics.part'
    part.write_text(json.dumps(metrics, indent=2) + '\n')
    part.replace(work_dir / 'metrics.json')
    made[source].update(head=str(work_dir / 'head'),
                        checkpoint=str(checkpoint))
    summarize(metrics['test'], made)


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    args = parse_args(argv)
    begin = time.monotonic()
    try:
        run(args)
    except (QuickstartError, ValueError, OSError,
            subprocess.SubprocessError) as error:
        sys.stderr.write(f'quickstart stopped: {error}\n')
        return 1
    except KeyboardInterrupt:
        sys.stderr.write('quickstart interrupted: the same command '
                         'continues.\n')
        return 130
    say(f'finished in {time.monotonic() - begin:.0f} s')
    return 0


if __name__ == '__main__':
    # Trainings and tests are processes of their own.
    from mmtvface.cli import light_start
    light_start.this_process_is_a_command()
    light_start.start_lightly()
    sys.exit(main())
