"""Frames between two by MVTools, for ``mvtools.py``: runs in a Python that has ``vapoursynth-mvtools``.

    python benchmarks/mvtools_filter.py PAIR.npy BETWEEN.npy TIME ...

PAIR is float32 ``(2, 3, H, W)`` in RGB and [0, 1]; BETWEEN becomes ``(TIMEs, 3, H, W)``. Vectors are found for blocks
of 16x16 to a quarter of a pixel, again for blocks of 8x8, and pixels are moved along them (``FlowInter``). Scene cuts
are not looked for.
"""

from __future__ import annotations

import os
import sys

import numpy as np
import vapoursynth as vs

SUPER = {"pel": 4, "hpad": 16, "vpad": 16, "sharp": 2, "rfilter": 4}
COARSE = {"blksize": 16, "overlap": 8, "search": 3, "searchparam": 3, "truemotion": True}
FINE = {"blksize": 8, "overlap": 4, "search": 3, "searchparam": 1, "thsad": 100, "truemotion": True}
NO_CUTS = {"thscd1": 16320, "thscd2": 255}


def read_clip(core: vs.Core, frames: np.ndarray) -> vs.VideoNode:
    """Frames as a clip of YUV444P16: MVTools reads no RGB."""
    count, _, height, width = frames.shape
    blank = core.std.BlankClip(format=vs.RGBS, width=width, height=height, length=count, keep=True)

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        frame = f.copy()
        for plane in range(3):
            np.copyto(np.asarray(frame[plane]), frames[n, plane])
        return frame

    return core.std.ModifyFrame(blank, blank, fill).resize.Point(format=vs.YUV444P16, matrix_s="709")


def vectors(core: vs.Core, pyramid: vs.VideoNode, backward: bool) -> vs.VideoNode:
    """Vectors from each frame to the next one (``backward`` in MVTools' words), or to the one before."""
    found = core.mv.Analyse(pyramid, isb=backward, **COARSE)
    return core.mv.Recalculate(pyramid, found, **FINE)


def main() -> None:
    """Read, interpolate, write."""
    source, target, *times = sys.argv[1:]
    core = vs.core
    core.num_threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    clip = read_clip(core, np.load(source))
    pyramid = core.mv.Super(clip, **SUPER)
    backward, forward = vectors(core, pyramid, True), vectors(core, pyramid, False)
    between = []
    for time in times:
        moved = core.mv.FlowInter(clip, pyramid, backward, forward, time=100 * float(time), **NO_CUTS)
        frame = moved.resize.Point(format=vs.RGBS, matrix_in_s="709").get_frame(0)
        between.append(np.stack([np.asarray(frame[plane]) for plane in range(3)]))
    np.save(target, np.stack(between))
    os._exit(0)


main()
