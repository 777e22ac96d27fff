"""The paper's tables in miniature: shared and finished runs are kept, interrupted ones are resumed."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

import ls3d.training
from ls3d.data.training_sets import TRAINING_SETS
from ls3d.errors import InputError
from ls3d.evaluation import PROTOCOLS
from ls3d.metrics import psnr, to_8bit
from ls3d.models import EnhancementNetwork, load_model
from ls3d.reproduce import TABLES, Reproduction, RowResult, TableRow, reproduce
from ls3d.reproduce.measure import published_folder
from ls3d.reproduce.plan import plan_runs
from ls3d.training import build_recipe, load_recipe, require_enhancement
from ls3d.training.recipe.sections import BaseRecipe

RECIPES = Path(__file__).parents[2] / "recipes"
NAMES = sorted({row.recipe for table in TABLES.values() for column in table.columns for row in column.rows})
#: Overrides with which a run takes a second.
TINY = [
    "model.arguments.width=4",
    "data.crop=32",
    "data.held_out=1",
    "optimization.steps=2",
    "optimization.batch_size=1",
    "accelerator=cpu",
]


@pytest.mark.parametrize("name", NAMES)
def test_every_row_has_a_recipe_which_the_overlay_small_reduces(name: str) -> None:
    full = require_enhancement(load_recipe(RECIPES / f"{name}.yaml"))
    small = require_enhancement(load_recipe(f"{RECIPES / name}.yaml+small"))
    for recipe in (full, small):
        network = recipe.model.outline()
        assert isinstance(network, EnhancementNetwork)
        assert any(True for _ in network.parameters())
        assert recipe.data.set in TRAINING_SETS
        assert recipe.data.crop % (network.traits.size_multiple * network.traits.scale) == 0
    assert full.model.name == small.model.name
    assert (small.model.arguments | {"width": 0}) == (full.model.arguments | {"width": 0})
    assert small.data.set == "folder"
    assert small.optimization.adversarial is None
    assert (full.optimization.adversarial is not None) == (full.kind == "interpolation")
    assert small.output == Path(f"runs/{name.replace('/', '_')}_small")


@pytest.mark.parametrize("table", TABLES)
def test_rows_of_a_table_differ_only_in_the_network(table: str, tmp_path: Path) -> None:
    for small in (False, True):
        for column in TABLES[table].columns:
            runs = [run for run in plan_runs(TABLES[table], RECIPES, tmp_path, small=small) if run.column == column]
            others = [run.recipe.model_dump(exclude={"model", "output", "seed"}) for run in runs]
            assert all(values == others[0] for values in others)
            assert [run.recipe.seed for run in runs] == [0, 1, 2] * len(column.rows)


def test_tables_hold_what_the_paper_prints() -> None:
    """The numbers below were copied from the paper, not from the module under test."""
    printed = {
        "table2": [("baseline", 29.35), ("res1,2", 29.70), ("res3,4", 30.45), ("res5,6", 30.97)],
        "table3": [("baseline", 29.35), ("2-LS3D-Conv", 30.97), ("4-LS3D-Conv", 31.70), ("6-LS3D-Conv", 31.98)],
        "table4": [("LS3D paper", 27.62), ("LS3D paper, 6 blocks", 31.98), ("LS3D paper", 35.82)],
        "table5": [("LS3D paper", 30.17)],
        "table6": [("LS3D paper, 3D convolution", 33.25), ("LS3D paper", 34.90)],
        "table7": [
            *(("LS3D paper, 3D convolution", 36.35), ("LS3D paper", 36.90)),
            *(("LS3D paper, 3D convolution", 34.67), ("LS3D paper", 35.23)),
        ],
    }
    for name, rows in printed.items():
        found = [
            (row.method, known.scores["psnr"])
            for column in TABLES[name].columns
            for row in column.rows
            for known in column.published
            if known.method == row.method
        ]
        assert found == rows
        assert all(column.protocol_name in PROTOCOLS for column in TABLES[name].columns)


def test_tables_2_and_3_share_what_is_the_same(tmp_path: Path) -> None:
    folders = {
        (table, run.row.method): run.recipe.output
        for table in ("table2", "table3")
        for run in plan_runs(TABLES[table], RECIPES, tmp_path, small=True, seeds=1)
    }
    assert folders["table2", "baseline"] == folders["table3", "baseline"]
    assert folders["table2", "res5,6"] == folders["table3", "2-LS3D-Conv"]
    assert len(set(folders.values())) == 6


def test_a_run_s_folder_depends_only_on_what_changes_its_weights(tmp_path: Path) -> None:
    def folder(*overrides: str) -> Path:
        return plan_runs(TABLES["table6"], RECIPES, tmp_path, overrides, small=True)[0].recipe.output

    assert (
        folder("data.cache=elsewhere", "data.workers=3", "metadata.license=CC0", "optimization.offset_every=7")
        == folder()
    )
    for override in ("optimization.steps=7", "data.root=other", "model.arguments.width=8", "precision=bf16-mixed"):
        assert folder(override) != folder()


def test_rows_with_unequal_budgets_are_refused(tmp_path: Path) -> None:
    (tmp_path / "vsr").mkdir()
    for name, steps in (("table6", 10), ("table6_conv3d", 20)):
        text = (
            f"kind: super-resolution\nmodel: {{name: vsr_conv3d}}\ndata: {{root: c}}\noptimization: {{steps: {steps}}}"
        )
        (tmp_path / "vsr" / f"{name}.yaml").write_text(text)
    with pytest.raises(InputError, match=r"need the same budget.*3D convolution \(20, .*LS3D paper \(10, "):
        plan_runs(TABLES["table6"], tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"table": "table9"}, "no table is called 'table9'; there are table2, "),
        ({"seeds": 0}, "seeds 0: expected at least 1"),
        ({"recipes": "nowhere"}, r"recipes nowhere: there is no recipe vsr/table6_conv3d\.yaml"),
        ({"clips": "nowhere"}, "nowhere: no such folder of training clips"),
        ({"overrides": ["data.crops=3"]}, r"data\.crops"),
        ({"overrides": ["seed=3"]}, "seeds are counted"),
        ({"test": "nowhere"}, "nowhere: no such folder of the test set for Vimeo-90K"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path: Path, arguments: dict[str, Any], sentence: str) -> None:
    given: dict[str, Any] = {"table": "table6", "small": True, "recipes": RECIPES, "output": tmp_path} | arguments
    with pytest.raises(InputError, match=sentence):
        reproduce(**given)


def test_a_table_from_end_to_end(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted after two of four runs, the same call trains the other two, and a third call none."""
    trained: list[str] = []

    def train(recipe: BaseRecipe) -> Path:
        if len(trained) == 2 and not interrupted:
            interrupted.append(True)
            raise SystemError("killed")
        trained.append(f"{recipe.model.name}/{recipe.seed}")
        return original(recipe)

    interrupted: list[bool] = []
    original = ls3d.training.train
    monkeypatch.setattr("ls3d.reproduce.plan.train", train)
    given: dict[str, Any] = {
        "small": True,
        "seeds": 2,
        "clips": folder,
        "recipes": RECIPES,
        "output": tmp_path / "runs",
    }
    with pytest.raises(SystemError):
        reproduce("table6", TINY, **given)
    calls: list[str] = []
    first = reproduce(
        "table6", TINY, **given, progress=lambda done, total, name: calls.append(f"{done}/{total} {name}")
    )
    assert trained == ["vsr_conv3d/0", "vsr_conv3d/1", "vsr_ls3d/0", "vsr_ls3d/1"]
    assert calls[3] == "3/4 Vimeo-90K, LS3D paper, seed 1"
    again = reproduce("table6", TINY, **given)
    assert isinstance(first, Reproduction)
    assert len(trained) == 4
    assert again.to_dict() == first.to_dict()
    _check_json(first, tmp_path)
    _check_first_score(first)


