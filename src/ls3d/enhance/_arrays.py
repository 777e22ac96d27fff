"""Frames in memory: arrays ``(H, W, 3)`` of uint8 R'G'B', or tensors ``(3, H, W)`` of R'G'B' in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ls3d.enhance._frame_tasks import FrameTensors
from ls3d.video import Color, Frame, from_rgb, layout_of

ByteArray = npt.NDArray[np.uint8]

_RGB = Color(layout_of("gbrp"), matrix=0, full_range=True)


@dataclass(frozen=True, eq=False)
class ArrayFrame(Frame):
    """A frame in memory; its picture, of 8 bits, is for the detection of cuts.

    Attributes:
        array: the frame as it was given.
    """

    array: ByteArray | Tensor = field(kw_only=True)


class ArrayTensors(FrameTensors):
    """Converts the arrays of frames, not their pictures.

    Args:
        device: where the tensors are.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__(_RGB, device)

    def same(self, first: Frame, second: Frame) -> bool:
        """See ``ShotTensors``."""
        a, b = array_of(first), array_of(second)
        return bool(torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else np.array_equal(a, b))

    def _make(self, shot: Sequence[Frame], index: int) -> Tensor:
        return _to_tensor(array_of(shot[index])).to(self._device)


def array_frame(number: int, array: ByteArray | Tensor) -> ArrayFrame:
    """A frame with its number, from 0, as its time."""
    return ArrayFrame(Fraction(number), Fraction(1), from_rgb(_to_tensor(array).cpu(), _RGB), array=array)


def array_of(frame: Frame) -> ByteArray | Tensor:
    """The array of a frame that ``array_frame`` made."""
    assert isinstance(frame, ArrayFrame)
    return frame.array


def _to_tensor(array: ByteArray | Tensor) -> Tensor:
    """R'G'B' ``(3, H, W)`` float32, from [0, 1]."""
    if isinstance(array, Tensor):
        return array.detach().float()
    return torch.tensor(np.ascontiguousarray(array)).permute(2, 0, 1).float() / 255
