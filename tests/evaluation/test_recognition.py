"""Evaluation of recognition networks: the report's numbers, classes by name, refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.labeled import gray_set

from ls3d.data.clip_times import ClipTiming
from ls3d.data.labeled_clips import FixedViews
from ls3d.errors import InputError
from ls3d.evaluation.recognition import ViewProtocol, evaluate_recognition
from ls3d.inference import normalize_clips
from ls3d.inference.classifier import preprocessing_of
from ls3d.models import ClipFormat, RecognitionNet, create_model

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


def test_other_networks_and_views_are_refused() -> None:
    with pytest.raises(InputError, match="expected one for recognition"):
        evaluate_recognition("blend", gray_set())
    with pytest.raises(InputError, match="crops 2: expected 1 or 3"):
        ViewProtocol(1, 2)
