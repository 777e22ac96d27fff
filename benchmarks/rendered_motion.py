"""Tables 2 and 3 of the LS3D paper as a controlled experiment: PSNR against how far the texture moves.

    python -P benchmarks/rendered_motion.py --output benchmarks/results/reproduce/rendered_motion.json

Rendered scenes (``ls3d.data.rendered``): a textured background and a textured sprite that move 0 to 12 pixels between
the two given frames, in independent directions. The interpolation network of figure 2, narrow, with LS3D-Conv in none,
two, four or all six residual blocks, is trained on all distances alike and measured at each. Every training is one
entry of the JSON file; a run that was stopped continues with the entries that are missing.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ls3d.data.rendered import random_scene, render
from ls3d.files import atomic_write
from ls3d.metrics import psnr
from ls3d.models import create_model
from ls3d.nn import parameter_groups

#: Rows of tables 2 and 3: which residual blocks are LS3D. Two LS3D blocks are res5,6 in table 3.
ROWS: dict[str, tuple[int, ...]] = {
    "baseline": (),
    "res1,2": (1, 2),
    "res3,4": (3, 4),
    "res5,6": (5, 6),
    "4-LS3D-Conv": (3, 4, 5, 6),
    "6-LS3D-Conv": (1, 2, 3, 4, 5, 6),
}
DISTANCES = (0, 1, 2, 3, 4, 6, 8, 10, 12)
TIMES = (0.0, 0.25, 0.5, 0.75, 1.0)
NEW = (0.25, 0.5, 0.75)


def make_clips(count: int, side: int, speeds: Sequence[float], cutoff: float, seed: int) -> Tensor:
    """Scenes ``(count, 3, 5, side, side)`` in uint8; the speeds are taken in turn, or drawn from [0, 12] if empty."""
    generator = torch.Generator().manual_seed(seed)
    clips = torch.empty(count, 3, len(TIMES), side, side, dtype=torch.uint8)
    for number in range(count):
        speed = speeds[number % len(speeds)] if speeds else 12 * float(torch.rand((), generator=generator))
        scene = random_scene(generator, (side, side), speed, cutoff=cutoff)
        clips[number] = (render(scene, TIMES, (side, side)) * 255).round().to(torch.uint8)
    return clips


def draw_batch(clips: Tensor, crop: int, size: int, generator: torch.Generator) -> Tensor:
    """Random crops ``(size, 3, 5, crop, crop)`` in [0, 1], flipped and transposed at random, on the clips' device."""
    batch = []
    for index in torch.randint(len(clips), (size,), generator=generator).tolist():
        y, x = torch.randint(clips.shape[-1] - crop + 1, (2,), generator=generator).tolist()
        sample = clips[index, :, :, y : y + crop, x : x + crop]
        flips = torch.rand(3, generator=generator) < 0.5
        sample = sample.flip([axis for axis, flip in ((-1, flips[0]), (-2, flips[1])) if flip])
        batch.append(sample.transpose(-1, -2) if flips[2] else sample)
    return torch.stack(batch).float() / 255


def train_row(blocks: Sequence[int], clips: Tensor, settings: argparse.Namespace, seed: int) -> tuple[Any, list[float]]:
    """A trained network, and the mean training loss of each tenth of the steps."""
    torch.manual_seed(seed)
    model = create_model("vfi_ls3d", width=settings.width, ls3d_blocks=tuple(blocks)).to(clips.device)
    groups = parameter_groups(model, settings.learning_rate, settings.offset_factor)
    optimizer = torch.optim.AdamW(groups, weight_decay=1e-4)
    decay = settings.steps // 2

    def rate(step: int) -> float:
        return min(1.0, (step + 1) / 100, (settings.steps - step) / decay)

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    generator = torch.Generator().manual_seed(seed)
    losses: Any = []
    for _ in range(settings.steps):
        clean = draw_batch(clips, settings.crop, settings.batch, generator)
        loss = F.l1_loss(model(clean[:, :, [0, 4]], NEW), clean[:, :, 1:4])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        losses.append(loss.detach())
    losses = torch.stack(losses).tolist()
    tenth = max(1, settings.steps // 10)
    return model.eval(), [
        sum(part) / len(part) for part in (losses[i : i + tenth] for i in range(0, len(losses), tenth))
    ]


@torch.inference_mode()
def score(model: Any, clips: Tensor, margin: int) -> dict[str, float | None]:
    """Mean PSNR of the three new frames by distance, None if infinite; ``margin`` pixels at the borders don't count."""
    result: dict[str, float | None] = {}
    for place, distance in enumerate(DISTANCES):
        clean = clips[place :: len(DISTANCES)].float() / 255
        made = torch.cat([model(pair, NEW) for pair in clean[:, :, [0, 4]].split(8)]).clamp(0, 1)
        inner = (..., slice(margin, -margin), slice(margin, -margin))
        frames = [part.transpose(1, 2).flatten(0, 1)[inner] for part in (made, clean[:, :, 1:4])]
        mean = float(psnr(frames[0], frames[1], peak=1.0).mean())
        result[str(distance)] = round(mean, 3) if math.isfinite(mean) else None
    return result


def read_arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="JSON file; entries in it are not trained again")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--crop", type=int, default=48)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--offset-factor", type=float, default=1.0)
    parser.add_argument("--clips", type=int, default=1500, help="rendered scenes for training")
    # Finer textures would measure what passes the network's bottleneck at a quarter of the size, not motion.
    parser.add_argument("--cutoff", type=float, default=0.1, help="highest frequency, in cycles per pixel")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def open_results(settings: argparse.Namespace) -> dict[str, Any]:
    """What the JSON file holds; without trainings if there is none yet."""
    machine = ("output", "rows", "seeds", "device", "threads")
    conditions = {key: value for key, value in vars(settings).items() if key not in machine}
    if not settings.output.exists():
        return {"settings": conditions, "versions": {"torch": torch.__version__}, "trainings": []}
    known: dict[str, Any] = json.loads(settings.output.read_text())
    if known["settings"] != conditions:
        raise SystemExit(f"{settings.output} was made with other settings: {known['settings']}")
    return known


def main() -> None:
    settings = read_arguments()
    torch.set_num_threads(settings.threads)
    results = open_results(settings)
    finished = {(entry["row"], entry["seed"]) for entry in results["trainings"]}
    todo = [(row, seed) for seed in settings.seeds for row in settings.rows if (row, seed) not in finished]
    if not todo:
        return
    test = make_clips(24 * len(DISTANCES), 64, DISTANCES, settings.cutoff, seed=1).to(settings.device)
    if "blend" not in results:
        results["blend"] = score(create_model("blend"), test, margin=8)
    training = make_clips(settings.clips, 64, (), settings.cutoff, seed=2).to(settings.device)
    for row, seed in todo:
        begin = time.monotonic()
        model, losses = train_row(ROWS[row], training, settings, seed)
        entry = {
            "row": row,
            "seed": seed,
            "psnr": score(model, test, margin=8),
            "loss": [round(loss, 5) for loss in losses],
            "torch": torch.__version__,
            "device": torch.cuda.get_device_name() if training.is_cuda else "CPU",
            "seconds": round(time.monotonic() - begin),
        }
        results["trainings"].append(entry)
        with atomic_write(settings.output) as temporary:
            temporary.write_text(json.dumps(results, indent=1) + "\n")
        print(row, seed, entry["psnr"], entry["loss"][-1], entry["seconds"], flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
