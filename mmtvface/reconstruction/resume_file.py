# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What a reconstruction has found so far, for one that goes on from there."""

import contextlib
import json
import os
from collections.abc import Mapping
from typing import Any

from mmengine.logging import print_log

from mmtvface.tracking.face_log import FaceLog
from mmtvface.utils.atomic import atomic_path, writable_dir

from .code_log import CodeLog

_KEY, _FACES, _CODES = 'key.json', 'faces.jsonl', 'codes.bin'
_VERSION = 4


class RunJournal:
    """Files to which faces and codes are appended as they are found.

    A process that is killed loses at most the window in work: an incomplete
    last line or record is cut off when the journal is opened again. A journal
    of another input, model or option is begun anew, and codes that make no
    sense are found anew. Who is done with it deletes the folder.

    A context manager.

    Args:
        folder: Of the journal; it is made.
        key: Everything that the faces and codes depend on, fit for JSON.

    Attributes:
        folder: The folder.
        faces: Of all frames.
        codes: As the model gave them.

    Raises:
        ValueError: If the folder cannot be written to.
    """

    def __init__(self, folder: str | os.PathLike,
                 key: Mapping[str, Any]) -> None:
        self.folder = writable_dir(folder)
        key = json.loads(json.dumps(dict(key, version=_VERSION)))
        before = self._read_key()
        if before != key:
            if before is not None:
                changed = sorted(name for name in key if not isinstance(
                    before, dict) or before.get(name) != key[name])
                print_log(
                    f'What {self.folder} has of an interrupted run does not '
                    f'fit, since this one has another {", ".join(changed)}: '
                    'everything is found anew.', logger='current', level=30)
            for name in (_FACES, _CODES):
                (self.folder / name).unlink(missing_ok=True)
            with atomic_path(self.folder / _KEY) as part:
                part.write_text(json.dumps(key), encoding='utf-8')
        self.faces = FaceLog(self.folder / _FACES)
        self.codes = CodeLog(self.folder / _CODES)

    def _read_key(self) -> Any:
        with contextlib.suppress(OSError, ValueError):
            return json.loads((self.folder / _KEY).read_text('utf-8'))
        return None

    def __enter__(self) -> 'RunJournal':
        return self

    def __exit__(self, *_: object) -> None:
        self.faces.close()
        self.codes.close()
