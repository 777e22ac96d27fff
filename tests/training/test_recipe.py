"""Recipes: what is accepted, what is refused and with which message."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from ls3d.data.degradations import DEGRADATIONS
from ls3d.errors import InputError
from ls3d.training import load_recipe, require_enhancement
from ls3d.training.enhancement.kinds import DenoisingRecipe, InterpolationRecipe, SuperResolutionRecipe
from ls3d.training.recipe.sections import OptimizationSection

#: A file whose name begins with an underscore is a base or an overlay.
RECIPES = sorted((Path(__file__).parents[2] / "recipes").rglob("[!_]*.yaml"))
TEXT = """
kind: {kind}
model: {{name: {model}, arguments: {{width: 8}}}}
data: {{root: clips}}
optimization: {{steps: 10}}
output: out
"""
MODELS = {"interpolation": "vfi_ls3d", "super-resolution": "vsr_ls3d", "denoising": "vdn_ls3d"}


def write(folder: Path, kind: str = "interpolation") -> Path:
    path = folder / "recipe.yaml"
    path.write_text(TEXT.format(kind=kind, model=MODELS[kind]))
    return path


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write(tmp_path)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_of_the_project_loads(path: Path) -> None:
    assert load_recipe(path).optimization.steps > 0


def test_overrides_are_yaml(recipe: Path) -> None:
    loaded = load_recipe(
        recipe,
        ["data.crop=64", "model.arguments.ls3d_blocks=[5, 6]", "data.scale=[1, 1]", "output=elsewhere"],
    )
    assert require_enhancement(loaded).data.crop == 64
    assert loaded.model.arguments == {"width": 8, "ls3d_blocks": [5, 6]}
    assert loaded.output == Path("elsewhere")


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("data.crops=64", r"data\.crops.*Extra inputs"),
        ("data.crop=-1", r"data\.crop.*greater than 0, got -1"),
        ("data.crop=66", r"data\.crop is 66, vfi_ls3d needs a multiple of 4"),
        ("optimization.steps=many", r"optimization\.steps.*integer.*'many'"),
        ("data.crop", "section.key=value"),
        ("output.folder=1", "output is not a section"),
        ("data.crop=[1,", "is not YAML"),
        ("data.scale=[1.0, 0.5]", "not a range from low to high"),
        ("data.scale=[0.0, 1.0]", "not a range from low to high"),
        ("data.size=[0, 640]", "not a height and a width"),
        ("data.set=davis", "no training set is called 'davis'; there are folder, "),
        ("data.sigma=[5, 5]", r"data\.sigma: Extra inputs"),
        ("data.degradation=bi", r"data\.degradation: Extra inputs"),
        ("task=interpolation", r"task: Extra inputs"),
        ("model.name=vfi_l3sd", "no model is called 'vfi_l3sd'; did you mean vfi_ls3d"),
        ("model.arguments.depth=3", "vfi_ls3d takes no argument 'depth'"),
        ("model.name=vsr_ls3d", "the model vsr_ls3d is for super-resolution, the recipe's kind is interpolation"),
        ("model={name: r3d_18}", "the model r3d_18 is for recognition, the recipe's kind is interpolation"),
        (
            "kind=smoothing",
            "kind: expected one of 'interpolation', 'super-resolution', 'denoising', 'classification', "
            "'gradient_blending', got smoothing",
        ),
    ],
)
def test_mistakes_in_a_recipe_are_named(recipe: Path, override: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        load_recipe(recipe, [override])
    assert "\n" not in str(caught.value)


def test_a_recipe_without_a_kind_is_refused(recipe: Path) -> None:
    recipe.write_text(recipe.read_text().replace("kind:", "task:"))
    with pytest.raises(InputError, match=r"recipe\.yaml: kind: expected one of 'interpolation', .*, got None"):
        load_recipe(recipe)


@pytest.mark.parametrize(
    ("kind", "override", "sentence"),
    [
        ("denoising", "data.sigma=[-5, 5]", "not a range from low to high"),
        ("denoising", "data.degradation=bi", r"data\.degradation: Extra inputs"),
        ("super-resolution", "data.sigma=[5, 5]", r"data\.sigma: Extra inputs"),
        ("super-resolution", "data.degradation=bicubic", "no degradation is called 'bicubic'; there are bi, bd, "),
        ("super-resolution", "data.degradation=[bi]", r"data\.degradation: expected one of bi, bd, "),
        ("super-resolution", "data.degradation=mixed", "degradation mixed does not shrink; expected bi or bd"),
        ("super-resolution", "model.arguments.scale=2", r"enlarges 2 times, data\.degradation makes 4 times smaller"),
    ],
)
def test_each_kind_has_its_own_data_section(tmp_path: Path, kind: str, override: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        load_recipe(write(tmp_path, kind), [override])


def test_the_kind_decides_the_class_and_names_are_resolved(tmp_path: Path) -> None:
    assert isinstance(load_recipe(write(tmp_path)), InterpolationRecipe)
    assert isinstance(load_recipe(write(tmp_path, "denoising")), DenoisingRecipe)
    loaded = load_recipe(write(tmp_path, "super-resolution"), ["data.degradation=bd"])
    assert isinstance(loaded, SuperResolutionRecipe)
    assert loaded.data.degradation is DEGRADATIONS["bd"]
    assert loaded.conditions()["data"]["degradation"] == "bd"


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1\n"])
def test_the_error_names_a_file_that_is_not_a_recipe(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(InputError, match=r"r\.yaml is not"):
        load_recipe(tmp_path / "r.yaml")


def test_the_rate_rises_stays_and_falls_to_zero() -> None:
    options = OptimizationSection(steps=100, warm_up=10, decay=0.4)
    rates = [options.rate(step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:61] == [1.0] * 52
    assert rates[80] == pytest.approx(0.5)
    assert rates[100] == 0
    assert all(a < b for a, b in itertools.pairwise(rates[:10]))


@pytest.mark.parametrize("package", ["pydantic", "yaml"])
def test_a_missing_package_is_named_with_its_extra(package: str) -> None:
    program = f"import sys; sys.modules[{package!r}] = None; import ls3d.training"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert f"{package} is not installed: pip install 'ls3d[train]'" in result.stderr
