# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What a reconstructor makes of a batch, for losses to read.

Every output is a property, computed when it is first read and kept: what no
loss reads is not computed, and nothing has to say beforehand what it needs. A
new output is one property here, a new loss one file that reads properties.
What outputs are compared with is in :mod:`mmtvface.models.targets`.

Below, B is the number of frames, clip by clip: c * n * t for n clips of t
frames and c copies. There is a second copy where frames of a clip exchange
codes (shape or detail consistency); it follows the first one.
"""

from collections.abc import Mapping
from functools import cached_property

import torch
from torch import nn
from torch.nn import functional as F

from mmtvface.geometry.lighting import sh_shading
from mmtvface.renderers.detail_surface import SurfaceMaps
from mmtvface.renderers.mesh_renderer import RenderOutput
from mmtvface.utils.checks import check_shape
from mmtvface.utils.host_sync import upload

from .encoders import ClipEncoder, LandmarkLocator


class Unavailable(ValueError):
    """What a loss reads is not there.

    The message goes on where "The loss 'name' " ends.
    """


def random_exchange(num_clips: int, num_frames: int) -> torch.Tensor:
    """A random permutation of the t frames of each of n clips.

    Drawn on the CPU from torch's global generator, whatever the device, so
    that a seed gives the same exchange everywhere and a restored generator
    state continues it.

    Returns:
        (n * t,) index of the frame that lends its code, within its clip.
    """
    order = torch.rand(num_clips, num_frames).argsort(1)
    start = torch.arange(num_clips)[:, None] * num_frames
    return (order + start).flatten()


def append_exchanged(codes: Mapping[str, torch.Tensor], exchange: torch.Tensor,
                     name: str = 'shape') -> dict[str, torch.Tensor]:
    """Codes of the frames, then of the same frames with another's shape.

    The frames of a clip show one person: with the shape code of another
    frame, each must still explain its own image (DECA, Feng et al., SIGGRAPH
    2021, section 4.1, "shape consistency loss", here by data doubling as in
    its published code).

    Args:
        codes: Name -> (B, ...).
        exchange: (B,) index of the frame that lends its code.
        name: The code that is exchanged.

    Returns:
        Name -> (2 * B, ...); all but ``name`` are the same twice.
    """
    exchange = upload(exchange, codes[name].device)
    return {
        key: torch.cat([code, code[exchange] if key == name else code])
        for key, code in codes.items()
    }


def expression_landmarks(flame: nn.Module, expression: torch.Tensor,
                         pose: torch.Tensor) -> torch.Tensor:
    """(B, 68, 3) fixed landmarks of the mean head with expressions, metres.

    Args:
        flame: The head model.
        expression: (B, E).
        pose: (B, 6), of which the jaw is used: the head looks ahead.
    """
    jaw = torch.cat([torch.zeros_like(pose[:, :3]), pose[:, 3:]], 1)
    mean = expression.new_zeros(len(expression), flame.num_shape)
    return flame(mean, expression, jaw).landmarks3d


def neutral_landmarks(flame: nn.Module, shape: torch.Tensor) -> torch.Tensor:
    """(B, 68, 3) fixed landmarks of neutral heads, metres."""
    ahead = torch.eye(3, dtype=shape.dtype, device=shape.device).expand(
        len(shape), 3, 3)
    return flame.vertices_to_landmarks(flame.neutral(shape), ahead)[1]


def repeat_copies(values: torch.Tensor, copies: int) -> torch.Tensor:
    """What is the same for all copies: (n * t, ...) -> (B, ...)."""
    return values if copies == 1 else torch.cat([values] * copies)


def _texture(model: nn.Module) -> nn.Module:
    if model.texture is None:
        raise Unavailable('needs a texture; configure texture=dict(...)')
    return model.texture


def for_losses(values: torch.Tensor) -> torch.Tensor:
    """The same values for losses, where other outputs are made of them too.

    A tensor sums the gradients of its readers in the reverse order of their
    making, and sums depend on the order. Losses share one reader, so that
    what they have computed in between changes no bit.
    """
    return values.view_as(values)


class CoarseOutputs:
    """Codes of a batch, and what follows from them and from the features.

    Args:
        model: A :class:`~.reconstructors.TemporalDECA`.
        images: (n, t, 3, H, W) RGB [0, 1].
        flat: (n, t, total) code vectors.
        features: (n, t, C) that they were regressed from.

    Attributes:
        codes: Name -> (B, C); ``light`` (B, 9, 3).
        num_frames: t.
        num_copies: c.
    """

    def __init__(self, model: nn.Module, images: torch.Tensor,
                 flat: torch.Tensor, features: torch.Tensor) -> None:
        self._model, self._images = model, images
        self._flat, self._features = flat, features
        num_clips, self.num_frames = flat.shape[:2]
        self.num_copies = 1
        self._codes = model.layout.split(flat.flatten(0, 1))
        if model.shape_consistency and self.num_frames > 1:
            self.num_copies = 2
            self._codes = append_exchanged(
                self._codes, random_exchange(num_clips, self.num_frames))
        self._geometry = model.decode(self._codes)
        self.codes = {name: for_losses(code)
                      for name, code in self._codes.items()}
        self._vertices = for_losses(self._geometry['vertices'])

    @property
    def vertices(self) -> torch.Tensor:
        """(B, V, 3) metres, model space: with head and jaw rotation."""
        return self._vertices

    @cached_property
    def neutral_vertices(self) -> torch.Tensor:
        """(B, V, 3) metres, of the shape alone: no expression, no pose."""
        return self._model.flame.neutral(self._codes['shape'])

    @cached_property
    def neutral_landmarks(self) -> torch.Tensor:
        """(B, 68, 3) metres, fixed points of the neutral heads."""
        return neutral_landmarks(self._model.flame, self._codes['shape'])

    @cached_property
    def expression_landmarks(self) -> torch.Tensor:
        """(B, 68, 3) metres: expression and jaw on the mean head, ahead."""
        return expression_landmarks(
            self._model.flame, self._codes['exp'], self._codes['pose'])

    @property
    def landmarks2d(self) -> torch.Tensor:
        """(B, 68, 2) NDC, with the contour that is seen from the camera."""
        return self._geometry['landmarks2d']

    @property
    def landmarks3d(self) -> torch.Tensor:
        """(B, 68, 3) NDC, fixed points of the surface."""
        return self._geometry['landmarks3d']

    @cached_property
    def landmark_log_sigma(self) -> torch.Tensor:
        """(B, 68) logarithm of the expected landmark errors in NDC."""
        values = self._model.regressor.landmark_log_sigma(
            self._features.float())
        if values is None:
            raise Unavailable(
                'learns uncertainties of the landmarks, which the '
                'regressor does not give; configure '
                'regressor=dict(landmark_uncertainty=True)')
        return repeat_copies(values.flatten(0, 1), self.num_copies)

    def _located(self, first: bool) -> torch.Tensor:
        encoder = self._model.encoder
        if not (isinstance(encoder, ClipEncoder) and encoder.with_landmarks):
            raise Unavailable(
                'reads landmarks that the encoder locates, but it locates '
                'none; configure encoder=dict(with_landmarks=True)')
        values = LandmarkLocator.read(self._features.float(), first)
        return repeat_copies(values.flatten(0, 1), self.num_copies)

    @cached_property
    def located_landmarks(self) -> torch.Tensor:
        """(B, 68, 3) NDC x, y and spread of what the encoder located."""
        return self._located(first=False)

    @cached_property
    def located_first(self) -> torch.Tensor:
        """(B, 68, 3) the same before the encoder's close looks."""
        return self._located(first=True)

    @cached_property
    def albedo(self) -> torch.Tensor:
        """(B, 3, S, S) RGB, UV map."""
        texture = _texture(self._model)
        # It does not depend on the shape: once for all copies.
        own = self._model.layout.split(self._flat.flatten(0, 1))['tex']
        return repeat_copies(texture(own), self.num_copies)

    @cached_property
    def _render(self) -> RenderOutput:
        model = self._model
        if model.renderer is None:
            raise Unavailable('needs a renderer; configure '
                              'renderer=dict(...)')
        # Without an albedo there are masks and normals, but no colours.
        colors = {} if model.texture is None else dict(
            albedo=self.albedo, light=self._codes['light'])
        return model.renderer.render(
            self._geometry['vertices'], self._geometry['vertices_ndc'],
            image_size=tuple(self._images.shape[-2:]), **colors)

    @property
    def _colored_render(self) -> RenderOutput:
        _texture(self._model)
        return self._render

    @property
    def rendered_images(self) -> torch.Tensor:
        """(B, 3, H, W) RGB, albedo times shading; black where no head is."""
        return self._colored_render.image

    @property
    def albedo_images(self) -> torch.Tensor:
        """(B, 3, H, W) RGB without light."""
        return self._colored_render.albedo

    @property
    def shading(self) -> torch.Tensor:
        """(B, 3, H, W) what the light multiplies the albedo by."""
        return self._colored_render.shading

    @property
    def alpha(self) -> torch.Tensor:
        """(B, 1, H, W) 1 where a head is drawn, else 0."""
        return self._render.alpha

    @property
    def face_mask(self) -> torch.Tensor:
        """(B, 1, H, W) 0..1, face and eyes; a constant."""
        return self._render.face_mask

    @property
    def normals(self) -> torch.Tensor:
        """(B, 3, H, W) of model space, zero where no head is."""
        return self._render.normals

    @property
    def depth(self) -> torch.Tensor:
        """(B, 1, H, W) NDC z, nearer is smaller; 0 where no head is."""
        return self._render.depth

    @cached_property
    def overlay_images(self) -> torch.Tensor:
        """(B, 3, H, W) RGB, the input with its face replaced by the render.

        Albedo and light are constants, so that only the shape is seen by a
        loss on the overlay.
        """
        images = repeat_copies(self._images.flatten(0, 1), self.num_copies)
        shading = sh_shading(self.normals.flatten(2).mT,
                             self._codes['light'].detach())
        shading = shading.mT.unflatten(2, images.shape[-2:])
        albedo = F.grid_sample(self.albedo.detach(), self._render.uv_grid,
                               align_corners=False)
        mask = self.face_mask
        return albedo * shading * mask + images * (1 - mask)


