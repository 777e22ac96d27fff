"""One call of the operator: its tensors and its sizes, checked once and then handed to the backends together."""

from __future__ import annotations

from dataclasses import dataclass, replace
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

        Raises:
            ValueError: shapes, dtypes or devices don't fit each other; the message names the argument.
        """
        for name, tensor in (("offset", offset), ("mask", mask), ("weight", weight), ("bias", bias)):
            if tensor is not None:
                _check_device_and_dtype(name, tensor, input)
        mask_shape = None if mask is None else mask.shape
        bias_shape = None if bias is None else bias.shape
        geometry = Geometry.of(input.shape, offset.shape, mask_shape, weight.shape, bias_shape, *options)
        return cls(input, offset, mask, weight, bias, geometry)

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
        input, mask = self.input[part], None if self.mask is None else self.mask[part]
        geometry = replace(self.geometry, batch=len(input))
        return replace(self, input=input, offset=self.offset[part], mask=mask, geometry=geometry)


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
