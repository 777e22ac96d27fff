"""Time and memory of ``ls3d classify`` for a long video, on the CPU.

    OMP_NUM_THREADS=2 python -P benchmarks/long_video.py --json benchmarks/results/recognition/long_video.json

Videos of 3 and 30 minutes, 160x120 at 15 frames per second, H.264, noise that changes with time; R3D-18 of an eighth of
the width with random weights, clips of 8 frames of 64x64 at 8 per second, a window every half clip. Each run is a
process of its own, whose time includes the start of Python and torch. On a busy machine, the time of the processor says
more than that of the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import numpy as np

from ls3d.environment import versions
from ls3d.models import ClipFormat, create_model, save_weights

_RATE = 15
_SIZE = (120, 160)
_MINUTES = (3, 30)

_RUN = """
import pathlib, re, sys
from ls3d.cli.main import main
peak = pathlib.Path(sys.argv.pop(1))
try:
    main()
finally:
    # Not ru_maxrss: a child inherits its parent's.
    peak.write_text(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
"""


def write_video(path: Path, minutes: int) -> None:
    """Write noise that is enlarged by 8 and moves."""
    rng = np.random.default_rng(0)
    pictures = [
        av.VideoFrame.from_ndarray(noise.repeat(8, axis=0).repeat(8, axis=1), format="rgb24").reformat(format="yuv420p")
        for noise in rng.integers(0, 256, (_RATE, _SIZE[0] // 8, _SIZE[1] // 8, 3), dtype=np.uint8)
    ]
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("libx264", rate=_RATE, options={"preset": "ultrafast"})
        stream.height, stream.width = _SIZE
        stream.pix_fmt = "yuv420p"
        for index in range(minutes * 60 * _RATE):
            picture = pictures[index // 4 % len(pictures)]
            picture.pts = index
            output.mux(stream.encode(picture))
        output.mux(stream.encode())


def measure(video: Path, weights: Path) -> tuple[float, float, float]:
    """Seconds of the clock and of the processor, and the largest resident memory in MiB, of one run."""
    peak = video.with_suffix(".txt")
    options = ["classify", str(video), "--model", str(weights), "--device", "cpu"]
    command = [sys.executable, "-P", "-c", _RUN, str(peak), *options]
    begin = time.perf_counter()
    process = os.posix_spawn(sys.executable, command, os.environ)
    _, status, usage = os.wait4(process, 0)
    if status != 0:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.perf_counter() - begin, usage.ru_utime + usage.ru_stime, int(peak.read_text()) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    load = [round(value, 1) for value in os.getloadavg()]
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.safetensors"
        clip = ClipFormat(8, 8.0, (64, 64)).to_dict()
        save_weights(create_model("r3d_18", num_classes=10, width=8), weights, clip=clip)
        for minutes in _MINUTES:
            video = Path(folder) / f"{minutes}.mp4"
            write_video(video, minutes)
            seconds, processor_seconds, memory = measure(video, weights)
            rows.append(
                {
                    "minutes": minutes,
                    "seconds": round(seconds, 1),
                    "times_real_time": round(60 * minutes / seconds, 2),
                    "processor_seconds": round(processor_seconds, 1),
                    "resident_mib": round(memory, 1),
                }
            )
            print(rows[-1], flush=True)
    result = {
        "network": "r3d_18, width 8",
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "cores": os.cpu_count(),
        "load_average": load,
        "versions": versions(),
        "videos": rows,
    }
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
