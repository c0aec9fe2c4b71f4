# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Albedo and light of a face from the colours of its frames.

Under spherical harmonics the colour of a vertex is its albedo, which is linear
in the albedo code, times its shading, which is linear in the light. With the
geometry known, each of the two is a small linear least-squares problem when
the other is kept, with the regressed codes as the prior.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import torch
import torch.nn.functional as F

from mmtvface.geometry.camera import project
from mmtvface.geometry.lighting import NUM_SH_BANDS, SH_FACTORS, sh_basis
from mmtvface.geometry.mesh import vertex_normals
from mmtvface.heads import FLAME
from mmtvface.heads.flame_texture import FLAMETexture
from mmtvface.renderers.mesh_renderer import MeshRenderer, uv_to_grid

#: Standard deviations after which a moving average ends.
REACH = 3

# A light that is so many times the usual one of its track is no light.
_WILD = 3.
_FACING = .3  # least cosine between a normal and the direction of view


@dataclass(frozen=True)
class AppearanceSettings:
    """What is believed about colours and codes.

    Attributes:
        rounds: Albedo and light are solved in turn so often.
        color: Standard deviation of colours [0, 1] from the model's.
        points: Vertices whose errors are as good as independent; more of
            them are worth no more than so many.
        huber: Deviations from which on a colour is taken for that of
            something else, and counts less.
        albedo: Standard deviation of the regressed albedo coefficients.
        light: The same of the coefficients of the light.
        light_sigma: Frames over which the correction of the light is a
            moving average, as a Gaussian: what comes and goes with single
            frames is noise.
        albedo_frames: Most frames, spread over a track, that the albedo is
            solved on.
        vertices: Most vertices that are looked at.
    """

    rounds: int = 3
    color: float = .08
    points: int = 60
    huber: float = 1.
    albedo: float = .7
    light: float = .5
    light_sigma: float = 12.
    albedo_frames: int = 40
    vertices: int = 500


class Seen(NamedTuple):
    """Colours of vertices in some frames, and how they face.

    Attributes:
        colors: (T, P, 3) RGB in [0, 1].
        visible: (T, P) bool.
        harmonics: (T, P, 9) what the light is multiplied by.
    """

    colors: torch.Tensor
    visible: torch.Tensor
    harmonics: torch.Tensor


