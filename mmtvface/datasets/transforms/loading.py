# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Load the frames of a window."""

import numpy as np
from mmengine.logging import MMLogger

from mmtvface.geometry.face_mask import landmark_mask
from mmtvface.io.image import (
    decode_image,
    decode_landmarks,
    decode_mask,
    jpeg_size,
)
from mmtvface.registry import TRANSFORMS

from ..clip_store import ClipStore, FolderStore

_UNUSABLE = (OSError, ValueError, EOFError)


def decode_reduction(landmarks: np.ndarray, crop_size: int,
                     crop_scale: float) -> int:
    """How much smaller a JPEG may be decoded without loss in the crop.

    Args:
        landmarks: (t, 68, 2 or more) pixel indices; the smallest face of the
            window decides.
        crop_size: Side of the crop in pixels.
        crop_scale: Smallest side of the crop relative to the mean side of
            the landmark box.

    Returns:
        1, 2, 4 or 8: the crop has at most as many pixels as its part of the
        reduced image.
    """
    sides = np.ptp(landmarks[..., :2], 1).mean(-1)
    room = float(sides.min()) * crop_scale / crop_size
    return next((factor for factor in (8, 4, 2) if room >= factor), 1)


@TRANSFORMS.register_module()
class LoadFaceClip:
    """Read images, landmarks and masks of a window.

    Required Keys: folder, prefix, image_names, landmark_names, mask_names,
    repeated; store (optional, default folders); missing_mask (optional,
    'ignore', 'hull', 'skip' or 'error', default 'ignore', holds for
    unreadable masks too); image_size (with ``crop_scale``).

    Added Keys:
        frames: list of uint8 BGR: (H, W, 3), or reduced (H/r, W/r, 3).
        reductions: list of r, 1 or 2, 4, 8.
        frame_sizes: list of (H, W).
        landmarks: (t, 68, 3) float32 pixel indices of the original frame
            and visibility.
        masks: list of (H, W), uint8 0..255 or float32 0..1, or None.

    Args:
        strict: In test mode every window must come: unreadable frames are
            replaced by the nearest readable one with the visibility 0, and
            so are frames that were seen before, in padded and in overlapping
            windows (the images are kept, the visibility is 0, so that no
            frame is counted twice).
        crop_scale: Smallest scale of the crop that follows. JPEG frames with
            more than twice as many pixels as it needs are decoded at half
            the size or less. None always decodes the whole.
    """

    def __init__(self, strict: bool = False,
                 crop_scale: float | None = None) -> None:
        self.strict = strict
        self.crop_scale = crop_scale
        self._reported: set[str] = set()

    def __call__(self, results: dict) -> dict | None:
        """Load; None if a frame is unreadable and ``strict`` is off.

        Raises:
            ValueError: If no frame is readable and ``strict`` is on, or a
                mask is unreadable and its policy is 'error'.
        """
        store = results.get('store') or FolderStore()
        names = results['image_names']
        points = [self._load_landmarks(store, results, index)
                  for index in range(len(names))]
        known = [array for array in points if array is not None]
        if not known or (len(known) < len(points) and not self.strict):
            return self._nothing(results)
        reduction = 1 if self.crop_scale is None else decode_reduction(
            np.stack(known), results['image_size'], self.crop_scale)
        loaded: list[tuple | None] = []
        # A frame that a window repeats is decoded once.
        done: dict[str, tuple | None] = {}
        for index, name in enumerate(names):
            if name not in done:
                done[name] = None if points[index] is None else (
                    self._load_frame(store, results, index, points[index],
                                     reduction))
            loaded.append(done[name])
            if loaded[-1] is None and not self.strict:
                return None
        good = [i for i, frame in enumerate(loaded) if frame is not None]
        if not good:
            return self._nothing(results)
        nearest = [min(good, key=lambda g: abs(g - i))
                   for i in range(len(names))]
        results = dict(results)
        frames, sizes, reductions, masks = zip(
            *(loaded[i] for i in nearest), strict=True)
        landmarks = np.stack([points[i] for i in nearest])
        if self.strict:
            hidden = [i != j or repeated for i, (j, repeated) in enumerate(
                zip(nearest, results['repeated'], strict=True))]
            landmarks[hidden, :, 2] = 0
        results.update(
            frames=list(frames), frame_sizes=list(sizes),
            reductions=list(reductions), landmarks=landmarks,
            masks=None if results['mask_names'] is None else list(masks))
        return results

    def _nothing(self, results: dict) -> None:
        """None, or an error where the window must come."""
        names = results['image_names']
        if self.strict:
            raise ValueError(
                f"None of the frames {names[0]} to {names[-1]} of "
                f"'{results['folder']}' is readable; see the warnings above.")

    def _load_landmarks(self, store: ClipStore, results: dict, index: int
                        ) -> np.ndarray | None:
        """Landmarks of one frame, or None if they are unreadable."""
        clip = results['folder']
        name = _file(results, 'landmarks', index)
        try:
            return decode_landmarks(store.read(clip, name))
        except _UNUSABLE as error:
            return self._report(store.where(clip, name), error)

    def _load_frame(self, store: ClipStore, results: dict, index: int,
                    landmarks: np.ndarray, reduction: int) -> tuple | None:
        """Image, size, reduction, mask of one frame; None if unreadable."""
        clip, name = results['folder'], _file(results, 'images', index)
        try:
            data = store.read(clip, name)
            # With EXIF data the whole is decoded: where the image is turned
            # an incomplete block would come first and shift the rest.
            size = jpeg_size(data) if reduction > 1 else None
            reduction = 1 if size is None else reduction
            image = decode_image(data, reduction)
        except _UNUSABLE as error:
            return self._report(store.where(clip, name), error)
        policy = results.get('missing_mask', 'ignore')
        shape = image.shape[:2] if size is None else size
        if results['mask_names'] is None:
            return image, shape, reduction, None
        if results['mask_names'][index]:
            name = _file(results, 'masks', index)
            try:
                mask = decode_mask(store.read(clip, name), name, shape)
                return image, shape, reduction, mask
            except _UNUSABLE as error:
                place = store.where(clip, name)
                if policy == 'error':
                    raise ValueError(
                        f"Cannot use the mask '{place}': {error}.") from error
                self._report(place, error)
        if policy == 'skip':
            return None
        mask = landmark_mask(landmarks, shape) * np.uint8(255) if (
            policy == 'hull') else np.full(shape, 255, np.uint8)
        return image, shape, reduction, mask

    def _report(self, place: str, error: Exception) -> None:
        """Warn about a file, once per process."""
        if place not in self._reported:
            self._reported.add(place)
            MMLogger.get_current_instance().warning(
                f"Cannot use '{place}': {error}. So far "
                f'{len(self._reported)} unusable files in this process.')


def _file(results: dict, kind: str, index: int) -> str:
    """Name of a file within its clip."""
    name = results[{'images': 'image_names', 'landmarks': 'landmark_names',
                    'masks': 'mask_names'}[kind]][index]
    prefix = results['prefix'][kind]
    return f'{prefix}/{name}' if prefix else name
