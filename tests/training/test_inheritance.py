"""Recipes that start from others: merging, overlays, and what is refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ls3d.errors import InputError
from ls3d.training import load_recipe, require_enhancement
from ls3d.training.recipe.inheritance import merge, read_with_bases

KEYS = st.sampled_from("abc")
SECTIONS = st.dictionaries(
    KEYS,
    st.recursive(
        st.integers() | st.none() | st.lists(st.integers(), max_size=2),
        lambda values: st.dictionaries(KEYS, values, max_size=3),
        max_leaves=8,
    ),
    max_size=3,
)


def leaves(values: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Every value that is not a section with entries, by its path."""
    if not isinstance(values, dict) or not values:
        return {path: values}
    return {place: leaf for key in values for place, leaf in leaves(values[key], (*path, key)).items()}


@given(SECTIONS, SECTIONS)
def test_the_later_value_counts_and_all_others_are_kept(first: dict[str, Any], second: dict[str, Any]) -> None:
    before = copy.deepcopy((first, second))
    merged = merge(first, second)
    assert (first, second) == before
    found, later = leaves(merged), leaves(second)
    for place, leaf in later.items():
        if leaf != {}:
            assert found[place] == leaf
    for place, leaf in leaves(first).items():
        hidden = any(place[: len(other)] == other or other[: len(place)] == place for other in later)
        assert hidden or found[place] == leaf
    assert set(found) <= set(later) | set(leaves(first))


#: Values with the same sections and the same plain values.
SAME_SECTIONS = st.fixed_dictionaries(
    {},
    optional={
        "a": st.fixed_dictionaries({}, optional={"x": st.integers(), "y": st.lists(st.integers(), max_size=2)}),
        "b": st.none() | st.integers(),
    },
)


@given(SAME_SECTIONS, SAME_SECTIONS, SAME_SECTIONS)
def test_merging_is_associative(a: dict[str, Any], b: dict[str, Any], c: dict[str, Any]) -> None:
    assert merge(merge(a, b), c) == merge(a, merge(b, c))


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def test_bases_are_read_in_order_and_from_their_own_folder(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    write(tmp_path / "deep", root="a: {x: 1, y: [1, 2]}\nb: 1\n", middle="base: root.yaml\na: {y: [3]}\nb: 2\n")
    write(tmp_path, part="b: 3\nc: 3\n", top="base: [deep/middle.yaml, part.yaml]\nc: 4\n")
    assert read_with_bases(tmp_path / "top.yaml") == {"a": {"x": 1, "y": [3]}, "b": 3, "c": 4}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("base: top.yaml", r"top\.yaml is its own base"),
        ("base: cycle.yaml", r"top\.yaml is its own base, through top\.yaml and cycle\.yaml"),
        ("base: none.yaml", r"top\.yaml: base: there is no recipe .*none\.yaml"),
        ("base: 3", r"base: expected a file name or a list of them, got 3"),
        ("base: [3]", r"base: expected a file name or a list of them"),
        ("base: list.yaml", r"list\.yaml is not a recipe"),
    ],
)
def test_invalid_bases_are_refused_in_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    write(tmp_path, top=text, cycle="base: top.yaml", list="- 1")
    with pytest.raises(InputError, match=sentence) as caught:
        read_with_bases(tmp_path / "top.yaml")
    assert "\n" not in str(caught.value)


def test_the_same_base_twice_is_not_a_cycle(tmp_path: Path) -> None:
    write(
        tmp_path, root="a: 1", one="base: root.yaml", other="base: root.yaml\nb: 2", top="base: [one.yaml, other.yaml]"
    )
    assert read_with_bases(tmp_path / "top.yaml") == {"a": 1, "b": 2}


ROOT = "kind: interpolation\nmodel: {name: vfi_ls3d}\ndata: {root: clips}\noptimization: {steps: 10}"


def test_a_run_is_named_after_its_recipe_not_after_the_base(tmp_path: Path) -> None:
    write(tmp_path, _root=ROOT)
    write(tmp_path, row="base: _root.yaml", named="base: _root.yaml\noutput: elsewhere")
    assert load_recipe(tmp_path / "row.yaml").output == Path(f"runs/{tmp_path.name}_row")
    assert load_recipe(tmp_path / "named.yaml").output == Path("elsewhere")


def test_an_overlay_is_merged_after_the_recipe_and_before_overrides(tmp_path: Path) -> None:
    (tmp_path / "vfi").mkdir()
    write(tmp_path, _small="data: {crop: 64}\noptimization: {steps: 2}", _fast="optimization: {steps: 3}")
    write(tmp_path / "vfi", row=f"{ROOT}\nseed: 7")
    small = require_enhancement(load_recipe(f"{tmp_path}/vfi/row.yaml+small"))
    assert (small.data.crop, small.optimization.steps, small.seed) == (64, 2, 7)
    assert small.output == Path("runs/vfi_row_small")
    both = require_enhancement(load_recipe(f"{tmp_path}/vfi/row.yaml+small+fast", ["data.crop=96"]))
    assert (both.data.crop, both.optimization.steps) == (96, 3)
    assert both.output == Path("runs/vfi_row_small_fast")


def test_the_nearest_overlay_counts(tmp_path: Path) -> None:
    (tmp_path / "vfi").mkdir()
    write(tmp_path, _small="seed: 1")
    write(tmp_path / "vfi", row=ROOT, _small="seed: 2")
    assert load_recipe(f"{tmp_path}/vfi/row.yaml+small").seed == 2


def test_a_run_with_an_overlay_has_its_own_folder_unless_the_overlay_names_one(tmp_path: Path) -> None:
    write(tmp_path, named=f"{ROOT}\noutput: runs/mine", _small="seed: 1", _elsewhere="output: runs/other")
    assert load_recipe(f"{tmp_path}/named.yaml").output == Path("runs/mine")
    assert load_recipe(f"{tmp_path}/named.yaml+small").output == Path("runs/mine_small")
    assert load_recipe(f"{tmp_path}/named.yaml+elsewhere").output == Path("runs/other")


def test_a_missing_overlay_is_named(tmp_path: Path) -> None:
    write(tmp_path, row=ROOT)
    with pytest.raises(InputError, match=r"row\.yaml\+tiny: there is no overlay _tiny\.yaml"):
        load_recipe(f"{tmp_path}/row.yaml+tiny")
    with pytest.raises(FileNotFoundError, match=r"other\.yaml"):
        load_recipe(f"{tmp_path}/other.yaml+tiny")


def test_a_plus_in_a_folder_s_name_is_not_an_overlay(tmp_path: Path) -> None:
    (tmp_path / "c++").mkdir()
    write(tmp_path / "c++", row=ROOT)
    assert load_recipe(tmp_path / "c++" / "row.yaml").output == Path("runs/c++_row")