class FaceColors:
    """Vertices of the face with their albedo.

    Args:
        flame: Head model on the CPU.
        texture: Albedo model on the CPU.
        renderer: With the UV map of both, on the CPU.
        settings: Default: :class:`AppearanceSettings`.
    """

    def __init__(self, flame: FLAME, texture: FLAMETexture,
                 renderer: MeshRenderer,
                 settings: AppearanceSettings | None = None) -> None:
        self.settings = settings or AppearanceSettings()
        self._flame, self._faces = flame, renderer.faces
        # A vertex at a seam of the UV map has several places; any will do.
        uv = renderer.uv_coords.new_zeros(len(flame.v_template.view(3, -1).T),
                                          2)
        uv[renderer.faces.flatten()] = renderer.uv_coords[
            renderer.uv_faces.flatten()]
        grid = uv_to_grid(uv)[None, None]
        inside = F.grid_sample(renderer.uv_face_eye_mask.float(), grid,
                               align_corners=False)[0, 0, 0]
        # Vertices crowd around eyes, lips and nostrils; each counts by the
        # surface that it stands for.
        area = _vertex_areas(flame.v_template.view(3, -1).T, renderer.faces)
        area = torch.where(inside > .9, area, 0)
        self._points = area.topk(min(
            int((area > 0).sum()), self.settings.vertices)).indices
        self._share = area[self._points] / area[self._points].mean()
        side = texture.size
        maps = torch.cat([texture.mean[None], texture.basis]).view(
            -1, 3, side, side)
        albedo = F.grid_sample(
            maps, grid[:, :, self._points].expand(len(maps), -1, -1, -1),
            align_corners=False)[:, :, 0].mT
        self.mean, self.basis = albedo[0], albedo[1:]

    def albedo(self, code: torch.Tensor) -> torch.Tensor:
        """(P, 3) RGB of the vertices under an albedo code (K,)."""
        return self.mean + torch.einsum(
            'k,kpc->pc', code[:len(self.basis)], self.basis)

    @torch.no_grad()
    def look(self, codes: Mapping[str, torch.Tensor], crops: torch.Tensor,
             bounds: torch.Tensor | None = None) -> Seen:
        """Where the vertices are, and which colours are there.

        Those between the landmarks count: beyond them is hair.

        Args:
            codes: Name -> (T, ...), cameras of these crops.
            crops: (T, 3, S, S) RGB in [0, 1].
            bounds: (T, 4) left, top, right and bottom of what the crops show
                of their frames, NDC; default: all of it.
        """
        head = self._flame(codes['shape'], codes['exp'], codes['pose'])
        normals = vertex_normals(head.vertices, self._faces)[:, self._points]
        place = project(head.vertices[:, self._points],
                        codes['cam'])[..., :2]
        inside = _inside(project(head.landmarks2d, codes['cam'])[..., :2],
                         place)
        colors = F.grid_sample(crops, place[:, :, None],
                               align_corners=False)[..., 0].mT
        factors = torch.tensor(SH_FACTORS)
        harmonics = sh_basis(normals).mT * factors
        visible = inside & (normals[..., 2] > _FACING) & (
            place.abs() < 1).all(-1) & (codes['cam'][:, :1] > 0)
        if bounds is not None:
            visible &= ((place > bounds[:, None, :2])
                        & (place < bounds[:, None, 2:])).all(-1)
        visible &= harmonics.isfinite().all(-1) & colors.isfinite().all(-1)
        hidden = ~visible[..., None]
        return Seen(colors.masked_fill(hidden, 0), visible,
                    harmonics.masked_fill(hidden, 0))

    def error(self, seen: Seen, tex: torch.Tensor,
              light: torch.Tensor) -> torch.Tensor:
        """(T,) mean absolute colour difference; NaN where nothing is seen.

        Args:
            seen: Frames.
            tex: (K,) albedo code.
            light: (T, 9, 3).
        """
        gap = (self.albedo(tex) * (seen.harmonics @ light)
               - seen.colors).abs().mean(-1)
        share = seen.visible * self._share
        return (gap * share).sum(1) / share.sum(1)

    def _weights(self, seen: Seen, model: torch.Tensor) -> torch.Tensor:
        """(T, P) inverse variances, of Huber's function; finite."""
        settings = self.settings
        gap = (model - seen.colors).norm(dim=-1) / settings.color
        robust = (settings.huber / gap.clamp(min=1e-6)).clamp(max=1)
        count = seen.visible.sum(1, keepdim=True).clamp(min=1)
        worth = (settings.points / count).clamp(max=1) / settings.color**2
        return torch.where(seen.visible & robust.isfinite(),
                           self._share * robust * worth, 0)

    def solve_light(self, seen: Seen, tex: torch.Tensor, light: torch.Tensor,
                    prior: torch.Tensor, sigma: float = 0.) -> torch.Tensor:
        """Light (T, 9, 3) of frames, their albedo kept.

        Args:
            seen: Frames.
            tex: (K,) albedo code.
            light: (T, 9, 3), by which outliers are known.
            prior: (T, 9, 3) expected.
            sigma: Frames over which the equations of what differs from
                ``prior`` are averaged, if they follow one another.
        """
        albedo = self.albedo(tex)
        weights = self._weights(seen, albedo * (seen.harmonics @ light))
        rest = seen.colors - albedo * (seen.harmonics @ prior)
        precision = self.settings.light**-2 * torch.eye(NUM_SH_BANDS)
        new = prior.clone()
        for channel in range(3):
            rows = seen.harmonics * albedo[:, channel, None]
            weighted = (rows * weights[..., None]).mT
            sums = torch.cat([weighted @ rows,
                              weighted @ rest[..., channel, None]], 2)
            if sigma:
                sums = _moving_average(sums.flatten(1), sigma).view_as(sums)
            new[..., channel] += torch.linalg.solve(
                sums[..., :-1] + precision, sums[..., -1])
        return torch.where(new.isfinite(), new, prior)

    def solve_albedo(self, seen: Seen, tex: torch.Tensor, light: torch.Tensor,
                     prior: torch.Tensor) -> torch.Tensor:
        """Albedo code (K,) of frames, their light kept.

        Args:
            seen: Frames.
            tex: (K,), by which outliers are known.
            light: (T, 9, 3).
            prior: (K,) expected.
        """
        shading = seen.harmonics @ light
        weights = self._weights(seen, self.albedo(tex) * shading)[..., None]
        # Errors of one place are much the same in all frames.
        weights = weights / max(1, len(shading))
        # The frames share the basis: only their sums are needed.
        square = (weights * shading.square()).sum(0)
        mixed = (weights * shading * (
            seen.colors - shading * self.mean)).sum(0)
        precision = self.settings.albedo**-2
        count = len(self.basis)
        matrix = torch.einsum('kpc,pc,lpc->kl', self.basis, square,
                              self.basis) + precision * torch.eye(count)
        right = torch.einsum('kpc,pc->k', self.basis, mixed) + (
            precision * prior[:count])
        return torch.cat([torch.linalg.solve(matrix, right), prior[count:]])

    def fit(self, seen: Seen, tex: torch.Tensor, light: torch.Tensor
            ) -> torch.Tensor:
        """The albedo code (K,) that fits to frames under light of their own.

        Args:
            seen: Frames of one face.
            tex: (K,) regressed albedo code.
            light: (T, 9, 3) regressed lights.
        """
        size = light.flatten(1).norm(dim=1)
        usual = size <= _WILD * size.nanmedian()
        seen = Seen(*(part[usual] for part in seen))
        prior, light = tex, light[usual]
        lit = light
        for _ in range(self.settings.rounds):
            lit = self.solve_light(seen, tex, lit, light)
            tex = self.solve_albedo(seen, tex, lit, prior)
        return tex if tex.isfinite().all() else prior

    def relight(self, seen: Seen, tex: torch.Tensor, light: torch.Tensor
                ) -> torch.Tensor:
        """The lights (T, 9, 3) of frames that follow one another.

        Args:
            seen: Frames.
            tex: (K,) albedo code.
            light: (T, 9, 3) regressed lights; their own changes stay.
        """
        new = light
        for _ in range(self.settings.rounds):
            new = self.solve_light(seen, tex, new, light,
                                   self.settings.light_sigma)
        return new


