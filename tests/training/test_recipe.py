"""Recipes: what is accepted, what is refused and how."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from ls3d.errors import InputError
from ls3d.training import load_recipe
from ls3d.training.recipe.schema import OptimizationSection

#: A name with an underscore in front is a part of others.
RECIPES = sorted((Path(__file__).parents[2] / "recipes").rglob("[!_]*.yaml"))
TEXT = """
model: {name: vfi_ls3d, arguments: {width: 8}}
data: {root: clips}
optimization: {steps: 10}
output: out
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(TEXT)
    return path


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_of_the_project_loads(path: Path) -> None:
    assert load_recipe(path).optimization.steps > 0


def test_overrides_are_yaml(recipe: Path) -> None:
    loaded = load_recipe(
        recipe,
        ["data.crop=64", "model.arguments.ls3d_blocks=[5, 6]", "data.scale=[1, 1]", "output=elsewhere"],
    )
    assert loaded.data.crop == 64
    assert loaded.model.arguments == {"width": 8, "ls3d_blocks": [5, 6]}
    assert loaded.output == Path("elsewhere")


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("data.crops=64", r"data\.crops.*Extra inputs"),
        ("data.crop=-1", r"data\.crop.*greater than 0, got -1"),
        ("optimization.steps=many", r"optimization\.steps.*integer.*'many'"),
        ("data.crop", "section.key=value"),
        ("output.folder=1", "output is not a section"),
        ("data.crop=[1,", "the value is not YAML"),
        ("data.scale=[1.0, 0.5]", "not a range from low to high"),
        ("data.scale=[0.0, 1.0]", "not a range from low to high"),
        ("data.sigma=[-5, 5]", "not a range from low to high"),
        ("data.size=[0, 640]", "not a height and a width"),
    ],
)
def test_what_is_not_a_recipe_is_refused(recipe: Path, override: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        load_recipe(recipe, [override])


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1\n"])
def test_a_file_that_is_no_recipe_is_named(tmp_path: Path, text: str) -> None:
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
