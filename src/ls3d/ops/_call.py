"""One call of the operator: its tensors and its sizes, checked once and then handed to the backends together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ls3d.ops._geometry import Geometry

Gradients = tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]
"""Gradients of input, offset, mask and weight, of the shape and dtype of each; None for those that aren't needed."""


@dataclass(frozen=True, eq=False)
class Call:
    """Arguments of ``ls3d_conv3d`` that fit each other; ``taps`` is ``geometry.taps``, G ``geometry.offset_groups``.

    Attributes:
        input: ``(N, C, T, H, W)``.
        offset: ``(N, G*2*taps, T_out, H_out, W_out)`` in pixels, (dy, dx) per tap.
        mask: ``(N, G*taps, T_out, H_out, W_out)``, or None for ones.
        weight: ``(O, C/groups, kT, kH, kW)``.
        bias: ``(O,)`` or None.
        geometry: all sizes, and the interpolation.
    """

    input: Tensor
    offset: Tensor
    mask: Tensor | None
    weight: Tensor
    bias: Tensor | None
    geometry: Geometry

    @classmethod
    def of(
        cls, input: Tensor, offset: Tensor, mask: Tensor | None, weight: Tensor, bias: Tensor | None, *options: Any
    ) -> Call:
        """Check everything that a backend relies on; ``options`` are the remaining arguments of :meth:`Geometry.of`.

        Sizes must not be symbolic.

        Raises:
            ValueError: shapes, dtypes or devices don't fit each other; the message names the argument.
        """
        tensors = (input, offset, mask, weight, bias)
        check_devices_and_dtypes(*tensors)
        sizes = [tuple(option) if isinstance(option, list) else option for option in options]
        return cls(*tensors, _geometry(*shapes_of(*tensors), *sizes))

    @property
    def compute_dtype(self) -> torch.dtype:
        """The dtype of coordinates, weights of pixels and sums: float64 for float64 features, else float32."""
        return torch.float64 if self.input.dtype == torch.float64 else torch.float32

    @property
    def differentiable(self) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
        """The tensors that ``Gradients`` are of."""
        return self.input, self.offset, self.mask, self.weight

    def samples(self, part: slice) -> Call:
        """The same call for some samples of the batch."""
        if part == slice(0, self.geometry.batch):
            return self
        input, mask = self.input[part], None if self.mask is None else self.mask[part]
        geometry = replace(self.geometry, batch=len(input))
        return replace(self, input=input, offset=self.offset[part], mask=mask, geometry=geometry)


_geometry = lru_cache(maxsize=1024)(Geometry.of)  # checking the sizes takes as long as a small call's launch


def shapes_of(*tensors: Tensor | None) -> list[Any]:
    """The shape of each tensor, and None for None."""
    return [None if tensor is None else tensor.shape for tensor in tensors]


def check_devices_and_dtypes(
    input: Tensor, offset: Tensor, mask: Tensor | None, weight: Tensor, bias: Tensor | None
) -> None:
    """Check that devices and dtypes fit the input's.

    Raises:
        ValueError: one doesn't; the message names the argument.
    """
    for name, tensor in (("offset", offset), ("mask", mask), ("weight", weight), ("bias", bias)):
        if tensor is not None:
            _check_device_and_dtype(name, tensor, input)


def _check_device_and_dtype(name: str, tensor: Tensor, input: Tensor) -> None:
    if tensor.device != input.device:
        raise ValueError(f"{name} is on {tensor.device}, but the input is on {input.device}")
    may_be_float32 = name in ("offset", "mask")
    if tensor.dtype != input.dtype and not (may_be_float32 and tensor.dtype == torch.float32):
        also = " or float32" if may_be_float32 else ""
        raise ValueError(f"{name} is {tensor.dtype}, expected {input.dtype}{also} as the input is {input.dtype}")


def memory_format(tensor: Tensor) -> torch.memory_format:
    """The memory format that a result takes over from ``tensor``.

    ``channels_last_3d`` if the tensor has that format and no other, as torch's own convolutions decide.
    """
    last = tensor.is_contiguous(memory_format=torch.channels_last_3d) and not tensor.is_contiguous()
    return torch.channels_last_3d if last else torch.contiguous_format
