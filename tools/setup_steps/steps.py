# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What the set-up installs, and what it remembers of it."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import NamedTuple

from . import torch_build
from .interpreter import Interpreter

GIB = 1 << 30


class Step(NamedTuple):
    """One installation.

    Attributes:
        name: Key of its stamp.
        title: What the user reads.
        files: Files of the checkout that decide about it.
        arguments: Arguments of ``pip install``; empty for mmcv, which has
            a procedure of its own.
        space: Free space it needs in bytes.
        group: 'core', 'temporal' or 'tests'.
    """

    name: str
    title: str
    files: tuple
    arguments: tuple
    space: int
    group: str


def _pip_step(group: str, name: str, title: str, space: int, *extra: str
              ) -> Step:
    file = f'requirements/{name}.txt'
    pins = 'requirements/constraints.txt'
    return Step(name, title, (file, pins),
                ('-r', file, '-c', pins, *extra), space, group)


GROUPS = ('core', 'temporal', 'tests')
STEPS = (
    _pip_step('core', 'build', 'build tools', GIB),
    Step('torch', 'PyTorch', ('requirements/torch.txt',
                              'requirements/torch_cpu.txt'), (), 2 * GIB,
         'core'),
    _pip_step('core', 'core', 'libraries', 2 * GIB),
    _pip_step('core', 'mediapipe', 'mediapipe', GIB // 2, '--no-deps'),
    _pip_step('temporal', 'torchvision', 'torchvision', 2 * GIB),
    _pip_step('temporal', 'temporal', 'libraries of mmagic', GIB),
    Step('mmcv', 'mmcv with its operators', ('requirements/mmcv.txt',), (),
         2 * GIB, 'temporal'),
    _pip_step('temporal', 'mmagic', 'mmagic', GIB // 2, '--no-deps'),
    _pip_step('tests', 'tests', 'test tools', GIB // 2),
    Step('project', 'mmtvface itself', ('setup.py', 'mmtvface/version.py'),
         ('-e', '.', '--no-deps', '--no-build-isolation', '--use-pep517'),
         GIB // 4, 'core'),
)


def steps_of(group: str) -> list[Step]:
    """The steps of a group and of those that it builds on."""
    wanted = GROUPS[:GROUPS.index(group) + 1]
    return [step for step in STEPS if step.group in wanted]


def normalized(name: str) -> str:
    """A package name as the package index spells it."""
    return re.sub(r'[-_.]+', '-', name).lower()


def required(file: Path) -> list[str]:
    """Package names in a requirements file."""
    lines = file.read_text(encoding='utf-8').splitlines()
    names = [re.match(r'[A-Za-z0-9][\w.-]*', line) for line in lines]
    return [normalized(match.group()) for match in names if match]


def fingerprint(step: Step, root: Path, python: Interpreter) -> str:
    """Changes whenever the step has to run again."""
    digest = hashlib.sha256(f'{python.name} {step}'.encode())
    for file in step.files:
        digest.update((root / file).read_bytes())
    if step.name == 'project':
        digest.update(str(root).encode())
    return digest.hexdigest()


class Stamps:
    """What is installed already, in ``.venv/.mmtvface/<step>.json``.

    Args:
        folder: Where the stamps lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def current(self, step: Step, key: str, versions: dict) -> bool:
        """Whether a step is done and nobody changed its packages since."""
        try:
            stamp = json.loads((self.folder / f'{step.name}.json').read_text())
            if step.name == 'torch' and \
                    versions.get('torch') in torch_build.TESTED:
                # The temporal models may have asked for the other one.
                return stamp['key'] == key
            return stamp['key'] == key and all(
                versions.get(name) == version
                for name, version in stamp['packages'].items())
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False

    def write(self, step: Step, key: str, names: list, versions: dict
              ) -> None:
        """Record a finished step with the versions of its packages."""
        stamp = {'key': key, 'packages': {
            n: versions[n] for n in names if n in versions}}
        part = self.folder / f'{step.name}.part'
        part.write_text(json.dumps(stamp, indent=1))
        os.replace(part, self.folder / f'{step.name}.json')


def packages_of(step: Step, root: Path) -> list[str]:
    """Packages whose versions a step's stamp remembers."""
    if step.name == 'mmcv':
        # Compiled against one torch: another torch asks for another mmcv.
        return ['mmcv', 'torch']
    if step.name == 'project':
        return ['mmtvface']
    return required(root / step.files[0])
