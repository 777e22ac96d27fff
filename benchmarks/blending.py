"""Gradient-Blending on a planted case: one modality shows the class, the other one is noise that can be memorized.

    python -P benchmarks/blending.py run --output benchmarks/results/recognition/planted_blending.json
    python -P benchmarks/blending.py plot benchmarks/results/recognition/planted_blending.json docs/blending.svg

Videos have noisy patterns of their class, and sounds whose spectrum is random for each video and says nothing of the
class. Every training has the same videos and the same number of steps; every seed has other videos. Learning rate,
number of videos and noise were chosen on the seed 100, such that joint training overfits.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ls3d.data import multimodal_clips
from ls3d.data.decoded import DecodedFrames
from ls3d.data.labeled import LabeledSet, LabeledVideo
from ls3d.data.sound import DecodedSound
from ls3d.data.spectrograms import RATE, SAMPLES, log_mel
from ls3d.files import atomic_write
from ls3d.models import RecognitionNet, read_metadata, register_model
from ls3d.models.metadata import VMZ
from ls3d.models.network import RecognitionTraits
from ls3d.training import Recipe, build_recipe, train
from ls3d.training.recognition import loaders

CLASSES = 5
SIDE = 8  # pixels
TRAINED, TESTED = 20, 40  # videos of each class
LEARNING_RATE = 0.03
VISIBLE = 0.5  # standard deviation of the patterns, over that of the noise

METHODS: dict[str, dict[str, Any]] = {
    "clip": {"modalities": ("clip",), "weights": {"joint": 1.0}},
    "spectrogram": {"modalities": ("spectrogram",), "weights": {"joint": 1.0}},
    "naive": {"modalities": ("clip", "spectrogram"), "weights": {"joint": 1.0}},
    "offline": {"modalities": ("clip", "spectrogram"), "weights": "offline"},
    "online": {"modalities": ("clip", "spectrogram"), "weights": "online", "epochs": 1},
}
TITLES = {
    "clip": "pattern alone",
    "spectrogram": "noise alone",
    "naive": "naive joint training",
    "offline": "G-Blend, offline",
    "online": "G-Blend, online",
}


class StillSound(DecodedSound):
    """A sound of which the same second is read again and again: its spectrogram is computed once."""

    @cached_property
    def samples_read(self) -> Any:
        return super().read(0.5 - SAMPLES / RATE / 2, SAMPLES)

    def read(self, start: float, count: int) -> Any:
        return self.samples_read


#: Spectrograms by the identity of their samples, which live as long as the videos.
_spectrograms: dict[int, Any] = {}


def log_mel_once(samples: Any) -> Any:
    """The spectrogram of a ``StillSound``."""
    if id(samples) not in _spectrograms:
        _spectrograms[id(samples)] = log_mel(samples)
    return _spectrograms[id(samples)]


class Perceptron(RecognitionNet):
    """Two layers."""

    stages = ()

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.num_classes = 0
        self.num_features = width
        self.body = nn.Sequential(
            nn.BatchNorm1d(inputs), nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.fc = nn.Identity()

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        return features


class ClipPerceptron(Perceptron):
    """On clips ``(N, 3, T, h, w)``."""

    traits = RecognitionTraits(task="recognition", modalities=("clip",), clip_length=None)
    in_channels = 3

    def forward_features(self, clip: Tensor) -> Tensor:
        return self.body(clip.mean(dim=2).flatten(1))


class SoundPerceptron(Perceptron):
    """On spectrograms ``(N, 1, time, mel)``."""

    traits = RecognitionTraits(task="audio", modalities=("spectrogram",), clip_length=None)
    in_channels = 1

    def forward_features(self, spectrogram: Tensor) -> Tensor:
        return self.body(spectrogram.flatten(1))


@register_model(preprocessing=VMZ)
def clip_perceptron(num_classes: int = 0) -> ClipPerceptron:
    """Two layers on clips."""
    return ClipPerceptron(3 * SIDE**2, 64)


@register_model()
def sound_perceptron(num_classes: int = 0) -> SoundPerceptron:
    """Two layers on spectrograms."""
    return SoundPerceptron(4000, 256)


def make_set(seed: int) -> LabeledSet:
    """Videos of the groups ``train`` and ``test``."""
    rng = np.random.default_rng(seed)
    patterns = rng.standard_normal((CLASSES, SIDE // 2, SIDE // 2, 3))
    videos = []
    for label in range(CLASSES):
        for number in range(TRAINED + TESTED):
            group = "train" if number < TRAINED else "test"
            values = VISIBLE * patterns[label] + rng.standard_normal(patterns.shape[1:])
            pixels = (128 + 25 * values).clip(0, 255).astype(np.uint8).repeat(2, 0).repeat(2, 1)
            name = f"{group}/{label}/{number:03}"
            videos.append(LabeledVideo(name, label, group, DecodedFrames(pixels[None], 1.0, 1.0), make_sound(rng)))
    names = tuple(str(label) for label in range(CLASSES))
    return LabeledSet("planted", names, tuple(sorted(videos, key=lambda video: video.name)))


def make_sound(rng: np.random.Generator) -> StillSound:
    """A second of noise with a random spectrum."""
    spectrum = np.fft.rfft(rng.standard_normal(16_000))
    bands = np.exp(rng.standard_normal(41)).repeat(200)[: len(spectrum)]
    samples = np.fft.irfft(spectrum * bands)
    return StillSound((0.3 * samples / np.abs(samples).max()).astype(np.float32))


def recipe_for(method: str, seed: int, folder: Path, steps: int) -> Recipe:
    """The recipe of one training."""
    chosen = METHODS[method]
    towers = {"clip": "clip_perceptron", "spectrogram": "sound_perceptron", "flow": None}
    used = {name: tower if name in chosen["modalities"] else None for name, tower in towers.items()}
    return build_recipe(
        {
            "kind": "gradient_blending",
            "model": {
                "name": "late_fusion",
                "arguments": {**used, "num_classes": CLASSES, "unimodal_heads": len(chosen["modalities"]) > 1},
            },
            "data": {
                "root": "planted",
                "validation": ["test"],
                "unused": [],
                "frames": 1,
                "fps": 1.0,
                "size": [SIDE, SIDE],
                "share": [1.0, 1.0],
                "test_share": 1.0,
                "flip": False,
            },
            "optimization": {"steps": steps, "batch_size": 16, "learning_rate": LEARNING_RATE, "warm_up": 10},
            "blending": {"weights": chosen["weights"], "epochs": chosen.get("epochs"), "held_out": 0.2},
            "steps_per_epoch": 50,
            "seed": seed,
            "accelerator": "cpu",
            "output": str(folder / f"{method}{seed}"),
        },
        method,
    )


def train_one(method: str, seed: int, labeled: LabeledSet, folder: Path, steps: int) -> dict[str, Any]:
    """Train one network; its test accuracy, and the weights of its losses."""
    recipe = recipe_for(method, seed, folder, steps)
    loaders.open_labeled_set = lambda *_: labeled
    multimodal_clips.log_mel = log_mel_once
    begin = time.monotonic()
    metadata = read_metadata(train(recipe))
    file = recipe.output / "blending.json"
    history = json.loads(file.read_text())["history"] if file.exists() else []
    print(f"{TITLES[method]:22} seed {seed} {metadata['metrics']['top1']:5.1f} %", flush=True)
    return {
        "method": method,
        "seed": seed,
        "top1": metadata["metrics"]["top1"],
        "weights": [{name: round(weight, 4) for name, weight in entry["weights"].items()} for entry in history],
        "seconds": round(time.monotonic() - begin, 1),
    }


def run(seeds: Sequence[int], steps: int, output: Path) -> dict[str, Any]:
    """All methods with all seeds; the JSON is written after each seed."""
    results: list[dict[str, Any]] = []
    summary: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            labeled = make_set(seed)
            _spectrograms.clear()
            results += [train_one(method, seed, labeled, Path(folder), steps) for method in METHODS]
            summary = summarize(results, steps)
            with atomic_write(output) as temporary:
                temporary.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return summary


def summarize(results: Sequence[dict[str, Any]], steps: int) -> dict[str, Any]:
    """Mean and standard deviation of each method."""
    rows = {}
    for method in METHODS:
        values = [result["top1"] for result in results if result["method"] == method]
        deviation = round(statistics.stdev(values), 2) if len(values) > 1 else None
        rows[method] = {"top1": values, "mean": round(statistics.fmean(values), 2), "deviation": deviation}
    settings = {"classes": CLASSES, "trained": TRAINED, "tested": TESTED, "visible": VISIBLE, "steps": steps}
    return {
        "settings": settings,
        "seeds": sorted({result["seed"] for result in results}),
        "torch": torch.__version__,
        "rows": rows,
        "trainings": list(results),
    }


def plot(source: Path, target: Path) -> None:
    """Draw the accuracy of each method, a dot for each seed."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "ls3d"
    from matplotlib import pyplot

    rows = json.loads(source.read_text())["rows"]
    figure, axes = pyplot.subplots(figsize=(7, 2.6), layout="constrained")
    for position, row in enumerate(rows.values()):
        axes.barh(position, row["mean"], color="#a6bddb")
        axes.plot(row["top1"], [position] * len(row["top1"]), "o", color="#034e7b", markersize=4)
    axes.set_yticks(range(len(rows)), [TITLES[method] for method in rows])
    axes.invert_yaxis()
    axes.set_xlabel("top-1 accuracy in %")
    figure.savefig(target, metadata={"Date": None})


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="train all networks")
    running.add_argument("--output", type=Path, required=True)
    running.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    running.add_argument("--steps", type=int, default=300)
    drawing = commands.add_parser("plot", help="draw the results")
    drawing.add_argument("source", type=Path)
    drawing.add_argument("target", type=Path)
    options = parser.parse_args()
    if options.command == "plot":
        plot(options.source, options.target)
        return
    result = run(options.seeds, options.steps, options.output)
    for method, row in result["rows"].items():
        print(f"{TITLES[method]:22} {row['mean']:5.1f} % ± {row['deviation']}")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
