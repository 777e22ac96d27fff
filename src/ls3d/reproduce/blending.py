"""The tables of Gradient-Blending: each modality alone, naive joint training, offline and online weights."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from rich.table import Table as Grid

from ls3d.data.labeled import open_labeled_set
from ls3d.environment import versions
from ls3d.errors import InputError, require
from ls3d.files import write_json
from ls3d.models import read_metadata
from ls3d.models.recognition.fusion import LateFusionNet
from ls3d.reproduce.plan import refuse_own_keys
from ls3d.terminal import console
from ls3d.training import load_recipe, train
from ls3d.training.gradient_blending.recipe import GradientBlendingRecipe
from ls3d.training.recognition.loaders import open_split

#: Overlay of the recipe of each row to its title, in the order of the paper.
_METHODS = {
    "rgb": "RGB",
    "flow": "optical flow",
    "audio": "sound",
    "naive": "naive joint training",
    "offline": "Gradient-Blending, offline",
    "online": "Gradient-Blending, online",
}
_MODALITIES = {"rgb": "clip", "flow": "flow", "audio": "spectrogram"}

#: Table to the recipe of its setting and the published top-1 accuracy in percent (arXiv:1905.12681).
BLENDING_TABLES: dict[str, tuple[str, dict[str, float]]] = {
    "gblend": ("folder", {}),
    "gblend-kinetics": ("kinetics", {"rgb": 72.6, "naive": 71.4, "offline": 74.7, "online": 75.8}),
    "gblend-epic-noun": ("epic_noun", {}),
    "gblend-epic-verb": ("epic_verb", {}),
    "gblend-audioset": ("audioset", {}),
}


@dataclass
class BlendingRow:
    """One row of a table.

    Attributes:
        method: overlay of its recipe.
        title: in words.
        published: top-1 accuracy in percent, None if none was published.
        top1: measured, by seed.
        weights: of the losses of the last super-epoch, by seed.
    """

    method: str
    title: str
    published: float | None
    top1: dict[int, float] = field(default_factory=dict)
    weights: dict[int, dict[str, float]] = field(default_factory=dict)


@dataclass
class BlendingTable:
    """The rows of a table, measured on the validation videos of the recipe.

    Attributes:
        table: its name.
        steps: optimizer steps of each training, without those that measure weights.
        rows: in the order of the paper.
        versions: of the software.
    """

    table: str
    steps: int
    rows: list[BlendingRow]
    versions: dict[str, str]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write JSON."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read the JSON of ``save``."""
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        rows = []
        for row in values.pop("rows"):  # the keys of JSON are texts
            for name in ("top1", "weights"):
                row[name] = {int(seed): value for seed, value in row[name].items()}
            rows.append(BlendingRow(**row))
        return cls(**values, rows=rows)

    def show(self) -> None:
        """Print the table: mean and standard deviation over the seeds."""
        grid = Grid(title=f"{self.table}: top-1 accuracy in %, {self.steps} steps")
        for name in ("training", "published", "measured", "weights"):
            grid.add_column(name, justify="left" if name in ("training", "weights") else "right")
        for row in self.rows:
            values = list(row.top1.values())
            spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
            published = "-" if row.published is None else f"{row.published:.1f}"
            weights = next(iter(row.weights.values()), {})
            shown = ", ".join(f"{name} {weight:.2f}" for name, weight in weights.items())
            grid.add_row(row.title, published, f"{statistics.fmean(values):.1f}{spread}", shown)
        console().print(grid)


def reproduce_blending(
    table: str,
    overrides: Sequence[str] = (),
    *,
    small: bool = False,
    seeds: int | Sequence[int] = 3,
    data: str | os.PathLike[str] | None = None,
    recipes: str | os.PathLike[str] = "recipes",
    output: str | os.PathLike[str] = "runs/reproduce",
    progress: Callable[[int, int, str], None] | None = None,
) -> BlendingTable:
    """Train every row of a table with the same budget and measure it. Interrupted, the same call resumes.

    Args:
        table: a key of ``BLENDING_TABLES``.
        overrides: ``section.key=value``, applied to the recipes of all rows.
        small: minutes on a CPU, instead of the sizes of the recipe.
        seeds: of the trainings of each row, or their number: 3 stands for 0, 1, 2.
        data: videos by class; the number of classes follows from them. None uses the recipe's own.
        recipes: folder of recipes.
        output: folder of all runs; finished ones are used again.
        progress: called before each run with the number of finished runs, of all runs, and the name of the next.

    Raises:
        InputError: a recipe or the data are missing or unsuitable.
    """
    refuse_own_keys(overrides)
    name, published = BLENDING_TABLES[table]
    seeds = range(seeds) if isinstance(seeds, int) else seeds
    if not seeds:
        raise InputError("expected at least one seed", argument="seeds")
    path = f"{Path(recipes) / 'gblend' / name}.yaml{'+small' if small else ''}"
    changes = list(overrides)
    if data is not None:
        classes = len(open_labeled_set(data).classes)
        changes += [f"data.root={json.dumps(os.fspath(data))}", f"model.arguments.num_classes={classes}"]
    known = _load(path, changes)
    if not open_split(known.data).validation:
        raise InputError(f"{known.data.root}: no video is left for the validation")
    network = known.model.outline()
    assert isinstance(network, LateFusionNet)
    modalities = network.traits.modalities
    methods = [method for method in _METHODS if _MODALITIES.get(method, modalities[0]) in modalities]
    rows = [BlendingRow(method, _METHODS[method], published.get(method)) for method in methods]
    runs = [(row, seed) for row in rows for seed in seeds]
    for number, (row, seed) in enumerate(runs):
        if progress:
            progress(number, len(runs), f"{row.title}, seed {seed}")
        folder = json.dumps(os.fspath(Path(output) / table / row.method / f"seed{seed}"))
        metadata = read_metadata(train(_load(f"{path}+{row.method}", [*changes, f"seed={seed}", f"output={folder}"])))
        row.top1[seed] = metadata["metrics"]["top1"]
        row.weights[seed] = metadata["blending"][-1]["weights"]
    return BlendingTable(table, known.optimization.steps, rows, versions("lightning"))


def plot_blending(history: str | os.PathLike[str], output: str | os.PathLike[str]) -> None:
    """Draw the weights of a training by super-epoch.

    Args:
        history: its file ``blending.json``.
        output: the picture; its suffix determines the format.

    Raises:
        OSError: a file can't be read or written.
        MissingExtraError: Matplotlib is not installed.
    """
    require("matplotlib", "plot")
    from matplotlib.figure import Figure

    entries = json.loads(Path(history).read_text(encoding="utf-8"))["history"]
    entries = [entry for entry in entries if "weights" in entry]
    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.add_subplot()
    for head in entries[0]["weights"] if entries else ():
        values = [entry["weights"][head] for entry in entries]
        axes.plot([entry["step"] for entry in entries], values, "o-", drawstyle="steps-post", label=head)
    axes.set_xlabel("step")
    axes.set_ylabel("weight of the loss")
    axes.set_ylim(0, 1)
    axes.legend()
    figure.savefig(output)


def _load(path: str, overrides: Sequence[str]) -> GradientBlendingRecipe:
    recipe = load_recipe(path, overrides)
    if not isinstance(recipe, GradientBlendingRecipe):
        raise InputError(f"{path}: the recipe's kind is {recipe.kind}, expected gradient_blending")
    return recipe
