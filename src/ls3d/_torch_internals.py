"""The private parts of torch that ls3d uses, in one place; ``tests/test_torch_internals.py`` checks that they exist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import conv_flop_count, flop_registry, register_flop_formula

ConvNd = nn.modules.conv._ConvNd
"""The base class of all convolutions, ``nn.Conv1d`` to ``nn.ConvTranspose3d``."""


def are_functorch_transforms_active() -> bool:
    """Whether the caller runs under a transform of ``torch.func``, such as ``grad`` or ``vmap``."""
    return torch._C._are_functorch_transforms_active()


def is_dispatch_observed(tensors: Iterable[Tensor | None]) -> bool:
    """Whether anything but a kernel for CPUs or GPUs may handle or record operators called with these tensors.

    That is a mode (such as a counter of operations or a tracer), a subclass of ``torch.Tensor``, the meta device,
    autocast, a transform of ``torch.func``, forward-mode differentiation, the profiler, ``torch.jit.trace`` or
    ``torch.compile``.
    """
    return (
        torch.compiler.is_compiling()  # first: what follows can't be compiled
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._len_torch_function_stack() > 0
        or torch._C._is_any_autocast_enabled()
        or torch._C._are_functorch_transforms_active()
        or torch._C._get_tracing_state() is not None
        or torch._C._autograd._profiler_enabled()
        or is_forward_ad_active()
        or any(tensor is not None and not _is_plain(tensor) for tensor in tensors)
    )


def _is_plain(tensor: Tensor) -> bool:
    return type(tensor) in (Tensor, nn.Parameter) and (tensor.is_cpu or tensor.is_cuda)


def is_forward_ad_active() -> bool:
    """Whether the caller runs within ``torch.autograd.forward_ad.dual_level``."""
    return bool(torch.autograd.forward_ad._current_level >= 0)


def onednn_convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    padding: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
) -> Tensor:
    """A convolution by oneDNN, whatever torch would choose; the arguments are those of ``torch.nn.functional``'s."""
    output: Tensor = torch.ops.aten.mkldnn_convolution(input, weight, bias, padding, stride, dilation, 1)
    return output


def _onednn_flops(input: Any, weight: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    return conv_flop_count(input, weight, out_shape)


if torch.ops.aten.mkldnn_convolution not in flop_registry:
    register_flop_formula(torch.ops.aten.mkldnn_convolution)(_onednn_flops)


def reversed_padding(conv: ConvNd) -> list[int]:
    """The padding of a convolution as ``torch.nn.functional.pad`` takes it: (before, after), last dimension first."""
    return list(conv._reversed_padding_repeated_twice)


def storage_id(storage: torch.UntypedStorage) -> int:
    """A number that identifies a storage while it exists, on the meta device too, where all data pointers are 0."""
    return int(storage._cdata)


def has_cpp_compiler() -> bool:
    """Whether ``torch.compile`` and AOTInductor find a C++ compiler."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return False
    return True


@contextmanager
def comparable_strides() -> Iterator[None]:
    """Let inductor of torch 2.13 compile 3D convolutions of open sizes, as 2.12 and 2.14 do.

    It looks for strides that divide others by ``%``, of which it makes quotients; the analysis of ranges takes them for
    powers and raises errors. https://github.com/pytorch/pytorch/issues/188422
    """
    if not torch.__version__.startswith("2.13."):
        yield
        return
    from torch._inductor.ir import Layout
    from torch._inductor.virtualized import V
    from torch.utils._sympy.value_ranges import ValueRangeError

    original = Layout._stride_expr_ge_or_false

    def is_at_least(left: Any, right: Any) -> bool:
        try:
            return bool(original(left, right))
        except (ValueRangeError, ValueError):  # from the remainder, which is looked at last
            return bool(V.graph.sizevars.statically_known_multiple_of(left, right))

    Layout._stride_expr_ge_or_false = staticmethod(is_at_least)  # type: ignore[method-assign]
    try:
        yield
    finally:
        Layout._stride_expr_ge_or_false = staticmethod(original)  # type: ignore[method-assign]