def _check_json(result: Reproduction, folder: Path) -> None:
    result.save(folder / "table6.json")
    data = json.loads((folder / "table6.json").read_text())
    assert (data["table"], data["small"], data["device"]) == ("table6", True, "cpu")
    assert {"torch", "ls3d", "lightning"} <= set(data["versions"])
    assert [row["published"]["psnr"] for row in data["rows"]] == [33.25, 34.90]
    assert data["weightless"]["Vimeo-90K"]["model"] == "bicubic"
    for row in data["rows"]:
        seeds = [score["psnr"] for score in row["seeds"].values()]
        assert len(seeds) == 2
        assert row["mean"]["psnr"] == pytest.approx(sum(seeds) / 2)
        assert row["spread"]["psnr"] == pytest.approx(abs(seeds[0] - seeds[1]) / math.sqrt(2))
        assert row["recipe"]["optimization"]["steps"] == 2


def _check_first_score(result: Reproduction) -> None:
    """The first row's score, computed from the weights and the clip without ``ls3d.evaluation``."""
    from ls3d.data.degradations import get_degradation
    from ls3d.training.enhancement.loaders import split_clips

    run = result.results[0]
    recipe = require_enhancement(build_recipe(run.recipe | {"output": "none"}, "recipe"))
    (clip,) = split_clips(recipe.data)[1]
    model = load_model(run.folder / "seed0" / "weights.safetensors")
    starts = sorted({0, 2 // 3, 4 // 3, 2})
    values = []
    height, width = 48, 64  # all of the clip: windows are twice the crop, 32, where it is large enough
    for start in starts:
        frames = torch.from_numpy(clip.frames[start : start + 7].copy()).permute(0, 3, 1, 2)[..., :height, :width] / 255
        small = torch.stack([get_degradation("bi")(frame) for frame in frames], dim=1)
        with torch.no_grad():
            made = to_8bit(model(small[None])[0, :, 3])
        values.append(psnr(made, to_8bit(frames[3])).item())
    assert run.scores[0]["psnr"] == pytest.approx(sum(values) / len(values), abs=1e-6)


def invented(scores: dict[str, list[float]], table: str = "table2") -> Reproduction:
    """A result with these PSNRs, by method and seed."""
    column = TABLES[table].columns[0]
    recipe = {"optimization": {"steps": 10, "batch_size": 4}}
    rows = [
        RowResult(
            column, row, {n: {"psnr": v, "ssim": 0.9} for n, v in enumerate(scores[row.method])}, recipe, 1, Path("r")
        )
        for row in column.rows
    ]
    weightless = {column.title: ("blend", {"psnr": 27.123, "ssim": 0.81})}
    return Reproduction(TABLES[table], rows, weightless, True, "clips held out from training", "cpu", {})


def test_neighbors_in_the_paper_s_order_are_compared_with_the_error_over_seeds() -> None:
    result = invented({"baseline": [30, 30.2], "res1,2": [30.5, 30.7], "res3,4": [30.4, 30.9], "res5,6": [30.0, 30.4]})
    (comparisons,) = result.order().values()
    assert [comparison.verdict for comparison in comparisons] == ["holds", "undecided", "reversed"]
    assert [comparison.gain for comparison in comparisons] == pytest.approx([0.5, 0.05, -0.45])
    assert comparisons[1].error == pytest.approx(0.15)
    assert result.to_dict()["order"]["MLB-YouTube"]["holds"] is False
    assert invented({"baseline": [1], "res1,2": [2], "res3,4": [3], "res5,6": [4]}).to_dict()["order"]["MLB-YouTube"][
        "holds"
    ]


def test_an_order_with_an_undecided_comparison_neither_holds_nor_fails() -> None:
    result = invented({"baseline": [30, 30.2], "res1,2": [30.5, 30.7], "res3,4": [30.4, 30.9], "res5,6": [31.0, 31.4]})
    assert result.to_dict()["order"]["MLB-YouTube"]["holds"] is None


def test_a_table_of_one_trained_row_has_no_order() -> None:
    result = invented({"LS3D paper": [30.0]}, "table4")
    one = replace(result, table=replace(result.table, columns=result.table.columns[:1]))
    assert one.to_dict()["order"]["Cityscapes"] == {"holds": None, "steps": []}


def test_the_printed_table_has_the_paper_s_columns_and_ours() -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    invented({"baseline": [30, 30.2], "res1,2": [30.5, 30.7], "res3,4": [30.4, 30.9], "res5,6": [30, 30.4]}).show(
        console
    )
    text = console.export_text()
    (row,) = [line for line in text.splitlines() if "res5,6" in line and "│" in line]
    assert [cell.strip() for cell in row.strip("│ ").split("│")] == [
        "res5,6",
        "30.97",
        "30.20 ± 0.28",
        "0.954",
        "0.9000 ± 0.0000",
    ]
    (row,) = [line for line in text.splitlines() if "blend" in line]
    assert "27.12" in row
    assert "res1,2 above baseline: +0.50 ± 0.00 dB, holds" in text
    assert "compare our rows with each other" in text


def test_a_row_that_the_paper_does_not_print_is_shown() -> None:
    row = TABLES["table5"].columns[0].rows[0]
    assert isinstance(row, TableRow)
    result = invented({row.method: [29.0], "LS3D paper": [29.5]}, "table5")
    console = Console(width=100, record=True, file=io.StringIO())
    result.show(console)
    assert "29.50" in console.export_text()
    assert result.to_dict()["order"]["25 YUV"]["holds"] is None


def test_gait_is_always_measured_on_held_out_clips() -> None:
    """The gait database has no published split, so a test set could contain walks that were trained on."""
    runs = plan_runs(TABLES["table4"], RECIPES, Path("runs"), small=True, seeds=1)
    folders = {run.column.protocol_name: published_folder("sets", run, several=True) for run in runs}
    assert folders == {
        "cityscapes": Path("sets/cityscapes"),
        "mlb-youtube": Path("sets/mlb-youtube"),
        "gait": None,
    }


#: By table, whether small, test and row: the folders of runs at commit 7a77f10, before keys of recipes were renamed.
FOLDERS = {
    ("table2", False, "MLB-YouTube", "res5,6"): "vfi_ls3d-f02fba1a89",
    ("table2", True, "MLB-YouTube", "baseline"): "vfi_ls3d-17b568a963",
    ("table6", True, "Vimeo-90K", "LS3D paper"): "vsr_ls3d-66c80462d2",
    ("table7", False, "Gaussian-25", "LS3D paper, 3D convolution"): "vdn_conv3d-2a1283119b",
}


def test_runs_of_earlier_versions_are_found() -> None:
    for (table, small, title, method), folder in FOLDERS.items():
        runs = plan_runs(TABLES[table], RECIPES, Path("runs"), ["data.root=/clips"], small, seeds=1)
        (run,) = [run for run in runs if (run.column.title, run.row.method) == (title, method)]
        assert run.recipe.output == Path("runs") / folder / "seed0"
