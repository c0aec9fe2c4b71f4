# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Layout of the per-frame code vector."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch


@dataclass(frozen=True)
class FlameCodeLayout:
    """Names, order and sizes of the codes in the flat vector.

    The order is that of the coarse encoder of DECA (Feng et al., SIGGRAPH
    2021): shape, albedo ("tex"), expression ("exp"), pose (global and jaw
    axis-angle, radians), cam (scale, tx, ty), light (9 SH bands x RGB).

    Examples:
        >>> layout = FlameCodeLayout()
        >>> layout.total
        236
        >>> codes = layout.split(torch.zeros(2, 236))
        >>> codes['shape'].shape, codes['light'].shape
        (torch.Size([2, 100]), torch.Size([2, 9, 3]))
    """

    shape: int = 100
    tex: int = 50
    exp: int = 50
    pose: int = 6
    cam: int = 3
    light: int = 27

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes by name, in order."""
        return asdict(self)

    @property
    def total(self) -> int:
        """Length of the flat vector."""
        return sum(self.sizes.values())

    def split(self, flat: torch.Tensor) -> dict[str, torch.Tensor]:
        """Split (..., total) into named codes; light becomes (..., 9, 3).

        Raises:
            ValueError: If the last axis is not ``total`` long.
        """
        if flat.shape[-1] != self.total:
            raise ValueError(
                f'A code vector of this layout has {self.total} entries '
                f'{self.sizes}, but the last axis of {tuple(flat.shape)} has '
                f'{flat.shape[-1]}.')
        parts = dict(
            zip(self.sizes, flat.split(list(self.sizes.values()), -1),
                strict=True))
        if self.light:
            parts['light'] = parts['light'].unflatten(-1, (9, 3))
        return parts

    def join(self, codes: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Inverse of :meth:`split`.

        Raises:
            ValueError: If a code is missing or has another size.
        """
        parts = []
        for name, size in self.sizes.items():
            if name not in codes:
                raise ValueError(f"The code '{name}' is missing; there are "
                                 f'{sorted(codes)}.')
            code = codes[name]
            if name == 'light' and size:
                code = code.flatten(-2)
            if code.shape[-1] != size:
                raise ValueError(f"The code '{name}' must have {size} "
                                 f'entries, but it is {tuple(code.shape)}.')
            parts.append(code)
        return torch.cat(parts, -1)
