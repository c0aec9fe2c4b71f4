# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""From images and videos to animatable faces, and to files."""

import contextlib
import copy
import inspect
import os
import shutil
import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from mmtvface.export.save import saving
from mmtvface.export.writer import OutputSettings
from mmtvface.geometry.camera import pixel_to_ndc
from mmtvface.geometry.crop import transform_points
from mmtvface.reconstruction.face_reconstructor import Reconstructor
from mmtvface.reconstruction.model_setup import choose_model
from mmtvface.reconstruction.results import FrameResult
from mmtvface.reconstruction.settings import InputSettings, ReconstructSettings
from mmtvface.structures import FaceClipSample
from mmtvface.tracking.frame_source import FrameSource, open_frames
from mmtvface.tracking.shots import Progress
from mmtvface.utils.atomic import writable_dir
from mmtvface.utils.packaged_model import packaged_models
from mmtvface.utils.settings import all_options, default_of, from_keywords

Input = str | os.PathLike | np.ndarray | Sequence[np.ndarray] | FrameSource

#: Folder in ``out_dir`` of what an interrupted run can go on from.
RESUME = '.resume'
# The order of settings behind the device when they were positional.
_POSITIONAL = ('clip_length', 'overlap', 'crop_scale', 'crop_sigma',
               'batch_size', 'faces', 'fill_gaps', 'detector', 'identity',
               'refine', 'smooth', 'restore')


