"""Faults of recipes, overrides and training states."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from faults._rows import Make, Row, check, chunks, write
from ls3d.training import load_recipe
from ls3d.training.state import NEWEST, PREVIOUS, save_state

RECIPE = """
kind: interpolation
model: {name: vfi_conv3d, arguments: {width: 8}}
data: {root: clips, crop: 32}
optimization: {steps: 2, batch_size: 1}
steps_per_epoch: 2
accelerator: cpu
output: run
"""
NAME = "r.yaml"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{last}'] * 10)}]\n" for last, name in zip("abcdefgh", "bcdefghi", strict=True)
)

#: Contents of a recipe, and what the sentence must say.
TEXTS: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "not a recipe"),
    "binary": (b"\xff\xfe\x00\x01", "UTF-8"),
    "list": ("[1, 2]", "not a recipe"),
    "not YAML": ("a: [", "not YAML"),
    "aliases": (BOMB, "aliases"),
    "merged aliases": ("a: &a {x: 1}\nb: {<<: [" + ", ".join(["*a"] * 200_000) + "]}\n", "aliases|bytes"),
    "deep": ("[" * 50_000, "nested too deeply"),
    "2 MB": ("x" * (2 << 20), "bytes"),
    "huge integer": (f"{RECIPE}seed: {'9' * 10_000}\n", "not YAML"),
    "python tag": ("a: !!python/object/apply:os.system [touch executed]", "not YAML"),
    "no kind": (RECIPE.replace("kind: interpolation", ""), "kind"),
    "unknown key": (f"{RECIPE}color: red\n", "color"),
    "key with escapes": (f'{RECIPE}"\\e]0;t\\a": red\n', "Extra inputs"),
    "own base": (f"base: {NAME}\n{RECIPE}", "its own base"),
    "missing base": (f"base: none.yaml\n{RECIPE}", "no recipe"),
    "base a number": (f"base: 3\n{RECIPE}", "expected a file name"),
}

#: Overrides of an intact recipe.
OVERRIDES: dict[str, str] = {
    "seed=-1": "seed",
    "seed=1e99": "seed",
    "seed=x": "seed",
    "optimization.batch_size=100000": "batch_size",
    "optimization.batch_size=0": "batch_size",
    "optimization.steps=-5": "steps",
    "optimization.steps=10000000000000000000": "steps",
    "optimization.learning_rate=.nan": "learning_rate",
    "optimization.learning_rate=.inf": "learning_rate",
    "optimization.learning_rate=-1": "learning_rate",
    "optimization.ema=1": "ema",
    "optimization.loss=l7": "loss",
    "optimization.offset_limit=3.0": "offset_limit",
    "data.workers=10000": "workers",
    "data.workers=-1": "workers",
    "data.candidates=1000000000": "candidates",
    "data.size=[100000, 100000]": "size",
    "data.size=[1]": "size",
    "data.crop=33": "multiple|crop",
    "data.crop=1000000": "crop",
    "data.scale=[2, 1]": "scale",
    "data.set=none": "no training set",
    "data.held_out=-3": "held_out|no folder|clips",
    "model.name=none": "no model",
    "model.arguments.width=x": "width is 'x'",
    "model.arguments.width=-1": "width is -1",
    "model.arguments.width=1000000000": "width is 1000000000",
    "model.arguments.width=60000": "parameters",
    "model.arguments.name=x": "no argument 'name'",
    "model.arguments=3": "arguments",
    "model=3": "model",
    "precision=8": "precision",
    "accelerator=gpu": "no GPU",
    "accelerator=tpu": "accelerator",
    "steps_per_epoch=0": "steps_per_epoch",
    "data.root=missing": "missing",
    "=3": "not an override",
    "seed": "not an override",
    "seed.x=3": "valid integer",
    "steps_per_epoch.x=3": "not a section",
    "seed=[": "not YAML",
    "kind=smoothing": "kind",
}


def with_state(change: Callable[[bytes], bytes]) -> Make:
    """Write a recipe and two damaged training states."""

    def make(folder: Path) -> None:
        write(NAME, RECIPE)(folder)
        (folder / "run").mkdir()
        values = {"state_dict": {"w": torch.zeros(100)}, "global_step": 1}
        other = load_recipe(folder / NAME, ["seed=7"]).conditions()
        save_state(values, folder / "run" / NEWEST, {"recipe": other})
        content = change((folder / "run" / NEWEST).read_bytes())
        for name in (NEWEST, PREVIOUS):
            (folder / "run" / name).write_bytes(content)

    return make


STATES: dict[str, tuple[Make, str]] = {
    "empty state": (with_state(lambda _: b""), "restart"),
    "cut state": (with_state(lambda content: content[: len(content) // 2]), "restart"),
    "garbage state": (with_state(lambda _: b"garbage" * 9), "restart"),
    "flipped bit in a state": (with_state(lambda content: content[:-3] + b"\x01\x02\x03"), "SHA-256.*restart"),
    "pickle as a state": (with_state(lambda _: pickle.dumps({"global_step": 1})), "restart"),
    "state of another recipe": (with_state(lambda content: content), r"another recipe.*seed 7 \(now 0\).*--restart"),
}

ROWS = [
    *(Row(f"{fault} recipe", ("train", NAME), write(NAME, text), says) for fault, (text, says) in TEXTS.items()),
    *(Row(override, ("train", NAME, override), write(NAME, RECIPE), says) for override, says in OVERRIDES.items()),
    *(Row(fault, ("train", NAME), make, says, memory=1024) for fault, (make, says) in STATES.items()),
    Row("no recipe", ("train", "none.yaml"), None, "none.yaml"),
    Row("recipe a folder", ("train", "."), None, "directory"),
    Row("missing overlay", ("train", f"{NAME}+none"), write(NAME, RECIPE), "no overlay"),
]


@pytest.mark.parametrize("rows", chunks(ROWS, 100))
def test_faults_of_training(rows: list[Row], tmp_path: Path) -> None:
    check(rows, tmp_path)
