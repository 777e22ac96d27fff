"""Inception-I3D names the actions of public clips, with the weights that ``ls3d weights get i3d_inception`` has kept.

The environment variable ``LS3D_CLIPS`` is a folder with clips, under the names that they have in their repositories.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ls3d.inference import Classifier
from ls3d.models import RecognitionNet, load_model
from ls3d.models.downloads import downloaded_weights
from ls3d.recognition import classify_video

#: File, action, least probability.
CLIPS = [
    # open-mmlab/mmaction2, demo
    ("demo.mp4", "arm wrestling", 0.99),
    ("test_video_structuralize.mp4", "shooting basketball", 0.6),
    # open-mmlab/mmaction2, tests/data
    ("test.mp4", "cleaning pool", 0.99),
    # google-deepmind/kinetics-i3d, data
    ("v_CricketShot_g04_c01_rgb.gif", "playing cricket", 0.98),
]


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    if downloaded_weights("i3d_inception") is None:
        pytest.skip("the weights of i3d_inception are not here; `ls3d weights get i3d_inception` downloads them")
    network = load_model("i3d_inception")
    assert isinstance(network, RecognitionNet)
    return Classifier(network, "cpu")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "action", "least"), CLIPS)
def test_the_action_of_a_public_clip(classifier: Classifier, name: str, action: str, least: float) -> None:
    path = Path(os.environ.get("LS3D_CLIPS", "")) / name
    if not os.environ.get("LS3D_CLIPS") or not path.is_file():
        pytest.skip(f"LS3D_CLIPS has no file {name}")
    found = classify_video(classifier, path, stride=2.56)
    ((best, probability),) = found.best(1).items()
    assert best == action
    assert probability >= least


def test_documented_actions_are_what_was_measured() -> None:
    """Every clip of the table in docs/recognition.md, and each of its probabilities."""
    root = Path(__file__).parents[2]
    result = json.loads((root / "benchmarks" / "results" / "recognition" / "public_clips.json").read_text())
    measured = {clip["clip"]: clip for clip in result["clips"]}
    _, _, table = (
        (root / "docs" / "recognition.md").read_text().partition("| clip | shows | best classes |\n|---|---|---|\n")
    )
    rows = [line.strip("| ").split(" | ") for line in table.partition("\n\n")[0].splitlines()]
    assert {row[0] for row in rows} == set(measured)
    for clip, shows, best in rows:
        assert shows == measured[clip]["shows"]
        expected = [f"{name} {100 * value:.1f} %" for name, value in measured[clip]["best"].items()]
        assert best == ", ".join(expected[: best.count(" %")])


def test_the_names_of_the_classes(classifier: Classifier) -> None:
    assert len(classifier.classes) == 400
    assert classifier.clip.fps == 25
    assert classifier.preprocessing.value_range == (-1, 1)
