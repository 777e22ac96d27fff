"""Launches of kernels that have been compiled already, without Triton's own inspection of all arguments.

``kernel[grid](...)`` of ``triton.jit`` takes longer than a small kernel runs. Here the compiled kernel that it returns
is kept for the arguments for which Triton compiled it, and launched itself.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from triton.compiler import CompiledKernel

Grid = tuple[int, int, int]

_ALIGNMENT = 16
"""Bytes. Triton compiles a kernel again for a pointer that isn't a multiple of this."""

_MOST_LAUNCHES = 4096


@dataclass(frozen=True)
class _Launch:
    """A compiled kernel with its grid, its arguments in order, and where the tensors are among them."""

    run: Callable[..., None]
    arguments: list[Any]
    places: list[int]


_launches: dict[tuple[Any, ...], _Launch] = {}


def launch_kernel(
    kernel: Any, tensors: Mapping[str, Tensor], key: Hashable, others: Callable[[], tuple[Grid, dict[str, Any]]]
) -> None:
    """Launch a kernel on the current device.

    Args:
        kernel: a function decorated with ``triton.jit``.
        tensors: those of its arguments that are tensors, by name, on the current device.
        key: all that the other arguments and the grid depend on, besides dtypes and alignments of the tensors.
        others: makes the grid and the other arguments, with ``num_warps`` and further options of Triton. It is called
            once for each key.
    """
    alignments = [(tensor.dtype, tensor.data_ptr() % _ALIGNMENT) for tensor in tensors.values()]
    device = next(iter(tensors.values())).get_device()
    full_key = (id(kernel), device, key, *alignments)
    launch = _launches.get(full_key)
    if launch is None:
        grid, arguments = others()
        compiled = kernel[grid](**tensors, **arguments)
        if isinstance(compiled, CompiledKernel):  # Triton's interpreter compiles nothing
            if len(_launches) >= _MOST_LAUNCHES:
                _launches.clear()
            names = kernel.arg_names
            ordered = [arguments.get(name) for name in names]  # None for tensors, which must not be kept alive
            _launches[full_key] = _Launch(compiled[grid], ordered, [names.index(name) for name in tensors])
        return
    arguments_in_order = launch.arguments.copy()
    for place, tensor in zip(launch.places, tensors.values(), strict=True):
        arguments_in_order[place] = tensor
    launch.run(*arguments_in_order)
