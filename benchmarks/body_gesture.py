"""R(2+1)D, I3D and I3D + LS3D on body gestures, with equal budgets: table 8 of the LS3D paper in small.

    python benchmarks/body_gesture.py decode FOLDER --cache gestures.npz
    python benchmarks/body_gesture.py train --network i3d_r50 --seed 0 --cache gestures.npz --output i3d_r50-0.json
    python benchmarks/body_gesture.py merge *.json --output benchmarks/results/body_gesture.json

A training has two stages. The first one trains from random weights. In the second one, training continues with a new
schedule. ``i3d_r50_ls3d`` starts its second stage from the first stage of ``i3d_r50`` with the same seed (it waits for
that file if another process is training it), with the 3x1x1 convolutions converted. So I3D + LS3D is compared with an
I3D that was trained for as many steps. The people S1 to S6 are trained on, S7 is validated on, S8 is tested after each
stage.

A training that is interrupted resumes with the same command. The JSON is written after each stage and, with the curve
so far, every few seconds in between.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    del sys.path[0]  # operator.py in this folder would hide the standard library's

import argparse
import csv
import json
import logging
import os
import signal
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ls3d.data.decoded import DecodedFrames, decode_set, save_decoded
from ls3d.data.labeled import LabeledSet, open_labeled_set
from ls3d.errors import InputError, TrainingStoppedError
from ls3d.evaluation.recognition import ViewProtocol, evaluate_recognition
from ls3d.files import atomic_write
from ls3d.models import RecognitionNet, create_model, load_model
from ls3d.nn import make_channels_last
from ls3d.training import Recipe, load_recipe, train
from ls3d.training.state import newest_state

RECIPES = Path(__file__).parents[1] / "recipes" / "recognition"

#: Network to the recipes of both stages.
NETWORKS = {
    "r2plus1d_18": ("body_gesture_r2plus1d", "body_gesture_r2plus1d"),
    "i3d_r50": ("body_gesture_i3d", "body_gesture_i3d"),
    "i3d_r50_ls3d": ("body_gesture_i3d", "body_gesture_i3d_ls3d"),
}
#: Network whose first stage another one uses.
SAME_FIRST_STAGE = {"i3d_r50_ls3d": "i3d_r50"}
GROUPS = {"validation": "S7", "test": "S8"}

#: Seconds between two writes of the JSON while a training runs.
_WRITE_EVERY = 15.0


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    decode = commands.add_parser("decode", help="decode the videos into one file")
    decode.add_argument("folder", type=Path)
    decode.add_argument("--cache", type=Path, required=True)
    run = commands.add_parser("train", help="train and test one network with one seed")
    run.add_argument("--network", choices=NETWORKS, required=True)
    run.add_argument("--seed", type=int, default=0)
    run.add_argument("--cache", type=Path, required=True, help="file of decoded clips, or the folder of videos")
    run.add_argument("--output", type=Path, required=True, help="JSON file")
    run.add_argument("--runs", type=Path, default=Path("runs/body_gesture"), help="folder of checkpoints and weights")
    run.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    run.add_argument("--steps", type=int, default=1500, help="steps of the first stage")
    run.add_argument("--more-steps", type=int, default=750, help="steps of the second stage")
    run.add_argument("--minutes", type=float, help="stop after this time; the JSON then has what was reached")
    run.add_argument("--workers", type=int, default=1, help="processes that load clips")
    run.add_argument("--channels-last", action=argparse.BooleanOptionalAction, default=None)
    run.add_argument("--small", action="store_true", help="a small network on small clips, to try the script")
    run.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a value of both recipes")
    merge = commands.add_parser("merge", help="merge the JSON files of several trainings")
    merge.add_argument("files", type=Path, nargs="+")
    merge.add_argument("--output", type=Path, required=True)
    return parser.parse_args(arguments)


class Experiment:
    """One network with one seed: its two stages, and the JSON of what is known so far."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.begin = time.monotonic()
        self.result: dict[str, Any] = {
            "network": options.network,
            "seed": options.seed,
            "device": torch.cuda.get_device_name() if options.device == "cuda" else "CPU",
            "torch": torch.__version__,
            "stages": {},
            "finished": False,
        }
        self.videos: LabeledSet | None = None

    def run(self) -> None:
        """Train both stages; test after each."""
        first = self.stage("first")
        self.train("first", first)
        second = self.stage("second", first.output / "weights.safetensors")
        self.train("second", second)
        self.result["finished"] = True
        self.write()

    def stage(self, name: str, weights: Path | None = None) -> Recipe:
        """The recipe of a stage; ``weights`` are those of the stage before it."""
        options = self.options
        is_first = name == "first"
        network = SAME_FIRST_STAGE.get(options.network, options.network) if is_first else options.network
        on_gpu = options.device == "cuda"
        channels_last = on_gpu if options.channels_last is None else options.channels_last
        overrides = [
            f"data.root={options.cache}",
            f"data.workers={options.workers}",
            f"optimization.steps={options.steps if is_first else options.more_steps}",
            f"seed={options.seed if is_first else 1000 + options.seed}",
            f"accelerator={'gpu' if on_gpu else 'cpu'}",
            f"precision={'bf16-mixed' if on_gpu else '32-true'}",
            f"channels_last={str(channels_last).lower()}",
            f"output={options.runs / f'{network}-{options.seed}-{name}'}",
        ]
        if weights is not None:
            overrides += [f"model.weights={weights}", "optimization.learning_rate=1.0e-3"]
        recipe = NETWORKS[options.network][0 if is_first else 1]
        overlay = "+small" if options.small else ""
        return load_recipe(f"{RECIPES / recipe}.yaml{overlay}", [*overrides, *options.set])

    def train(self, name: str, recipe: Recipe) -> None:
        """Train one stage and test its weights."""
        log = recipe.output / "log"
        stage: dict[str, Any] = {"steps": recipe.optimization.steps, "curve": []}
        self.result["stages"][name] = stage
        begin = time.monotonic()
        if name == "first" and self.options.network in SAME_FIRST_STAGE:
            weights = self.wait(recipe)
        else:
            with self.written_regularly(stage, log):
                weights = train(recipe)
        stage["seconds"] = round(time.monotonic() - begin, 1)
        stage["curve"] = read_curve(log)
        network = load_model(weights)
        assert isinstance(network, RecognitionNet)
        self.test(stage, network)

    def wait(self, recipe: Recipe) -> Path:
        """Wait for a stage that another process trains; train it if none does within two minutes."""
        weights: Path = recipe.output / "weights.safetensors"
        if self.options.device == "cuda":
            compile_kernels(self.stage("second"))
        patience = time.monotonic() + 120
        while not weights.exists():
            if not recipe.output.exists() and time.monotonic() > patience:
                return train(recipe)
            time.sleep(1)
        return weights

    def test(self, stage: dict[str, Any], network: RecognitionNet) -> None:
        """Add the accuracy on S7 and S8 to a stage."""
        stage["parameters"] = sum(parameter.numel() for parameter in network.parameters())
        for part, group in GROUPS.items():
            report = evaluate_recognition(
                network, self.open(), ViewProtocol(clips=10), groups=[group], device=self.options.device
            ).to_dict()
            stage[part] = {key: report[key] for key in ("top1", "top5", "videos", "classes", "confusion")}
        print(
            self.result["network"],
            self.result["seed"],
            *(f"{part} {stage[part]['top1']:.1f} %" for part in GROUPS),
            f"{time.monotonic() - self.begin:.0f} s",
            flush=True,
        )
        self.write()

    def test_stopped(self) -> None:
        """Test the weights of a training that was stopped before its end."""
        for name, stage in self.result["stages"].items():
            if "test" in stage:
                continue
            recipe = self.stage(name, self.options.runs if name == "second" else None)
            stage["curve"] = read_curve(recipe.output / "log")
            weights = recipe.output / "weights.safetensors"
            if weights.exists():  # stopped while it was tested
                network = load_model(weights)
                assert isinstance(network, RecognitionNet)
                self.test(stage, network)
                continue
            state = newest_state(recipe.output)
            if state is None:
                continue
            stage["stopped_at"] = state.values["global_step"]
            network = create_model(recipe.model.name, **recipe.model.arguments)
            assert isinstance(network, RecognitionNet)
            prefix = "model."
            tensors = state.values["state_dict"].items()
            network.load_state_dict({key.removeprefix(prefix): value for key, value in tensors if prefix in key})
            network.config = network.require_config().with_metadata(clip=recipe.data.clip_format.to_dict())
            network.config = network.config.with_metadata(classes=list(self.open().classes))
            self.test(stage, network)

    def open(self) -> LabeledSet:
        """The videos."""
        if self.videos is None:
            self.videos = open_labeled_set(self.options.cache)
        return self.videos

    @contextmanager
    def written_regularly(self, stage: dict[str, Any], log: Path) -> Iterator[None]:
        """Write the JSON with the curve so far every few seconds within the block."""
        ended = threading.Event()

        def write() -> None:
            while not ended.wait(_WRITE_EVERY):
                stage["curve"] = read_curve(log)
                self.write()

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def write(self) -> None:
        """Write the JSON."""
        self.result["seconds"] = round(time.monotonic() - self.begin, 1)
        with atomic_write(self.options.output) as temporary:
            temporary.write_text(json.dumps(self.result, indent=1) + "\n", encoding="utf-8")


