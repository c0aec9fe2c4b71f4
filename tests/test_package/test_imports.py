# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PACKAGE = REPO / 'mmtvface'
CORE = {'utils', 'geometry', 'structures'}
HEADS = CORE | {'head_models', 'renderers'}
# What each sub-package may import besides itself and the registries.
ALLOWED = {
    'utils': set(),
    'geometry': {'utils'},
    'structures': {'utils', 'geometry'},
    'head_models': CORE,
    'renderers': CORE | {'head_models'},
    'models': HEADS,
    'preprocessing': HEADS,
    'evaluation': HEADS,
    'visualization': HEADS,
    # Training and inference must crop alike.
    'datasets': HEADS | {'preprocessing'},
    'engine': HEADS | {'visualization'},
    'apis': HEADS | {'models', 'preprocessing', 'evaluation', 'engine',
                     'visualization', 'datasets'},
    'converters': HEADS | {'models', 'engine'},
    'cli': HEADS | {'apis', 'preprocessing', 'datasets', 'models'},
    'testing': HEADS | {'models', 'datasets', 'converters',
                        'preprocessing'},
}
ANYWHERE = {'registry', 'version'}
# Heavy packages, and where their import is allowed to stand.
HEAVY = ('mmagic', 'mediapipe', 'numba', 'pytorch3d', 'trimesh', 'av',
         'mmcv', 'diffusers', 'transformers')


def imported(file):
    """Absolute names of all modules that a file imports, lazily or not."""
    parts = file.relative_to(REPO).with_suffix('').parts
    for node in ast.walk(ast.parse(file.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            base = list(parts[:-node.level]) if node.level else []
            module = '.'.join(base + ([node.module] if node.module else []))
            for alias in node.names:
                yield f'{module}.{alias.name}'


def sources():
    return sorted(PACKAGE.rglob('*.py'))


def test_every_folder_has_a_rule():
    folders = {p.parent.name for p in PACKAGE.glob('*/__init__.py')}
    assert folders == set(ALLOWED)


@pytest.mark.parametrize('folder', sorted(ALLOWED))
def test_import_direction(folder):
    wrong = []
    for file in (PACKAGE / folder).rglob('*.py'):
        for name in imported(file):
            parts = name.split('.')
            if parts[0] != 'mmtvface' or len(parts) < 2:
                continue
            if parts[1] not in ALLOWED[folder] | ANYWHERE | {folder}:
                wrong.append(f'{file.relative_to(REPO)} imports {name}')
    assert not wrong, wrong


def test_only_the_propagation_knows_mmagic():
    users = {file.relative_to(PACKAGE).as_posix() for file in sources()
             if any(n.split('.')[0] == 'mmagic' for n in imported(file))}
    assert users <= {'models/encoders/propagation.py'}


def loaded_by(code):
    done = subprocess.run(
        [sys.executable, '-c', f'{code}\nimport sys\n'
         f'print(*[m for m in {HEAVY!r} if m in sys.modules])'],
        text=True, capture_output=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_by('import mmtvface, mmtvface.registry') == set()


def test_registering_everything_does_not_load_mmagic():
    loaded = loaded_by(
        'from mmtvface.utils.setup_env import register_all_modules\n'
        'register_all_modules()')
    # mmengine itself imports transformers, for an optimizer.
    assert not loaded & {'mmagic', 'mediapipe', 'pytorch3d', 'diffusers'}


def test_help_of_the_tools_does_not_load_mmagic():
    for tool in ('train', 'test'):
        loaded = loaded_by(
            'import sys, runpy\n'
            f'sys.argv = [{tool!r}, "--help"]\n'
            f'sys.path.insert(0, {str(REPO / "tools")!r})\n'
            'try:\n'
            f'    runpy.run_path({str(REPO / "tools" / tool)!r} + ".py", '
            'run_name="__main__")\n'
            'except SystemExit as error:\n'
            '    assert not error.code')
        assert 'mmagic' not in loaded
