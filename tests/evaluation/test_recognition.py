"""Evaluation of recognition networks: the report's numbers, classes by name, refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.labeled import gray_set
from typer.testing import CliRunner

from ls3d.cli.main import app
from ls3d.data.clip_times import ClipTiming
from ls3d.data.decoded import save_decoded
from ls3d.data.labeled_clips import FixedViews, Region, resize_region
from ls3d.errors import InputError
from ls3d.evaluation.recognition import ViewProtocol, evaluate_recognition
from ls3d.evaluation.recognition.views import Convolutional
from ls3d.inference import normalize_clips
from ls3d.inference.classifier import preprocessing_of
from ls3d.models import ClipFormat, RecognitionNet, create_model, save_weights

CLIP = ClipFormat(2, 2.0, (16, 16))


def network(classes: tuple[str, ...] = ("dark", "bright")) -> RecognitionNet:
    made = create_model("r3d_18", num_classes=len(classes), width=4)
    assert isinstance(made, RecognitionNet)
    made.config = made.require_config().with_metadata(classes=list(classes), clip=CLIP.to_dict())
    return made


def test_the_report_has_the_means_over_clips_and_crops(tmp_path: Path) -> None:
    model, labeled = network(), gray_set()
    path = tmp_path / "report.json"
    evaluate_recognition(model, labeled, ViewProtocol(2, 3), json_path=path, device="cpu")
    report = json.loads(path.read_text())
    views = FixedViews(labeled.videos, ClipTiming(2, 2.0), (16, 16), 0.875, 2, 3)
    right = 0
    for number, video in enumerate(labeled.videos):
        clips = views[number]["clips"]
        assert clips is not None
        with torch.no_grad():
            probabilities = model(normalize_clips(clips, preprocessing_of(model))).softmax(1).mean(0)
        right += int(probabilities.argmax()) == video.label
        best = report["predictions"][video.name]["best"]
        assert best == pytest.approx(dict(zip(labeled.classes, probabilities.tolist(), strict=True)), abs=1e-4)
    assert report["top1"] == pytest.approx(100 * right / 6, abs=0.01)
    assert report["top5"] == 100
    assert sum(map(sum, report["confusion"])) == report["videos"] == 6
    assert report["protocol"] == {"clips": 2, "crops": 3}


def test_classes_are_matched_by_name() -> None:
    labeled = gray_set()
    one = evaluate_recognition(network(), labeled, ViewProtocol(1), device="cpu")
    turned = replace(
        labeled,
        classes=labeled.classes[::-1],
        videos=tuple(replace(video, label=1 - video.label) for video in labeled.videos),
    )
    torch.manual_seed(0)
    other = evaluate_recognition(network(), turned, ViewProtocol(1), device="cpu")
    assert [video.label for video in one.videos.values()] == [video.label for video in other.videos.values()]
    with pytest.raises(InputError, match="has the classes bright, which r3d_18 doesn't know"):
        evaluate_recognition(network(("dark", "gray")), labeled, device="cpu")


def test_dense_clips_start_at_equal_distances() -> None:
    """Videos of 2 s, clips of 1 s: five starts, 0.25 s apart."""
    (video, *_), clip = gray_set().videos, CLIP
    found = list(ViewProtocol(dense=0.25).views(video, clip))
    times = ClipTiming(2, 2.0)
    assert len(found) == 5
    for number, view in enumerate(found):
        frames = video.frames.read(times.times(0.25 * number, 2.0))
        region = Region.inside(frames.shape[1:3], clip.size, clip.share)
        assert torch.equal(view, resize_region(frames, region, clip.size))
    report = evaluate_recognition(network(), gray_set(), ViewProtocol(dense=0.25), device="cpu").to_dict()
    assert report["protocol"] == {"dense": 0.25, "crops": 1}


@pytest.mark.parametrize("convolutional", ["crop", "frame"])
def test_a_convolutional_test_of_ordinary_clips_is_the_ordinary_test(convolutional: Convolutional) -> None:
    """Clips have the shape of the frames and show all of them, so that no input is larger."""
    model = network()
    model.config = model.require_config().with_metadata(clip=ClipFormat(2, 2.0, (24, 32), 1.0).to_dict())
    ordinary = evaluate_recognition(model, gray_set(), ViewProtocol(2), device="cpu")
    protocol = ViewProtocol(2, convolutional=convolutional)
    found = evaluate_recognition(model, gray_set(), protocol, device="cpu")
    torch.testing.assert_close(found.scores, ordinary.scores)


def test_inputs_of_a_convolutional_test() -> None:
    """Frames of 24x32; clips show 7/8 of their height, so that 16 pixels of a clip are 18 of the whole height."""
    protocols = {
        ViewProtocol(1, 3): [(16, 16)] * 3,
        ViewProtocol(1, 3, convolutional="crop"): [(18, 18)] * 3,
        ViewProtocol(1, convolutional="frame"): [(18, 24)],
    }
    for protocol, sizes in protocols.items():
        assert [tuple(view.shape[-2:]) for view in protocol.views(gray_set().videos[0], CLIP)] == sizes


def test_the_confusion_matrix_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    weights = save_weights(network(), tmp_path / "weights.safetensors")
    save_decoded(gray_set(), tmp_path / "gray.npz")
    arguments = ["evaluate", str(weights), "--data", str(tmp_path / "gray.npz"), "--clips", "1"]
    picture = tmp_path / "confusion.svg"
    output = CliRunner().invoke(app, [*arguments, "--confusion", str(picture)], catch_exceptions=False).output
    assert "<!-- bright -->" in picture.read_text()
    assert "published: top-1 62.3 %, top-5 83.4 % on Kinetics-400" in output.replace("\n", " ")
    result = CliRunner().invoke(app, [*arguments, "--confusion", "nowhere/confusion.svg"])
    assert "there is no folder nowhere" in str(result.exception)


def test_other_networks_and_views_are_refused() -> None:
    with pytest.raises(InputError, match="expected one for recognition"):
        evaluate_recognition("blend", gray_set())
    with pytest.raises(InputError, match="crops 2: expected 1 or 3"):
        ViewProtocol(1, 2)
    for dense in (0.0, float("inf"), float("nan")):
        with pytest.raises(InputError, match=f"dense {dense:g}: expected a positive number of seconds"):
            ViewProtocol(dense=dense)
    with pytest.raises(InputError, match="whole frames have no crops"):
        ViewProtocol(crops=3, convolutional="frame")
