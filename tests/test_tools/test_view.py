# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import importlib
import struct
from pathlib import Path

import numpy as np
import pytest

from mmtvface.io.video_writer import write_video

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def tool():
    return importlib.import_module('mmtvface.cli.view')


@pytest.fixture
def result(tmp_path):
    """Codes, an empty head and a video; the page does not look into it."""
    folder = tmp_path / 'result'
    (folder / 'glb').mkdir(parents=True)
    np.savez(folder / 'codes.npz', shape=np.zeros((3, 4)),
             exp=np.zeros((3, 5)), pose=np.zeros((3, 6)),
             cam=np.ones((3, 3)))
    (folder / 'glb' / 'track0.glb').write_bytes(
        struct.pack('<4s2I', b'glTF', 2, 12))
    write_video(folder / 'overlay.mp4', np.zeros((3, 32, 32, 3), np.uint8))
    return folder


def test_a_page_beside_the_result(tool, result, capsys):
    assert tool.main([str(result), '--input', str(result / 'overlay.mp4'),
                      '--height', '16', '--every', '2']) == 0
    page = result / 'view.html'
    assert f'{page}: 3 frames, 1 face tracks' in capsys.readouterr().out
    assert page.read_text(encoding='utf-8').count('/9j/') == 2  # JPEGs


def test_errors_are_one_sentence(tool, result, tmp_path, capsys):
    out = tmp_path / 'page.html'
    for arguments, message in (
            ([str(tmp_path / 'nowhere')], 'mmtvface reconstruct INPUT'),
            ([str(result)], 'Give it by --input'),
            ([str(result), '--input', str(result / 'overlay.mp4'),
              '--max-mb', '.1', '--out', str(out)], 'larger than 0.1 MB')):
        assert tool.main(arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith('error: ') and message in error
        assert error.count('\n') == 1
    assert not out.exists()
    with pytest.raises(SystemExit):
        tool.parse_args([str(result), '--every', '0'])
