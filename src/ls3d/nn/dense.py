"""``Conv3d``: ``torch.nn.Conv3d`` that uses the faster one of torch's two implementations on the CPU.

For one sample whose N * C * T * H is at most 20,480, torch (up to 2.13 at least) unfolds the input and multiplies
matrices instead of calling oneDNN, which takes several times as long: ``use_mkldnn`` in ATen's ``Convolution.cpp``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from ls3d._torch_internals import are_functorch_transforms_active, is_forward_ad_active, onednn_convolution

#: Multiply-adds from which a call of oneDNN takes less time than torch's own implementation.
_LEAST_WORK = 1_000_000

#: Largest N * C * T * H for which torch doesn't call oneDNN itself.
_TORCH_LIMIT = 20_480

AnyModule = TypeVar("AnyModule", bound=nn.Module)


class Conv3d(nn.Conv3d):
    """``torch.nn.Conv3d`` with the same arguments, parameters and results up to rounding, and faster on the CPU.

    Compiled and exported graphs, and everything but float32 on the CPU, get torch's own convolution.
    """

    def forward(self, input: Tensor) -> Tensor:
        if (
            self.padding_mode != "zeros"
            or isinstance(self.padding, str)
            or self.groups != 1
            or not _is_slow_in_torch(input, self.weight)
        ):
            return super().forward(input)
        return onednn_convolution(input, self.weight, self.bias, self.padding, self.stride, self.dilation)


def use_fast_convolutions(model: AnyModule) -> AnyModule:
    """Turn every ``torch.nn.Conv3d`` of a network, but no subclass, into a :class:`Conv3d`, in place.

    Returns:
        ``model``.
    """
    for module in model.modules():
        if type(module) is nn.Conv3d:
            module.__class__ = Conv3d
    return model


def _is_slow_in_torch(input: Tensor, weight: Tensor) -> bool:
    """Whether torch would convolve an input ``(N, C, T, H, W)`` without oneDNN, and oneDNN takes less time."""
    if torch.compiler.is_compiling() or torch._C._get_tracing_state() or type(input) not in (Tensor, nn.Parameter):
        return False
    if input.device.type != "cpu" or input.dtype != torch.float32 or weight.dtype != torch.float32:
        return False
    if input.dim() != 5 or input.shape[0] != 1 or math.prod(input.shape[:4]) > _TORCH_LIMIT:
        return False
    kernel: Sequence[int] = weight.shape[2:]
    if min(kernel[1:]) > 3 or math.prod(kernel) == 1 or weight.numel() * math.prod(input.shape[2:]) < _LEAST_WORK:
        return False
    return (
        torch.backends.mkldnn.is_available()
        and torch._C._get_mkldnn_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not are_functorch_transforms_active()
        and not is_forward_ad_active()
    )
