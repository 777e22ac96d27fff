"""``evaluate`` against numbers worked out by hand, resumed and refused."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ls3d.data.degradations import degradation
from ls3d.errors import InputError
from ls3d.evaluation import PROTOCOLS, Report, evaluate
from ls3d.evaluation._models import Runner
from ls3d.evaluation.fidelity.scored_frames import samples
from ls3d.models import create_model, load_model, save_weights

CPU = torch.device("cpu")


def test_blend_scores_what_the_error_says(triplets: Path) -> None:
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


def test_means_are_over_clips_not_frames(sequences: Path) -> None:
    report = evaluate("bicubic", "vid4-bi-y", sequences)
    calendar, walk = report.clips["calendar"], report.clips["walk"]
    assert (calendar.frames, walk.frames) == (4, 3)
    assert report.mean["psnr"] == pytest.approx((calendar.scores["psnr"] + walk.scores["psnr"]) / 2)


def test_means_are_over_frames_where_a_protocol_says_so(sequences: Path) -> None:
    protocol = replace(PROTOCOLS["vid4-bi-y"], name="mine", average="frames")
    report = evaluate("bicubic", protocol, sequences)
    calendar, walk = (report.clips[name].scores["psnr"] for name in ("calendar", "walk"))
    assert report.mean["psnr"] == pytest.approx((4 * calendar + 3 * walk) / 7)
    assert report.to_dict()["conditions"]["average"] == "frames"


def test_json_says_how_it_was_measured(triplets: Path, tmp_path: Path) -> None:
    report = evaluate("blend", "ucf101", triplets, json_path=tmp_path / "r.json")
    data = json.loads((tmp_path / "r.json").read_text())
    assert data["protocol"] == "ucf101"
    assert data["model"] == "blend"
    assert data["mean"]["psnr"] == report.mean["psnr"]
    assert data["clips"]["3"]["psnr"] == report.clips["3"].scores["psnr"]
    assert {"ls3d", "torch", "python", "av"} <= set(data["versions"])
    assert data["conditions"] == PROTOCOLS["ucf101"].conditions()
    assert Report.load(tmp_path / "r.json").to_dict() == report.to_dict()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.json", "ucf101"]


def test_json_has_the_hash_of_the_weights(triplets: Path, tmp_path: Path) -> None:
    weights = save_weights(create_model("vfi_conv3d", width=4), tmp_path / "small.safetensors")
    report = evaluate(weights, "ucf101", triplets)
    assert report.model == "small.safetensors"
    recorded = report.to_dict()["weights"]
    assert recorded["architecture"] == "vfi_conv3d"
    assert recorded["arguments"] == {"width": 4}
    assert len(recorded["sha256"]) == 64


class KilledError(Exception):
    """What stops an evaluation in a test."""


def stop_at(number: int):
    def progress(done: int, total: int, clip: str) -> None:
        if done == number:
            raise KilledError

    return progress


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The clips that were really scored."""
    from ls3d.evaluation import _evaluate as run

    names: list[str] = []
    original = run.score_clip

    def spy(runner, protocol, clip):
        names.append(clip.name)
        return original(runner, protocol, clip)

    monkeypatch.setattr(run, "score_clip", spy)
    return names


def test_goes_on_where_it_stood(triplets: Path, tmp_path: Path, scored: list[str]) -> None:
    target = tmp_path / "r.json"
    whole = evaluate("blend", "ucf101", triplets).to_dict()
    with pytest.raises(KilledError):
        evaluate("blend", "ucf101", triplets, json_path=target, progress=stop_at(3))
    assert not target.exists()
    scored.clear()
    resumed = evaluate("blend", "ucf101", triplets, json_path=target)
    assert scored == ["4", "5"]
    assert resumed.to_dict() == whole == json.loads(target.read_text())
    assert not Path(f"{target}.part").exists()