def _moving_average(values: torch.Tensor, sigma: float) -> torch.Tensor:
    """(T, C) averaged over T by a Gaussian that ends with the values."""
    reach = min(len(values) - 1, int(REACH * sigma))
    steps = torch.arange(-reach, reach + 1)
    kernel = torch.exp(-(steps / sigma)**2 / 2)[None, None]
    ones = values.new_ones(1, 1, len(values))
    total = F.conv1d(values.T[:, None], kernel, padding=reach)
    return (total / F.conv1d(ones, kernel, padding=reach))[:, 0].T


def _vertex_areas(vertices: torch.Tensor, faces: torch.Tensor
                  ) -> torch.Tensor:
    """(V,) a third of the area of the triangles around each vertex."""
    a, b, c = vertices[faces].unbind(1)
    third = torch.linalg.cross(b - a, c - a).norm(dim=-1) / 6
    return vertices.new_zeros(len(vertices)).index_add_(
        0, faces.flatten(), third.repeat_interleave(3))


def _inside(landmarks: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """(T, P) whether points (T, P, 2) are in the hulls of (T, 68, 2)."""
    found = torch.zeros(places.shape[:2], dtype=torch.bool)
    for row, points, outline in zip(found, places.double(),
                                    landmarks.double(), strict=True):
        if not outline.isfinite().all():
            continue
        corners = torch.from_numpy(cv2.convexHull(
            outline.float().numpy())[:, 0]).double()
        side = corners.roll(-1, 0) - corners
        away = points[:, None] - corners
        cross = side[:, 0] * away[..., 1] - side[:, 1] * away[..., 0]
        row[:] = (cross >= 0).all(1) | (cross <= 0).all(1)
    return found
