"""The video engine: its throughput compared with the bare network's, and its memory for short and long videos.

    python -P benchmarks/engine.py [--model vfi] [--frames 12] [--long 20]

-P, because this folder holds a module named operator. Prints JSON. Throughput is of output frames; the bare network
sees the same frames, decoded and in memory before the clock starts. Memory is the peak resident size of a fresh
process.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import torch

from ls3d.enhance import interpolate
from ls3d.models import load_enhancement_model
from ls3d.video import VideoFile, to_rgb

HEIGHT, WIDTH = 192, 320

_MEASURE = """
import re, sys
from ls3d.enhance import interpolate
interpolate(sys.argv[1], sys.argv[2], factor=2, model=sys.argv[3])
# Not ru_maxrss: a child inherits its parent's.
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""


def make_clip(path: Path, frames: int) -> Path:
    """A moving pattern without cuts."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(float)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": "18", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for n in range(frames):
            waves = [np.sin(x / (9 + c) + 0.2 * n) * np.cos(y / (13 - c) - 0.1 * n) for c in range(3)]
            pixels = np.round(127 + 120 * np.stack(waves, -1)).astype(np.uint8)
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            output.mux(stream.encode(picture.reformat(format="yuv420p")))
        output.mux(stream.encode())
    return path


def throughput(model: str, source: Path, target: Path) -> dict[str, float]:
    """Output frames per second of the bare network and of the whole engine, at factor 2."""
    network = load_enhancement_model(model)
    video = VideoFile(source)
    frames = [to_rgb(frame.picture, video.info.color) for frame in video.frames()]
    pairs = [torch.stack(pair, dim=1)[None] for pair in pairwise(frames)]
    with torch.inference_mode():
        network(pairs[0], [0.5])
        begin = time.perf_counter()
        for pair in pairs:
            network(pair, [0.5])
        bare = time.perf_counter() - begin
    begin = time.perf_counter()
    interpolate(source, target, factor=2, model=network)
    engine = time.perf_counter() - begin
    made = 2 * len(frames)
    return {"bare_fps": made / bare, "engine_fps": made / engine, "ratio": bare / engine}


def peak_memory(model: str, source: Path, target: Path) -> float:
    """Peak resident size of a process that works on a video, in MiB."""
    command = [sys.executable, "-c", _MEASURE, str(source), str(target), model]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="vfi")
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--long", type=int, default=20, help="how many times longer the long video is")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = make_clip(folder / "clip.mp4", arguments.frames)
        short = make_clip(folder / "short.mp4", 100)
        long = make_clip(folder / "long.mp4", 100 * arguments.long)
        result = {
            "environment": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "av": av.__version__,
                "threads": torch.get_num_threads(),
                "dtype": "float32",
            },
            "model": arguments.model,
            "frames": [arguments.frames, 100, 100 * arguments.long],
            "size": f"{WIDTH}x{HEIGHT}",
            "seconds_of_video": float(Fraction(arguments.frames, 25)),
            **throughput(arguments.model, clip, folder / "out.mp4"),
            "short_mib": peak_memory("blend", short, folder / "a.mp4"),
            "long_mib": peak_memory("blend", long, folder / "b.mp4"),
        }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
