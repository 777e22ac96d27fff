"""Where interpolation networks sample, on rendered scenes with known motion: figures 1 and 3 of the LS3D paper.

    python -P benchmarks/sampling.py spread
    python -P benchmarks/sampling.py train --clips CLIPS
    python -P benchmarks/sampling.py compare

``spread`` measures the bundled networks, ``train`` trains ``vfi_ls3d`` and its baseline ``vfi_conv3d`` alike by
recipes/vfi/short.yaml, and ``compare`` measures these. The scenes (``ls3d.data.rendered``) are a background and a
sprite, which each move by 0 to 16 pixels in independent directions.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ls3d.data.rendered import Layer, motion, random_outline, random_scene, random_texture, render
from ls3d.environment import versions
from ls3d.explain import SpreadStatistics, Trace, trace, trace_pixel
from ls3d.explain.figures import draw_pixels, draw_spread, save_figure
from ls3d.files import atomic_write
from ls3d.models import EnhancementNetwork, load_enhancement_model

ROOT = Path(__file__).parents[1]
SPEEDS = (0, 1, 2, 4, 6, 8, 12, 16)
SIZE = (96, 96)
TRAINED = ("vfi_ls3d", "vfi_conv3d")
CUTOFF = 0.15  # highest frequency of the textures, in cycles per pixel


def scenes(seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Two frames ``(3, 2, H, W)`` and the true motion ``(2, H, W)`` at the time between them, for each speed."""
    generator = torch.Generator().manual_seed(seed)
    for speed in SPEEDS:
        layers = random_scene(generator, SIZE, speed, cutoff=CUTOFF)
        yield render(layers, [0, 1], SIZE), motion(layers, 0.5, SIZE)


def measure_scene(traced: Trace, true: Tensor, pixels: int, seed: int) -> tuple[SpreadStatistics, list[float]]:
    """Spread and motion at random pixels; for those that move by 4 or more, the share of the motion that is followed.

    The share is 1 if they are at the two ends of the motion, 0 if they are around the pixel: the distance between the
    centers of the strongest samples in both frames, along the motion, over the length of the motion.
    """
    generator = torch.Generator().manual_seed(seed)
    found, shares = [], []
    for place in torch.randint(SIZE[0] * SIZE[1], (pixels,), generator=generator).tolist():
        y, x = divmod(place, SIZE[1])
        velocity = true[:, y, x].numpy()
        length = float(np.hypot(*velocity))
        points = traced.samples(x, y, limit=None)
        found.append((length, points.spread()))
        if length >= 4:
            first, second = (np.array(points.strongest().center(frame)[::-1]) for frame in (0, 1))
            shares.append(float((second - first) @ velocity / length**2))
    return SpreadStatistics(*np.array(found).T), shares


def measure(
    networks: Mapping[str, EnhancementNetwork], pixels: int
) -> tuple[dict[str, SpreadStatistics], dict[str, Any]]:
    """Spread against motion by network, and what the JSON file says of it."""
    measured, results = {}, {}
    for name, network in networks.items():
        parts: list[SpreadStatistics] = []
        shares: list[float] = []
        for seed in range(2):
            for frames, true in scenes(seed):
                part, followed = measure_scene(trace(network, frames), true, pixels, seed)
                parts.append(part)
                shares += followed
        measured[name] = SpreadStatistics.joined(parts)
        lengths = measured[name].motion.round(3)
        results[name] = {
            "pixels": len(lengths),
            "spearman": round(measured[name].correlation(), 3),
            "median_spread": {
                f"{length:g}": round(float(np.median(measured[name].spread[lengths == length])), 3)
                for length in np.unique(lengths)
            },
            "share_of_motion_followed": round(float(np.nanmedian(shares)), 3),
        }
        print(name, json.dumps(results[name]), flush=True)
    return measured, results


def write(results: Mapping[str, Any], settings: Mapping[str, Any], path: Path) -> None:
    """Write the JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {"settings": {"size": SIZE, "speeds": SPEEDS, **settings}, "versions": versions(), "networks": results}
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(values, indent=1) + "\n")


def train_both(clips: Path, folder: Path, steps: int) -> None:
    """Train both networks alike; a training that was interrupted resumes."""
    from ls3d.training import load_recipe, train

    for name in TRAINED:
        overrides = [
            f"model.name={name}",
            f"data.root={clips}",
            "data.candidates=4",
            "optimization.offset_factor=1.0",
            f"optimization.steps={steps}",
            "steps_per_epoch=50",
            f"output={folder / name}",
        ]
        train(load_recipe(ROOT / "recipes/vfi/short.yaml", overrides))


def example(speed: float) -> Tensor:
    """Two frames of a sprite in the middle that moves to the right by ``speed`` pixels, and a bit down."""
    generator = torch.Generator().manual_seed(3)
    background = random_texture(generator, slope=1.3, cutoff=0.08)
    sprite = random_texture(generator, slope=1.0, cutoff=0.12)
    center = (60 - speed / 6, 80 - speed / 2)
    layers = [
        Layer(background, None, (0.0, 0.0), (0.0, 0.0)),
        Layer(sprite, random_outline(generator, radius=26), center, (speed / 3, speed)),
    ]
    return render(layers, [0, 1], (120, 160))


def main() -> None:
    """Run one of the three parts."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("part", choices=["spread", "train", "compare"])
    parser.add_argument("--pixels", type=int, default=20, help="of each scene")
    parser.add_argument("--clips", type=Path, help="folder of training clips")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--runs", type=Path, default=Path("runs/sampling"), help="folder of the trainings")
    options = parser.parse_args()
    results = ROOT / "benchmarks/results/sampling"
    if options.part == "train":
        train_both(options.clips, options.runs, options.steps)
        return
    if options.part == "spread":
        networks = {name: load_enhancement_model(name) for name in ("vfi", "bilateral")}
        measured, found = measure(networks, options.pixels)
        write(found, {"pixels": options.pixels}, results / "spread.json")
        save_figure(draw_spread(measured), ROOT / "docs/sampling_spread.png")
        return
    networks = {name: load_enhancement_model(options.runs / name / "weights.safetensors") for name in TRAINED}
    _, found = measure(networks, options.pixels)
    write(found, {"pixels": options.pixels, "steps": options.steps}, results / "trained_alike.json")
    for speed, name in ((2, "little"), (14, "large")):
        pixels = [
            trace_pixel(model, (0, 1), trace(network, example(speed)), 80, 60) for model, network in networks.items()
        ]
        save_figure(draw_pixels(pixels, "density", 40), ROOT / f"docs/sampling_{name}_motion.png")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
