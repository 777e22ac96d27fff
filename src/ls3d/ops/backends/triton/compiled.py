"""Launches of kernels that have been compiled already, without Triton's own inspection of all arguments.

``kernel[grid](...)`` of ``triton.jit`` takes longer than a small kernel runs. Here the compiled kernel that it returns
is kept for the arguments for which Triton compiled it, and launched itself.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from triton.compiler import CompiledKernel

_ALIGNMENT = 16
"""Bytes. Triton compiles a kernel again for a pointer that isn't a multiple of this."""

_MOST_ENTRIES = 4096

_compiled: dict[tuple[Any, ...], tuple[CompiledKernel, tuple[str, ...]]] = {}


def launch_kernel(kernel: Any, grid: tuple[int, int, int], **arguments: Any) -> None:
    """Launch ``kernel[grid](**arguments)`` on the current device.

    Args:
        kernel: a function decorated with ``triton.jit``.
        grid: numbers of programs.
        arguments: all of the kernel's arguments, then ``num_warps`` and other options of Triton. All tensors must be on
            the current device.
    """
    key = (id(kernel), *[_specialization(value) for value in arguments.values()])
    found = _compiled.get(key)
    if found is None:
        compiled = kernel[grid](**arguments)
        if isinstance(compiled, CompiledKernel):  # Triton's interpreter compiles nothing
            if len(_compiled) >= _MOST_ENTRIES:
                _compiled.clear()
            _compiled[key] = compiled, tuple(kernel.arg_names)
        return
    compiled, names = found
    compiled[grid](*[arguments[name] for name in names])


def _specialization(value: Any) -> Any:
    """What a kernel is compiled for, of one argument; of a number its value, though Triton needs less."""
    if isinstance(value, Tensor):
        return value.dtype, value.data_ptr() % _ALIGNMENT, value.get_device()
    return value
