"""Interpolation of frames in memory: a video with twice as many frames and the same duration.

    python examples/interpolate_frames.py IN OUT

Frames are read, made and written one after the other, so a video of any length needs the memory of a few frames.
`ls3d interpolate` also keeps sound, timestamps and color tags, and resumes; this shows the frame iterator.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ls3d import enhance, load_model
from ls3d.errors import InputError
from ls3d.models import InterpolationNetwork
from ls3d.video import probe
from ls3d.video.arrays import read_video, write_video

FACTOR = 2


def main(source: Path, target: Path) -> None:
    """Write the frames of ``source`` and those between them."""
    network = load_model("vfi")
    assert isinstance(network, InterpolationNetwork)
    frames = read_video(source)  # arrays (H, W, 3) of uint8 RGB
    smooth = enhance.interpolate_frames(frames, factor=FACTOR, model=network)
    write_video(target, smooth, probe(source).rate * FACTOR)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except (InputError, OSError) as error:
        sys.exit(str(error))
