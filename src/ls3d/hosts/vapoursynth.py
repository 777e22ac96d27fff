"""Functions for VapourSynth scripts: ``interpolate``, ``upscale``, ``denoise``.

They take clips of integer YUV, RGB or gray samples (8 to 16 bits) or of RGBS (float32), and return clips of the same
format. Their frames are those of the Python functions for frames in memory and of the command line. Frames can be
requested in any order. https://www.vapoursynth.com/doc/ explains clips, formats and frame properties.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ls3d.enhance.indexed import (
    IndexedFrames,
    SourceFormat,
    denoised,
    interpolated,
    plane_frame,
    tensor_frame,
    upscaled,
)
from ls3d.enhance.options import (
    DEFAULT_DENOISING,
    DEFAULT_INTERPOLATION,
    DEFAULT_SUPER_RESOLUTION,
    EnhanceOptions,
    Precision,
)
from ls3d.errors import InputError, require
from ls3d.models import EnhancementNetwork
from ls3d.video import Color, Frame, from_rgb, layout_of
from ls3d.video.color import untagged_matrix
from ls3d.video.pixels import planes_of

#: The module ``vapoursynth``. Its classes are written as Any, since it has types only where it is installed.
_vs: Any = require("vapoursynth", "vapoursynth")

Clip = Any  #: ``vapoursynth.VideoNode``
ClipFrame = Any  #: ``vapoursynth.VideoFrame``

_CUT_THRESHOLD = EnhanceOptions().cut_threshold

#: Whether chroma samples coincide with luma samples, horizontally and vertically, by the property ``_ChromaLocation``.
_COSITED = {0: (True, False), 1: (False, False), 2: (True, True), 3: (False, True)}
_MATRICES = (1, 4, 5, 6, 7, 8, 9, 10)  # that ``ls3d.video.Color`` knows, by their numbers in H.273
_CHROMA_NAMES = {(0, 0): "444", (1, 0): "422", (1, 1): "420", (2, 0): "411", (2, 2): "410", (0, 1): "440"}


def interpolate(
    clip: Clip,
    factor: Fraction | float = 2,
    *,
    model: str | EnhancementNetwork = DEFAULT_INTERPOLATION,
    device: str = "auto",
    precision: Precision = "float32",
    tile: int | None = None,
    cut_threshold: float = _CUT_THRESHOLD,
) -> Clip:
    """Add new frames between those of a clip, which pass through as they are.

    Args:
        clip: of constant or variable frame rate.
        factor: from 1 to 100, such as 2, 2.5 or ``Fraction(5, 2)``. The frame rate is multiplied by exactly this.
        model: an interpolation network: its name, its weights file, or the network itself.
        device: see ``EnhanceOptions``.
        precision: see ``EnhanceOptions``.
        tile: see ``EnhanceOptions``.
        cut_threshold: see ``EnhanceOptions``; 0 for clips of a single shot.

    Returns:
        A clip of n * factor frames, rounded up, for n frames.

    Raises:
        InputError: an argument or the clip's format is not what is expected.
    """
    options = EnhanceOptions(device, precision, tile, cut_threshold=cut_threshold)
    return _apply(clip, lambda source: interpolated(source, options, model, factor))


def upscale(
    clip: Clip,
    *,
    scale: Fraction | float | None = None,
    width: int | None = None,
    height: int | None = None,
    fit: tuple[int, int] | None = None,
    model: str | EnhancementNetwork = DEFAULT_SUPER_RESOLUTION,
    device: str = "auto",
    precision: Precision = "float32",
    tile: int | None = None,
    cut_threshold: float = _CUT_THRESHOLD,
) -> Clip:
    """Enlarge the frames of a clip.

    Args:
        clip: see ``interpolate``.
        scale: see ``ls3d.enhance.upscale_frames``; by default the network's scale.
        width: of the output, instead of a scale.
        height: of the output, instead of a scale.
        fit: width and height of a box in which the output is to fit, instead of a scale.
        model: a super-resolution network: its name, its weights file, or the network itself.
        device: see ``EnhanceOptions``.
        precision: see ``EnhanceOptions``.
        tile: see ``EnhanceOptions``.
        cut_threshold: see ``EnhanceOptions``; 0 for clips of a single shot.

    Returns:
        A clip of as many frames.

    Raises:
        InputError: an argument or the clip's format is not what is expected.
    """
    options = EnhanceOptions(device, precision, tile, cut_threshold=cut_threshold)
    return _apply(clip, lambda source: upscaled(source, options, model, scale, width, height, fit))


def denoise(
    clip: Clip,
    sigma: float | str | None = None,
    *,
    model: str | EnhancementNetwork = DEFAULT_DENOISING,
    device: str = "auto",
    precision: Precision = "float32",
    tile: int | None = None,
    cut_threshold: float = _CUT_THRESHOLD,
) -> Clip:
    """Remove noise from the frames of a clip.

    Args:
        clip: see ``interpolate``.
        sigma: standard deviation of the noise on the scale [0, 255], or ``"auto"`` to measure it in every frame; only
            for networks that take it, where ``"auto"`` is the default.
        model: a denoising network: its name, its weights file, or the network itself.
        device: see ``EnhanceOptions``.
        precision: see ``EnhanceOptions``.
        tile: see ``EnhanceOptions``.
        cut_threshold: see ``EnhanceOptions``; 0 for clips of a single shot.

    Returns:
        A clip of as many frames.

    Raises:
        InputError: an argument or the clip's format is not what is expected.
    """
    options = EnhanceOptions(device, precision, tile, cut_threshold=cut_threshold)
    return _apply(clip, lambda source: denoised(source, options, model, sigma))


class _Format:
    """How the frames of a clip are read and written.

    Args:
        clip: its format and the properties of its first frame count.

    Attributes:
        color: how samples represent colors; None for RGBS.

    Raises:
        InputError: the format is not one of those that the module names.
    """

    def __init__(self, clip: Clip) -> None:
        self.color: Color | None = None
        name = None if clip.format is None else clip.format.name
        if name is None or clip.width == 0:
            raise InputError("has frames of several formats or sizes; expected one", argument="clip")
        if name == "RGBS":
            return
        if clip.format.sample_type != _vs.INTEGER or not 8 <= clip.format.bits_per_sample <= 16:
            message = f"has the format {name}; expected integer samples of 8 to 16 bits, or RGBS"
            raise InputError(message, argument="clip")
        self.color = _color(clip)

    def read(self, number: int, frame: ClipFrame) -> Frame:
        """Convert a frame."""
        planes = [np.asarray(frame[plane]) for plane in range(frame.format.num_planes)]
        if self.color is None:
            return tensor_frame(number, torch.from_numpy(np.stack(planes)))
        if self.color.layout.family == "rgb":
            planes = [planes[1], planes[2], planes[0]]  # G, B, R
        return plane_frame(number, planes, self.color)

    def write(self, rgb: Tensor, frame: ClipFrame) -> None:
        """Convert ``(3, H, W)`` R'G'B' into the planes of a frame."""
        if self.color is None:
            planes = list(rgb.clamp(0, 1).cpu().numpy())
        else:
            planes = planes_of(from_rgb(rgb, self.color))
            if self.color.layout.family == "rgb":
                planes = [planes[2], planes[0], planes[1]]
        for number, plane in enumerate(planes):
            np.copyto(np.asarray(frame[number]), plane)


