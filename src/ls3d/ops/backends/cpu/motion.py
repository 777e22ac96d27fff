"""The CPU backend of ``bilateral_motion``: calls the compiled kernel (``csrc/motion.h``) on float32 frames."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from ls3d.ops._motion_plan import (
    MEAN_RADIUS,
    NEIGHBOR,
    PENALTY,
    SHARE,
    TOLERANCE,
    WINDOW_RADIUS,
    half_size,
    rest_radii,
    search_radii,
    too_large,
)
from ls3d.ops.backends.cpu import library

_ABI = 2


class _Call(ctypes.Structure):
    """``ls3d::MotionCall``, field by field."""

    _fields_ = [
        ("batch", ctypes.c_int64),
        ("height", ctypes.c_int64),
        ("width", ctypes.c_int64),
        ("levels", ctypes.c_int64),
        ("times", ctypes.c_int64),
        ("threads", ctypes.c_int64),
        ("frame", ctypes.c_void_p * 2),
        ("frame_stride", (ctypes.c_int64 * 4) * 2),
        ("time", ctypes.POINTER(ctypes.c_double)),
        ("radius", ctypes.POINTER(ctypes.c_int64)),
        ("rest_radius", ctypes.POINTER(ctypes.c_int64)),
        ("window_radius", ctypes.c_int64),
        ("neighbor", ctypes.c_int64),
        ("mean_radius", ctypes.c_int64),
        ("penalty", ctypes.c_double),
        ("share", ctypes.c_double),
        ("tolerance", ctypes.c_double),
        ("motion", ctypes.c_void_p),
    ]


def supports(first: Tensor) -> str | None:
    """Why this backend can't run, in a sentence; None when it can."""
    if first.device.type != "cpu":
        return f"the CPU kernel runs on CPUs, not on {first.device.type} devices"
    if sentence := too_large("CPU kernel", first):
        return sentence
    compiled, why_not = library.load()
    if compiled is None:
        return why_not
    if not hasattr(compiled, "ls3d_motion_abi") or compiled.ls3d_motion_abi() != _ABI:
        return "the compiled kernel has another interface for bilateral_motion: install ls3d again"
    return None


def bilateral_motion(first: Tensor, second: Tensor, times: Sequence[float], levels: int) -> Tensor:
    """The motion ``(N, len(times), 2, h, w)``; shapes as in :func:`ls3d.ops.bilateral_motion`, frames in float32.

    Raises:
        MemoryError: there was no memory for the kernel's workspace.
    """
    count, _, height, width = first.shape
    motion = first.new_empty((count, len(times), 2, *half_size(height, width)))
    strides = [(ctypes.c_int64 * 4)(*frame.stride()) for frame in (first, second)]
    call = _Call(
        batch=count,
        height=height,
        width=width,
        levels=levels,
        times=len(times),
        threads=torch.get_num_threads(),
        frame=(first.data_ptr(), second.data_ptr()),
        frame_stride=((ctypes.c_int64 * 4) * 2)(*strides),
        time=(ctypes.c_double * len(times))(*times),
        radius=(ctypes.c_int64 * levels)(*search_radii(levels)),
        rest_radius=(ctypes.c_int64 * levels)(*rest_radii(levels)),
        window_radius=WINDOW_RADIUS,
        neighbor=NEIGHBOR,
        mean_radius=MEAN_RADIUS,
        penalty=PENALTY,
        share=SHARE,
        tolerance=TOLERANCE,
        motion=motion.data_ptr(),
    )
    compiled, why_not = library.load()
    if compiled is None:
        raise RuntimeError(why_not)
    if compiled.ls3d_bilateral_motion(ctypes.byref(call)) != 0:
        raise MemoryError("no memory is left for the workspace of bilateral_motion")
    return motion
