"""The recipes of Gradient-Blending and its table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.multimodal import multimodal_set, use_set

from ls3d.errors import InputError
from ls3d.models.recognition.fusion import LateFusionNet
from ls3d.reproduce import BLENDING_TABLES, plot_blending, reproduce_blending
from ls3d.training import load_recipe
from ls3d.training.gradient_blending.recipe import GradientBlendingRecipe

RECIPES = Path(__file__).parents[2] / "recipes"

#: Small enough to be trained within a second.
TINY = [
    "data.frames=2",
    "data.fps=2",
    "data.size=[16, 16]",
    "data.validation=[S2]",
    "optimization.steps=2",
    "optimization.warm_up=1",
    "optimization.batch_size=4",
    "steps_per_epoch=1",
    "model.arguments.spectrogram=null",
    "model.arguments.clip_arguments={width: 4, blocks: [1, 1, 1, 1], stem_width: 4}",
    "model.arguments.flow_arguments={width: 4, blocks: [1, 1, 1, 1], stem_width: 4}",
    "accelerator=cpu",
    "blending.held_out=0.5",
]


def load(name: str) -> tuple[GradientBlendingRecipe, LateFusionNet]:
    recipe = load_recipe(RECIPES / "gblend" / name)
    assert isinstance(recipe, GradientBlendingRecipe)
    network = recipe.model.outline()
    assert isinstance(network, LateFusionNet)
    return recipe, network


@pytest.mark.parametrize("method", ["rgb", "flow", "audio", "naive", "offline", "online"])
def test_methods_have_the_same_budget_and_videos(method: str) -> None:
    base, _ = load("folder.yaml+small")
    recipe, network = load(f"folder.yaml+small+{method}")
    assert recipe.optimization == base.optimization
    assert recipe.blending.held_out == base.blending.held_out
    modalities = {"rgb": ("clip",), "flow": ("flow",), "audio": ("spectrogram",)}
    assert network.traits.modalities == modalities.get(method, ("clip", "flow", "spectrogram"))
    assert network.heads == ((*network.traits.modalities, "joint") if method in ("offline", "online") else ("joint",))
    assert recipe.blending.weights == (method if method in ("offline", "online") else {"joint": 1.0})


@pytest.mark.parametrize("setting", [name for name, _ in BLENDING_TABLES.values() if name != "folder"])
def test_published_settings_and_weights(setting: str) -> None:
    recipe, network = load(f"{setting}.yaml")
    assert network.heads == ("clip", "spectrogram", "joint")
    published, _ = load(f"{setting}_published.yaml")
    assert isinstance(published.blending.weights, dict)
    assert sum(published.blending.weights.values()) == pytest.approx(1, abs=2e-3)
    assert published.optimization == recipe.optimization


def test_the_table_has_the_rows_of_the_paper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("ls3d.reproduce.blending.open_labeled_set", lambda *_: multimodal_set())
    use_set(monkeypatch, multimodal_set())
    seen: list[str] = []
    result = reproduce_blending(
        "gblend",
        TINY,
        seeds=1,
        data=tmp_path / "videos",
        recipes=RECIPES,
        output=tmp_path / "runs",
        progress=lambda done, total, name: seen.append(name),
    )
    assert [row.method for row in result.rows] == ["rgb", "flow", "naive", "offline", "online"]
    assert all(0 <= row.top1[0] <= 100 for row in result.rows)
    assert sum(result.rows[-1].weights[0].values()) == pytest.approx(1)
    assert len(seen) == 5
    result.show()
    assert "Gradient-Blending, online" in capsys.readouterr().out
    result.save(tmp_path / "gblend.json")
    assert json.loads((tmp_path / "gblend.json").read_text())["rows"][0]["title"] == "RGB"
    plot_blending(tmp_path / "runs" / "gblend" / "online" / "seed0" / "blending.json", tmp_path / "weights.svg")
    assert (tmp_path / "weights.svg").read_text().count("<path") > 10


def test_what_can_not_be_reproduced(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected at least one seed"):
        reproduce_blending("gblend", seeds=0, recipes=RECIPES, output=tmp_path)
    for override in ("seed=7", "output=elsewhere"):
        with pytest.raises(InputError, match=f"'{override}': seeds are counted from 0"):
            reproduce_blending("gblend", [override], recipes=RECIPES, output=tmp_path)


def test_videos_to_validate_on_are_needed_before_the_first_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ls3d.reproduce.blending.open_labeled_set", lambda *_: multimodal_set())
    use_set(monkeypatch, multimodal_set())
    monkeypatch.setattr("ls3d.reproduce.blending.train", None)
    changes = [*TINY, "data.validation=[]"]
    with pytest.raises(InputError, match="no video is left for the validation"):
        reproduce_blending("gblend", changes, data=tmp_path / "videos", recipes=RECIPES, output=tmp_path / "runs")
