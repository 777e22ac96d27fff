"""The architecture search of Res3D (arXiv:1708.05038): networks that differ in four respects, with equal budgets.

The axes are the frame rate of clips, their size, the depth of the network, and the kind of its convolutions. All
networks are residual networks of arXiv:1711.11248, with the same widths, trained for the same steps on the same videos.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from ls3d.environment import versions
from ls3d.errors import InputError, check_positive
from ls3d.evaluation.figure import new_figure, save_figure
from ls3d.files import write_json
from ls3d.models import read_metadata
from ls3d.models.summary import summarize
from ls3d.training import recipe_for_videos, train
from ls3d.training.recognition.loaders import open_split
from ls3d.training.recognition.recipe import ClassificationRecipe

#: Networks by kind of convolution. 2D: the first layer spans the clip. Mixed: 3D in the first two groups, then 2D.
#: 2.5D: each 3D convolution is a spatial and a temporal one.
CONVOLUTIONS = {"2d": "r2d_18", "mixed": "mc3_18", "2.5d": "r2plus1d_18", "3d": "r3d_18"}

#: Blocks of the four stages, by depth.
DEPTHS = {10: (1, 1, 1, 1), 16: (2, 2, 2, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}

#: Share of a frame's shorter side that the smallest training clip shows.
_SMALLEST_SHARE = 0.7

#: What the axes and ``frames`` set, so that overrides can't.
_KEYS_OF_AXES = (
    *("data.fps", "data.size", "data.frames", "model.name", "model.arguments.blocks", "model.arguments.frames"),
    *("seed", "output", "kind"),
)

#: Called before each training with the number of finished ones, the number of all, and a description of the next.
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Architecture:
    """A point of the grid.

    Attributes:
        fps: frames per second of a clip.
        size: height and width of a clip in pixels.
        depth: layers; a key of ``DEPTHS``.
        convolution: a key of ``CONVOLUTIONS``.
    """

    fps: float = 15.0
    size: int = 112
    depth: int = 18
    convolution: str = "3d"

    def __post_init__(self) -> None:
        check_positive(fps=self.fps, size=self.size)
        if self.depth not in DEPTHS:
            raise InputError(f"{self.depth}: expected one of {', '.join(map(str, DEPTHS))}", argument="depth")
        if self.convolution not in CONVOLUTIONS:
            raise InputError(f"{self.convolution}: expected one of {', '.join(CONVOLUTIONS)}", argument="convolution")

    def __str__(self) -> str:
        return f"{self.convolution}, {self.depth} layers, {self.size} pixels, {self.fps:g} fps"


#: What is varied if nothing else is chosen, one axis at a time. 30 to 0.94 fps are every to every 32nd frame of most
#: videos.
DEFAULT_AXES: dict[str, tuple[Any, ...]] = {
    "fps": (30.0, 15.0, 7.5, 3.75, 1.875, 0.9375),
    "size": (56, 112, 224),
    "depth": tuple(DEPTHS),
    "convolution": tuple(CONVOLUTIONS),
}


@dataclass(frozen=True)
class SearchResult:
    """What was measured of an architecture.

    Attributes:
        architecture: the point of the grid.
        parameters: of its network.
        macs: multiply-adds of convolutions and linear layers for one clip: the "FLOPs" of the paper.
        top1: accuracy on the validation videos in percent, by seed.
        top5: likewise.
    """

    architecture: Architecture
    parameters: int
    macs: int
    top1: dict[int, float]
    top5: dict[int, float]

    @property
    def mean(self) -> float:
        """Mean ``top1`` of all seeds."""
        return statistics.fmean(self.top1.values())

    @property
    def spread(self) -> float | None:
        """Standard deviation of ``top1``; None for a single seed."""
        return statistics.stdev(self.top1.values()) if len(self.top1) > 1 else None


@dataclass(frozen=True)
class Search:
    """The result of ``search_architectures``.

    Attributes:
        data: the videos.
        classes: number of classes.
        frames: frames of a clip.
        steps: of each training.
        batch_size: of each training.
        results: in the order of the grid.
    """

    data: str
    classes: int
    frames: int
    steps: int
    batch_size: int
    results: list[SearchResult]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "results"}
        results = [asdict(result) | {"mean_top1": result.mean, "spread_top1": result.spread} for result in self.results]
        return values | {"chance": 100 / self.classes, "results": results, "versions": versions("lightning")}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON, atomically."""
        write_json(path, self.to_dict())

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw accuracy against multiply-adds and parameters, with a color for each kind of convolution.

        Args:
            path: the suffix, such as ``.svg`` or ``.png``, chooses the format.

        Raises:
            MissingExtraError: Matplotlib is not installed.
            InputError: Matplotlib doesn't write this format.
        """
        figure = new_figure(10, 4.5)
        from matplotlib.ticker import LogLocator, NullFormatter

        for axes, (name, (unit, title)) in zip(figure.subplots(1, 2, sharey=True), _COSTS.items(), strict=True):
            self._draw(axes, name, unit)
            axes.set_xlabel(title)
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter(NullFormatter())
        figure.axes[0].set_ylabel("top-1 accuracy, %")
        figure.axes[0].legend(fontsize=8)
        save_figure(figure, path)

    def _draw(self, axes: Any, cost: str, unit: float) -> None:
        for convolution in CONVOLUTIONS:
            results = [result for result in self.results if result.architecture.convolution == convolution]
            if not results:
                continue
            costs = [(result.macs if cost == "macs" else result.parameters) / unit for result in results]
            means = [result.mean for result in results]
            axes.errorbar(
                costs, means, [result.spread or 0.0 for result in results], fmt="o", capsize=2, label=convolution
            )
            for place, result in zip(costs, results, strict=True):
                label = self._label(result.architecture)
                axes.annotate(label, (place, result.mean), (4, 4), textcoords="offset points", fontsize=6)
        axes.axhline(100 / self.classes, color="gray", linestyle=":", linewidth=0.8)

    def _label(self, point: Architecture) -> str:
        """What the color doesn't tell: the values of the axes that differ among the results."""
        values = {"depth": f"{point.depth} layers", "size": f"{point.size} px", "fps": f"{point.fps:g} fps"}
        points = [asdict(result.architecture) for result in self.results]
        return ", ".join(text for axis, text in values.items() if len({other[axis] for other in points}) > 1)