class FaceReconstructor(Reconstructor):
    """Reconstruct the face in every frame of one input or several.

    ::

        reconstructor = FaceReconstructor()  # the model of the package
        for result in reconstructor('video.mp4'):
            if result.valid:
                result.vertices, result.codes, result.landmarks2d, ...

        for result in reconstructor(['a.mp4', 'b.mp4'], out_dir='heads'):
            print(result.source, result.name)  # its files are written

    Results come while the input is worked on, at any length of it; how, is
    said at :class:`~mmtvface.reconstruction.face_reconstructor.Reconstructor`.

    Args:
        config: Name of a model of :meth:`list_models`, config file, or a
            config that is loaded already. Default: the model that is part of
            the package.
        checkpoint: Weights for a config; read without running code from the
            file.
        device: Default: 'cuda' if there is one, else 'cpu'.
        model: The same as ``config``, as inferencers of OpenMMLab call it.
        settings: All options at once, instead of single ones.
        options: Of :class:`~mmtvface.reconstruction.settings.
            ReconstructSettings`, which says what they mean: ``clip_length``,
            ``overlap``, ``single_frame``, ``batch_size``, ``restore``,
            ``detector``, ``faces``, ``fill_gaps``, ``crop_scale``,
            ``crop_sigma``, ``identity``, ``refine``, ``smooth``. The options
            of ``mmtvface reconstruct`` are the same.

    Raises:
        FileNotFoundError: If a config or checkpoint does not exist.
        ImportError: If the package of the detector is not installed.
        TypeError: If there is no such option.
        ValueError: If a value is not allowed, they do not fit together, or
            only one of config and checkpoint is given.
    """

    def __init__(self, config: str | os.PathLike | Config | None = None,
                 checkpoint: str | os.PathLike | None = None,
                 device: str | torch.device | None = None, *positional: Any,
                 model: str | os.PathLike | Config | None = None,
                 settings: ReconstructSettings | None = None,
                 **options: Any) -> None:
        if positional:
            warnings.warn('Give settings by their names: FaceReconstructor('
                          'config, checkpoint, device, clip_length=...).',
                          DeprecationWarning, stacklevel=2)
            given = dict(zip(_POSITIONAL, positional, strict=False))
            if len(positional) > len(given) or given.keys() & options.keys():
                raise TypeError('There are more positional settings than '
                                f'{_POSITIONAL}, or some are given twice.')
            options |= given
        if model is not None and config is not None:
            raise ValueError('Give model or config, which are the same, not '
                             'both.')
        if settings is None:
            # Wrong options are an error before a model is built.
            settings = from_keywords(ReconstructSettings,
                                     options | dict(device=device))
        elif options or device is not None:
            raise ValueError('Give settings, or single options, not both.')
        super().__init__(*choose_model(model if config is None else config,
                                       checkpoint), settings)

    @staticmethod
    def list_models() -> list[str]:
        """Names of the models whose weights are part of the package."""
        return packaged_models()

    @property
    def faces(self) -> np.ndarray:
        """Earlier name of :attr:`triangles`."""
        warnings.warn('FaceReconstructor.faces is now triangles.',
                      DeprecationWarning, stacklevel=2)
        return self.triangles

    def __call__(self, inputs: Input | Sequence[str | os.PathLike] | None
                 = None, independent: bool = False,
                 progress: Progress | None = None,
                 resume: str | os.PathLike | bool | None = None, *,
                 fps: float | None = None,
                 out_dir: str | os.PathLike | None = None,
                 return_datasamples: bool = False,
                 source: Input | None = None,
                 journal: str | os.PathLike | None = None,
                 **output: Any) -> Iterator[FrameResult | FaceClipSample]:
        """Reconstruct one input, or several one after the other.

        Args:
            inputs: Image, folder of images, clip folder (``jpg/``,
                ``kpt/``), video, or uint8 RGB arrays; see
                :func:`mmtvface.tracking.frame_source.open_frames`. Or
                several paths.
            independent: The frames do not follow one another: each is
                reconstructed by itself.
            progress: Called with the step, frames done and in all (0:
                unknown), by several threads.
            resume: Folder in which faces and codes are noted as they are
                found. Called again with the same input and options, after
                an interruption, the reconstruction goes on from there. Delete
                it when the results are safe. True: a folder in ``out_dir``
                that is deleted at the end; False: the same, begun anew.
            fps: Frames per second, for filters and videos; default: as the
                input, or 25.
            out_dir: Folder for files, written while results are taken, see
                :func:`~mmtvface.export.save.save_results`; of several inputs,
                each has a folder of its own in it, named after it.
            return_datasamples: Yield a :class:`FaceClipSample` of one frame
                instead, see :func:`to_datasample`; frames without a face are
                left out.
            source: Earlier name of ``inputs``.
            journal: Earlier name of ``resume``.
            output: With ``out_dir``: ``save``, ``texture_size`` and
                ``max_grid_rows`` of :class:`~mmtvface.export.writer.
                OutputSettings`.

        Yields:
            One result per frame, in order; with ``faces='all'`` one per face,
            those of a frame one after the other. ``valid`` is False where
            there is no face or no image, ``source`` says which input it is.

        Raises:
            FileNotFoundError: If an input does not exist.
            ValueError: If it cannot be read at all, no frame has a face, an
                option is not allowed, or there is a folder to resume from for
                frames that are no files.
            ImportError: If faces must be found and mediapipe is missing.
        """
        for old, new, value, given in (
                ('source', 'inputs', source, inputs),
                ('journal', 'resume', journal, resume)):
            if value is not None:
                if given is not None:
                    raise TypeError(f"Give '{new}', not '{old}' as well.")
                warnings.warn(f"The argument '{old}' is now '{new}'.",
                              DeprecationWarning, stacklevel=2)
        inputs = source if inputs is None else inputs
        resume = journal if resume is None else resume
        if inputs is None:
            raise TypeError('There is no input: give a path, or arrays.')
        reading = InputSettings(fps, independent)
        if output and out_dir is None:
            raise ValueError(f'{sorted(output)} have no effect without '
                             'out_dir.')
        settings = from_keywords(OutputSettings, output)
        if not (isinstance(inputs, list | tuple) and inputs and all(
                isinstance(one, str | os.PathLike) for one in inputs)):
            return _flat([self._one(open_frames(inputs), reading, progress,
                                    out_dir, resume, settings)],
                         return_datasamples)
        if resume not in (None, False, True):
            raise ValueError('Of several inputs, resume must be True, with '
                             'an out_dir.')
        # All of them must exist before one is worked on.
        sources = [open_frames(one) for one in inputs]
        folders = [out_dir and Path(out_dir) / name
                   for name in _folder_names(inputs)]
        return _flat((self._one(frames, reading, progress, folder, resume,
                                settings) for frames, folder in zip(
                                    sources, folders, strict=True)),
                     return_datasamples)

    def write(self, inputs: Input, out_dir: str | os.PathLike,
              independent: bool = False, progress: Progress | None = None,
              resume: str | os.PathLike | bool | None = None,
              fps: float | None = None, **output: Any) -> dict[str, Any]:
        """Reconstruct one input into files; arguments as of a call.

        Returns:
            What :func:`~mmtvface.export.save.save_results` returns.
        """
        results = self._one(
            open_frames(inputs), InputSettings(fps, independent), progress,
            out_dir, resume, from_keywords(OutputSettings, output))
        while True:
            try:
                next(results)
            except StopIteration as end:
                return end.value

    def _one(self, frames: FrameSource, reading: InputSettings,
             progress: Progress | None, out_dir: str | os.PathLike | None,
             resume: str | os.PathLike | bool | None, output: OutputSettings
             ) -> Generator[FrameResult, None, dict[str, Any] | None]:
        """Results of one input, each written before it is yielded."""
        if reading.fps:
            frames = copy.copy(frames)  # the caller may go on with it
            frames.fps = reading.fps
        own = None
        if resume in (True, False):
            if resume and out_dir is None:
                raise ValueError('resume=True needs an out_dir; or give the '
                                 'folder to resume from.')
            if out_dir and (resume or frames.fingerprint() is not None):
                own = writable_dir(out_dir) / RESUME
            if own and not resume:
                shutil.rmtree(own, ignore_errors=True)
            resume = own
        results = _named(super().__call__(
            frames, reading.independent, progress, resume), frames.name)
        if out_dir is not None:
            results = saving(
                results, frames, out_dir, self.build_painter(
                    output.texture_size), output.save, output.max_grid_rows,
                self.report)
        return _tidied(results, own)


