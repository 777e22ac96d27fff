"""ls3d as a library: a job with progress that stops in time and resumes, and frames enhanced in memory.

python examples/library.py IN OUT
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ls3d import enhance
from ls3d.errors import InputError
from ls3d.video import VideoFile, to_rgb


class OutOfTimeError(Exception):
    """Raised by the progress callback; it ends the job, and the same call resumes it."""


def smooth(source: Path, target: Path, seconds: float) -> enhance.EnhanceReport | None:
    """Double the frame rate; None if there was not enough time."""
    end = time.monotonic() + seconds

    def show(state: enhance.Progress) -> None:
        print(f"{state.phase}: {state.done} of {state.total}")
        if time.monotonic() > end:
            raise OutOfTimeError

    options = enhance.EnhanceOptions(device="cpu", segment_frames=8)
    try:
        return enhance.interpolate(source, target, factor=2, model="bilateral", options=options, progress=show)
    except OutOfTimeError:
        return None


def read_frames(path: Path) -> Iterator[npt.NDArray[np.uint8]]:
    """The frames of a video, ``(H, W, 3)`` R'G'B'."""
    video = VideoFile(path)
    for frame in video.frames():
        rgb = to_rgb(frame.picture, video.info.color).clamp(0, 1)
        yield (rgb * 255).round().byte().permute(1, 2, 0).numpy()


def main(source: Path, target: Path) -> None:
    """Smooth a file, and denoise its frames without writing one."""
    logging.basicConfig(level=logging.INFO)  # the library logs to "ls3d" and below
    while (report := smooth(source, target, seconds=60)) is None:
        print("once more")
    print(f"{report.frames_in} frames became {report.frames_out}")
    for number, clean in enumerate(enhance.denoise_frames(read_frames(source), sigma=10, model="vdn")):
        print(number, clean.shape, clean.mean())


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except (InputError, OSError) as error:
        sys.exit(str(error))
