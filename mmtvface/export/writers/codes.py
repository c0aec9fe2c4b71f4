# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Numbers as files: codes, landmarks, everything for MATLAB."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mmtvface.io.column_store import ColumnStore, blank_like
from mmtvface.utils.atomic import atomic_path

from ..writer import Kind, Target, Writer, register, result_dir

if TYPE_CHECKING:
    from mmtvface.reconstruction.results import FrameResult

    from ..painted_frame import PaintedFrame

_PLACED = ('camera', 'crop_matrix', 'landmarks2d', 'landmarks3d',
           'visible2d', 'visible3d', 'detection')


def result_arrays(result: 'FrameResult') -> dict[str, Any]:
    """What ``codes.npz`` tells of a result; None where it has nothing."""
    return dict(
        result.codes,
        **{name: getattr(result, name) for name in _PLACED},
        frame_size=np.array(result.frame_size or (0, 0)),
        frame_name=result.frame_name, result_name=result.name,
        frame_index=result.index, status=result.status,
        track_id=result.track_id, valid=result.valid,
        time=np.nan if result.time is None else float(result.time))


def stack_results(results: 'Sequence[FrameResult]'
                  ) -> dict[str, np.ndarray]:
    """Arrays over all T results; NaN where a frame has none.

    There is one result per frame, or, where all faces are reconstructed,
    one per face: then successive rows have the same ``frame_index``.

    Args:
        results: At least one.

    Returns:
        Every code by its name, (T, C) (light (T, 9, 3)); ``camera``
        (T, 3, 4), ``crop_matrix`` (T, 3, 3), ``landmarks2d`` and
        ``detection`` (T, 68, 2), ``landmarks3d`` (T, 68, 3), all in pixels
        of the frames as in :class:`FrameResult`; ``visible2d`` and
        ``visible3d`` (T, 68) bool, False where there is no result;
        ``frame_size`` (T, 2) height and width, 0 if unreadable;
        ``frame_name``, ``frame_index``, ``result_name`` (unique),
        ``status``, ``track_id``, ``valid`` (T,); ``time`` (T,) seconds since
        the first frame, NaN where frames come evenly.
    """
    rows = [result_arrays(result) for result in results]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: _stack([row.get(name) for row in rows]) for name in names}


def _stack(values: Sequence[Any]) -> np.ndarray:
    """Stack, NaN (False) in place of None; (T, 0) if all are None."""
    like = next((value for value in values if value is not None), None)
    if like is None:
        return np.full((len(values), 0), np.nan)
    if not isinstance(like, np.ndarray):
        return np.array(values)
    blank = blank_like(like)
    return np.stack([blank if value is None else value for value in values])


@register('codes', 'codes.npz',
          'codes, cameras and landmarks of all frames', requires_image=False)
class CodeWriter(Writer):
    """``codes.npz``: :func:`stack_results` and ``fps``.

    Rows wait on the disk, some kilobytes each, and not in memory.
    """

    def __init__(self, target: Target, kind: Kind) -> None:
        super().__init__(target, kind)
        self.path = target.out_dir / 'codes.npz'
        self._rows = ColumnStore(target.out_dir)

    def add(self, frame: 'PaintedFrame') -> None:
        """Keep the codes of a result, without its large arrays."""
        self._rows.append(result_arrays(frame.result))

    def finish(self) -> bool:
        """Write the codes of all results."""
        with self._rows as rows:
            if not len(rows):
                return False
            with atomic_path(self.path) as path:
                rows.save(path, fps=self.target.fps)
        return True


@register('landmarks', 'landmarks/<name>_kpt2d.npy, _kpt3d.npy, .txt',
          '2D and 3D landmarks with visibility, pixels of the frame',
          requires_image=False)
class LandmarkWriter(Writer):
    """``landmarks/<frame>_kpt2d`` and ``_kpt3d``, ``.npy`` and ``.txt``.

    The 68 landmarks in pixels of the frame: x, y, visible (0 or 1),
    and x, y, depth, visible. The files fit into the ``kpt`` of a clip folder.
    """

    def __init__(self, target: Target, kind: Kind) -> None:
        super().__init__(target, kind)
        self.path = result_dir(target.out_dir, kind.name, ('.npy', '.txt'))

    def add(self, frame: 'PaintedFrame') -> None:
        """Write the landmarks of a frame."""
        result = frame.result
        if not result.valid:
            return
        for name, points, visible in (
                ('kpt2d', result.landmarks2d, result.visible2d),
                ('kpt3d', result.landmarks3d, result.visible3d)):
            rows = np.column_stack([points, visible])
            stem = f'{result.name}_{name}'
            with atomic_path(self.path / f'{stem}.npy') as path:
                np.save(path, rows)
            with atomic_path(self.path / f'{stem}.txt') as path:
                np.savetxt(path, rows, ['%.4f'] * points.shape[1] + ['%d'])


@register('mat', 'mat/<name>.mat',
          'everything known of a frame, for MATLAB', requires_image=False)
class MatWriter(Writer):
    """``mat/<result>.mat``: everything that is known of a frame.

    All codes by their names, ``vertices`` (V, 3) metres,
    ``vertices_image`` (V, 3), ``camera`` (3, 4), ``crop_matrix`` (3, 3),
    ``landmarks2d``, ``landmarks3d``, ``visible2d``, ``visible3d``,
    ``detection``, ``displacement`` (S, S) if there is one, ``faces`` (F, 3)
    *counted from 1* as MATLAB does, ``frame_name``, ``result_name``,
    ``frame_size`` (height and width), ``track_id``. Pixels count from 0.
    """

    def __init__(self, target: Target, kind: Kind) -> None:
        super().__init__(target, kind)
        self.path = result_dir(target.out_dir, kind.name, ('.mat', ))

    def add(self, frame: 'PaintedFrame') -> None:
        """Write what is known of a frame."""
        from scipy.io import savemat
        result = frame.result
        if not result.valid:
            return
        names = ('vertices', 'vertices_image', *_PLACED, 'displacement')
        values = {name: getattr(result, name) for name in names}
        content = dict(
            result.codes,
            **{name: value for name, value in values.items()
               if value is not None},
            faces=frame.painter.renderer.faces.cpu().numpy() + 1.,
            frame_name=result.frame_name, result_name=result.name,
            frame_size=np.array(result.frame_size),
            track_id=result.track_id)
        with atomic_path(self.path / f'{result.name}.mat') as path:
            savemat(path, content, do_compression=True)