def _named(results: Generator[FrameResult, None, None], source: str
           ) -> Iterator[FrameResult]:
    """Results that say which input they are of."""
    with contextlib.closing(results):
        for result in results:
            yield replace(result, source=source)


def _tidied(results: Generator[FrameResult, None, Any], own: Path | None
            ) -> Generator[FrameResult, None, Any]:
    """Results; at the end nothing is left to resume from."""
    with contextlib.closing(results):
        saved = yield from results
    if own:
        shutil.rmtree(own, ignore_errors=True)
    return saved


def _flat(inputs: Iterable[Generator[FrameResult, None, Any]],
          datasamples: bool) -> Iterator[FrameResult | FaceClipSample]:
    """Results of one input after the other."""
    for results in inputs:
        with contextlib.closing(results):
            for result in results:
                if not datasamples:
                    yield result
                elif result.valid:
                    yield to_datasample(result)


def _folder_names(inputs: Sequence[str | os.PathLike]) -> list[str]:
    """A name for each input, those of the same name numbered."""
    names: list[str] = []
    for path in inputs:
        stem = Path(path).stem or 'input'
        count = sum(name == stem or name.startswith(f'{stem}_')
                    for name in names)
        names.append(f'{stem}_{count + 1}' if stem in names else stem)
    return names


def to_datasample(result: FrameResult) -> FaceClipSample:
    """A result in the form that models and metrics know.

    Args:
        result: A valid one.

    Returns:
        Predictions of a clip of one frame, tensors (1, ...); landmarks are
        in NDC of the crop. Meta information: ``clip_id`` (the input),
        ``frame_names``, ``image_size``, ``ori_shape``, ``crop_matrices``
        (1, 3, 3) and ``track_id``.
    """
    size = result.crop_size

    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.asarray(array, np.float32))[None]

    def in_crop(points: np.ndarray) -> torch.Tensor:
        return tensor(pixel_to_ndc(transform_points(
            points[:, :2], result.crop_matrix), size))

    sample = FaceClipSample(metainfo=dict(
        clip_id=result.source, frame_names=[result.frame_name],
        image_size=(size, size), ori_shape=result.frame_size,
        crop_matrices=result.crop_matrix[None], track_id=result.track_id))
    zoom = np.sqrt(abs(np.linalg.det(result.crop_matrix[:2, :2])))
    depth = tensor(result.landmarks3d[:, 2:] * zoom * 2 / size)
    sample.set_data(dict(
        pred_codes={name: tensor(code)
                    for name, code in result.codes.items()},
        pred_vertices=tensor(result.vertices),
        pred_landmarks2d=in_crop(result.landmarks2d),
        pred_landmarks3d=torch.cat([in_crop(result.landmarks3d), depth], -1)))
    if result.displacement is not None:
        sample.set_data(dict(
            pred_displacement=tensor(result.displacement)[None]))
    return sample


def _signature() -> inspect.Signature:
    """The signature with all settings, for help and editors."""
    given = list(inspect.signature(
        FaceReconstructor.__init__).parameters.values())
    shown = [one for one in given[1:] if one.kind not in (
        one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    names = {one.name for one in shown}
    return inspect.Signature([*shown, *(
        inspect.Parameter(entry.name, inspect.Parameter.KEYWORD_ONLY,
                          default=default_of(entry), annotation=entry.type)
        for entry in all_options(ReconstructSettings)
        if entry.name not in names)])


FaceReconstructor.__signature__ = _signature()
