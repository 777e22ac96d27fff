"""Super-resolution of frames in memory: the sharpest frame of a video, enlarged, as a PNG picture.

    python examples/upscale_frames.py IN OUT.png

Every frame is restored from its neighbors, so the iterator takes the frames of a shot, not single pictures.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from ls3d import enhance
from ls3d.errors import InputError
from ls3d.video.arrays import read_video


def sharpness(frame: npt.NDArray[np.uint8]) -> float:
    """Mean absolute difference of neighboring pixels."""
    gray = frame.astype(np.float32).mean(axis=2)
    return float(np.abs(np.diff(gray, axis=0)).mean() + np.abs(np.diff(gray, axis=1)).mean())


def main(source: Path, target: Path) -> None:
    """Enlarge all frames to twice the size, and keep the sharpest one."""
    larger = enhance.upscale_frames(read_video(source), scale=2, model="vsr")
    best = max(larger, key=sharpness, default=None)
    if best is None:
        raise InputError(f"{source} has no frames")
    Image.fromarray(best).save(target)
    print(f"{target}: {best.shape[1]}x{best.shape[0]}")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except (InputError, OSError) as error:
        sys.exit(str(error))
