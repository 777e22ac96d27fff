"""What Inception-I3D says of public clips, none of which is part of ls3d: their best classes.

    python -P benchmarks/public_clips.py FOLDER [--json FILE]

FOLDER holds the clips under the names in ``CLIPS``; those that are missing are left out. The weights must have been
downloaded by ``ls3d weights get i3d_inception``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

from ls3d.environment import versions
from ls3d.inference import Classifier
from ls3d.models import RecognitionNet, load_model
from ls3d.recognition import classify_video

#: Where each clip comes from, and what it shows.
CLIPS = {
    "demo.mp4": ("open-mmlab/mmaction2, demo/demo.mp4", "arm wrestling"),
    "v_CricketShot_g04_c01_rgb.gif": ("google-deepmind/kinetics-i3d, v_CricketShot_g04_c01_rgb.gif", "cricket"),
    "test.mp4": ("open-mmlab/mmaction2, tests/data/test.mp4", "a pool is cleaned"),
    "test_video_structuralize.mp4": ("open-mmlab/mmaction2, demo/test_video_structuralize.mp4", "basketball"),
    "tennis.mp4": ("SiamMask, tennis.mp4", "tennis"),
    "05_default_juggle.mp4": ("Grounded-SAM-2, 05_default_juggle.mp4", "a juggled football"),
    "man-skiing.mp4": ("Tune-A-Video, man-skiing.mp4", "skiing"),
    "man-surfing.mp4": ("Tune-A-Video, man-surfing.mp4", "surfing"),
    "test.avi": ("UCF101, ApplyEyeMakeup (mmaction2, tests/data/test.avi)", "no class of Kinetics-400"),
}

_STRIDE = 2.56  # seconds: windows of 64 frames at 25 per second, without overlap
_COUNT = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    network = load_model("i3d_inception")
    assert isinstance(network, RecognitionNet)
    assert network.config is not None
    classifier = Classifier(network, arguments.device)
    rows = []
    for name, (origin, shows) in CLIPS.items():
        path = arguments.folder / name
        if not path.is_file():
            print(f"{name}: not in {arguments.folder}")
            continue
        time_line = classify_video(classifier, path, stride=_STRIDE)
        best = {name: round(value, 5) for name, value in time_line.best(_COUNT).items()}
        row = {"clip": origin, "shows": shows, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        rows.append({**row, "windows": len(time_line.windows), "best": best})
        print(json.dumps(rows[-1]), flush=True)
    result = {
        "model": "i3d_inception",
        "weights": network.config.metadata.get("sha256"),
        "stride": _STRIDE,
        "device": str(classifier.device),
        "versions": versions(),
        "clips": rows,
    }
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
