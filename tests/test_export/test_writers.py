# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""A kind of output is one file: everything else is read from the registry."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.toy_pictures import find_bright_boxes, picture

from mmtvface.apis import FaceReconstructor, save_results
from mmtvface.cli import reconstruct as command
from mmtvface.export import writer as registry
from mmtvface.export.writer import (
    DEFAULT_KINDS,
    PARTS,
    all_kinds,
    check_kinds,
    kinds_table,
    needs_images,
)
from mmtvface.renderers import MeshRenderer
from mmtvface.visualization import PICTURES, FramePainter

REPO = Path(__file__).resolve().parents[2]
TOY = '''
from mmtvface.export.writer import Writer, register


@register('names', 'names.txt', 'names of the frames with a face',
          requires=['albedo'], requires_image=False)
class NameWriter(Writer):
    def __init__(self, target, kind):
        super().__init__(target, kind)
        self.path = target.out_dir / kind.files
        self.names = []

    def add(self, frame):
        if frame.result.valid:
            self.names.append(frame.result.name)

    def finish(self):
        self.path.write_text(' '.join(self.names))
        return True
'''


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A file with a writer, as somebody else may have one."""
    monkeypatch.setattr(registry, '_KINDS', dict(all_kinds()))
    (tmp_path / 'toy_name_writer.py').write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, 'toy_name_writer', raising=False)
    return importlib.import_module('toy_name_writer')


def test_a_new_kind_is_one_file(toy, shared_model_files, tmp_path, capsys):
    assert list(all_kinds())[-1] == 'names'
    assert ('| `names` | `names.txt` | names of the frames with a face | an '
            'albedo model |') in kinds_table()
    with pytest.raises(SystemExit):
        command.parse_args(['--help'])
    text = capsys.readouterr().out
    assert '  names             names.txt: names of the frames with' in text
    assert '(needs an albedo model)' in ' '.join(text.split())
    args = command.parse_args(['a.mp4', '--save', 'names', 'codes'])
    assert args.settings.output.save == ('names', 'codes')
    assert check_kinds(['names']) == ('names', )
    reconstructor = FaceReconstructor(*shared_model_files, device='cpu',
                                      detector=find_bright_boxes)
    painter = reconstructor.build_painter()
    assert not needs_images(['names', 'codes'], painter)
    frames = [picture(), picture(side=0), picture()]
    saved = save_results(reconstructor(frames), frames, tmp_path / 'out',
                         painter, ['names'])
    assert Path(saved['files']['names']).read_text() == '000000 000002'
    bare = FramePainter(painter.renderer)
    with pytest.raises(ValueError, match="save 'names'.* no albedo model"):
        check_kinds(['names'], bare)


def test_names_and_parts_are_checked(toy):
    with pytest.raises(ValueError, match="'codes' is registered already"):
        registry.register('codes', 'x', 'y')(toy.NameWriter)
    with pytest.raises(ValueError, match="requires {'hair'}.*albedo"):
        registry.register('hair', 'x', 'y', requires=['hair'])(
            toy.NameWriter)


def test_tables_in_the_docs_are_those_of_the_registry():
    table = kinds_table()
    header = table.splitlines()[0]
    texts = [path.read_text(encoding='utf-8') for path in (
        REPO / 'README.md', *(REPO / 'docs').rglob('*.md'))]
    shown = [text for text in texts if header in text]
    assert shown and all(table in text for text in shown)


def test_what_is_registered_fits_to_the_painter(shared_model_files):
    kinds = all_kinds()
    assert set(DEFAULT_KINDS) < set(kinds) and set(PICTURES) < set(kinds)
    painter = FramePainter(FaceReconstructor(
        *shared_model_files, device='cpu').build_renderer())
    assert all(painter.missing(part) for part in PARTS)
    for kind in kinds.values():
        if kind.picture:
            assert (PICTURES[kind.picture], ) == (kind.requires or ('', ))
        assert kind.help == kind.help.strip(' .')
    assert isinstance(painter.renderer, MeshRenderer)


def test_an_earlier_name_warns():
    with pytest.warns(DeprecationWarning, match="'comparison_video'"):
        assert check_kinds(['side_video']) == ('comparison_video', )
    with pytest.warns(DeprecationWarning):
        args = command.parse_args(['a.mp4', '--save', 'side_video'])
    assert args.settings.output.save == ('comparison_video', )


def test_help_is_quick():
    """It loads nothing heavy, whatever the writers need later."""
    for arguments in (['reconstruct'], ['animate', 'transfer'], ['view']):
        code = ('import sys\nfrom mmtvface.cli.main import main\n'
                f'try: main({[*arguments, "--help"]!r})\n'
                'except SystemExit: pass\n'
                'print([m for m in ("torch", "cv2", "mmengine", "av", '
                '"scipy") if m in sys.modules])')
        done = subprocess.run([sys.executable, '-c', code], text=True,
                              capture_output=True, check=True)
        assert done.stdout.splitlines()[-1] == '[]', arguments
        assert 'usage: ' in done.stdout


def test_files_while_results_are_taken(shared_model_files, tmp_path):
    """Who stops in the middle has the files of what came before."""
    reconstructor = FaceReconstructor(*shared_model_files, device='cpu',
                                      detector=find_bright_boxes)
    frames = [picture(x=30 + i) for i in range(4)]
    results = reconstructor(frames, out_dir=tmp_path, save=('obj', 'codes'))
    assert next(results).name == '000000'
    assert (tmp_path / 'meshes/000000.obj').is_file()
    results.close()
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    assert metrics['frames'] == 1
    assert metrics['stopped'].startswith('GeneratorExit')
    assert (tmp_path / 'codes.npz').is_file()
