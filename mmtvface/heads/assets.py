# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What is known of a head, and the one place where heads come from.

A config names its head once, ``model.head``; the model hands it to its parts,
and :func:`share_settings` to metrics and data sets. A new kind of head is a
class in :mod:`mmtvface.heads.providers`.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, TypeAlias

import numpy as np
from mmengine.registry import Registry

from mmtvface.registry import DATASETS, HEADS, METRICS

from .albedo import AlbedoData
from .flame_io import HeadModelData
from .head_topology import HeadTopology
from .landmark_embedding import LandmarkEmbedding
from .old_spelling import modern_head, modern_model

#: ``dict(type='flame', root='data/flame')``, or the type alone.
HeadSpec: TypeAlias = Mapping[str, Any] | str


class HeadAssets(ABC):
    """Everything that is known of a head; what is not used is not read.

    Attributes:
        name: For messages: the type or the file.
        expression_names: Of the expression components, in the order of their
            coefficients; empty where they have none.
        scalp: (V,) bool, where hair grows; None where it is not known.
    """

    name: str
    expression_names: tuple[str, ...] = ()
    scalp: np.ndarray | None = None

    @property
    @abstractmethod
    def model(self) -> HeadModelData:
        """Mean, blend shapes and joints."""

    @property
    @abstractmethod
    def landmarks(self) -> LandmarkEmbedding:
        """The 68 landmarks on its faces."""

    @property
    @abstractmethod
    def topology(self) -> HeadTopology:
        """UV map with its masks."""

    @abstractmethod
    def albedo(self, num_components: int = 50, size: int = 256
               ) -> AlbedoData:
        """Its linear albedo model.

        Args:
            num_components: How many components, the first ones.
            size: Side of the maps, texels.

        Raises:
            ValueError: If it has fewer components.
        """


def load_head(head: HeadAssets | HeadSpec) -> HeadAssets:
    """The head that a spec names.

    Args:
        head: ``dict(type='procedural')``: the built-in head;
            ``dict(type='flame', root='data/flame')``: the files in a folder;
            the type alone, or a head, which is returned.

    Raises:
        ValueError: If there is no such type, or it has no such option.
        FileNotFoundError: If a file does not exist; many are looked for when
            they are used.
    """
    if isinstance(head, HeadAssets):
        return head
    options = dict(type=head) if isinstance(head, str) else modern_head(head)
    kind = options.pop('type', None)
    options.pop('_scope_', None)  # of configs of another package
    HEADS.import_from_location()
    provider = HEADS.module_dict.get(kind)
    if provider is None:
        raise ValueError(
            f'There is no head of the type {kind!r}, but of '
            f"{sorted(HEADS.module_dict)}: write head=dict(type='procedural')"
            " or head=dict(type='flame', root='data/flame').")
    try:
        inspect.signature(provider).bind(**options)
    except TypeError as error:
        raise ValueError(
            f"head=dict(type='{kind}') does not fit: {error}; it takes "
            f'{list(inspect.signature(provider).parameters)}.') from error
    return provider(**options)


def topology_of(head: HeadAssets | HeadTopology | HeadSpec) -> HeadTopology:
    """The topology of a head, for parts that need nothing else of it."""
    return head if isinstance(head, HeadTopology) else load_head(
        head).topology


def fill(config: Mapping[str, Any], registry: Registry,
         **shared: Any) -> dict[str, Any]:
    """A part's config with what the parts share, as far as it takes it.

    Args:
        config: With the ``type``; what is in it stays.
        registry: Of the part.
        shared: Such as ``head`` and ``image_size``.
    """
    kind = config['type']
    kind = registry.get(kind) if isinstance(kind, str) else kind
    takes = set().union(*(inspect.signature(base.__init__).parameters
                          for base in getattr(kind, '__mro__', ())[:-1]))
    return {**{name: value for name, value in shared.items()
               if name in takes}, **config}


def _data_sets(config: MutableMapping[str, Any]
               ) -> Iterator[MutableMapping[str, Any]]:
    """A data set's config, and those of the sets in it."""
    yield config
    for part in (config.get('dataset'), *(config.get('datasets') or ())):
        if isinstance(part, MutableMapping):
            yield from _data_sets(part)


def share_settings(config: MutableMapping[str, Any]) -> None:
    """Give the model's head, flame and image size to metrics and data.

    Args:
        config: Whole config; it is changed. What is given stays.
    """
    model = config.get('model') or {}
    if 'encoder' in model and 'regressor' not in model:
        model = config['model'] = modern_model(model)
    shared = {name: model[name] for name in ('head', 'flame', 'image_size')
              if name in model}
    for name in ('train', 'val', 'test'):
        parts = [(part, DATASETS) for part in
                 _data_sets(config.get(f'{name}_dataloader') or {})]
        metrics = config.get(f'{name}_evaluator') or []
        parts += [(part, METRICS) for part in (
            metrics if isinstance(metrics, list) else [metrics])]
        for part, registry in parts:
            if isinstance(part, MutableMapping) and 'type' in part:
                part.update(fill(part, registry, **shared))
