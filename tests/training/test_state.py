"""Training states: exact, without code, two of them; and the recipe that they belong to."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.marks import slow_except
from helpers.recipes import losses, recipe

from ls3d.errors import InputError
from ls3d.models import read_metadata
from ls3d.training import OtherTrainingError, load_recipe, train
from ls3d.training.state import NEWEST, PREVIOUS, load_state, newest_state, save_state

VALUES: dict[str, Any] = {
    "state_dict": {"a.weight": torch.rand(2, 3), "b": torch.tensor(3)},
    "global_step": 7,
    "optimizer_states": [{"state": {0: {"exp_avg": torch.rand(3)}}, "param_groups": [{"betas": (0.9, 0.999)}]}],
    "best": float("inf"),
    "nothing": None,
}
IDENTITY = {"recipe": {"seed": 1}, "data": "abc", "version": "1"}


def equal(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second) and first.dtype == second.dtype
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return type(first) is type(second) and all(map(equal, first, second))
    return bool(first == second)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A folder with two states."""
    save_state({**VALUES, "global_step": 6}, tmp_path / NEWEST, IDENTITY)
    save_state(VALUES, tmp_path / NEWEST, IDENTITY)
    return tmp_path


def test_a_state_is_read_as_it_was_written(saved: Path) -> None:
    state = load_state(saved / NEWEST)
    assert equal(state.values, VALUES)
    assert state.identity == IDENTITY
    assert sorted(path.name for path in saved.iterdir()) == [NEWEST, PREVIOUS]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "flipped bit": lambda content: content[:-5] + bytes([content[-5] ^ 1]) + content[-4:],
    "garbage": lambda content: b"garbage " * 100,
    "pickle": lambda content: pickle.dumps({"global_step": 9}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state_is_replaced_by_the_one_before(
    damage: str, saved: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = (saved / NEWEST).read_bytes()
    (saved / NEWEST).write_bytes(DAMAGES[damage](content))
    state = newest_state(saved)
    assert state is not None
    assert state.values["global_step"] == 6
    assert "resuming from the state before" in caplog.text
    (saved / PREVIOUS).write_bytes(DAMAGES[damage](content))
    with pytest.raises(InputError, match=NEWEST):
        newest_state(saved)


def test_a_failed_write_changes_nothing(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in saved.iterdir()}

    def full(*_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("ls3d.training.state.write_safetensors", full)
    with pytest.raises(OSError, match="no space"):
        save_state(VALUES, saved / NEWEST, IDENTITY)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_saved(value: float, saved: Path) -> None:
    before = (saved / NEWEST).read_bytes()
    with pytest.raises(InputError, match=r"b\.bias has values that are infinite or not a number"):
        save_state({**VALUES, "state_dict": {"b.bias": torch.tensor([value])}}, saved / NEWEST, IDENTITY)
    assert (saved / NEWEST).read_bytes() == before


def test_objects_of_other_classes_are_a_bug(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="can't hold a object"):
        save_state({**VALUES, "odd": object()}, tmp_path / NEWEST, IDENTITY)


@pytest.mark.usefixtures("clips")
class TestRecipes:
    """A state belongs to one recipe and its clips."""

    @pytest.fixture
    def finished(self, tmp_path: Path) -> Path:
        return train(recipe(tmp_path, optimization={"steps": 2}))

    @pytest.mark.parametrize("with_state", [True, False])
    def test_another_recipe_is_refused_by_its_keys(self, finished: Path, with_state: bool, tmp_path: Path) -> None:
        before = finished.read_bytes()
        if not with_state:
            (tmp_path / NEWEST).unlink()
        other = recipe(tmp_path, optimization={"steps": 4, "learning_rate": 0.5}, seed=3)
        with pytest.raises(OtherTrainingError, match=r"learning_rate 0.0003 \(now 0.5\), .*steps 2 \(now 4\), seed 0"):
            train(other)
        assert finished.read_bytes() == before
        assert read_metadata(train(other, resume=False))["recipe"]["seed"] == 3

    def test_other_clips_are_refused(self, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        finished.unlink()
        from ls3d.data import cache

        clips = cache.open_clips(tmp_path)
        monkeypatch.setattr("ls3d.data.cache.open_clips", lambda *_: clips[1:])
        with pytest.raises(OtherTrainingError, match="on other clips"):
            train(recipe(tmp_path, optimization={"steps": 2}))

    def test_moving_a_folder_and_more_workers_change_nothing(self, finished: Path, tmp_path: Path) -> None:
        moved = finished.parent.rename(tmp_path.with_name(f"{tmp_path.name}-moved"))
        again = train(recipe(moved, optimization={"steps": 2}, data={"workers": 2}))
        assert again.parent == moved
        tmp_path.mkdir()

    @pytest.mark.parametrize("step", slow_except([0, 2, 3], [2]))
    def test_a_signal_saves_the_state(self, step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Training resumes from the middle of an epoch to the same weights and losses."""
        from ls3d.errors import TrainingStoppedError
        from ls3d.training.enhancement.module import EnhancementModule

        options: dict[str, Any] = {"optimization": {"steps": 12}, "steps_per_epoch": 4}
        whole = read_metadata(train(recipe(tmp_path / "whole", **options)))
        original = EnhancementModule.training_step

        def training_step(module: EnhancementModule, *arguments: Any) -> torch.Tensor:
            if module.global_step == step:
                os.kill(os.getpid(), signal.SIGTERM)
            return original(module, *arguments)

        before = signal.getsignal(signal.SIGTERM)
        with monkeypatch.context() as patch:
            patch.setattr(EnhancementModule, "training_step", training_step)
            with pytest.raises(TrainingStoppedError, match=f"stopped by SIGTERM after step {step + 1}"):
                train(recipe(tmp_path / "stopped", **options))
        assert signal.getsignal(signal.SIGTERM) == before
        assert load_state(tmp_path / "stopped" / NEWEST).values["global_step"] == step + 1
        resumed = read_metadata(train(recipe(tmp_path / "stopped", **options)))
        assert resumed["sha256"] == whole["sha256"]
        assert losses(tmp_path / "stopped") == losses(tmp_path / "whole")


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{last}'] * 10)}]\n" for last, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "aliases stand for more than"),
        ("a: &a [*a]\n", "aliases stand for more than|not YAML"),
        ("[" * 50_000, "nested too deeply"),
        ("a: " + "9" * 10_000, "not YAML"),
        ("a: \x00", "not YAML"),
        ("x" * (2 << 20), "more than 131,072 bytes"),
        ("a: 2026-99-99", "not YAML"),
    ],
)
def test_yaml_that_no_recipe_has(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        load_recipe(tmp_path / "r.yaml")


def test_a_binary_recipe(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError, match="not text in UTF-8"):
        load_recipe(tmp_path / "r.yaml")
