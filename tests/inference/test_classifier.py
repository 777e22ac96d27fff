"""The classifier: normalization, classes and format from the metadata, means over views."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ls3d.errors import InputError
from ls3d.inference import Classifier, normalize_clips
from ls3d.models import ClipFormat, Preprocessing, RecognitionNet, create_model, load_model, save_weights


def network(name: str = "r3d_18", **arguments: object) -> RecognitionNet:
    made = create_model(name, num_classes=3, width=4, **arguments)
    assert isinstance(made, RecognitionNet)
    return made


@pytest.mark.parametrize("value_range", [(0, 1), (0, 255), (-1, 1)])
def test_clips_are_normalized_as_the_preprocessing_says(value_range: tuple[int, int]) -> None:
    low, high = value_range
    preprocessing = Preprocessing((0.1, 0.2, 0.3), (0.5, 2.0, 1.0), value_range)
    clips = torch.randint(256, (2, 3, 4, 5, 6), dtype=torch.uint8)
    result = normalize_clips(clips, preprocessing)
    for channel in range(3):
        values = clips[:, channel].double() / 255 * (high - low) + low
        expected = (values - preprocessing.mean[channel]) / preprocessing.std[channel]
        torch.testing.assert_close(result[:, channel].double(), expected, atol=1e-4, rtol=1e-5)


def test_the_order_of_the_channels_is_reversed_for_bgr() -> None:
    clips = torch.randint(256, (1, 3, 2, 2, 2), dtype=torch.uint8)
    bgr = normalize_clips(clips, Preprocessing((1.0, 2.0, 3.0), (1.0, 1.0, 1.0), (0, 255), "BGR"))
    assert torch.equal(bgr[:, 0] + 1, clips[:, 2].float())


def test_the_mean_of_the_frames_can_be_subtracted() -> None:
    clips = torch.randint(256, (2, 3, 4, 5, 6), dtype=torch.uint8)
    moving = normalize_clips(clips, Preprocessing((0.4,) * 3, (0.5,) * 3, (0, 1)), subtract_mean=True)
    expected = (clips.double() - clips.double().mean(2, keepdim=True)) / 255 / 0.5
    torch.testing.assert_close(moving.double(), expected, atol=1e-5, rtol=1e-5)


def test_probabilities_are_those_of_the_network() -> None:
    model = network()
    classifier = Classifier(model, "cpu")
    clips = torch.randint(256, (2, 3, 4, 16, 16), dtype=torch.uint8)
    with torch.no_grad():
        expected = model(normalize_clips(clips, classifier.preprocessing)).softmax(1)
    torch.testing.assert_close(classifier.probabilities(clips), expected)
    torch.testing.assert_close(classifier.probabilities_of_views(clips[None])[0], expected.mean(0))


def test_positions_of_larger_clips_are_averaged() -> None:
    """The network divides height and width by 16: 128x128 pixels have 8x8 features, 144x160 have 2x3 such parts."""
    model = network()
    model.config = model.require_config().with_metadata(clip=ClipFormat(4, 5.0, (128, 128)).to_dict())
    classifier = Classifier(model, "cpu")
    clips = torch.randint(256, (2, 3, 4, 144, 160), dtype=torch.uint8)
    with torch.no_grad():
        features = model.forward_features(normalize_clips(clips, classifier.preprocessing))
        assert features.shape[-2:] == (9, 10)
        parts = [
            torch.nn.functional.linear(
                features[..., top : top + 8, left : left + 8].mean((2, 3, 4)), *model.get_classifier().parameters()
            )
            for top in range(2)
            for left in range(3)
        ]
        expected = torch.stack([part.softmax(1) for part in parts]).mean(0)
    torch.testing.assert_close(classifier.probabilities_of_positions(clips), expected)
    ordinary = clips[..., :128, :128]
    torch.testing.assert_close(classifier.probabilities_of_positions(ordinary), classifier.probabilities(ordinary))
    with pytest.raises(InputError, match="clips of 112x128 are smaller than those of the network"):
        classifier.probabilities_of_positions(clips[..., :112, :128])


def test_a_weights_file_needs_nothing_else(tmp_path: Path) -> None:
    clip = ClipFormat(8, 6.0, (32, 24), 0.9)
    preprocessing = Preprocessing((0.5,) * 3, (0.25,) * 3, (0, 1))
    metadata: dict[str, Any] = {
        "classes": ["a", "b", "c"],
        "clip": clip.to_dict(),
        "preprocessing": preprocessing.to_dict(),
    }
    path = save_weights(network(), tmp_path / "weights.safetensors", **metadata)
    loaded = load_model(path)
    assert isinstance(loaded, RecognitionNet)
    classifier = Classifier(loaded, "cpu")
    assert (classifier.classes, classifier.clip) == (("a", "b", "c"), clip)
    assert classifier.preprocessing == preprocessing


def test_a_new_network_has_the_registry_s_format() -> None:
    classifier = Classifier(network(), "cpu")
    assert classifier.classes == ("0", "1", "2")
    assert classifier.clip.size == (112, 112)


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ({"classes": ["a", "b"]}, "expected 3 names"),
        ({"clip": {"frames": 0, "fps": 1, "size": [1, 1], "share": 1}}, "expected frames, fps, size, share"),
        ({"clip": [1]}, "expected frames, fps, size, share"),
        ({"preprocessing": {"mean": [1]}}, "expected mean, std, value_range, channels"),
    ],
)
def test_metadata_that_make_no_sense_are_refused(metadata: dict[str, object], sentence: str) -> None:
    model = network()
    model.config = model.require_config().with_metadata(**metadata)
    with pytest.raises(InputError, match=sentence):
        Classifier(model, "cpu")


def test_networks_for_other_inputs_are_refused() -> None:
    with pytest.raises(InputError, match="doesn't take clips of RGB frames alone"):
        Classifier(network(in_channels=2), "cpu")
