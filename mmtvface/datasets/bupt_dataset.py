# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""BUPT-Balancedface as clips of K images of one identity."""

from collections.abc import Sequence
from typing import Any

from mmtvface.registry import DATASETS

from .identity_clip_dataset import IdentityClipDataset

#: Folders of the set, with about 7000 identities each.
RACES = ('African', 'Asian', 'Caucasian', 'Indian')


@DATASETS.register_module()
class BUPTDataset(IdentityClipDataset):
    """BUPT-Balancedface (Wang et al., CVPR 2020) in its published folders.

    ::

        data_root/race_per_7000/African/m.0abc1d/000001_0.jpg
        data_root/race_per_7000/African/m.0abc1d/000001_0.npy   landmarks
        data_root/race_per_7000/African/m.0abc1d/000001_0_mask.png  optional

    A list has names such as ``African/m.0abc1d/000001_0``, a row of K names
    of one identity for each item. Landmarks and masks are not part of the
    set, see :class:`VGGFace2Dataset`.

    Args:
        data_root: Folder that holds ``image_dir``.
        ann_file: See :class:`IdentityClipDataset`; there may be one list for
            each folder.
        races: Which folders to use; None uses all that are there.
        image_dir: The folder of the archive.
        **kwargs: As for :class:`IdentityClipDataset`.

    Raises:
        ValueError: If a name in ``races`` is unknown.
    """

    EXAMPLE = 'African/<identity>/<image>.jpg'
    LEVELS = 2

    def __init__(self, data_root: str, ann_file: str | Sequence[str] = '',
                 races: Sequence[str] | None = None,
                 image_dir: str = 'race_per_7000', **kwargs: Any):
        unknown = sorted(set(races or ()) - set(RACES))
        if unknown:
            raise ValueError(f'races must be some of {RACES}, but there is '
                             f'{unknown}.')
        self.races = races
        super().__init__(data_root, ann_file, image_dir, **kwargs)

    def wanted(self, identity: str) -> bool:
        """Whether the identity is in one of the chosen folders."""
        return not self.races or identity.split('/')[0] in self.races