#: Unit and title of the axis of each cost.
_COSTS = {"macs": (1e9, "10^9 multiply-adds of a clip"), "parameters": (1e6, "10^6 parameters")}


def search_architectures(
    data: str | os.PathLike[str],
    overrides: Sequence[str] = (),
    *,
    fps: Sequence[float] = (),
    size: Sequence[int] = (),
    depth: Sequence[int] = (),
    convolution: Sequence[str] = (),
    frames: int = 8,
    seeds: int = 1,
    output: str | os.PathLike[str] = "runs/search",
    progress: Progress | None = None,
) -> Search:
    """Train a grid of networks with equal budgets and compare them. Interrupted, the same call resumes.

    Args:
        data: videos by class, as for ``ls3d.training.recipe_for_videos``, whose recipe all networks share.
        overrides: ``section.key=value``, applied to all recipes.
        fps: frames per second of clips; all combinations of the chosen values are trained. An axis without values has
            that of ``Architecture``; if no axis has values, those of ``DEFAULT_AXES`` are varied one at a time.
        size: height and width of clips in pixels, likewise.
        depth: layers, likewise; 10, 16, 18 or 34.
        convolution: ``"2d"``, ``"mixed"``, ``"2.5d"`` or ``"3d"``, likewise.
        frames: frames of a clip.
        seeds: number of trainings of each network, with the seeds 0, 1, ...
        output: folder of all trainings; finished ones are used again.
        progress: called before each training.

    Raises:
        InputError: a value of an axis or an override is unsuitable, or the videos are.
    """
    if seeds < 1:
        raise InputError(f"{seeds}: expected at least 1", argument="seeds")
    for override in overrides:
        if override.partition("=")[0] in _KEYS_OF_AXES:
            raise InputError(f"{override!r}: the search sets this itself", argument="overrides")
    grid = plan_grid(fps=fps, size=size, depth=depth, convolution=convolution)
    points = [(point, seed) for point in grid for seed in range(seeds)]
    changes = [f"data.frames={frames}", *overrides]
    recipes = [make_recipe(data, point, grid, seed, Path(output), changes) for point, seed in points]
    if not open_split(recipes[0].data).validation:
        raise InputError(f"{os.fspath(data)}: no video is left for the validation")
    results: list[SearchResult] = []
    for number, ((point, seed), recipe) in enumerate(zip(points, recipes, strict=True)):
        if progress:
            progress(number, len(points), f"{point}, seed {seed}")
        scores = read_metadata(train(recipe))["metrics"]
        if seed == 0:
            results.append(_count(point, recipe))
        results[-1].top1[seed] = scores["top1"]
        results[-1].top5[seed] = scores["top5"]
    first = recipes[0]
    classes = first.model.arguments["num_classes"]
    return Search(os.fspath(data), classes, frames, first.optimization.steps, first.optimization.batch_size, results)


