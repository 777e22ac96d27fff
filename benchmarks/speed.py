"""Seconds that each network that is ready to use takes for a frame of 640x360, which ``ls3d models`` prints.

    python -P benchmarks/speed.py --json benchmarks/results/speed/cpu_zen4.json

-P, because this folder holds a module named operator. All networks run in turn on the frames that they need for one
frame of output, in float32 with all cores; medians are taken. The machine must do nothing else. Afterwards run
scripts/measured_scores.py.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from ls3d.environment import versions
from ls3d.files import atomic_write
from ls3d.inference import Enhancer
from ls3d.models import list_models, load_enhancement_model, measured_scores

HEIGHT, WIDTH = 360, 640
SIGMA = 25 / 255


def call_of(name: str) -> Callable[[], Tensor]:
    """A call that makes one frame."""
    network = load_enhancement_model(name)
    traits, enhancer = network.traits, Enhancer(network, torch.device("cpu"))
    length = traits.frames_before + 1 + traits.frames_after
    generator = torch.Generator().manual_seed(0)
    frames = torch.rand(1, 3, length, HEIGHT // traits.scale, WIDTH // traits.scale, generator=generator)
    if traits.times is not None:
        return lambda: enhancer.interpolate(frames, [Fraction(1, 2)])
    return lambda: enhancer.restore(frames, torch.tensor([SIGMA]) if traits.takes_sigma else None)


def main() -> None:
    """Print JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    calls = {name: call_of(name) for name in list_models() if measured_scores(name)}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    with torch.inference_mode():
        for repeat in range(arguments.repeats + 1):  # the first is not counted
            for name, call in calls.items():
                begin = time.perf_counter()
                call()
                if repeat:
                    seconds[name].append(time.perf_counter() - begin)
    result = {
        "versions": versions(),
        "processor": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "size": f"{WIDTH}x{HEIGHT}",
        "seconds": {name: round(statistics.median(each), 4) for name, each in seconds.items()},
    }
    text = json.dumps(result, indent=1) + "\n"
    if arguments.json:
        with atomic_write(arguments.json) as temporary:
            temporary.write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
