"""The optical flow of a video, written as arrays or shown as a video."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from ls3d.data.clips import Pixels
from ls3d.data.flow import Flow, FlowMethod, compute_flow, flow_colors
from ls3d.errors import check_positive
from ls3d.files import atomic_write
from ls3d.video import read_frames_regularly
from ls3d.video.arrays import write_video


def write_flow(
    video: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    method: FlowMethod = "dis",
    fps: float = 15.0,
    short_side: int | None = None,
    largest: float = 20.0,
) -> int:
    """Compute the optical flow of a whole video.

    Args:
        video: the file.
        output: ``.npz`` for the arrays ``flow (T, H, W, 2)``, displacements (x, y) in pixels in half precision, and
            ``fps``; any other suffix for a video in which the hue is the direction, the saturation the length.
        method: of the computation.
        fps: frames per second between which the flow is computed.
        short_side: larger frames are scaled down to this shorter side; None keeps their size.
        largest: length in pixels that has full saturation.

    Returns:
        The number of flow fields.

    Raises:
        OSError: a file can't be read or written.
        InputError: the video can't be decoded, or has frames smaller than 16 pixels, or a number is not above 0.
        MissingExtraError: OpenCV is not installed.
    """
    check_positive(fps=fps, largest=largest)
    fields = _flows(read_frames_regularly(video, fps, short_side), method)
    count = 0

    def colors() -> Iterator[Pixels]:
        nonlocal count
        for field in fields:
            count += 1
            yield flow_colors(field, largest)

    path = Path(output)
    with atomic_write(path) as temporary:
        if path.suffix.lower() == ".npz":
            flow = np.stack([field.astype(np.float16) for field in fields])
            count = len(flow)
            with temporary.open("wb") as file:
                np.savez_compressed(file, flow=flow, fps=np.float64(fps))
        else:
            # FFmpeg chooses the container by the suffix.
            part = temporary.with_suffix(path.suffix)
            try:
                write_video(part, colors(), Fraction(fps).limit_denominator(1001))
                os.replace(part, temporary)
            finally:
                part.unlink(missing_ok=True)
    return count


def _flows(frames: Iterator[Pixels], method: FlowMethod) -> Iterator[Flow]:
    """The flow ``(H, W, 2)`` from each frame to the next one; of a single frame, to itself."""
    previous = next(frames)
    is_alone = True
    for frame in frames:
        yield compute_flow(np.stack([previous, frame]), method)[0]
        previous = frame
        is_alone = False
    if is_alone:
        yield compute_flow(np.stack([previous, previous]), method)[0]
