"""The compiled CPU kernel: finding it, loading it, and the description of work that it takes.

The library has a C interface and no Python in it (``csrc/ls3d.h``). Torch is imported before it is loaded, so
that both share one OpenMP runtime and ``torch.set_num_threads`` governs both.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from pathlib import Path

import torch  # before the library is loaded: whoever comes first brings the OpenMP runtime
from torch import Tensor

ABI = 1


class Array(ctypes.Structure):
    """``ls3d::Array``: a tensor's data and its five strides, in elements."""

    _fields_ = [("data", ctypes.c_void_p), ("stride", ctypes.c_int64 * 5)]

    @classmethod
    def of(cls, tensor: Tensor | None) -> Array:
        if tensor is None:
            return cls(None)
        return cls(tensor.data_ptr(), (ctypes.c_int64 * 5)(*tensor.stride()))


_TRIPLE = ctypes.c_int64 * 3


class Problem(ctypes.Structure):
    """``ls3d::Problem``, field by field."""

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
        ("input_sample", ctypes.c_int64),
        ("input_frame", ctypes.c_int64),
        ("input_pixel", ctypes.c_int64),
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


def path() -> Path:
    """Where the library is looked for: the environment variable ``LS3D_KERNEL``, else beside this module."""
    given = os.environ.get("LS3D_KERNEL")
    name = "libls3d.dll" if sys.platform == "win32" else "libls3d.so"
    return Path(given) if given else Path(__file__).with_name(name)


@functools.cache
def load() -> tuple[ctypes.CDLL | None, str | None]:
    """The library, or a sentence about why there is none."""
    where = path()
    if not where.exists():
        return None, f"the compiled kernel {where.name} is missing (no compiler was found at installation)"
    try:
        library = ctypes.CDLL(str(where))
        found = library.ls3d_abi()
    except (OSError, AttributeError) as error:
        return None, f"the compiled kernel can't be loaded: {error}"
    if found != ABI:
        return None, f"the compiled kernel has interface {found}, expected {ABI}: install ls3d again"
    library.ls3d_isa.restype = ctypes.c_char_p
    for function in (library.ls3d_forward, library.ls3d_backward):
        function.argtypes = [ctypes.POINTER(Problem), ctypes.c_int32]
    return library, None


def instruction_set() -> str | None:
    """The instruction set that the kernel runs with on this processor; None without a kernel."""
    library, _ = load()
    return None if library is None else library.ls3d_isa().decode()


def run(name: str, problem: Problem, dtype: torch.dtype) -> None:
    """Call ``ls3d_forward`` or ``ls3d_backward``.

    Raises:
        MemoryError: there was no memory for the kernel's workspace.
    """
    library, why_not = load()
    if library is None:
        raise RuntimeError(why_not)
    if getattr(library, name)(problem, dtype == torch.float64) != 0:
        raise MemoryError("no memory is left for the workspace of ls3d_conv3d")