def plan_grid(**axes: Sequence[Any]) -> list[Architecture]:
    """All combinations of the values of the axes; without any, ``DEFAULT_AXES`` one at a time."""
    chosen = {name: values for name, values in axes.items() if values}
    if chosen:
        points: Iterator[Architecture] = (
            Architecture(**dict(zip(chosen, values, strict=True))) for values in itertools.product(*chosen.values())
        )
    else:
        base = Architecture()
        points = (replace(base, **{name: value}) for name, values in DEFAULT_AXES.items() for value in values)
    return list(dict.fromkeys(points))


def make_recipe(
    data: str | os.PathLike[str],
    point: Architecture,
    grid: Sequence[Architecture],
    seed: int,
    output: Path,
    overrides: Sequence[str],
) -> ClassificationRecipe:
    """The recipe of one training. The frames are decoded alike for the whole grid: to the size of the largest clip."""
    short_side = round(max(other.size for other in grid) / _SMALLEST_SHARE)
    changes = [
        f"data.short_side={short_side}",
        *overrides,
        f"data.fps={point.fps!r}",
        f"data.size={[point.size, point.size]}",
        f"model.arguments.blocks={list(DEPTHS[point.depth])}",
        f"seed={seed}",
    ]
    recipe = recipe_for_videos(data, CONVOLUTIONS[point.convolution], _with_clip_length(changes, point))
    assert isinstance(recipe, ClassificationRecipe)
    if recipe.data.decoded_rate is not None:  # frames are kept in memory
        rate = max(other.fps for other in grid)
        recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"decoded_rate": rate})})
    name = f"{point.convolution}-{point.depth}-{point.size}px-{point.fps:g}fps-{digest_recipe(recipe)}"
    return recipe.model_copy(update={"output": output / name / f"seed{seed}"})


def _with_clip_length(changes: list[str], point: Architecture) -> list[str]:
    """For 2D, add the length of clips to the network's arguments."""
    if point.convolution != "2d":
        return changes
    lengths = [change.partition("=")[2] for change in changes if change.startswith("data.frames=")]
    return [*changes, f"model.arguments.frames={lengths[-1]}"]


def digest_recipe(recipe: ClassificationRecipe) -> str:
    """Different for recipes that train differently, such as for more steps."""
    values = recipe.model_dump(mode="json", exclude={"output", "metadata", "seed"})
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]


def _count(point: Architecture, recipe: ClassificationRecipe) -> SearchResult:
    network = recipe.model.outline()
    frames = recipe.data.frames
    summary = summarize(network, (3, frames, point.size, point.size))
    return SearchResult(point, summary.parameters, summary.macs, {}, {})