class CoarseSurface:
    """The head below the detail of n * t frames: frozen, without graph.

    Args:
        model: A :class:`~.reconstructors.TemporalDECA` with a detail branch.
        flat: (n, t, total) code vectors.

    Attributes:
        codes: Name -> (n * t, C).
    """

    def __init__(self, model: nn.Module, flat: torch.Tensor) -> None:
        self._model = model
        self.codes = model.layout.split(flat.flatten(0, 1))

    @cached_property
    @torch.no_grad()
    def geometry(self) -> dict[str, torch.Tensor]:
        """See :meth:`~.reconstructors.TemporalDECA.decode`."""
        return self._model.decode(self.codes)

    @cached_property
    @torch.no_grad()
    def maps(self) -> SurfaceMaps:
        """The surface in the UV map."""
        return self._model.detail.surface.maps(self.geometry['vertices'])

    @cached_property
    @torch.no_grad()
    def albedo(self) -> torch.Tensor:
        """(n * t, 3, S, S) RGB, UV map of the size of the detail's maps."""
        albedo = _texture(self._model)(self.codes['tex'])
        size = self._model.detail.size
        check_shape(
            f'The albedo (detail.surface.size is {size}, texture.size must '
            'be the same)', albedo, (len(albedo), 3, size, size))
        return albedo


