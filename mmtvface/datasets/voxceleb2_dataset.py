# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""VoxCeleb2 frames as clips."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from mmtvface.registry import DATASETS

from .clip_source import listing, read_names
from .face_clip_dataset import FaceClipDataset
from .side_files import SideFiles, folders_below, side_dirs

EXAMPLE = 'id00012/21Uxsk56VDQ/00001/0001.jpg'


def fill_gaps(images: list[str]) -> list[str]:
    """Put '' where the numbers of frames leave a gap.

    Args:
        images: Names in order, with the number of the frame as their last
            digits.

    Returns:
        The names, '' between two whose numbers differ by more than the
        commonest difference (frames may be stored at a fixed step). Names
        without numbers stay as they are.
    """
    found = [re.search(r'(\d+)\D*$', Path(name).stem) for name in images]
    if len(images) < 3 or not all(found):
        return list(images)
    numbers = [int(match[1]) for match in found]
    step = Counter(b - a for a, b in pairwise(numbers)).most_common(1)[0][0]
    out = images[:1]
    for (before, number), name in zip(pairwise(numbers), images[1:],
                                      strict=True):
        out += [name] if number - before == step else ['', name]
    return out


@DATASETS.register_module()
class VoxCeleb2Dataset(FaceClipDataset):
    """VoxCeleb2 (Chung et al., Interspeech 2018) as frames in folders.

    The published videos ``person/video/utterance.mp4`` as folders of frames::

        data_root/id00012/21Uxsk56VDQ/00001/0001.jpg
        data_root/id00012/21Uxsk56VDQ/00001/0001_kpt2d.npy   (or .npy)
        data_root/id00012/21Uxsk56VDQ/00001/0001_mask.png    optional

    Every utterance is a clip and every person an identity. The frames of a
    window follow one another in one utterance: a gap in their numbers ends a
    run. ``tools/dataset_converters/voxceleb2_to_frames.py`` unpacks the
    videos, ``annotate_faces.py`` writes landmarks and masks.

    Args:
        data_root: Folder of the people, for example ``.../dev``.
        ann_file: Text file that selects people, videos or utterances, one a
            line: ``id00012``, ``id00012/21Uxsk56VDQ`` or
            ``id00012/21Uxsk56VDQ/00001``.
        image_dir: Sub-folder of ``data_root`` with the people.
        landmark_dir: The same for a tree of landmarks; None: beside the
            images.
        mask_dir: The same for a tree of masks; None: beside the images.
        stride: Frames between the starts of windows; default 'random' in
            training (see :class:`FaceClipDataset`), since the set has some
            200 frames of each of a million utterances, and K in a test.
        **kwargs: As for :class:`FaceClipDataset`.

    Raises:
        FileNotFoundError: If the root has another layout; says what was
            looked for and what is there.
    """

    def __init__(self, data_root: str, ann_file: str = '',
                 image_dir: str = '', landmark_dir: str | None = None,
                 mask_dir: str | None = None,
                 stride: int | str | None = None, test_mode: bool = False,
                 **kwargs: Any):
        if stride is None and not test_mode:
            stride = 'random'
        super().__init__(
            data_root, ann_file, stride=stride, test_mode=test_mode,
            data_prefix=side_dirs(image_dir, landmark_dir, mask_dir),
            **kwargs)

    def _utterances(self, files: SideFiles) -> list[str]:
        """Folders person/video/utterance that have images.

        Raises:
            FileNotFoundError: If there are none.
        """
        root = Path(self.data_root) / self.data_prefix['images']
        if not root.is_dir():
            raise FileNotFoundError(
                f"data_root is not a folder: '{root}' (looked for "
                f"'{root.absolute() / EXAMPLE}').")
        if self.ann_file:
            path, starts = read_names(Path(self.data_root), self.ann_file)
            chosen = []
            for start in starts:
                start = start.strip('/')
                depth = 2 - start.count('/')
                found = [f'{start}/{inner}' for inner in
                         folders_below(root / start, depth)]
                if depth == 0 and (root / start).is_dir():
                    found = [start]
                if not found:
                    raise FileNotFoundError(
                        f"'{start}' of '{path}' is no person, video or "
                        f"utterance in '{root}'.")
                chosen += found
            return list(dict.fromkeys(chosen))
        found = list(folders_below(root, 3))
        if not any(files.images(folder) for folder in found[:20]):
            raise FileNotFoundError(
                f"{type(self).__name__} looked for '{root / EXAMPLE}', but "
                f"'{root}' has {listing(root)}{self._hint(root)}")
        return found

    @staticmethod
    def _hint(root: Path) -> str:
        """Whether the root is too high, too low or full of videos."""
        plain = SideFiles(root, side_dirs('', None, None))
        if next(root.glob('*/*/*.mp4'), None) or next(
                root.glob('mp4/*/*/*.mp4'), None):
            return (' There are videos: unpack them with python '
                    'tools/dataset_converters/voxceleb2_to_frames.py.')
        for folder in folders_below(root, 4):
            if plain.images(folder):
                first = folder.split('/')[0]
                return (' It is one level too high: use data_root='
                        f"'{root / first}'.")
        for depth, where in ((2, root.absolute().parent),
                             (1, root.absolute().parents[1])):
            for folder in folders_below(root, depth):
                if plain.images(folder):
                    return f" It is too low: use data_root='{where}'."
        return ''

    def load_clips(self, warnings: list[str]
                   ) -> Iterator[tuple[dict, list[dict]]]:
        """List the utterances and cut them into windows."""
        files = SideFiles(self.data_root, self.data_prefix)
        for folder in self._utterances(files):
            frames = files.match(folder, fill_gaps(files.images(folder)))
            clip = dict(
                clip_id=folder, identity=folder.split('/')[0],
                folder=self.data_root, frames=frames,
                prefix={kind: os.path.join(where, folder)
                        for kind, where in self.data_prefix.items()})
            yield clip, self.cut(folder, os.path.join(self.data_root, folder),
                                 frames, warnings)