def compile_kernels(recipe: Recipe) -> None:
    """Run one step of a recipe's network, so that Triton compiles its kernels before the training begins."""
    network = create_model(recipe.model.name, **recipe.model.arguments).cuda().train()
    clips = torch.randn(recipe.optimization.batch_size, 3, recipe.data.frames, *recipe.data.size, device="cuda")
    if recipe.channels_last:
        make_channels_last(network)
        clips = clips.contiguous(memory_format=torch.channels_last_3d)
    with torch.autocast("cuda", torch.bfloat16):
        loss = network(clips).float().square().mean()
    loss.backward()
    torch.cuda.synchronize()


def read_curve(folder: Path) -> list[dict[str, float]]:
    """The logged losses and accuracies by step."""
    rows: dict[int, dict[str, float]] = {}
    for file in sorted(folder.glob("version_*/metrics.csv"), key=lambda path: path.stat().st_mtime):
        with file.open(encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                if not (row.get("step") or "").isdecimal():
                    continue
                values = {key: round(float(row[key]), 4) for key in ("loss", "top1", "validation_loss") if row.get(key)}
                if values:
                    rows.setdefault(int(row["step"]), {}).update(values)
    return [{"step": step, **values} for step, values in sorted(rows.items())]


def run(options: argparse.Namespace) -> int:
    """Train and test; return the exit status."""
    options.output.parent.mkdir(parents=True, exist_ok=True)
    experiment = Experiment(options)
    experiment.write()
    if options.minutes:
        stop = threading.Timer(60 * options.minutes, os.kill, (os.getpid(), signal.SIGTERM))
        stop.daemon = True
        stop.start()
    try:
        experiment.run()
    except TrainingStoppedError as error:
        print(error, file=sys.stderr)
        experiment.result["stopped"] = True
        experiment.test_stopped()
        experiment.write()
        return 1
    return 0


def merge(files: Sequence[Path]) -> dict[str, Any]:
    """One entry for each network and stage, with the accuracies of all seeds, their mean and standard deviation."""
    results = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    results.sort(key=lambda result: (list(NETWORKS).index(result["network"]), result["seed"]))
    rows: dict[str, dict[str, Any]] = {}
    for result in results:
        for name, stage in result["stages"].items():
            if "test" not in stage or (name == "first" and result["network"] in SAME_FIRST_STAGE):
                continue
            row = rows.setdefault(
                f"{result['network']}, {name} stage",
                {"steps": stage["steps"], "parameters": stage["parameters"], "seeds": []},
            )
            row["seeds"].append(result["seed"])
            for part in GROUPS:
                row.setdefault(part, []).append(stage[part]["top1"])
    for row in rows.values():
        for part in GROUPS:
            values = row[part]
            spread = statistics.stdev(values) if len(values) > 1 else None
            row[f"{part}_mean"] = round(statistics.fmean(values), 2)
            row[f"{part}_deviation"] = None if spread is None else round(spread, 2)
    return {"groups": GROUPS, "rows": rows, "trainings": results}


def decode(folder: Path) -> LabeledSet:
    """Decode the videos into memory. People stand in the middle: a fifth of the width is cut off at either side."""
    decoded = decode_set(open_labeled_set(folder), rate=8.0)
    videos = []
    for video in decoded.videos:
        assert isinstance(video.frames, DecodedFrames)
        margin = video.frames.pixels.shape[2] // 5
        pixels = np.ascontiguousarray(video.frames.pixels[:, :, margin:-margin])
        videos.append(replace(video, frames=replace(video.frames, pixels=pixels)))
    return replace(decoded, videos=tuple(videos))


def main() -> int:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    options = parse()
    try:
        if options.command == "decode":
            save_decoded(decode(options.folder), options.cache)
        elif options.command == "merge":
            merged = merge(options.files)
            with atomic_write(options.output) as temporary:
                temporary.write_text(json.dumps(merged, indent=1) + "\n", encoding="utf-8")
            for name, row in merged["rows"].items():
                print(f"{name:30} S7 {row['validation_mean']:5.1f} %  S8 {row['test_mean']:5.1f} %  {row['test']}")
        else:
            return run(options)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