def test_a_line_that_was_cut_off_does_not_count(triplets: Path, tmp_path: Path, scored: list[str]) -> None:
    target, part = tmp_path / "r.json", tmp_path / "r.json.part"
    with pytest.raises(KilledError):
        evaluate("blend", "ucf101", triplets, json_path=target, progress=stop_at(3))
    part.write_text(part.read_text()[:-20])
    scored.clear()
    with pytest.raises(KilledError):
        evaluate("blend", "ucf101", triplets, json_path=target, progress=stop_at(4))
    assert scored == ["3", "4"]
    scored.clear()
    evaluate("blend", "ucf101", triplets, json_path=target)
    assert scored == ["5"]


def test_another_evaluation_starts_anew(triplets: Path, tmp_path: Path, scored: list[str]) -> None:
    target = tmp_path / "r.json"
    with pytest.raises(KilledError):
        evaluate("blend", "ucf101", triplets, json_path=target, progress=stop_at(3))
    scored.clear()
    evaluate("repeat", "ucf101", triplets, json_path=target)
    assert len(scored) == 5


def test_restart_measures_everything_again(triplets: Path, tmp_path: Path, scored: list[str]) -> None:
    target = tmp_path / "r.json"
    with pytest.raises(KilledError):
        evaluate("blend", "ucf101", triplets, json_path=target, progress=stop_at(3))
    scored.clear()
    evaluate("blend", "ucf101", triplets, json_path=target, resume=False)
    assert len(scored) == 5


def test_networks_without_a_hash_are_never_resumed(triplets: Path, tmp_path: Path, scored: list[str]) -> None:
    target = tmp_path / "r.json"
    network = create_model("vfi_conv3d", width=4)
    with pytest.raises(KilledError):
        evaluate(network, "ucf101", triplets, json_path=target, progress=stop_at(2))
    scored.clear()
    evaluate(network, "ucf101", triplets, json_path=target)
    assert len(scored) == 5


def test_equal_pictures_are_infinite_in_python_and_null_in_json(tmp_path: Path, triplets: Path) -> None:
    for name in ("frame_01_gt.png", "frame_02.png"):
        (triplets / "1" / name).write_bytes((triplets / "1" / "frame_00.png").read_bytes())
    report = evaluate("repeat", "ucf101", triplets, json_path=tmp_path / "r.json")
    assert report.clips["1"].scores["psnr"] == math.inf
    assert json.loads((tmp_path / "r.json").read_text())["clips"]["1"]["psnr"] is None
    assert Report.load(tmp_path / "r.json").clips["1"].scores["psnr"] == math.inf


@pytest.mark.parametrize(
    ("model", "protocol", "said"),
    [
        ("blend", "vid4-bi-y", "interpolation"),
        ("bicubic", "ucf101", "super-resolution"),
        ("bicubic", "set8-25", "denoising"),
        ("blend", "nothing", "nothing"),
        ("nobody", "ucf101", "nobody"),
    ],
)
def test_refuses_what_does_not_fit(model: str, protocol: str, said: str, triplets: Path) -> None:
    with pytest.raises(InputError, match=said):
        evaluate(model, protocol, triplets)


def test_refuses_before_measuring_what_it_could_not_finish(triplets: Path, tmp_path: Path) -> None:
    for name in ("json_path", "html_path"):
        with pytest.raises(InputError, match="no folder"):
            evaluate("blend", "ucf101", triplets, **{name: tmp_path / "nowhere" / "r"})
    with pytest.raises(InputError, match="toaster"):
        evaluate("blend", "ucf101", triplets, device="toaster")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_named(triplets: Path) -> None:
    with pytest.raises(InputError, match="cuda"):
        evaluate("blend", "ucf101", triplets, device="cuda")


def test_clips_without_a_scored_frame_are_left_out(sequences: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InputError, match="long enough"):
        evaluate("blend", "folder-x4", sequences)
    assert "calendar" in caplog.text


class Clip:
    """Frames that are one gray each: 7 times their number."""

    def __init__(self, frames: int, height: int = 16, width: int = 16) -> None:
        self.name, self.shape, self.frames = "made", (height, width, 3), frames

    def __len__(self) -> int:
        return self.frames

    def __getitem__(self, index: int):
        return torch.full(self.shape, 7 * index % 256, dtype=torch.uint8).numpy()


