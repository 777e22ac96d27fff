"""Running a network on frames of any size: padding to the size it takes, and tiles if memory is short.

Tiles overlap. The outer quarter of an overlap, where results suffer from the tile's border, gets no weight; across the
inner half, one tile fades into the next along a raised cosine.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ls3d.errors import InputError

log = logging.getLogger(__name__)

Forward = Callable[[Tensor], Tensor]

SMALLEST_TILE = 64
_OVERLAP = 64

#: What torch says when main memory runs out, on Windows the second: it has no error of its own for that.
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory")


@dataclass
class Tiler:
    """Runs a network on whole frames or on tiles of them.

    Attributes:
        multiple: height and width of the network's input must be divisible by this.
        scale: output height and width over input height and width.
        tile: maximum side of a tile in source pixels; None is whole frames. Halved permanently when memory runs out.
        overlap: minimum overlap of neighboring tiles in source pixels.
    """

    multiple: int = 1
    scale: int = 1
    tile: int | None = None
    overlap: int = _OVERLAP

    def __call__(self, forward: Forward, frames: Tensor) -> Tensor:
        """Map ``(N, C, T, H, W)`` to ``(N, C, T', scale * H, scale * W)``.

        Raises:
            InputError: memory runs out even with the smallest tiles.
        """
        while True:
            try:
                return self._run(forward, frames)
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
            # Not in the except clause: there, the error would still refer to the tensors that filled the memory.
            self._shrink(max(frames.shape[-2:]))

    def _shrink(self, side: int) -> None:
        current = min(self.tile or side, side)
        if current <= SMALLEST_TILE:
            raise InputError(f"memory runs out even with tiles of {SMALLEST_TILE} pixels")
        self.tile = max(SMALLEST_TILE, -(-current // 2))
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        log.warning("memory ran out; continuing with tiles of %d pixels", self.tile)

    def _run(self, forward: Forward, frames: Tensor) -> Tensor:
        height, width = frames.shape[-2:]
        if self.tile is None or self.tile >= max(height, width):
            return self._padded(forward, frames)
        total = weights = None
        for rows, row_weights in self._spans(height):
            for columns, column_weights in self._spans(width):
                part = self._padded(forward, frames[..., rows, columns])
                weight = (row_weights[:, None] * column_weights).to(part)
                if total is None or weights is None:
                    total = part.new_zeros(*part.shape[:-2], height * self.scale, width * self.scale)
                    weights = part.new_zeros(total.shape[-2:])
                y, x = (slice(s.start * self.scale, s.stop * self.scale) for s in (rows, columns))
                total[..., y, x] += part * weight
                weights[y, x] += weight
        assert total is not None
        assert weights is not None
        return total / weights

    def _padded(self, forward: Forward, frames: Tensor) -> Tensor:
        """Repeat the last row and column up to the multiple, and crop the output."""
        height, width = frames.shape[-2:]
        bottom, right = -height % self.multiple, -width % self.multiple
        if bottom or right:
            flat = F.pad(frames.flatten(1, 2), (0, right, 0, bottom), mode="replicate")
            frames = flat.unflatten(1, frames.shape[1:3])
        return forward(frames)[..., : height * self.scale, : width * self.scale]

    def _spans(self, size: int) -> Iterator[tuple[slice, Tensor]]:
        """Evenly spaced tiles along one axis, with their weights on the output grid."""
        tile = min(size, max(SMALLEST_TILE, (self.tile or size) // self.multiple * self.multiple))
        overlap = min(self.overlap, tile // 2)
        count = 1 if tile == size else math.ceil((size - overlap) / (tile - overlap))
        starts = [round(n * (size - tile) / max(1, count - 1)) for n in range(count)]
        for start in starts:
            rising = start > 0
            falling = start + tile < size
            yield slice(start, start + tile), _fade(tile, overlap, self.scale, rising, falling)


def _fade(tile: int, overlap: int, scale: int, rising: bool, falling: bool) -> Tensor:
    """Weights along a tile: 0 over a quarter of the overlap, a raised cosine over half of it, then 1."""
    x = (torch.arange(tile * scale) + 0.5) / scale
    ramp = 0.5 - 0.5 * torch.cos(math.pi * ((x - overlap / 4) / (overlap / 2)).clamp(0, 1))
    weights = ramp if rising else torch.ones_like(x)
    return weights * ramp.flip(0) if falling else weights


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):  # the second is raised by ls3d's own kernels
        return True
    return any(text in str(error) for text in _OUT_OF_MEMORY)
