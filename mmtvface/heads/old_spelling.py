# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Configs and weights of release 0.1, with a head in every part of the model.

They are read with a warning for one release; then this file goes.
"""

import warnings
from collections.abc import Mapping, MutableMapping
from typing import Any

from mmtvface.registry import HEADS

#: Old key of a file -> the option of ``head=dict(type='flame')``.
_FILES = {
    'model_path': 'model', 'landmark_embedding_path': 'landmarks',
    'path': 'albedo', 'texture_path': 'albedo', 'template_path': 'template',
    'uv_face_mask_path': 'uv_face_mask',
    'uv_face_eye_mask_path': 'uv_face_eye_mask',
    'fixed_displacement_path': 'fixed_displacement'}
_BUILT_IN = 'procedural'


def _warn(old: str, new: str) -> None:
    warnings.warn(
        f'{old} is an old spelling, which the next release will not read any '
        f'more: write {new}.', DeprecationWarning, stacklevel=4)


def _pop_files(part: MutableMapping[str, Any], keys: tuple[str, ...]
               ) -> dict[str, Any]:
    """Take the old names of files out of a part's config."""
    found = {}
    for key in keys:
        value = part.pop(key, None)
        if key == 'topology' and isinstance(value, Mapping):
            found |= {_FILES[name]: path for name, path in value.items()}
        elif value is not None:
            found[_FILES.get(key, 'template')] = value
    return found


def _head(files: Mapping[str, Any]) -> dict[str, Any]:
    """The spec of a head that was given by its files."""
    files = {key: str(path) for key, path in files.items()
             if str(path) != _BUILT_IN}
    if not files:
        return dict(type=_BUILT_IN)
    return dict(type='flame', root='.', **files)


def modern_head(head: Mapping[str, Any]) -> dict[str, Any]:
    """A spec, or the old ``head`` of a data set as one."""
    head = dict(head)
    old = [key for key in (*_FILES, 'topology') if key in head]
    if 'type' in head or not old:
        return head
    spec = _head(_pop_files(head, (*_FILES, 'topology')))
    _warn(f'head=dict({old[0]}=...)', f'head={spec}')
    return spec | head


def modern_model(model: Mapping[str, Any]) -> dict[str, Any]:
    """A model's config with ``head`` and ``regressor``.

    Args:
        model: Config of a :class:`TemporalDECA`; it is not changed. Other
            models come back as they are.
    """
    model = dict(model)
    head = model.get('head')
    if isinstance(head, Mapping) and 'type' in head:
        HEADS.import_from_location()
        if head['type'] not in HEADS.module_dict:
            _warn(f"head=dict(type='{head['type']}')", 'regressor=dict(...)')
            model['regressor'] = model.pop('head')
    files: dict[str, Any] = {}
    for name, keys in (('flame', ('model_path', 'landmark_embedding_path')),
                       ('texture', ('path', )), ('renderer', ('topology', ))):
        if any(key in (model.get(name) or {}) for key in keys):
            model[name] = dict(model[name])
            files |= _pop_files(model[name], keys)
    detail = model.get('detail')
    if isinstance(detail, Mapping):
        detail = model['detail'] = dict(detail)
        if 'head' in detail and 'regressor' not in detail:
            _warn('detail=dict(head=...)', 'detail=dict(regressor=...)')
            detail['regressor'] = detail.pop('head')
        if 'topology' in (detail.get('surface') or {}):
            detail['surface'] = dict(detail['surface'])
            files |= _pop_files(detail['surface'], ('topology', ))
    if files:
        model['head'] = _head(files)
        _warn('flame=dict(model_path=...), texture=dict(path=...), '
              'renderer=dict(topology=...)', f"head={model['head']} once")
    return model


def rename_old_weights(state: MutableMapping[str, Any],
                       prefix: str = '') -> None:
    """Rename weights of the regressors, which were called heads, in place.

    Args:
        state: Weights of a model by name.
        prefix: Of the names of that model's weights.
    """
    for part in (f'{prefix}head.', f'{prefix}detail.head.'):
        for name in [name for name in state if name.startswith(part)]:
            state[part.replace('head.', 'regressor.')
                  + name.removeprefix(part)] = state.pop(name)
