"""Features and their linear classifier, against computations by numpy and scikit-learn alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.labeled import gray_set
from typer.testing import CliRunner

from ls3d.cli.main import app
from ls3d.data.clips import Pixels
from ls3d.data.decoded import DecodedFrames, save_decoded
from ls3d.data.labeled import LabeledSet
from ls3d.errors import InputError
from ls3d.models import ClipFormat, RecognitionNet, create_model, save_weights
from ls3d.recognition import FeatureSet, evaluate_svm, extract_features

CLIP = ClipFormat(2, 2.0, (24, 24), 1.0)


def network() -> RecognitionNet:
    made = create_model("r3d_18", num_classes=2, width=4)
    assert isinstance(made, RecognitionNet)
    made.config = made.require_config().with_metadata(clip=CLIP.to_dict())
    return made.eval()


def sklearn() -> None:
    pytest.importorskip("sklearn", reason="scikit-learn, of the extra features, is not installed")


def test_features_are_the_normalized_mean_over_overlapping_clips() -> None:
    """Videos of 2 s at 5 frames per second; clips of 1 s start at 0, 0.5 and 1 s, with frames at 0.25 and 0.75 s."""
    model, labeled = network(), gray_set()
    found = extract_features(model, labeled, "layer3", device="cpu")
    mean, std = np.array([110.201, 100.64, 95.9966]), np.array([58.1489, 56.4701, 55.3324])
    for video, row in zip(labeled.videos, found.values, strict=True):
        assert isinstance(video.frames, DecodedFrames)
        total = np.zeros(16)
        for start in (0.0, 0.5, 1.0):
            indices = [round((start + time) * 5) for time in (0.25, 0.75)]
            frames = (video.frames.pixels[indices][:, :, 4:28] - mean) / std
            clip = torch.tensor(frames, dtype=torch.float32).permute(3, 0, 1, 2)[None]
            with torch.no_grad():
                output = model.layer3(model.layer2(model.layer1(model.pool1(model.stem(clip)))))  # type: ignore[operator]
            total += output.mean((0, 2, 3, 4)).double().numpy()
        np.testing.assert_allclose(row, total / np.linalg.norm(total), atol=1e-5)


def test_the_inputs_of_the_classifier_are_the_default() -> None:
    model = network()
    found = extract_features(model, gray_set(), normalize=False, device="cpu")
    assert found.values.shape == (6, model.num_features)
    with pytest.raises(InputError, match="has no layer 'fc9'"):
        extract_features(model, gray_set(), "fc9", device="cpu")
    with pytest.raises(InputError, match="overlap 1: expected at least 0 and less than 1"):
        extract_features(model, gray_set(), overlap=1.0, device="cpu")


def test_features_survive_a_file(tmp_path: Path) -> None:
    found = extract_features(network(), gray_set(), device="cpu")
    found.save(tmp_path / "features.npz")
    loaded = FeatureSet.load(tmp_path / "features.npz")
    assert np.array_equal(loaded.values, found.values)
    assert (loaded.names, loaded.groups, loaded.classes) == (found.names, found.groups, found.classes)
    assert loaded.origin == json.loads(json.dumps(found.origin))
    (tmp_path / "other.npz").write_bytes(b"other")
    with pytest.raises(InputError, match="is not a file of features"):
        FeatureSet.load(tmp_path / "other.npz")


def random_features(count: int, seed: int) -> FeatureSet:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    values = rng.normal(size=(count, 12)) + 2.0 * np.eye(3, 12)[labels]
    return FeatureSet(values.astype(np.float32), labels, ("v",) * count, ("",) * count, ("a", "b", "c"), {})


def test_accuracies_equal_a_plain_computation() -> None:
    """Principal components by the singular value decomposition; the machine is scikit-learn's."""
    sklearn()
    from sklearn.svm import LinearSVC

    training, test = random_features(90, 1), random_features(60, 2)
    report = evaluate_svm(training, test, (2, 5), 0.5)
    mean = training.values.mean(0)
    _, _, directions = np.linalg.svd(training.values - mean, full_matrices=False)
    for count in (2, 5, None):
        if count is None:
            one, other = training.values, test.values
        else:
            one, other = ((part.values - mean) @ directions[:count].T for part in (training, test))
        machine = LinearSVC(C=0.5, random_state=0, max_iter=10_000).fit(one, training.labels)
        right = 100 * np.mean((other @ machine.coef_.T + machine.intercept_).argmax(1) == test.labels)
        found = report.top1 if count is None else report.by_dimension[count]
        assert found == pytest.approx(right, abs=100 / 60 + 0.01)
    assert report.top1 > 60
    with pytest.raises(InputError, match="dimensions 13: expected 1 to 12"):
        evaluate_svm(training, test, [13])
    with pytest.raises(InputError, match="training videos are all of the class "):
        evaluate_svm(replace(training, labels=np.ones_like(training.labels)), test)


def test_the_protocol_of_c3d_separates_dark_and_bright_videos(tmp_path: Path) -> None:
    sklearn()
    torch.manual_seed(0)
    save_decoded(gray_set(6), tmp_path / "gray.npz")
    weights = save_weights(network(), tmp_path / "weights.safetensors")
    common = [str(weights), "--protocol", "c3d-svm", "--data", str(tmp_path / "gray.npz"), "--dimensions", "2"]
    result = CliRunner().invoke(
        app, ["evaluate", *common, "--group", "S3", "--json", str(tmp_path / "svm.json")], catch_exceptions=False
    )
    assert "2 dimensions: top-1 100.0 %" in result.output
    report = json.loads((tmp_path / "svm.json").read_text())
    assert (report["training"], report["test"]) == (8, 4)
    output = (
        CliRunner()
        .invoke(
            app,
            ["features", str(weights), str(tmp_path / "gray.npz"), "--output", str(tmp_path / "f.npz")],
            catch_exceptions=False,
        )
        .output
    )
    assert "(12 videos, 32 dimensions)" in output.replace("\n", " ")


def test_videos_that_cannot_be_decoded_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        duration = 2.0

        def read(self, times: Sequence[float]) -> Pixels:
            raise InputError("broken")

    labeled = gray_set()
    videos = (replace(labeled.videos[0], frames=Broken()), *labeled.videos[1:])
    found = extract_features(network(), LabeledSet("gray", labeled.classes, videos), device="cpu")
    assert len(found.names) == 5
    assert f"1 of 6 videos can't be read and are left out: {labeled.videos[0].name} (broken)" in caplog.text
