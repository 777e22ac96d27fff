"""The compiled CPU kernel: finding it, loading it, and the C structure that describes a call.

The library has a C interface and no Python in it, see ``csrc/ls3d.h``. Torch must be imported before the library is
loaded: then both use torch's OpenMP runtime, and ``torch.set_num_threads`` applies to both.
"""

from __future__ import annotations

import ctypes
import functools
import os
import struct
import sys
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

ABI = 4
"""The number of the C interface, ``kAbi`` in ``csrc/ls3d.h``."""

# In a forked process, OpenMP waits for threads that exist only in its parent. Torch has the same fault, so its data
# loaders do this in their workers.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


INTERPOLATIONS = ("bilinear", "bicubic")
"""In the order of the enumeration in ``csrc/ls3d.h``."""


class Array(ctypes.Structure):
    """``ls3d::Array``: a tensor's data and its five strides, in elements."""

    _fields_ = [("data", ctypes.c_void_p), ("stride", ctypes.c_int64 * 5)]


_set_array = struct.Struct("P5q").pack_into  # for a small call, ctypes takes too long to convert the strides

_TRIPLE = ctypes.c_int64 * 3


class KernelCall(ctypes.Structure):
    """``ls3d::KernelCall``, field by field."""

    _fields_ = [
        ("batch", ctypes.c_int64),
        ("channels", ctypes.c_int64),
        ("out_channels", ctypes.c_int64),
        ("in_size", _TRIPLE),
        ("out_size", _TRIPLE),
        ("kernel", _TRIPLE),
        ("stride", _TRIPLE),
        ("padding", _TRIPLE),
        ("dilation", _TRIPLE),
        ("groups", ctypes.c_int64),
        ("offset_groups", ctypes.c_int64),
        ("frame_origin", ctypes.c_int64),
        ("threads", ctypes.c_int64),
        ("interpolation", ctypes.c_int64),
        ("few_channels", ctypes.c_int64),
        ("bfloat16_offset", ctypes.c_int64),
        ("bfloat16_mask", ctypes.c_int64),
        ("bfloat16_weight", ctypes.c_int64),
        ("bfloat16_output", ctypes.c_int64),
        ("bfloat16_products", ctypes.c_int64),
        ("input_sample", ctypes.c_int64),
        ("input_frame", ctypes.c_int64),
        ("input_pixel", ctypes.c_int64),
        ("input_channel", ctypes.c_int64),
        ("grad_input_sample", ctypes.c_int64),
        ("grad_input_frame", ctypes.c_int64),
        ("grad_input_pixel", ctypes.c_int64),
        ("input", ctypes.c_void_p),
        ("offset", Array),
        ("mask", Array),
        ("weight", Array),
        ("bias", ctypes.c_void_p),
        ("output", Array),
        ("grad_input", ctypes.c_void_p),
        ("grad_offset", Array),
        ("grad_mask", Array),
        ("grad_weight", Array),
    ]

    def set_array(self, field: str, tensor: Tensor | None) -> None:
        """Set a field to a tensor's data and strides; its data is null for None."""
        values = (0,) * 6 if tensor is None else (tensor.data_ptr(), *tensor.stride())
        _set_array(self, getattr(KernelCall, field).offset, *values)


class Transposition(ctypes.Structure):
    """``ls3d::Transposition``, field by field."""

    _fields_ = [
        ("batch", ctypes.c_int64),
        ("frames", ctypes.c_int64),
        ("rows", ctypes.c_int64),
        ("columns", ctypes.c_int64),
        ("from_sample", ctypes.c_int64),
        ("from_frame", ctypes.c_int64),
        ("from_row", ctypes.c_int64),
        ("to_sample", ctypes.c_int64),
        ("to_frame", ctypes.c_int64),
        ("to_row", ctypes.c_int64),
        ("threads", ctypes.c_int64),
        ("source", ctypes.c_void_p),  # "from" is a keyword
        ("to", ctypes.c_void_p),
    ]


def path() -> Path:
    """The file to load: the environment variable ``LS3D_KERNEL``, else the library in this module's folder."""
    given = os.environ.get("LS3D_KERNEL")
    name = "libls3d.dll" if sys.platform == "win32" else "libls3d.so"
    return Path(given) if given else Path(__file__).with_name(name)


def build_problem() -> str:
    """Why the kernel wasn't built at installation, or was built for one thread only, without OpenMP; else empty."""
    file = path().with_name("build_problem.txt")
    return file.read_text(encoding="utf-8", errors="replace").strip() if file.exists() else ""


@functools.cache
def load() -> tuple[ctypes.CDLL, None] | tuple[None, str]:
    """The library, or why there is none."""
    file = path()
    if not file.exists():
        reason = build_problem() or "no compiler was found at installation"
        return None, f"the compiled kernel {file.name} is missing ({reason})"
    try:
        library = ctypes.CDLL(str(file))
        found = library.ls3d_abi()
    except (OSError, AttributeError) as error:
        return None, f"the compiled kernel can't be loaded: {error}"
    if found != ABI:
        return None, f"the compiled kernel has interface {found}, expected {ABI}: install ls3d again"
    library.ls3d_isa.restype = ctypes.c_char_p
    for function in (library.ls3d_forward, library.ls3d_backward):
        function.argtypes = [ctypes.POINTER(KernelCall), ctypes.c_int32]
    library.ls3d_transpose.argtypes = [ctypes.POINTER(Transposition), ctypes.c_int32]
    library.ls3d_transpose.restype = None
    return library, None


def instruction_set() -> str | None:
    """The instruction set that the kernel uses on this processor: ``"avx512"``, ...; None if there is no kernel."""
    library, _ = load()
    return None if library is None else str(library.ls3d_isa().decode())


def run(function: Literal["ls3d_forward", "ls3d_backward"], call: KernelCall, dtype: torch.dtype) -> None:
    """Run the kernel on tensors of ``dtype``, float32 or float64.

    Raises:
        MemoryError: there isn't enough memory for the kernel's workspace.
    """
    library, why_not = load()
    if library is None:
        raise RuntimeError(why_not)
    if getattr(library, function)(call, dtype == torch.float64) != 0:
        raise MemoryError("there isn't enough memory for the workspace of ls3d_conv3d")


def transpose(source: Tensor, target: Tensor) -> None:
    """Set ``target (N, T, columns, rows)`` to ``source (N, T, rows, columns)`` with the last two dimensions swapped.

    Both are float32 or float64, and the strides of their last dimensions 1. Several times as fast as ``Tensor.copy_``.
    """
    library, why_not = load()
    if library is None:
        raise RuntimeError(why_not)
    call = Transposition(
        *source.shape,
        *source.stride()[:3],
        *target.stride()[:3],
        torch.get_num_threads(),
        source.data_ptr(),
        target.data_ptr(),
    )
    library.ls3d_transpose(call, source.dtype == torch.float64)
