# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PACKAGE = REPO / 'mmtvface'
# Rooms by level: each may import those of lower levels, and siblings only
# as said below. docs/architecture says what each of them is for.
LEVELS = (
    {'utils', 'io'},
    {'geometry', 'structures'},
    {'heads'},
    {'renderers'},
    {'models', 'tracking', 'datasets', 'evaluation', 'visualization',
     'engine'},
    {'fitting'},
    {'reconstruction'},
    {'export', 'animation', 'viewer', 'dataset_tools', 'benchmarks',
     'converters'},
    {'apis', 'cli'},
)
SIBLINGS = {
    'io': {'utils'},
    'engine': {'visualization'},
    'animation': {'export'},
    'viewer': {'animation', 'export'},
    'benchmarks': {'dataset_tools', 'export'},
    'cli': {'apis'},
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


def test_every_room_has_a_level():
    rooms = [p.parent.name for p in PACKAGE.glob('*/__init__.py')]
    assert sorted(rooms) == sorted(room for level in LEVELS for room in level)


@pytest.mark.parametrize('level', range(len(LEVELS)))
def test_import_direction(level):
    below = set().union(*LEVELS[:level])
    wrong = []
    for room in LEVELS[level]:
        allowed = below | SIBLINGS.get(room, set()) | ANYWHERE | {room}
        for file in (PACKAGE / room).rglob('*.py'):
            wrong += [f'{file.relative_to(REPO)} imports {name}'
                      for name in imported(file)
                      if name.startswith('mmtvface.')
                      and name.split('.')[1] not in allowed]
    assert not wrong, wrong


def name_of(file):
    """Dotted name of a file of the package."""
    parts = file.relative_to(REPO).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def test_no_modules_import_each_other():
    """Neither directly nor through others, down to the last file."""
    files = {name_of(file): file for file in sources()
             if file.parent.name != 'weights'}
    graph = {}
    for name, file in files.items():
        targets = (target if target in files else target.rpartition('.')[0]
                   for target in imported(file))
        graph[name] = {t for t in targets if t in files} - {name}
    # Files that only import what is settled are settled.
    while done := {name for name, needs in graph.items() if not needs}:
        graph = {name: needs - done for name, needs in graph.items()
                 if name not in done}
    assert not graph, graph


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
    loaded = loaded_by(
        'import sys, runpy\n'
        f'sys.path.insert(0, {str(REPO / "tools")!r})\n'
        'for tool in ("train", "test"):\n'
        '    sys.argv = [tool, "--help"]\n'
        '    try:\n'
        f'        runpy.run_path(f"{REPO}/tools/{{tool}}.py", '
        'run_name="__main__")\n'
        '    except SystemExit as error:\n'
        '        assert not error.code')
    assert 'mmagic' not in loaded


def test_a_command_leaves_out_what_it_does_not_need():
    done = subprocess.run(
        [sys.executable, '-W', 'error', '-c', 'import sys\n'
         'from mmtvface.cli import light_start\n'
         'light_start.this_process_is_a_command()\n'
         'light_start.start_lightly()\n'
         'from mmtvface.apis import FaceReconstructor\n'
         'import mmtvface.export\n'
         'from mmtvface.tracking.detectors.mediapipe_mesh import MeshNetwork\n'
         'FaceReconstructor()\n'
         'MeshNetwork()\n'
         'print(*sys.modules)'], text=True, capture_output=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    left_out = {'torchvision', 'transformers', 'mmcv', 'mmagic', 'diffusers',
                'lmdb', 'pandas', 'matplotlib.pyplot', 'scipy.signal',
                'torch.distributed.fsdp', 'mmengine.runner', 'sympy',
                'mediapipe.tasks.python'}
    assert not loaded & left_out
    assert not done.stderr


def test_a_light_start_changes_no_result():
    found = [subprocess.run(
        [sys.executable, '-W', 'ignore', '-c',
         'from mmtvface.cli import light_start\n'
         f'{start}\n'
         'import cv2\n'
         'from mmtvface.tracking.face_tracker import FaceTracker\n'
         f'image = cv2.imread({str(REPO / "data/astronaut.jpg")!r})\n'
         'with FaceTracker() as tracker:\n'
         '    faces = tracker.update(image[..., ::-1].copy())\n'
         'print([face.landmarks.points.tolist() for face in faces])'],
        text=True, capture_output=True, check=True).stdout
        for start in ('', 'light_start.this_process_is_a_command()\n'
                      'light_start.start_lightly()')]
    assert found[0] == found[1] and len(found[0]) > 1000


def test_others_keep_whole_packages():
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c',
         'from mmtvface.cli import light_start\n'
         'light_start.start_lightly()\n'
         'from mmengine.model import MMFullyShardedDataParallel as wrapper\n'
         'import mediapipe\n'
         'print(wrapper.__module__, mediapipe.__version__)'],
        text=True, capture_output=True, check=True)
    assert 'light_start' not in done.stdout and '0.10' in done.stdout
