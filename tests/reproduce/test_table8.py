"""Table 8 of the paper in miniature: plain networks are trained, every row continues from one of them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from helpers.labeled import gray_set
from rich.console import Console

import ls3d.training
from ls3d.data.decoded import save_decoded
from ls3d.errors import InputError
from ls3d.models import load_model
from ls3d.models.summary import summarize
from ls3d.nn import LS3DConv3d
from ls3d.reproduce import TABLE_8, AccuracyReproduction, AccuracyResult, reproduce
from ls3d.reproduce.recognition import COUNTED_CLIP
from ls3d.training.recipe.sections import BaseRecipe

RECIPES = Path(__file__).parents[2] / "recipes"

#: Overrides with which a training takes a second.
TINY = [
    "model.arguments.width=4",
    "data.frames=4",
    "data.size=[32, 32]",
    "data.validation=[S3]",
    "optimization.steps=2",
    "optimization.batch_size=2",
    "optimization.precise_norms=1",
    "accelerator=cpu",
]


def test_rows_are_those_of_the_paper() -> None:
    """Copied from the paper: top-1, top-5, parameters, GFLOPs."""
    printed = {
        "I3D": (72.0, 89.9, 28.04, 86.59),
        "I3D+LS3D": (72.9, 90.6, 28.21, 87.13),
        "I3D+NL": (73.6, 91.0, 35.40, 100.10),
        "I3D+NL+LS3D": (74.2, 91.2, 35.57, 100.64),
    }
    found = {row.method: (*row.published.values(), row.parameters, row.gflops) for row in TABLE_8}
    assert found == printed


@pytest.mark.parametrize("row", TABLE_8, ids=lambda row: row.method)
def test_our_networks_have_the_printed_cost(row: Any) -> None:
    """Up to the differences that ``ls3d.models.recognition.i3d`` explains."""
    summary = summarize(row.model, COUNTED_CLIP, layout="table8")
    assert summary.parameters / 1e6 == pytest.approx(row.parameters, abs=0.011)
    assert summary.macs / 1e9 == pytest.approx(row.gflops, rel=0.02)


def test_all_rows_continue_from_plain_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[BaseRecipe] = []

    def train(recipe: BaseRecipe) -> Path:
        if not (recipe.output / "weights.safetensors").exists():
            trained.append(recipe)
        return original(recipe)

    original = ls3d.training.train
    monkeypatch.setattr("ls3d.reproduce.recognition.train", train)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    save_decoded(gray_set(), tmp_path / "gray.npz")
    given: dict[str, Any] = {"small": True, "seeds": 1, "clips": tmp_path / "gray.npz", "recipes": RECIPES}
    calls: list[str] = []
    result = reproduce(
        "table8",
        TINY,
        **given,
        output=tmp_path / "runs",
        progress=lambda done, total, name: calls.append(f"{done}/{total} {name}"),
    )
    assert isinstance(result, AccuracyReproduction)
    assert [recipe.model.name for recipe in trained] == [
        *("i3d_r50", "i3d_r50", "i3d_r50", "i3d_r50_nl", "i3d_r50_nl", "i3d_r50_nl")
    ]
    assert calls[2:4] == ["2/8 I3D+LS3D, the plain network, seed 0", "3/8 I3D+LS3D, seed 0"]
    start, plain, learnable = trained[:3]
    assert plain.model.weights == learnable.model.weights == start.output / "weights.safetensors"
    network = load_model(learnable.output / "weights.safetensors")
    assert sum(isinstance(layer, LS3DConv3d) for layer in network.modules()) == 9
    assert [row.row.method for row in result.results] == [row.method for row in TABLE_8]
    for row in result.results:
        assert 0 <= row.scores[0]["top1"] <= row.scores[0]["top5"] == 100
        assert row.recipe["optimization"]["steps"] == 2
    assert reproduce("table8", TINY, **given, output=tmp_path / "runs").to_dict() == result.to_dict()
    assert len(trained) == 6
    result.save(tmp_path / "table8.json")
    saved = json.loads((tmp_path / "table8.json").read_text())
    assert saved["rows"][1]["published"] == {"top1": 72.9, "top5": 90.6, "parameters": 28.21, "gflops": 87.13}


def test_the_printed_table_has_the_paper_s_columns_and_ours() -> None:
    top1 = {"I3D": (40, 50), "I3D+LS3D": (43, 54), "I3D+NL": (43, 55), "I3D+NL+LS3D": (30, 40)}
    recipe = {"optimization": {"steps": 10, "batch_size": 4}}
    results = [
        AccuracyResult(
            row,
            {seed: {"top1": float(value), "top5": 90.0} for seed, value in enumerate(top1[row.method])},
            {},
            recipe,
            28_043_472,
            86_540_000_000,
            Path("runs"),
        )
        for row in TABLE_8
    ]
    result = AccuracyReproduction(results, True, "the validation videos of set", {})
    assert [comparison.verdict for comparison in result.order()] == ["holds", "undecided", "reversed"]
    console = Console(width=100, record=True, file=io.StringIO())
    result.show(console)
    text = console.export_text()
    (line,) = [line for line in text.splitlines() if line.startswith("│ I3D ")]
    assert [cell.strip() for cell in line.strip("│ ").split("│")] == [
        "I3D",
        "72.0, 45.0 ± 7.1",
        "89.9, 90.0 ± 0.0",
        "28.04, 28.04",
        "86.59, 86.54",
    ]
    assert "I3D+LS3D above I3D: +3.50 ± 0.50 points, holds" in text


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="seeds are counted"):
        reproduce("table8", ["seed=3"], recipes=RECIPES, output=tmp_path)
    with pytest.raises(InputError, match=r"there is no recipe recognition/published/i3d/table8_start\.yaml"):
        reproduce("table8", recipes=tmp_path, output=tmp_path)
