# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Registers everything of mmtvface, for scripts and other projects."""

import datetime
import importlib
import warnings

from mmengine.registry import DefaultScope

SCOPE = 'mmtvface'
REGISTERING = ('mmtvface.heads', 'mmtvface.renderers',
               'mmtvface.models', 'mmtvface.datasets', 'mmtvface.evaluation',
               'mmtvface.engine', 'mmtvface.visualization',
               'mmtvface.benchmarks.synthtv')


def register_all_modules(init_default_scope: bool = True) -> None:
    """Import every module that registers something.

    mmagic is not imported here; a temporal model does it when it is built.

    Args:
        init_default_scope: Make ``mmtvface`` the default scope, so that
            ``type='FLAME'`` means ``mmtvface.FLAME``. A scope that another
            project has set is replaced with a warning, because types
            without a scope would otherwise be looked for over there.
    """
    for module in REGISTERING:
        importlib.import_module(module)
    if not init_default_scope:
        return
    current = DefaultScope.get_current_instance()
    if current is None:
        DefaultScope.get_instance(SCOPE, scope_name=SCOPE)
    elif current.scope_name != SCOPE:
        warnings.warn(
            f'The default scope "{current.scope_name}" is replaced by '
            f'"{SCOPE}". Call register_all_modules(init_default_scope=False)'
            ' to keep it.', stacklevel=2)
        # Instances are kept by name for ever: a new one needs a new name.
        name = f'{SCOPE}-{datetime.datetime.now():%Y%m%d%H%M%S%f}'
        DefaultScope.get_instance(name, scope_name=SCOPE)