class DetailOutputs:
    """Displacement of a batch and the surface that it makes, as UV maps.

    Only the detail codes and what follows from them have copies: the head,
    its albedo and its light are computed once, without graph.

    Args:
        model: A :class:`~.reconstructors.TemporalDECA` with a detail branch.
        flat: (n, t, total) code vectors.
        detail: (n, t, num_detail) detail codes.

    Attributes:
        coarse: The head of the n * t frames, of all copies.
        num_frames: t.
        num_copies: c.
    """

    def __init__(self, model: nn.Module, flat: torch.Tensor,
                 detail: torch.Tensor) -> None:
        self._branch = model.detail
        self.coarse = CoarseSurface(model, flat)
        num_clips, self.num_frames = detail.shape[:2]
        self.num_copies = 1
        self._codes = dict(
            pose=self.coarse.codes['pose'], exp=self.coarse.codes['exp'],
            detail=detail.flatten(0, 1))
        if model.detail_consistency and self.num_frames > 1:
            self.num_copies = 2
            self._codes = append_exchanged(
                self._codes, random_exchange(num_clips, self.num_frames),
                'detail')

    @cached_property
    def _displacement(self) -> torch.Tensor:
        return self._branch.decode(self._codes)

    @cached_property
    def displacement(self) -> torch.Tensor:
        """(B, 1, S, S) metres along the normal, before any mask."""
        return for_losses(self._displacement)

    @property
    def face_mask_uv(self) -> torch.Tensor:
        """(1, 1, S, S) 0..1 where face and eyes are."""
        return self._branch.surface.uv_face_eye_mask

    @cached_property
    def _normals(self) -> torch.Tensor:
        return self._branch.surface.normals(
            self._displacement, self.coarse.maps)

    @cached_property
    def uv_normals(self) -> torch.Tensor:
        """(B, 3, S, S) normals of the detailed surface, about unit length."""
        return for_losses(self._normals)

    @cached_property
    def _shading(self) -> torch.Tensor:
        light = self.coarse.codes['light'].repeat(self.num_copies, 1, 1)
        shading = sh_shading(self._normals.flatten(2).mT, light)
        return shading.mT.unflatten(2, self._normals.shape[-2:])

    @cached_property
    def uv_shading(self) -> torch.Tensor:
        """(B, 3, S, S) light on the detailed surface."""
        return for_losses(self._shading)

    @cached_property
    def uv_images(self) -> torch.Tensor:
        """(B, 3, S, S) RGB, albedo (a constant) times shading."""
        shading = self._shading.unflatten(0, (self.num_copies, -1))
        return (self.coarse.albedo * shading).flatten(0, 1)
