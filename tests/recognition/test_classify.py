"""Classification over time: windows, means, files; a video whose second half is bright."""

from __future__ import annotations

import csv
import json
import math
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import videos
from torch import Tensor, nn
from typer.testing import CliRunner

from ls3d.cli.main import app
from ls3d.errors import InputError
from ls3d.inference import Classifier
from ls3d.models import ClipFormat, RecognitionNet, create_model, save_weights
from ls3d.recognition import classify_video
from ls3d.video import read_frames_at, read_frames_regularly

CLIP = ClipFormat(4, 4.0, (16, 16), 1.0)


def half_bright(index: int, height: int, width: int) -> videos.Image:
    """Dark for 4 s at 10 frames per second, then bright."""
    return np.full((height, width, 3), 40 if index < 40 else 210, np.uint8)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return videos.Clip(80, (32, 48), rate=Fraction(10), picture=half_bright).write(tmp_path / "half.mp4")


def network() -> RecognitionNet:
    made = create_model("r3d_18", num_classes=2, width=4)
    assert isinstance(made, RecognitionNet)
    made.config = made.require_config().with_metadata(classes=["dark", "bright"], clip=CLIP.to_dict())
    return made


class Brightness(nn.Module):
    """Logits of (dark, bright) from the mean of a clip."""

    def forward(self, clips: Tensor) -> Tensor:
        mean = clips.mean((1, 2, 3, 4))
        return torch.stack([-4 * mean, 4 * mean], 1)


def classifier() -> Classifier:
    made = Classifier(network(), "cpu")
    made.network = Brightness()  # type: ignore[assignment]
    return made


def test_labels_are_where_they_belong(video: Path) -> None:
    time_line = classify_video(classifier(), video)
    assert [(window.start, window.end) for window in time_line.windows] == [(k / 2, k / 2 + 1) for k in range(15)]
    names = [next(iter(time_line.best(1, window.probabilities))) for window in time_line.windows]
    assert names[:7] == ["dark"] * 7
    assert names[8:] == ["bright"] * 7
    assert sum(time_line.probabilities) == pytest.approx(1)


def test_the_stride_is_in_seconds(video: Path) -> None:
    windows = classify_video(classifier(), video, stride=2.0).windows
    assert [window.start for window in windows] == [0, 2, 4, 6]
    for stride in (0.0, math.inf, math.nan):
        with pytest.raises(InputError, match=f"stride {stride:g}: expected a positive number of seconds"):
            classify_video(classifier(), video, stride=stride)


def test_a_short_video_has_one_window(tmp_path: Path) -> None:
    path = videos.Clip(3, (32, 48), rate=Fraction(10), picture=half_bright).write(tmp_path / "short.mp4")
    (window,) = classify_video(classifier(), path).windows
    assert window.probabilities[0] > 0.9


@pytest.mark.parametrize("rate", [3.0, 10.0, 17.0])
def test_regular_frames_are_the_nearest(tmp_path: Path, rate: float) -> None:
    def counting(index: int, height: int, width: int) -> videos.Image:
        return np.full((height, width, 3), 4 * index, np.uint8)

    path = videos.Clip(30, (16, 16), rate=Fraction(10), picture=counting).write(tmp_path / "clip.mp4")
    found = np.stack(list(read_frames_regularly(path, rate)))
    assert abs(len(found) - 3 * rate) <= 1
    times = [(k + 0.5) / rate for k in range(len(found))]
    difference = np.abs(found.astype(int) - read_frames_at(path, times)).max(axis=(1, 2, 3))
    assert (difference <= 5).all()  # times in the middle between two frames are rounded either way


def test_the_command_writes_time_lines(video: Path, tmp_path: Path) -> None:
    weights = save_weights(network(), tmp_path / "weights.safetensors")
    files = ["--json", str(tmp_path / "t.json"), "--csv", str(tmp_path / "t.csv")]
    result = CliRunner().invoke(
        app, ["classify", str(video), "--model", str(weights), "--top", "1", *files], catch_exceptions=False
    )
    assert "half.mp4: " in result.output
    (content,) = json.loads((tmp_path / "t.json").read_text())
    assert len(content["windows"]) == 15
    with (tmp_path / "t.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["start"] for row in rows[:3]] == ["0.000", "0.500", "1.000"]


def test_videos_of_one_name_are_told_apart(video: Path, tmp_path: Path) -> None:
    weights = save_weights(network(), tmp_path / "weights.safetensors")
    for folder in ("a", "b"):
        (tmp_path / "in" / folder).mkdir(parents=True)
        shutil.copy(video, tmp_path / "in" / folder / "x.mp4")
    output = tmp_path / "t.json"
    arguments = ["classify", str(tmp_path / "in"), "--model", str(weights), "--json", str(output)]
    CliRunner().invoke(app, arguments, catch_exceptions=False)
    found = [each["video"] for each in json.loads(output.read_text())]
    assert found == [str(tmp_path / "in" / folder / "x.mp4") for folder in ("a", "b")]


def test_files_that_cannot_be_decoded_are_left_out_of_a_folder(video: Path, tmp_path: Path) -> None:
    weights = save_weights(network(), tmp_path / "weights.safetensors")
    (tmp_path / "broken.mp4").write_bytes(b"broken")
    result = CliRunner().invoke(app, ["classify", str(tmp_path), "--model", str(weights)])
    assert result.exit_code == 3
    assert f"error: {tmp_path / 'broken.mp4'}" in result.stderr
    assert "2 files: 1 classified, 1 failed" in result.stderr
    assert "half.mp4: " in result.stdout
