"""``bilateral_motion`` as a torch operator: schema, shapes, and the choice of the backend.

The result is an argument of a minimum, which has no gradient; none flows through the operator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ls3d.ops._motion_plan import check_times, default_levels, half_size, search_radii
from ls3d.ops.backends import reference_motion
from ls3d.ops.backends.choose import kernel_of, requested_backend, warn_of_fallback
from ls3d.ops.backends.cpu import motion as cpu_motion
from ls3d.ops.backends.triton import motion as triton_motion

torch.library.define(
    "ls3d::bilateral_motion",
    "(Tensor first, Tensor second, float[] times, int levels) -> Tensor",
    tags=(torch.Tag.pt2_compliant_tag,),
)


def bilateral_motion(first: Tensor, second: Tensor, times: Sequence[float], levels: int | None = None) -> Tensor:
    """The motion between two frames, seen from times between them, by matching: no weights, any time.

    For every position x at time t it finds the motion v of the whole interval for which the first frame at
    ``x - t * v`` looks like the second at ``x + (1 - t) * v``. It searches a pyramid from coarse to fine: at each
    level, the best of a position's own motion, its neighbors' and none, then a grid around it, the sub-pixel part by
    a parabola, and a 3x3 median. Where a texture repeats and several motions fit, a second grid around no motion finds
    the smallest. What is compared are colors without their local mean and, weaker, without the mean of each frame, so a
    change in brightness between the frames costs little. Compare bilateral motion estimation in "BMBC"
    (arXiv:2007.12622), which learns it.

    No gradient flows through: the result is the argument of a minimum.

    Args:
        first: ``(N, 3, H, W)``, floating, in [0, 1].
        second: the same shape, dtype and device.
        times: from 0, the first frame, to 1, the second.
        levels: of the pyramid; the coarsest is at ``1 / 2**levels`` of the size and finds motion up to
            ``8 * 2**levels`` pixels, the finest is at 1/2. None is four, and more for frames from 720 rows on.

    Returns:
        ``(N, len(times), 2, ceil(H / 2), ceil(W / 2))``, float32: (dy, dx) in pixels of the full size.

    Raises:
        ValueError: shapes, dtypes, devices, times or levels don't fit; the message names the argument.
    """
    if levels is None:
        levels = default_levels(first.shape[-2], first.shape[-1])
    exact = [float(time) for time in times]
    motion: Tensor = torch.ops.ls3d.bilateral_motion(first.detach(), second.detach(), exact, levels)
    return motion


def _check(first: Tensor, second: Tensor, times: Sequence[float], levels: int) -> None:
    if first.dim() != 4 or first.shape[1] != 3 or not first.is_floating_point():
        raise ValueError(f"first is {first.dtype} {tuple(first.shape)}, expected floating (N, 3, H, W)")
    if first.shape[2] < 1 or first.shape[3] < 1:
        raise ValueError(f"first has the shape {tuple(first.shape)}, expected at least one pixel")
    if second.shape != first.shape or second.dtype != first.dtype or second.device != first.device:
        expected = f"{first.dtype} {tuple(first.shape)} on {first.device} as the first"
        raise ValueError(f"second is {second.dtype} {tuple(second.shape)} on {second.device}, expected {expected}")
    check_times(times)
    search_radii(levels)


@torch.library.impl("ls3d::bilateral_motion", "CompositeExplicitAutograd")
def _forward(first: Tensor, second: Tensor, times: Sequence[float], levels: int) -> Tensor:
    _check(first, second, times, levels)
    if 0 in (first.shape[0], len(times)):
        return _forward_fake(first, second, times, levels)
    return _choose(first)(first.float(), second.float(), times, levels)


def _choose(first: Tensor) -> Callable[[Tensor, Tensor, Sequence[float], int], Tensor]:
    """The backend that ``use_backend`` requests, else the device's kernel if it can run, else the reference."""
    requested = requested_backend()
    name = requested or kernel_of(first.device)
    if name is None or name == "reference":
        return reference_motion.bilateral_motion
    if name == "cpu":
        why_not, kernel = cpu_motion.supports(first), cpu_motion.bilateral_motion
    else:
        why_not, kernel = triton_motion.supports(first), triton_motion.bilateral_motion
    if why_not is None:
        return kernel
    if requested is not None:
        raise ValueError(f"backend {requested!r} can't run this call: {why_not}")
    warn_of_fallback("bilateral_motion", why_not)
    return reference_motion.bilateral_motion


def _forward_fake(first: Tensor, second: Tensor, times: Sequence[float], levels: int) -> Tensor:
    _check(first, second, times, levels)
    size = half_size(first.shape[2], first.shape[3])
    return first.new_empty((first.shape[0], len(times), 2, *size), dtype=torch.float32)


torch.library.register_fake("ls3d::bilateral_motion", _forward_fake)
