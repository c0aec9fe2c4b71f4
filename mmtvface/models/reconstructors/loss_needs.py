# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What the losses of a reconstructor read, and what has to be there for it."""

from collections.abc import Iterable, Mapping

from torch import nn

from mmtvface.models.losses.landmark import LOCATED

# Outputs that only a render can give.
RENDERED = frozenset({
    'rendered_images', 'alpha', 'face_mask', 'albedo_images', 'shading',
    'overlay_images', 'normals', 'depth'
})
# Outputs that need the albedo map.
TEXTURED = frozenset({
    'albedo', 'rendered_images', 'albedo_images', 'overlay_images',
    'uv_images'
})
# Outputs through which the detail branch learns, and all of its stage.
DETAILED = frozenset({'displacement', 'uv_normals', 'uv_shading',
                      'uv_images'})
DETAIL_STAGE = DETAILED | {'face_mask_uv'}
# Outputs and targets that need the coarse surface in the atlas.
SHADED = frozenset({'uv_normals', 'uv_shading', 'uv_images'})
SAMPLED = frozenset({'uv_images', 'uv_visibility'})
# Targets made of the true head, vertices and displacement.
TRUE_SURFACE = frozenset({'uv_normals'})

Losses = Mapping[str, nn.Module]


def needed_outputs(losses: Losses) -> set[str]:
    """Keys of outputs that some loss reads."""
    return {key for loss in losses.values() for key in loss.requires}


def needed_targets(losses: Losses) -> set[str]:
    """Keys of targets without which some loss is undefined."""
    return {key for loss in losses.values() for key in loss.requires_targets}


def _readers(losses: Losses, keys: Iterable[str]) -> list[str]:
    keys = set(keys)
    return [name for name, loss in losses.items()
            if keys & {*loss.requires, *loss.requires_targets}]


def check_parts(losses: Losses, parts: Mapping[str, nn.Module | None]) -> None:
    """Raise where a loss needs a part that is not there.

    Args:
        losses: Name -> loss.
        parts: ``renderer`` and ``texture``.

    Raises:
        ValueError: Naming the losses and the part.
    """
    needed = needed_outputs(losses)
    for part, keys in (('renderer', RENDERED), ('texture', TEXTURED)):
        if needed & keys and parts[part] is None:
            raise ValueError(
                f'TemporalDECA: the losses {_readers(losses, needed & keys)} '
                f'need a {part}; configure {part}=dict(...) or leave them '
                'out.')


def check_seen(losses: Losses, head: nn.Module, encoder: nn.Module,
               stage: str) -> None:
    """Raise where something is read that nobody gives, or nobody trains.

    Raises:
        ValueError: Naming who reads, and the option.
    """
    readers = _readers(losses, ['landmark_log_sigma'])
    if readers and getattr(head, 'uncertainty', None) is None:
        raise ValueError(
            f'TemporalDECA: the losses {readers} learn uncertainties of the '
            'landmarks, which the head does not give; configure '
            'regressor=dict(landmark_uncertainty=True) or leave them out.')
    readers = _readers(losses, LOCATED)
    if getattr(head, 'feedback', None):
        readers.append('feedback of the head')
    if readers and not getattr(encoder, 'with_landmarks', False):
        raise ValueError(
            f'TemporalDECA: {readers} read landmarks that the encoder '
            'locates, but it locates none; configure encoder='
            'dict(with_landmarks=True) or leave them out.')
    if (losses and stage == 'coarse' and getattr(head, 'feedback', None)
            and not _readers(losses, ['located_landmarks'])):
        raise ValueError(
            'TemporalDECA: no loss trains the landmarks that the feedback of '
            "the head reads; add losses=dict(located=dict(type="
            "'LocatedLandmarkLoss')).")
    if losses and stage == 'coarse' and getattr(encoder, 'close_looks', 0.):
        lacking = [name for name in LOCATED if not _readers(losses, [name])]
        if lacking:
            raise ValueError(
                'TemporalDECA: with close looks of the encoder, losses train '
                'what is located before and after them, but there is none on '
                f"{lacking}; add losses=dict(name=dict(type="
                f"'LocatedLandmarkLoss', source='{lacking[0]}')).")


def check_stage(losses: Losses, stage: str) -> None:
    """Raise where a loss cannot work in a stage.

    Args:
        losses: Name -> loss.
        stage: ``'coarse'`` or ``'detail'``.

    Raises:
        ValueError: Naming the losses and what they read.
    """
    if stage == 'coarse':
        late = _readers(losses, DETAIL_STAGE | SAMPLED | TRUE_SURFACE)
        if late:
            raise ValueError(
                f'TemporalDECA: the losses {late} are on the detail, which '
                "is only trained with stage='detail'; leave them out of the "
                'coarse stage.')
        return
    idle = [name for name, loss in losses.items()
            if not set(loss.requires) & DETAILED]
    if idle:
        raise ValueError(
            f'TemporalDECA: the losses {idle} do not depend on the detail, '
            "so that they have no gradient with stage='detail', where all "
            'else is frozen; leave them out (losses=dict(_delete_=True, '
            '...) or None for each of them).')
    for name, loss in losses.items():
        lacking = sorted(set(loss.requires) - DETAIL_STAGE)
        if lacking:
            raise ValueError(
                f"TemporalDECA: the loss '{name}' reads {lacking}, but with "
                "stage='detail' there are only the outputs "
                f'{sorted(DETAIL_STAGE)}.')