def test_eighths_come_between_the_quarters() -> None:
    runner = Runner(load_model("blend"), CPU)
    places = [Fraction(n, 8) for n in range(1, 8)]
    first, second = torch.zeros(3, 4, 4), torch.full((3, 4, 4), 0.8)
    made = runner.interpolate(first, second, places)
    assert list(made) == places
    for place in places:
        torch.testing.assert_close(made[place], torch.full((3, 4, 4), 0.8 * float(place)))
    with pytest.raises(InputError, match="1/3"):
        runner.interpolate(first, second, [Fraction(1, 3)])


@pytest.mark.parametrize(
    ("protocol", "frames", "scored"),
    [
        ("davis", 8, [1, 3, 5]),
        ("folder-x4", 9, [1, 2, 3, 5, 6, 7]),
        ("vimeo-septuplet", 7, [3]),
        ("ucf101", 3, [1]),
        ("x-test-4k", 33, [4, 8, 12, 16, 20, 24, 28]),
    ],
)
def test_which_frames_are_made(protocol: str, frames: int, scored: list[int]) -> None:
    runner = Runner(load_model("blend"), CPU)
    made = list(samples(runner, PROTOCOLS[protocol], Clip(frames)))
    assert [sample.index for sample in made] == scored
    for sample in made:  # grays that rise evenly are what blending gets right
        torch.testing.assert_close(sample.output, sample.truth)
    only = list(samples(runner, PROTOCOLS[protocol], Clip(frames), only=scored[-1]))
    assert [sample.index for sample in only] == scored[-1:]


class Averaging(nn.Module):
    """A network that pads, looks around and is told the noise."""

    takes_sigma = True
    size_multiple = 8
    scale = 1

    def __init__(self, before: int, after: int, whole: bool) -> None:
        super().__init__()
        self.frames_before, self.frames_after, self.whole = before, after, whole
        self.sigmas: list[float] = []

    def forward(self, frames: Tensor, sigma: Tensor) -> Tensor:
        assert frames.shape[-2] % 8 == frames.shape[-1] % 8 == 0
        assert frames.shape[2] == self.frames_before + 1 + self.frames_after
        self.sigmas += sigma.tolist()
        mean = frames.mean(dim=2, keepdim=True)
        return mean.expand_as(frames) if self.whole else mean


@pytest.mark.parametrize("whole", [True, False])
def test_restoration_sees_its_neighbors_and_repeats_the_ends(whole: bool) -> None:
    network = Averaging(1, 2, whole)
    protocol = PROTOCOLS["set8-25"]
    clip = Clip(5, 13, 21)
    outputs = {sample.index: sample.output for sample in samples(Runner(network, CPU), protocol, clip)}
    noisy = [
        degradation("noise-25")(torch.full((3, 13, 21), 7 * n / 255, dtype=torch.float32), "made", n) for n in range(5)
    ]
    for index in range(5):
        window = [noisy[min(max(n, 0), 4)] for n in range(index - 1, index + 3)]
        torch.testing.assert_close(outputs[index], torch.stack(window).mean(0))
    assert network.sigmas == pytest.approx([25 / 255] * 5)


def test_set8_ends_after_85_frames() -> None:
    made = samples(Runner(load_model("identity"), CPU), PROTOCOLS["set8-25"], Clip(87))
    assert [sample.index for sample in made] == list(range(85))


def test_only_the_middle_frame_of_a_septuplet_counts() -> None:
    made = list(samples(Runner(load_model("bicubic"), CPU), PROTOCOLS["vimeo90k-t-bi-y"], Clip(7)))
    assert [sample.index for sample in made] == [3]
    assert made[0].given.shape == (3, 4, 4)


def test_a_model_of_the_caller_is_measured_by_its_name(triplets: Path) -> None:
    class Halfway(nn.Module):
        def forward(self, frames: Tensor, indices: Sequence[int]) -> Tensor:
            return frames.mean(dim=2, keepdim=True)

    report = evaluate(Halfway(), "ucf101", triplets)
    assert report.model == "Halfway"
    assert report.mean == pytest.approx(evaluate("blend", "ucf101", triplets).mean)
