# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Load the frames of a window."""

from pathlib import Path

import numpy as np
from mmengine.logging import MMLogger

from mmtvface.preprocessing.face_mask import landmark_mask
from mmtvface.registry import TRANSFORMS

from ..frame_io import read_image, read_landmarks, read_mask


@TRANSFORMS.register_module()
class LoadFaceClip:
    """Read images, landmarks and masks of a window.

    Required Keys: folder, prefix, image_names, landmark_names, mask_names,
    repeated.

    Added Keys:
        frames: list of (H, W, 3) uint8 BGR.
        landmarks: (t, 68, 3) float32 pixel indices and visibility.
        masks: list of (H, W) float32 0..1, or None.

    Args:
        missing_mask: 'ignore' (all ones), 'hull' (of the landmarks, with
            the lower forehead), 'skip' or 'error'; holds
            for missing and for unreadable masks.
        strict: In test mode every window must come: unreadable frames are
            replaced by the nearest readable one with the visibility 0, and
            so are frames that were seen before, in padded and in overlapping
            windows (the images are kept, the visibility is 0, so that no
            frame is counted twice).
    """

    def __init__(self, missing_mask: str = 'ignore', strict: bool = False):
        self.missing_mask = missing_mask
        self.strict = strict
        self._reported: set[str] = set()

    def __call__(self, results: dict) -> dict | None:
        """Load; None if a frame is unreadable and ``strict`` is off.

        Raises:
            ValueError: If no frame is readable and ``strict`` is on, or a
                mask is unreadable and its policy is 'error'.
        """
        loaded = []
        names = results['image_names']
        for index in range(len(names)):
            loaded.append(self._load_frame(results, index))
            if loaded[-1] is None and not self.strict:
                return None
        good = [i for i, frame in enumerate(loaded) if frame is not None]
        if not good:
            raise ValueError(
                f"None of the frames {names[0]} to {names[-1]} of "
                f"'{results['folder']}' is readable; see the warnings above.")
        nearest = [min(good, key=lambda g: abs(g - i))
                   for i in range(len(names))]
        results = dict(results)
        results['frames'] = [loaded[i][0] for i in nearest]
        landmarks = np.stack([loaded[i][1] for i in nearest])
        if self.strict:
            hidden = [i != j or repeated for i, (j, repeated) in enumerate(
                zip(nearest, results['repeated'], strict=True))]
            landmarks[hidden, :, 2] = 0
        results['landmarks'] = landmarks
        results['masks'] = None
        if results['mask_names'] is not None:
            results['masks'] = [loaded[i][2] for i in nearest]
        return results

    def _load_frame(self, results: dict, index: int) -> tuple | None:
        """Image, landmarks, mask of one frame, or None if unreadable."""
        folder, prefix = Path(results['folder']), results['prefix']
        path = folder / prefix['images'] / results['image_names'][index]
        try:
            image = read_image(path)
            path = (folder / prefix['landmarks'] /
                    results['landmark_names'][index])
            landmarks = read_landmarks(path)
        except (OSError, ValueError, EOFError) as error:
            return self._report(path, error)
        if results['mask_names'] is None:
            return image, landmarks, None
        name, shape = results['mask_names'][index], image.shape[:2]
        if name:
            path = folder / prefix['masks'] / name
            try:
                return image, landmarks, read_mask(path, shape)
            except (OSError, ValueError, EOFError) as error:
                if self.missing_mask == 'error':
                    raise ValueError(
                        f"Cannot use the mask '{path}': {error}.") from error
                self._report(path, error)
        if self.missing_mask == 'skip':
            return None
        if self.missing_mask == 'hull':
            hull = landmark_mask(landmarks, shape)
            return image, landmarks, hull.astype(np.float32)
        return image, landmarks, np.ones(shape, np.float32)

    def _report(self, path: Path, error: Exception) -> None:
        """Warn about a file, once per process."""
        if str(path) not in self._reported:
            self._reported.add(str(path))
            MMLogger.get_current_instance().warning(
                f"Cannot use '{path}': {error}. So far "
                f'{len(self._reported)} unusable files in this process.')
