"""Pictures of a scored frame: a detail of the frame given, the network's, the true one and the error."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F
from torch import Tensor

from ls3d.data.clips import Pixels
from ls3d.evaluation.fidelity.scored_frames import ScoredFrame
from ls3d.evaluation.templates import render
from ls3d.metrics import to_8bit
from ls3d.video.images import encode_png

#: Height and width of the detail.
_DETAIL = (270, 360)
#: Errors of this many 8-bit values and more are white.
FULL_ERROR = 64


@dataclass(frozen=True)
class FramePictures:
    """Pictures of the detail of a frame that has the largest error, each as a PNG file in Base64.

    Attributes:
        caption: the clip and its score.
        frame: index of the frame in the clip.
        given: the frame that the network was given; if smaller, enlarged without interpolation.
        output: the network's frame.
        truth: the true frame.
        error: map of the absolute error.
    """

    caption: str
    frame: int
    given: str
    output: str
    truth: str
    error: str


def render_pictures(pictures: Sequence[FramePictures], model: str) -> str:
    """The section of the page with the pictures, as HTML.

    Args:
        pictures: from the worst clip to the best.
        model: name of the network.
    """
    return render("fidelity/pictures.html.j2", pictures=pictures, model=model, full_error=FULL_ERROR)


def draw_pictures(frame: ScoredFrame, caption: str) -> FramePictures:
    """Pictures of a frame."""
    given = frame.given[None]
    if given.shape[-2:] != frame.truth.shape[-2:]:
        given = F.interpolate(given, frame.truth.shape[-2:], mode="nearest")
    error = (frame.output.clamp(0, 1) - frame.truth).abs().mean(dim=0) * 255
    detail = worst_detail(error)
    return FramePictures(
        caption=caption,
        frame=frame.index,
        given=_png(_pixels(given[0], detail)),
        output=_png(_pixels(frame.output, detail)),
        truth=_png(_pixels(frame.truth, detail)),
        error=_png(error_colors(error[detail].numpy())),
    )


def worst_detail(error: Tensor) -> tuple[slice, slice]:
    """Rows and columns of the detail with the largest mean of ``error (H, W)``, on a grid of four pixels."""
    height, width = (min(detail, side) for detail, side in zip(_DETAIL, error.shape, strict=True))
    means = F.avg_pool2d(error[None], (height, width), stride=4)[0]
    y, x = divmod(int(means.argmax()), means.shape[1])
    return slice(4 * y, 4 * y + height), slice(4 * x, 4 * x + width)


def error_colors(error: npt.NDArray[np.floating]) -> Pixels:
    """Errors ``(...)`` in 8-bit values as colors ``(..., 3)`` from black over red and yellow to white."""
    level = np.clip(error / FULL_ERROR, 0, 1)[..., None] * 3 - np.arange(3)
    return (np.clip(level, 0, 1) * 255).round().astype(np.uint8)


def _pixels(image: Tensor, detail: tuple[slice, slice]) -> Pixels:
    """A detail of ``(3, H, W)`` as ``(h, w, 3)`` uint8."""
    rows, columns = detail
    pixels: Pixels = to_8bit(image[:, rows, columns]).permute(1, 2, 0).numpy()
    return pixels


def _png(pixels: Pixels) -> str:
    return base64.b64encode(encode_png(pixels)).decode()
