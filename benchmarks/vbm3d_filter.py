"""V-BM3D of one clip, for ``vbm3d.py``: runs in a Python that has ``vapoursynth`` and ``vapoursynth-bm3dcpu``.

    python benchmarks/vbm3d_filter.py NOISY.npy RESTORED.npy SETTINGS

The arrays are float32 ``(T, 3, H, W)`` in RGB. SETTINGS is JSON: "sigma" on the scale of the frames' [0, 1] times 255,
and the arguments of ``BM3Dv2`` for "basic" and "final". Prints the versions as JSON.
The clip is extended by reflection, because the plugin's first and last ``radius`` frames are noisier than the others.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import vapoursynth as vs

#: RGB to opponent colors with orthonormal rows, so that the noise has the same level in all three planes.
OPPONENT = np.linalg.qr(np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]).T)[0].T.astype(np.float32)


def read_clip(core: vs.Core, frames: np.ndarray) -> vs.VideoNode:
    """Frames ``(T, 3, H, W)`` as a YUV444PS clip of the same values."""
    count, _, height, width = frames.shape
    blank = core.std.BlankClip(format=vs.YUV444PS, width=width, height=height, length=count, keep=True)

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        frame = f.copy()
        for plane in range(3):
            np.copyto(np.asarray(frame[plane]), frames[n, plane])
        return frame

    return core.std.ModifyFrame(blank, blank, fill)


def denoise(core: vs.Core, clip: vs.VideoNode, settings: dict) -> vs.VideoNode:
    """Basic and final estimate; blocks are matched in the first plane."""
    sigma = [settings["sigma"]] * 3
    basic = core.bm3dcpu.BM3Dv2(clip, sigma=sigma, chroma=True, **settings["basic"])
    return core.bm3dcpu.BM3Dv2(clip, ref=basic, sigma=sigma, chroma=True, **settings["final"])


def main() -> None:
    """Read, denoise, write."""
    noisy, restored, settings = sys.argv[1:]
    frames = np.einsum("oc,tchw->tohw", OPPONENT, np.load(noisy))
    margin = min(sum(json.loads(settings)[step]["radius"] for step in ("basic", "final")), len(frames) - 1)
    padded = np.pad(frames, [(margin, margin), (0, 0), (0, 0), (0, 0)], mode="reflect")
    core = vs.core
    core.num_threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    result = denoise(core, read_clip(core, padded), json.loads(settings))
    planes = np.stack([np.stack([np.asarray(frame[p]) for p in range(3)]) for frame in result.frames(close=True)])
    np.save(restored, np.einsum("oc,tohw->tchw", OPPONENT, planes[margin : margin + len(frames)]))
    versions = {name: version(name) for name in ("vapoursynth", "vapoursynth-bm3dcpu")}
    sys.stdout.write(json.dumps(versions))
    sys.stdout.flush()
    os._exit(0 if Path(restored).exists() else 1)


main()
