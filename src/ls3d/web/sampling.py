"""``find_samples``: two frames of a video, a new one between them, and the samples that a pixel of it is made of."""

from __future__ import annotations

import base64
import math
import os
from typing import Any

import numpy as np
import torch

from ls3d.enhance.options import QUALITIES
from ls3d.explain import trace
from ls3d.models import load_enhancement_model
from ls3d.video import VideoInfo, read_frames_at
from ls3d.video.images import encode_png
from ls3d.web.requests import SamplingRequest

_PIXELS = 320 * 180  # of the frames; larger ones are scaled down, as a network's activations take much memory
_UNIT = 8  # sides are multiples of this, which all networks accept
_SAMPLES = 400  # the strongest ones


def find_samples(
    path: str | os.PathLike[str], request: SamplingRequest, info: VideoInfo, device: str
) -> dict[str, Any]:
    """Compute a frame in the middle between two frames of a video and trace one of its pixels.

    Args:
        path: the video.
        request: which frames, and which pixel.
        info: properties of the video.
        device: of the network.

    Returns:
        ``frames`` and ``output``, PNG images as data URLs; their ``width`` and ``height``; the pixel ``x``, ``y``;
        ``points``, each with the number of the frame (0 or 1), x, y and its share of the total weight, the strongest
        first; and ``spread``, in pixels.
    """
    frames = torch.from_numpy(_read_frames(path, request.time, info)).permute(3, 0, 1, 2) / 255
    height, width = frames.shape[2:]
    x = min(int(request.x * width), width - 1)
    y = min(int(request.y * height), height - 1)
    traced = trace(load_enhancement_model(QUALITIES[request.quality]), frames, device=device)
    points = traced.samples(x, y, limit=_SAMPLES)
    columns = (points.frame, points.x, points.y, points.weight / max(points.total, 1e-12))
    return {
        "frames": [_data_url(frames[:, index]) for index in range(2)],
        "output": _data_url(traced.output),
        "width": width,
        "height": height,
        "x": x,
        "y": y,
        "points": [[int(frame), *np.round(values, 5).tolist()] for frame, *values in zip(*columns, strict=True)],
        "spread": round(points.spread(), 3) if len(points.x) else 0.0,  # JSON has no NaN
    }


def _read_frames(path: str | os.PathLike[str], time: float, info: VideoInfo) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The frame at a time and the next one ``(2, H, W, 3)``, small, with sides that every network accepts."""
    scale = min(1.0, math.sqrt(_PIXELS / (info.width * info.height)))
    short_side = max(_UNIT, round(scale * min(info.width, info.height)))
    frames = read_frames_at(path, [time, time + float(1 / info.rate)], short_side)
    height, width = (side // _UNIT * _UNIT or side for side in frames.shape[1:3])
    return frames[:, :height, :width]


def _data_url(picture: torch.Tensor) -> str:
    pixels = (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return f"data:image/png;base64,{base64.b64encode(encode_png(pixels)).decode()}"
