"""Sharpness of interpolated frames where the picture moves, relative to the true frames (``ls3d.metrics.sharpness``).

    python -P benchmarks/sharpness.py UCF101 --protocol ucf101 --output benchmarks/results/sharpness/ucf101.json

Frames are rounded to 8 bit; the score is the mean over the clips. Each clip has three frames, and the networks make the
middle one.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ls3d.data import Clip
from ls3d.environment import versions
from ls3d.evaluation import InterpolationProtocol, get_protocol
from ls3d.files import atomic_write
from ls3d.inference import Enhancer
from ls3d.metrics import moving, sharpness, to_8bit
from ls3d.models import load_enhancement_model

#: Pixels are scored where a channel of the two given frames differs by more than this, in 8-bit values.
THRESHOLD = 10.0


@torch.inference_mode()
def measure(model: str, protocol: InterpolationProtocol, clips: Sequence[Clip]) -> dict[str, Any]:
    """The sharpness of a model's frames: the mean, and by clip; clips in which nothing moves are left out."""
    network = load_enhancement_model(model)
    enhancer = Enhancer(network, torch.device("cpu"))
    scores = {}
    for clip in clips:
        (frame,) = protocol.scored_frames(enhancer, clip)
        second = torch.from_numpy(clip[frame.index + 1].copy()).permute(2, 0, 1)
        mask = moving(to_8bit(frame.given), second, THRESHOLD)
        score = sharpness(to_8bit(frame.output), to_8bit(frame.truth), mask).item()
        if math.isfinite(score):
            scores[clip.name] = score
    config = network.config.to_dict() if network.config else {}
    return {"sha256": config.get("sha256"), "mean": statistics.fmean(scores.values()), "clips": scores}


def main() -> None:
    """Measure several models under one protocol."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder of the data set")
    parser.add_argument("--protocol", required=True, help="one that scores the middle one of three frames")
    parser.add_argument("--models", nargs="+", default=["blend", "minterpolate", "bilateral", "vfi"])
    parser.add_argument("--output", type=Path, required=True, help="the JSON file to write")
    options = parser.parse_args()
    protocol = get_protocol(options.protocol)
    if not isinstance(protocol, InterpolationProtocol) or protocol.window.targets != (1,) or protocol.window.repeat:
        parser.error(f"{protocol.name} does not score the middle one of three frames")
    clips = list(protocol.data_set.open(options.data))
    result = {
        "protocol": protocol.name,
        "threshold": THRESHOLD,
        "models": {model: measure(model, protocol, clips) for model in options.models},
        "versions": versions(),
    }
    with atomic_write(options.output) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n")
    print({model: round(scores["mean"], 3) for model, scores in result["models"].items()})


if __name__ == "__main__":
    main()
