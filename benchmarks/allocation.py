"""CPU time and peak memory of enhancing a clip, with freed memory kept for the next frame and returned to the system.

    python -P benchmarks/allocation.py [--repeats 3] [--json out.json]

-P, because this folder holds a module named operator. Each command runs in processes of its own, alternately with
``LS3D_KEEP_MEMORY=1`` and ``=0``. CPU seconds are those of the user and the system together, of the whole process with
one thread of torch's; the medians count.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import av
import numpy as np

from ls3d.environment import versions

#: Name, command, frames.
JOBS = (
    ("vfi", ("interpolate", "--model", "vfi"), 12),
    ("bilateral", ("interpolate", "--model", "bilateral"), 12),
    ("vdn", ("denoise",), 12),
    ("vsr", ("upscale",), 3),
)
SIZES = ((640, 360), (1280, 720))

_MEASURE = """
import resource, sys
from ls3d.cli.main import main
main()
used = resource.getrusage(resource.RUSAGE_SELF)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]
print(used.ru_utime, used.ru_stime, int(peak) / 1024)
"""


def make_clip(path: Path, frames: int, width: int, height: int) -> None:
    """A moving pattern with noise."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[0:height, 0:width].astype(float)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": "12", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for n in range(frames):
            waves = [np.sin((x + 3 * n) / (9 + c)) * np.cos((y - 2 * n) / (13 - c)) for c in range(3)]
            pixels = 127 + 90 * np.stack(waves, -1) + random.normal(0, 8, (height, width, 3))
            picture = av.VideoFrame.from_ndarray(pixels.clip(0, 255).astype(np.uint8), format="rgb24")
            output.mux(stream.encode(picture.reformat(format="yuv420p")))
        output.mux(stream.encode())


def run(command: tuple[str, ...], source: Path, target: Path, kept: bool) -> tuple[float, float, float]:
    """User and system CPU seconds, and peak memory in MiB."""
    target.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, command[0], str(source), str(target), *command[1:]],
        env=os.environ | {"LS3D_KEEP_MEMORY": str(int(kept)), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    user, system, peak = map(float, done.stdout.split()[-3:])
    return user, system, peak


def measure(command: tuple[str, ...], source: Path, target: Path, repeats: int) -> dict[str, Any]:
    """The medians with memory kept and returned."""
    runs: dict[str, list[tuple[float, float, float]]] = {"kept": [], "returned": []}
    for _ in range(repeats):
        for name in runs:
            runs[name].append(run(command, source, target, name == "kept"))
    row: dict[str, Any] = {}
    for name, values in runs.items():
        user, system, peak = (statistics.median(column) for column in zip(*values, strict=True))
        row[name] = {"user s": round(user, 2), "system s": round(system, 2), "peak MiB": round(peak)}
    cpu = {name: row[name]["user s"] + row[name]["system s"] for name in runs}
    return row | {"ratio": round(cpu["returned"] / cpu["kept"], 2)}


def main() -> None:
    """Measure all jobs, and print them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for width, height in SIZES:
            for name, command, frames in JOBS:
                source = Path(folder) / f"{name}_{width}.mkv"
                make_clip(source, frames, width, height)
                row = measure(command, source, Path(folder) / "out.mp4", options.repeats)
                rows.append({"network": name, "size": f"{width}x{height}", "frames": frames, **row})
                print(rows[-1], flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps({"versions": versions(), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
