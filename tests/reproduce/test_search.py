"""The search of architectures: its grid, its recipes, its report, and that finished trainings are used again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from helpers.labeled import gray_set

from ls3d.data.decoded import save_decoded
from ls3d.errors import InputError, MissingExtraError
from ls3d.models import create_model
from ls3d.models.summary import summarize
from ls3d.reproduce import Architecture, Search, SearchResult, search_architectures
from ls3d.reproduce.search import CONVOLUTIONS, DEPTHS, make_recipe, plan_grid

#: Overrides with which a training takes a second.
TINY = [
    "model.arguments.width=4",
    "optimization.steps=2",
    "optimization.batch_size=2",
    "steps_per_epoch=2",
    "accelerator=cpu",
    "data.validation=[S3]",
]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "gray.npz"
    save_decoded(gray_set(), path)
    return path


def test_without_values_one_axis_is_varied_at_a_time() -> None:
    grid = plan_grid()
    base = Architecture()
    assert len(grid) == len(set(grid)) == 6 + 3 + 4 + 4 - 3
    for point in grid:
        differences = [point.fps != base.fps, point.size != base.size, point.depth != base.depth]
        assert sum([*differences, point.convolution != base.convolution]) <= 1


def test_chosen_values_are_combined() -> None:
    grid = plan_grid(depth=[10, 18], convolution=["2d", "3d"], size=[])
    assert [(point.depth, point.convolution) for point in grid] == [(10, "2d"), (10, "3d"), (18, "2d"), (18, "3d")]
    with pytest.raises(InputError, match=r"depth 11: expected one of 10, 16, 18, 34"):
        plan_grid(depth=[11])


@pytest.mark.parametrize("convolution", CONVOLUTIONS)
def test_recipes_have_equal_budgets(data: Path, tmp_path: Path, convolution: str) -> None:
    grid = plan_grid(convolution=list(CONVOLUTIONS), size=[16, 32], fps=[2.0, 4.0])
    point = Architecture(2.0, 16, 16, convolution)
    recipe = make_recipe(data, point, grid, 1, tmp_path, ["data.frames=2", *TINY])
    assert (recipe.data.fps, recipe.data.size, recipe.data.frames) == (2.0, (16, 16), 2)
    assert (recipe.data.short_side, recipe.data.decoded_rate) == (46, 4.0)
    assert (recipe.optimization.steps, recipe.optimization.batch_size, recipe.seed) == (2, 2, 1)
    network = recipe.model.outline()
    assert network.name == CONVOLUTIONS[convolution]


def test_blocks_make_the_depths() -> None:
    for depth, blocks in DEPTHS.items():
        network = create_model("r3d_18", blocks=blocks, width=4)
        convolutions = [layer for layer in summarize(network, (3, 8, 32, 32)).layers if layer.kind.startswith("Conv")]
        shortcuts = 3
        assert len(convolutions) - shortcuts + 1 == depth
    same = summarize("r3d_34", width=4), summarize("r3d_18", width=4, blocks=DEPTHS[34])
    assert same[0].parameters == same[1].parameters
    with pytest.raises(InputError, match=r"blocks is \[1, 1\], expected four positive numbers"):
        create_model("r3d_18", blocks=[1, 1])


def test_a_search_trains_once_and_reports(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"fps": [2.0], "size": [16], "depth": [10], "convolution": ["2d", "2.5d"], "frames": 2}

    def run() -> Search:
        return search_architectures(data, TINY, output=tmp_path / "runs", **options)  # type: ignore[arg-type]

    first = run()
    monkeypatch.setattr("ls3d.training._train.build_network", None)  # a second training would fail
    second = run()
    assert second == first
    second.save(tmp_path / "search.json")
    report = json.loads((tmp_path / "search.json").read_text())
    assert report["chance"] == 50
    assert [row["architecture"]["convolution"] for row in report["results"]] == ["2d", "2.5d"]
    for row, name in zip(report["results"], ("r2d_18", "r2plus1d_18"), strict=True):
        arguments = {"num_classes": 2, "width": 4, "blocks": [1, 1, 1, 1]} | ({"frames": 2} if name == "r2d_18" else {})
        counted = summarize(name, (3, 2, 16, 16), **arguments)
        assert (row["parameters"], row["macs"]) == (counted.parameters, counted.macs)
        assert row["mean_top1"] in (0, 50, 100)


@pytest.mark.parametrize("override", ["data.fps=3", "data.frames=16", "model.arguments.frames=16"])
def test_what_the_search_sets_can_not_be_overridden(data: Path, override: str) -> None:
    with pytest.raises(InputError, match=f"'{override}': the search sets this itself"):
        search_architectures(data, [override])


def test_videos_to_validate_on_are_needed_before_the_first_training(data: Path, tmp_path: Path) -> None:
    seen: list[str] = []
    with pytest.raises(InputError, match="no video is left for the validation"):
        search_architectures(
            data,
            [*TINY, "data.validation=[]"],
            depth=[10],
            output=tmp_path / "runs",
            progress=lambda done, total, name: seen.append(name),
        )
    assert not seen


def made() -> Search:
    results = [
        SearchResult(Architecture(convolution=name), 10**6 * (n + 1), 10**9, {0: 50.0, 1: 60.0}, {0: 90.0, 1: 90.0})
        for n, name in enumerate(CONVOLUTIONS)
    ]
    return Search("videos", 4, 8, 100, 16, results)


def test_the_plot_needs_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ls3d\[plot\]'"):
        made().plot(tmp_path / "plot.svg")


def test_the_plot_names_all_kinds_of_convolution(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    made().plot(tmp_path / "plot.svg")
    assert "<svg" in (tmp_path / "plot.svg").read_text()
    with pytest.raises(InputError, match="plot"):
        made().plot(tmp_path / "plot.nothing")
