"""``evaluate`` agrees with numbers that were computed independently, and refuses what does not fit."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ls3d.data import Clip, get_data_set
from ls3d.data.clips import ArrayClip
from ls3d.environment import versions
from ls3d.errors import InputError
from ls3d.evaluation import PROTOCOLS, ClipScore, EvaluationReport, Protocol, evaluate
from ls3d.evaluation.protocol import ShownClip
from ls3d.evaluation.table import render
from ls3d.metrics import METRICS
from ls3d.models import EnhancementNetwork, Network, create_model, save_weights
from ls3d.models.enhancement.baselines import Blend
from ls3d.models.network import Task

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def test_scores_of_blending_follow_from_the_error(triplets: Path) -> None:
    report = evaluate("blend", "ucf101", triplets)
    assert list(report.clips) == ["1", "2", "3", "4", "5"]
    for number in range(1, 6):
        scores = report.clips[str(number)].scores
        assert scores["psnr"] == pytest.approx(20 * math.log10(255 / number), abs=1e-6)
        assert scores["psnr_float"] == pytest.approx(scores["psnr"], abs=1e-3)
        assert scores["ssim"] < 1
    expected = sum(20 * math.log10(255 / number) for number in range(1, 6)) / 5
    assert report.mean["psnr"] == pytest.approx(expected)
    assert report.complete is False


def test_means_are_over_clips_by_default(sequences: Path) -> None:
    report = evaluate("bicubic", "vid4-bi-y", sequences)
    calendar = report.clips["calendar"]
    walk = report.clips["walk"]
    assert (calendar.frames, walk.frames) == (4, 3)
    assert report.mean["psnr"] == pytest.approx((calendar.scores["psnr"] + walk.scores["psnr"]) / 2)


def test_means_are_over_frames_if_the_protocol_says_so(sequences: Path) -> None:
    protocol = replace(PROTOCOLS["vid4-bi-y"], name="mine", average="frames")
    report = evaluate("bicubic", protocol, sequences)
    calendar, walk = (report.clips[name].scores["psnr"] for name in ("calendar", "walk"))
    assert report.mean["psnr"] == pytest.approx((4 * calendar + 3 * walk) / 7)
    assert report.to_dict()["conditions"]["average"] == "frames"


def test_json_states_how_it_was_measured(triplets: Path, tmp_path: Path) -> None:
    report = evaluate("blend", "ucf101", triplets, json_path=tmp_path / "r.json")
    data = json.loads((tmp_path / "r.json").read_text())
    assert data["protocol"] == "ucf101"
    assert data["model"] == "blend"
    assert data["mean"]["psnr"] == report.mean["psnr"]
    assert data["clips"]["3"]["psnr"] == report.clips["3"].scores["psnr"]
    assert {"ls3d", "torch", "python", "av"} <= set(data["versions"])
    assert data["conditions"] == PROTOCOLS["ucf101"].conditions()
    assert EvaluationReport.load(tmp_path / "r.json").to_dict() == report.to_dict()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.json", "ucf101"]


def test_json_has_the_digest_of_the_weights(triplets: Path, tmp_path: Path) -> None:
    weights = save_weights(create_model("vfi_conv3d", width=4), tmp_path / "small.safetensors")
    report = evaluate(weights, "ucf101", triplets)
    assert report.model == "small.safetensors"
    recorded = report.to_dict()["weights"]
    assert recorded["architecture"] == "vfi_conv3d"
    assert recorded["arguments"] == {"width": 4}
    assert len(recorded["sha256"]) == 64


def test_equal_frames_are_infinite_in_python_and_null_in_json(tmp_path: Path, triplets: Path) -> None:
    for name in ("frame_01_gt.png", "frame_02.png"):
        (triplets / "1" / name).write_bytes((triplets / "1" / "frame_00.png").read_bytes())
    report = evaluate("repeat", "ucf101", triplets, json_path=tmp_path / "r.json")
    assert report.clips["1"].scores["psnr"] == math.inf
    assert json.loads((tmp_path / "r.json").read_text())["clips"]["1"]["psnr"] is None
    assert EvaluationReport.load(tmp_path / "r.json").clips["1"].scores["psnr"] == math.inf


@pytest.mark.parametrize(
    ("model", "protocol", "message"),
    [
        ("blend", "vid4-bi-y", "interpolation"),
        ("bicubic", "ucf101", "super-resolution"),
        ("bicubic", "set8-25", "denoising"),
        ("blend", "nothing", "nothing"),
        ("nobody", "ucf101", "nobody"),
    ],
)
def test_refuses_models_and_protocols_that_do_not_fit(model: str, protocol: str, message: str, triplets: Path) -> None:
    with pytest.raises(InputError, match=message):
        evaluate(model, protocol, triplets)


def test_refuses_targets_and_devices_before_it_measures(triplets: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        evaluate("blend", "ucf101", triplets, json_path=tmp_path / "nowhere" / "r")
    with pytest.raises(InputError, match="no folder"):
        evaluate("blend", "ucf101", triplets, html_path=tmp_path / "nowhere" / "r")
    with pytest.raises(InputError, match="toaster"):
        evaluate("blend", "ucf101", triplets, device="toaster")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_device_is_refused(triplets: Path) -> None:
    with pytest.raises(InputError, match="cuda"):
        evaluate("blend", "ucf101", triplets, device="cuda")


def test_clips_without_a_scored_frame_are_left_out(sequences: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InputError, match="long enough"):
        evaluate("blend", "folder-x4", sequences)
    assert "calendar" in caplog.text


class Halfway(Blend):
    """Blends the two frames equally, whatever the time."""

    def forward(self, frames: Tensor, times: Sequence[float] | None = None) -> Tensor:
        return frames.mean(dim=2, keepdim=True)


def test_a_network_object_is_reported_by_its_class(triplets: Path) -> None:
    report = evaluate(Halfway(), "ucf101", triplets)
    assert report.model == "Halfway"
    assert report.mean == pytest.approx(evaluate("blend", "ucf101", triplets).mean)


class LengthScorer:
    """Scores a clip by its length."""

    def score(self, clip: Clip) -> ClipScore | None:
        return ClipScore({"psnr": float(len(clip))}, len(clip), 0)

    def draw(self, clips: Sequence[ShownClip], model: str) -> str:
        return f"<p>{model} {', '.join(shown.caption for shown in clips)}</p>"


@dataclass(frozen=True, kw_only=True)
class LengthProtocol(Protocol):
    """A protocol that has nothing to do with frames."""

    @property
    def task(self) -> Task:
        return "interpolation"

    @property
    def scored_frames_in_set(self) -> int | None:
        return None

    def conditions(self) -> dict[str, Any]:
        return {}

    def scorer(self, network: Network, device: torch.device) -> LengthScorer:
        assert isinstance(network, EnhancementNetwork)
        return LengthScorer()


def test_a_protocol_may_measure_anything(triplets: Path, tmp_path: Path) -> None:
    metrics = {"psnr": METRICS["psnr-rgb"]}
    protocol = LengthProtocol(name="length", title="Lengths", data_set=get_data_set("folder"), metrics=metrics)
    report = evaluate("blend", protocol, triplets, html_path=tmp_path / "r.html")
    assert report.mean == {"psnr": 3.0}
    assert render(report)
    assert "<p>blend 1: PSNR 3.00 dB over the clip, 2: " in (tmp_path / "r.html").read_text()


def test_clips_may_be_given_directly() -> None:
    pixels = torch.randint(0, 256, (3, 16, 16, 3), dtype=torch.uint8).numpy()
    report = evaluate("blend", "ucf101", [ArrayClip("a", pixels), ArrayClip("b", pixels)])
    assert list(report.clips) == ["a", "b"]
    assert report.clips["a"] == report.clips["b"]


def test_versions_of_further_packages_can_be_asked_for() -> None:
    assert versions()["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert set(versions("pytest")) - set(versions()) == {"pytest"}


COMMITTED = sorted(
    path for task in ("interpolation", "super-resolution", "denoising") for path in (RESULTS / task).glob("*.json")
)


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_committed_results_can_be_loaded(path: Path) -> None:
    data = json.loads(path.read_text())
    report = EvaluationReport.load(path)
    assert report.mean == pytest.approx(data["mean"])
    assert report.complete == data["complete"]
    assert set(report.to_dict()) == set(data)
    assert set(report.to_dict()["conditions"]) == set(data["conditions"])
