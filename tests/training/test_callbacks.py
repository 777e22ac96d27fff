"""Callbacks: offsets are logged, exploding offsets cause a warning, and pictures are kept."""

from __future__ import annotations

import csv
import logging
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.recipes import recipe, train_until
from torch import nn

from ls3d.models import load_model, read_metadata
from ls3d.nn import LS3DConv3d, limit_offsets, offset_statistics
from ls3d.training import train
from ls3d.training.callbacks import OffsetGuard
from ls3d.training.enhancement.picture_log import middle_frames

PLAIN = {"name": "vfi_ls3d", "arguments": {"width": 8, "ls3d_blocks": [2]}}
LAYER = "trunk.layers.1.conv1"


def log_of(output: Path) -> list[dict[str, str]]:
    with next(output.rglob("metrics.csv")).open() as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("clips")
def test_a_layer_with_exploding_offsets_causes_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shift_by_40_pixels(layer: LS3DConv3d) -> None:
        assert layer.predictor.bias is not None
        nn.init.zeros_(layer.predictor.weight)
        nn.init.constant_(layer.predictor.bias, 40.0)

    monkeypatch.setattr(LS3DConv3d, "reset_sampling", shift_by_40_pixels)
    options = {"offset_every": 2, "offset_warning": 30, "coarse_loss": 0}
    with caplog.at_level(logging.WARNING, "ls3d"):
        train(recipe(tmp_path, model=PLAIN, optimization=options, steps_per_epoch=20))
    warnings = [record.getMessage() for record in caplog.records if "offsets of" in record.getMessage()]
    assert len(warnings) == 1
    assert LAYER in warnings[0]
    assert "56.6 pixels" in warnings[0]  # 40 pixels down and 40 to the right


@pytest.mark.usefixtures("clips")
def test_offset_statistics_are_logged(tmp_path: Path) -> None:
    options = {"steps": 10, "offset_every": 9, "coarse_loss": 0}
    train(recipe(tmp_path, model=PLAIN, optimization=options, steps_per_epoch=10))
    rows = [row for row in log_of(tmp_path) if row[f"offsets/{LAYER}.max"]]
    assert rows
    assert all(0 <= float(row[f"offsets/{LAYER}.mean"]) <= float(row[f"offsets/{LAYER}.max"]) for row in rows)


@pytest.mark.usefixtures("clips")
def test_the_bound_of_the_offsets_is_kept_with_the_weights(tmp_path: Path) -> None:
    options = {"offset_limit": 0.25, "offset_factor": 10, "learning_rate": 0.02, "coarse_loss": 0}
    weights = train(recipe(tmp_path, model=PLAIN, optimization=options, half_weights=False))
    assert read_metadata(weights)["offset_limit"] == 0.25
    model = load_model(weights)
    frames = torch.rand(1, 3, 2, 32, 32)
    with offset_statistics(model) as found, torch.no_grad():
        bounded = model(frames)
    assert 0 < found[LAYER].max <= 0.25 * 2**0.5 + 1e-6
    limit_offsets(model, None)
    with torch.no_grad():
        assert not torch.equal(model(frames), bounded)


@pytest.mark.usefixtures("clips")
def test_pictures_are_logged_at_every_validation(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    train(recipe(tmp_path))
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"), {accumulator.IMAGES: 0}).Reload()
    assert sorted(events.Tags()["images"]) == ["0: b", "1: b", "2: b", "3: b"]
    seen = events.Images("0: b")
    assert [image.step for image in seen] == [2, 4, 6]
    assert (seen[0].height, seen[0].width) == (48, 3 * 48)


def test_middle_frames_are_in_a_row() -> None:
    videos = [torch.full((2, 3, 3, 4, 5), value) for value in (-1.0, 0.5, 2.0)]
    videos[1][0, :, 1] = 0.25
    picture = middle_frames(*videos)
    assert picture.shape == (3, 4, 15)
    assert picture[0, 0].tolist() == [0.0] * 5 + [0.25] * 5 + [1.0] * 5


@pytest.mark.usefixtures("clips")
def test_offsets_of_a_compiled_network_are_measured_at_the_right_steps_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network compiled without hooks would ignore them, one compiled with hooks would run them at every step."""
    measured: list[str] = []
    original = OffsetGuard.on_train_batch_end

    def recording(guard: OffsetGuard, *arguments: Any) -> None:
        measured.extend(guard._found)
        original(guard, *arguments)

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    monkeypatch.setattr(OffsetGuard, "on_train_batch_end", recording)
    options = {"steps": 7, "offset_every": 3, "coarse_loss": 0}
    run = recipe(tmp_path, model=PLAIN, optimization=options, compile=True, steps_per_epoch=1, data={"held_out": []})
    train_until(2, run, monkeypatch)
    assert measured == [LAYER]  # at step 0
    torch._dynamo.reset()
    train(run)
    assert measured == [LAYER] * 3  # and at the steps 3 and 6
