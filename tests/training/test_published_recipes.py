"""The published recipes: their figures are those of the papers and releases, and each one trains."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers.labeled import gray_set

from ls3d.data.decoded import save_decoded
from ls3d.models import read_metadata
from ls3d.training import load_recipe, train
from ls3d.training.recognition.recipe import ClassificationRecipe

FOLDER = Path(__file__).parents[2] / "recipes" / "recognition" / "published"


@dataclass(frozen=True)
class Published:
    """What a paper or a release states.

    Attributes:
        model: the network.
        frames: of a clip.
        size: height and width of a clip.
        clips: in a batch.
        steps: of the training.
        rates: by step; the rate of the batch, not of one GPU.
        weight_decay: of the weights.
    """

    model: str
    frames: int
    size: int
    clips: int
    steps: int
    rates: dict[int, float]
    weight_decay: float


def _cosine(progress: float) -> float:
    return 0.05 * (1 + math.cos(math.pi * progress))


CSN_STEPS = 87_891  # 45 million clips, 512 at a time
I3D_STEPS = 735_000  # 196 times 240,000 clips, 64 at a time
TABLE_8_STEPS = 172_969  # 45 times 246,000 clips, 64 at a time

_TABLE_8 = {0: 0.001, 57_656: 0.001, 57_657: 1e-4, 115_312: 1e-4, 115_313: 1e-5, TABLE_8_STEPS - 1: 1e-5}
_I3D = {0: 0.01, 127_499: _cosine(34 / 196), 300_000: _cosine(80 / 196), I3D_STEPS - 1: 0.0}
_CSN = {19_530: 0.64, 53_711: 0.32, CSN_STEPS - 1: 0.0}

#: Copied from the sources that the recipes name.
PUBLISHED = {
    "c3d/c3d_ucf101": Published(
        *("c3d_ucf101", 16, 112, 30, 60_000),
        {0: 0.003, 19_999: 0.003, 20_000: 3e-4, 39_999: 3e-4, 40_000: 3e-5},
        0.005,
    ),
    "c3d/c3d_sports1m": Published(
        *("c3d", 16, 112, 30, 1_900_000),
        {0: 0.003, 149_999: 0.003, 150_000: 0.0015, 300_000: 0.00075, 1_899_999: 0.003 / 2**12},
        0.0005,
    ),
    "c3d/c3d_sports1m_ucf101": Published(
        *("c3d", 16, 112, 30, 20_000), {4_999: 1e-4, 5_000: 1e-5, 15_000: 1e-7}, 0.0005
    ),
    "res3d_18_sports1m": Published(*("res3d_18", 8, 112, 40, 2_800_000), {0: 0.01}, 0.00005),
    "res3d_18_sports1m_ucf101": Published(
        *("res3d_18", 8, 112, 24, 20_000), {4_999: 0.001, 5_000: 1e-4, 15_000: 1e-6}, 0.00005
    ),
    "r2plus1d_18_kinetics": Published(
        *("r2plus1d_18", 8, 112, 64, 546_875),
        {0: 0.02, 156_249: 0.02, 156_250: 0.002, 312_500: 2e-4, 468_750: 2e-5},
        0.0001,
    ),
    "r2plus1d_34_kinetics": Published(
        *("r2plus1d_34", 32, 112, 64, 703_125),
        {156_249: 0.02, 312_499: 0.02, 312_500: 0.002, 468_750: 2e-4, 625_000: 2e-5},
        0.0001,
    ),
    "r2plus1d_34_ucf101": Published(
        *("r2plus1d_34", 32, 112, 32, 25_000), {0: 8e-4, 6_250: 8e-5, 12_500: 8e-6, 18_750: 8e-7}, 0.005
    ),
    "r2plus1d_34_hmdb51": Published(
        *("r2plus1d_34", 32, 112, 32, 10_000), {0: 16e-4, 2_500: 16e-5, 7_500: 16e-7}, 0.005
    ),
    "ir_csn_152_kinetics": Published(*("ir_csn_152", 32, 224, 512, CSN_STEPS), _CSN, 0.0001),
    "ip_csn_152_kinetics": Published(*("ip_csn_152", 32, 224, 512, CSN_STEPS), _CSN, 0.0001),
    "i3d/i3d_r50_8x8": Published(*("i3d_r50", 8, 224, 64, I3D_STEPS), _I3D, 0.0001),
    "i3d/i3d_r50_nl_8x8": Published(*("i3d_r50_nl", 8, 224, 64, I3D_STEPS), _I3D, 0.0001),
    "i3d/table8_start": Published(*("i3d_r50", 32, 224, 64, I3D_STEPS), _I3D, 0.0001),
    "i3d/table8_start_nl": Published(*("i3d_r50_nl", 32, 224, 64, I3D_STEPS), _I3D, 0.0001),
    "i3d/table8_i3d": Published(*("i3d_r50", 32, 224, 64, TABLE_8_STEPS), _TABLE_8, 0.0001),
    "i3d/table8_i3d_ls3d": Published(*("i3d_r50", 32, 224, 64, TABLE_8_STEPS), _TABLE_8, 0.0001),
    "i3d/table8_i3d_nl": Published(*("i3d_r50_nl", 32, 224, 64, TABLE_8_STEPS), _TABLE_8, 0.0001),
    "i3d/table8_i3d_nl_ls3d": Published(*("i3d_r50_nl", 32, 224, 64, TABLE_8_STEPS), _TABLE_8, 0.0001),
}

#: Trained by default; the others are slow.
QUICK = ("r2plus1d_18_kinetics", "i3d/table8_i3d_ls3d")


def load(name: str, *overrides: str, small: bool = False) -> ClassificationRecipe:
    recipe = load_recipe(f"{FOLDER / name}.yaml{'+small' if small else ''}", overrides)
    assert isinstance(recipe, ClassificationRecipe)
    return recipe


def test_every_recipe_is_checked() -> None:
    files = [path.relative_to(FOLDER).with_suffix("") for path in FOLDER.rglob("[!_]*.yaml")]
    assert {path.as_posix() for path in files} == set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_figures_are_the_published_ones(name: str) -> None:
    published, recipe = PUBLISHED[name], load(name)
    options = recipe.optimization
    assert (recipe.model.name, recipe.data.frames, recipe.data.size) == (
        published.model,
        published.frames,
        (published.size, published.size),
    )
    assert (options.batch_size, options.steps, options.weight_decay) == (
        published.clips,
        published.steps,
        published.weight_decay,
    )
    rates = {step: options.scaled_rate * options.rate(step) for step in published.rates}
    assert rates == pytest.approx(published.rates, rel=1e-3, abs=1e-7)
    assert recipe.model.arguments.get("ls3d", False) == name.endswith("ls3d")
    is_fine_tuning = name.endswith(("_sports1m_ucf101", "34_ucf101", "hmdb51")) or "table8_i3d" in name
    assert (recipe.model.weights is not None) == is_fine_tuning
    assert (recipe.data.validation == ["test"]) == name.endswith(("ucf101", "hmdb51"))


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_overlay_small_keeps_the_network_and_the_shape_of_the_schedule(name: str) -> None:
    full, small = load(name), load(name, small=True)
    assert small.model.name == full.model.name
    assert small.model.weights is None
    assert small.optimization.steps == 300
    for share in (0, 0.1, 0.3, 0.5, 0.9):
        step, small_step = (round(share * recipe.optimization.steps) for recipe in (full, small))
        assert small.optimization.rate(small_step) == pytest.approx(full.optimization.rate(step), abs=0.04)


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in PUBLISHED]
)
def test_each_recipe_trains_on_a_small_set(name: str, tmp_path: Path) -> None:
    save_decoded(gray_set(), tmp_path / "gray.npz")
    changes = {
        "data.root": tmp_path / "gray.npz",
        "data.validation": "[S3]",
        "model.arguments.num_classes": 2,
        "optimization.steps": 3,
        "optimization.batch_size": 2,
        "optimization.precise_norms": 2,
        "steps_per_epoch": 3,
        "accelerator": "cpu",
        "output": tmp_path / "run",
    }
    if not name.startswith("c3d/"):
        changes |= {"data.size": "[32, 32]", "data.frames": 4}
    weights = train(load(name, *(f"{key}={value}" for key, value in changes.items()), small=True))
    metadata = read_metadata(weights)
    assert metadata["classes"] == ["dark", "bright"]
    assert "top1" in metadata["metrics"]