def _color(clip: Clip) -> Color:
    """How integer samples represent colors, by the properties of the first frame; missing ones as players assume."""
    family, bits = clip.format.color_family, clip.format.bits_per_sample
    suffix = f"{bits}le" if bits > 8 else ""
    properties = clip.get_frame(0).props
    if family == _vs.RGB:
        return Color(layout_of(f"gbrp{suffix}"), matrix=0, full_range=True)
    matrix = properties.get("_Matrix")
    if matrix not in _MATRICES:
        matrix = untagged_matrix(clip.height, clip.width)
    # The property _Range of newer versions and the older _ColorRange have opposite values.
    full = properties["_Range"] == 1 if "_Range" in properties else properties.get("_ColorRange") == 0
    cosited = _COSITED.get(properties.get("_ChromaLocation"), (True, matrix in (9, 10)))
    subsampling = (clip.format.subsampling_w, clip.format.subsampling_h)
    if family == _vs.GRAY:
        return Color(layout_of(f"gray{suffix}"), matrix, full, cosited)
    if subsampling not in _CHROMA_NAMES:
        raise InputError(f"has the format {clip.format.name}, whose chroma is too small", argument="clip")
    return Color(layout_of(f"yuv{_CHROMA_NAMES[subsampling]}p{suffix}"), matrix, full, cosited)


def _apply(clip: Clip, prepare: Callable[[SourceFormat], IndexedFrames]) -> Clip:
    """The clip whose frames a network makes of those of another one."""
    form = _Format(clip)
    frames = prepare(SourceFormat(clip.num_frames, (clip.height, clip.width), form.color))
    rate = clip.fps * frames.factor  # 0 for a variable rate
    blank = clip.std.BlankClip(
        height=frames.size[0],
        width=frames.size[1],
        length=frames.length,
        fpsnum=rate.numerator,
        fpsden=rate.denominator,
        keep=True,
    )
    # Neighboring frames need the same source frames.
    clip.std.SetVideoCache(mode=1, maxsize=2 * len(frames.needed(frames.length // 2)) + 8)

    def evaluate(n: int) -> Clip:
        needed = frames.needed(n)
        sources = [clip[number] for number in needed]
        maker = _frame_maker(frames, form, n, needed, 1 / rate if rate else None)
        return blank.std.ModifyFrame(clips=[blank, *sources], selector=maker)

    return blank.std.FrameEval(evaluate)


def _frame_maker(
    frames: IndexedFrames, form: _Format, number: int, needed: range, duration: Fraction | None
) -> Callable[[int, list[ClipFrame]], ClipFrame]:
    """The function that makes an output frame of a blank one and of the source frames that are needed.

    Args:
        frames: makes it.
        form: of the clips.
        number: of the output frame.
        needed: numbers of the source frames.
        duration: of the output frame, in seconds; None for that of its source frame, divided by the factor.
    """

    def make(n: int, f: list[ClipFrame]) -> ClipFrame:
        blank, *sources = f
        read = {index: form.read(index, frame) for index, frame in zip(needed, sources, strict=True)}
        made = frames.make(number, read)
        current = sources[frames.source_of(number) - needed.start]
        if isinstance(made, int):
            result = sources[made - needed.start].copy()
        else:
            result = blank.copy()
            form.write(made, result)
        for key, value in current.props.items():
            result.props[key] = value
        _set_properties(result.props, frames, number, duration)
        return result

    return make


def _set_properties(properties: Any, frames: IndexedFrames, number: int, duration: Fraction | None) -> None:
    """Correct the properties of an output frame, which are those of its source frame."""
    if duration is None and properties.get("_DurationNum"):
        duration = Fraction(properties["_DurationNum"], properties["_DurationDen"]) / frames.factor
    if duration is not None:
        properties["_DurationNum"], properties["_DurationDen"] = duration.numerator, duration.denominator
    if not frames.is_first(number):
        properties.pop("_SceneChangePrev", None)
    if not frames.is_last(number):
        properties.pop("_SceneChangeNext", None)
