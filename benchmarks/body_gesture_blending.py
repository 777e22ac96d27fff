"""RGB and optical flow of 15 body gestures: each alone, naive joint training, Gradient-Blending offline and online.

    python -P benchmarks/body_gesture.py decode body_gesture --cache gestures.npz
    python -P benchmarks/body_gesture_blending.py run --cache gestures.npz --output body_gesture_blending.json

Trained on S1 to S6, of which one person is held out to measure overfitting; measured on S7 and S8, on which nothing is
chosen. Interrupted, the same command resumes. Seeds can be trained by several processes at once (--seeds 0, --seeds 1):
``merge`` puts their JSON files together.
"""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from ls3d.reproduce import BlendingTable, reproduce_blending

SMALL = [
    "data.frames=4",
    "data.size=[32, 24]",
    "data.short_side=32",
    "model.arguments.clip_arguments={width: 4, stem_width: 4}",
    "model.arguments.flow_arguments={width: 4, stem_width: 4}",
]


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="train all networks")
    run.add_argument("--cache", type=Path, required=True, help="file of decoded clips, or the folder of videos")
    run.add_argument("--output", type=Path, required=True, help="JSON file")
    run.add_argument("--runs", type=Path, default=Path("runs/body_gesture_blending"))
    run.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    run.add_argument("--steps", type=int, default=1500)
    run.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    run.add_argument("--small", action="store_true", help="small networks on small clips, to try the script")
    run.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a value of all recipes")
    merging = commands.add_parser("merge", help="merge the JSON files of several processes")
    merging.add_argument("files", type=Path, nargs="+")
    merging.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    table = merge(options.files) if options.command == "merge" else train(options)
    table.save(options.output)
    table.show()


def train(options: argparse.Namespace) -> BlendingTable:
    """Train all networks with the given seeds."""
    on_gpu = options.device == "cuda"
    epoch = max(1, options.steps // 30)  # three super-epochs
    overrides = [
        "data.validation=[S7, S8]",
        "data.unused=[]",
        "data.fps=5.0",
        "data.size=[112, 80]",
        "data.short_side=128",
        "data.share=[0.75, 1.0]",
        "data.shift=0.4",
        "data.test_share=0.95",
        "data.speed=[0.8, 1.25]",
        "data.subtract_mean=true",
        "data.flip=false",
        "data.color=0.3",
        "data.clips=3",
        "data.decoded_rate=8.0",
        "data.flow_rate=8.0",
        "model.arguments.spectrogram=null",
        "model.arguments.clip_arguments={width: 16, stem_width: 12}",
        "model.arguments.flow_arguments={width: 16, stem_width: 12}",
        "model.arguments.dropout=0.2",
        "optimization.optimizer=adamw",
        "optimization.learning_rate=1.5e-3",
        "optimization.weight_decay=0.05",
        "optimization.batch_size=32",
        "optimization.warm_up=50",
        f"optimization.steps={options.steps}",
        f"steps_per_epoch={epoch}",
        "blending.held_out=0.17",
        f"accelerator={'gpu' if on_gpu else 'cpu'}",
        f"precision={'bf16-mixed' if on_gpu else '32-true'}",
        *(SMALL if options.small else []),
        *options.set,
    ]
    return reproduce_blending(
        "gblend",
        overrides,
        seeds=options.seeds,
        data=options.cache,
        recipes=Path(__file__).parents[1] / "recipes",
        output=options.runs,
        progress=lambda done, total, name: print(f"run {done + 1} of {total}: {name}", flush=True),
    )


def merge(files: Sequence[Path]) -> BlendingTable:
    """One table with the seeds of all."""
    tables = [BlendingTable.load(file) for file in files]
    for table in tables[1:]:
        for row, other in zip(tables[0].rows, table.rows, strict=True):
            row.top1 |= other.top1
            row.weights |= other.weights
    return tables[0]


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
