"""The contract of networks: traits, configuration, registration, and that all networks do what their traits state."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from ls3d.errors import InputError
from ls3d.models import (
    EnhancementNetwork,
    EnhancementTraits,
    InterpolationNetwork,
    ModelConfig,
    Network,
    RecognitionNet,
    RecognitionTraits,
    RestorationNetwork,
    Task,
    Traits,
    create_model,
    list_models,
    load_model,
    model_info,
    register_model,
    registry,
)
from ls3d.models.network import QUARTERS

ENHANCEMENT = EnhancementTraits(
    task="super-resolution",
    size_multiple=4,
    scale=2,
    frames_before=1,
    frames_after=1,
    takes_sigma=False,
    times=None,
    value_range=(0.0, 1.0),
)
RECOGNITION = RecognitionTraits(task="recognition", modalities=("clip",), clip_length=None)


class Complete(RestorationNetwork):
    traits = ENHANCEMENT


class WithoutTraits(RestorationNetwork):
    pass


class WithBaseTraits(RestorationNetwork):
    traits = Traits(task="denoising")  # type: ignore[assignment]  # what the test is about


class WithOtherTraits(RecognitionNet):
    traits = ENHANCEMENT  # type: ignore[assignment]  # what the test is about


class NotANetwork(nn.Module):
    traits = ENHANCEMENT


class TestTraits:
    """Statements of traits are complete, consistent and constant."""

    @pytest.mark.parametrize("traits", [ENHANCEMENT, RECOGNITION])
    def test_every_field_is_required(self, traits: Traits) -> None:
        fields = {field.name: getattr(traits, field.name) for field in dataclasses.fields(traits)}
        assert type(traits)(**fields) == traits
        for name in fields:
            with pytest.raises(TypeError, match=name):
                type(traits)(**{key: value for key, value in fields.items() if key != name})

    @pytest.mark.parametrize("traits", [ENHANCEMENT, RECOGNITION])
    def test_traits_are_frozen(self, traits: Traits) -> None:
        for field in dataclasses.fields(traits):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(traits, field.name, getattr(traits, field.name))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"task": "recognition"}, "task is 'recognition', expected one of interpolation"),
            ({"task": "dancing"}, "task is 'dancing'"),
            ({"size_multiple": 0}, "size_multiple and scale must be at least 1"),
            ({"scale": 0}, "size_multiple and scale must be at least 1"),
            ({"frames_before": -1}, "frame counts at least 0"),
            ({"times": "any"}, "times is 'any'"),
            ({"task": "interpolation"}, "times is None"),
            ({"value_range": (1.0, 0.0)}, r"value_range is \(1.0, 0.0\)"),
        ],
    )
    def test_inconsistent_enhancement_traits_are_refused(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(ENHANCEMENT, **changes)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"task": "denoising"}, "task is 'denoising', expected one of recognition"),
            ({"modalities": ()}, r"modalities are \(\)"),
            ({"modalities": ("clip", "smell")}, "expected some of clip, flow, spectrogram"),
            ({"clip_length": 0}, "clip_length is 0"),
        ],
    )
    def test_inconsistent_recognition_traits_are_refused(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(RECOGNITION, **changes)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
    max_leaves=10,
)
METADATA = st.dictionaries(st.text().filter(lambda key: key not in ("architecture", "arguments")), JSON)


class TestConfig:
    """Configurations survive a file and are not changed in place."""

    @given(architecture=st.text(), arguments=st.dictionaries(st.text(), JSON), metadata=METADATA)
    def test_round_trip(self, architecture: str, arguments: dict[str, Any], metadata: dict[str, Any]) -> None:
        config = ModelConfig(architecture, arguments, metadata)
        assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config

    def test_copies_leave_the_original(self) -> None:
        config = ModelConfig("vfi_ls3d", {"width": 8}, {"license": "MIT"})
        assert config.with_arguments(width=16, ls3d_blocks=[1]).arguments == {"width": 16, "ls3d_blocks": [1]}
        assert config.with_metadata(license="CC0", steps=3).metadata == {"license": "CC0", "steps": 3}
        assert config == ModelConfig("vfi_ls3d", {"width": 8}, {"license": "MIT"})
        with pytest.raises(dataclasses.FrozenInstanceError):
            config.architecture = "vsr_ls3d"  # type: ignore[misc]  # what the test is about

    def test_metadata_can_not_replace_the_architecture(self) -> None:
        with pytest.raises(ValueError, match="may not have the entries architecture, arguments"):
            ModelConfig("vfi_ls3d", {}, {"architecture": "vsr_ls3d", "arguments": {}})

    def test_a_network_built_from_its_class_has_none(self) -> None:
        model = Complete()
        assert model.config is None
        assert model.name == "Complete"
        with pytest.raises(InputError, match="this Complete was not built by create_model"):
            model.require_config()


@pytest.fixture
def _restored_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the models that a test registers."""
    monkeypatch.setattr(registry, "_builders", dict(registry._builders))
    monkeypatch.setattr(registry, "_infos", dict(registry._infos))


@pytest.mark.usefixtures("_restored_registry")
class TestRegistration:
    """Only a builder of a network with complete traits is registered."""

    def test_a_complete_network_is_registered(self) -> None:
        @register_model(paper="arXiv:0000.00000", input_size=(3, 3, 8, 8))
        def some_model(width: int = 8) -> Complete:
            """Something.

            More about it.
            """
            return Complete()

        info = model_info("some_model")
        assert info.traits is ENHANCEMENT
        assert (info.task, info.description, info.paper) == ("super-resolution", "Something.", "arXiv:0000.00000")
        assert create_model("some_model", width=3).require_config() == ModelConfig("some_model", {"width": 3})
        with pytest.raises(InputError, match="some_model takes no argument 'depth'; it takes width"):
            create_model("some_model", depth=3)

    @pytest.mark.parametrize(
        ("annotation", "message"),
        [
            (WithoutTraits, "WithoutTraits states no traits, so bad_model can't be registered"),
            (RestorationNetwork, "RestorationNetwork states no traits"),
            (WithBaseTraits, "WithBaseTraits.traits is of type Traits, expected EnhancementTraits"),
            (WithOtherTraits, "WithOtherTraits.traits is of type EnhancementTraits, expected RecognitionTraits"),
            (NotANetwork, "bad_model is annotated to return .*NotANetwork.*, expected a subclass of Network"),
            (None, "bad_model is annotated to return .*NoneType.*, expected a subclass of Network"),
            (Complete | WithoutTraits, "expected a subclass of Network"),
            ("Nowhere", "the annotations of bad_model can't be evaluated: name 'Nowhere' is not defined"),
            (inspect.Signature.empty, "bad_model is annotated to return None, expected a subclass of Network"),
        ],
    )
    def test_other_builders_are_refused(self, annotation: Any, message: str) -> None:
        def bad_model() -> Any:
            raise AssertionError

        bad_model.__annotations__ = {} if annotation is inspect.Signature.empty else {"return": annotation}
        with pytest.raises(TypeError, match=message):
            register_model()(bad_model)
        assert "bad_model" not in list_models()

    def test_a_name_can_not_be_registered_twice(self) -> None:
        def blend() -> Complete:
            raise AssertionError

        with pytest.raises(RuntimeError, match="two models are registered as 'blend'"):
            register_model()(blend)


ENHANCEMENT_NAMES = [name for name in list_models() if isinstance(model_info(name).traits, EnhancementTraits)]
RECOGNITION_NAMES = [name for name in list_models() if isinstance(model_info(name).traits, RecognitionTraits)]
BASES: dict[Task, type[Network]] = {
    "interpolation": InterpolationNetwork,
    "super-resolution": RestorationNetwork,
    "denoising": RestorationNetwork,
    "recognition": RecognitionNet,
    "audio": RecognitionNet,
    "audio-visual": RecognitionNet,
    "multimodal": RecognitionNet,
}


@cache
def on_meta(name: str) -> Network:
    with torch.device("meta"):
        return create_model(name)


@pytest.mark.parametrize("name", list_models())
def test_class_and_traits_are_those_of_the_task(name: str) -> None:
    info = model_info(name)
    model = on_meta(name)
    assert isinstance(model, BASES[info.task])
    assert model.name == name
    expected = dataclasses.asdict(info.traits)
    if name == "r2d_18":  # its length is an argument, which the class can't state
        expected["clip_length"] = 8
    assert dataclasses.asdict(model.traits) == expected


@pytest.mark.parametrize(
    "name", [name for name in list_models() if isinstance(model_info(name).traits, RecognitionTraits)]
)
def test_recognition_networks_take_their_modalities(name: str) -> None:
    model = on_meta(name)
    assert isinstance(model, RecognitionNet)
    assert tuple(inspect.signature(model.forward_features).parameters) == model.traits.modalities


#: Arguments for small networks, by the start of the name. Networks that aren't listed have their default size.
SMALL: dict[str, dict[str, Any]] = {
    "vfi_ls3d_plus": {"width": 8},
    "vfi_": {"width": 8},
    "vsr_ls3d_plus": {"width": 8, "blocks": 1},
    "vsr_": {"width": 8, "num_blocks": 1},
    "vdn_ls3d_plus": {"width": 8, "blocks": 1},
    "vdn_": {"width": 8},
}


def create_small(name: str, **arguments: Any) -> EnhancementNetwork:
    """Create a small network with random parameters, none of them zero."""
    small = next((values for prefix, values in SMALL.items() if name.startswith(prefix)), {})
    model = create_model(name, **small, **arguments)
    assert isinstance(model, EnhancementNetwork)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    return model.eval()


def odd_multiple(multiple: int, least: int) -> int:
    """Return an odd multiple, so that the size is no multiple of a larger power of two."""
    return multiple * (2 * (least // (2 * multiple)) + 1)


def inputs_for(traits: EnhancementTraits, batch: int = 2) -> tuple[Any, ...]:
    """Make inputs of a small size that the traits allow: frames and, if the network takes it, sigma."""
    length = 2 if traits.times else traits.frames_before + 1 + traits.frames_after
    low, high = traits.value_range
    size = odd_multiple(traits.size_multiple, 24), odd_multiple(traits.size_multiple, 36)
    frames = low + (high - low) * torch.rand(batch, 3, length, *size)
    return (frames, torch.full((batch,), 0.1 * (high - low))) if traits.takes_sigma else (frames,)


@pytest.mark.parametrize("name", ENHANCEMENT_NAMES)
@torch.no_grad()
def test_enhancement_networks_do_what_their_traits_state(name: str) -> None:
    model = create_small(name)
    traits = model.traits
    frames, *sigma = inputs_for(traits)
    output = model(frames, *sigma)
    height, width = frames.shape[-2:]
    assert output.shape[:2] == (2, 3)
    assert output.shape[3:] == (traits.scale * height, traits.scale * width)
    assert output.isfinite().all()
    if traits.times is None:
        assert output.shape[2] in (1, frames.shape[2])
    else:
        assert (traits.frames_before, traits.frames_after, traits.scale) == (0, 1, 1)
        assert output.shape[2] == len(QUARTERS)
        check_times(model, frames, output)
    if traits.takes_sigma:
        with pytest.raises(ValueError, match="sigma is None"):
            model(frames)
    torch.testing.assert_close(model(frames[1:], *(level[1:] for level in sigma)), output[1:])


def check_times(model: EnhancementNetwork, frames: Tensor, output: Tensor) -> None:
    """Check that an interpolation network makes the frames at the times that it is given."""
    for times in ((0.5,), (0.75, 0.25), (0.0, 1.0)):
        indices = [QUARTERS.index(time) for time in times]
        torch.testing.assert_close(model(frames, times), output[:, :, indices])
    if model.traits.times == "quarters":
        with pytest.raises(ValueError, match=r"\[0.3\], expected multiples of 1/4"):
            model(frames, [0.3])
    else:
        assert model(frames, [0.3, 0.31]).shape == (*output.shape[:2], 2, *output.shape[3:])


@pytest.mark.parametrize("name", ENHANCEMENT_NAMES)
@torch.no_grad()
def test_the_pyramid_ends_with_the_output(name: str) -> None:
    model = create_small(name)
    inputs: tuple[Any, ...] = inputs_for(model.traits)
    if model.traits.times:
        inputs = (*inputs, QUARTERS[1:-1])
    *coarse, output = model.forward_pyramid(*inputs)
    torch.testing.assert_close(output, model(*inputs))
    assert all(level.ndim == 5 and level.shape[:2] == output.shape[:2] for level in coarse)


@pytest.mark.parametrize("name", ["bicubic", *(name for name in list_models("vsr_*") if "plus" not in name)])
@pytest.mark.parametrize("scale", [2, 3])
def test_traits_of_an_instance_follow_its_arguments(name: str, scale: int) -> None:
    model = create_small(name, scale=scale)
    assert dataclasses.asdict(model.traits) == {**dataclasses.asdict(model_info(name).traits), "scale": scale}
    assert model(*inputs_for(model.traits)).shape[-1] == scale * odd_multiple(1, 36)
    other = create_small(name)
    assert other.traits == model_info(name).traits


@pytest.mark.parametrize("name", ENHANCEMENT_NAMES)
def test_enhancement_networks_round_trip(name: str, tmp_path: Path) -> None:
    model = create_small(name)
    check_round_trip(model, inputs_for(model.traits), tmp_path)


@pytest.mark.parametrize("name", ["fr2d_18", "audio_resnet_18", "av_r3d_18"])
def test_recognition_networks_round_trip(name: str, tmp_path: Path) -> None:
    model = create_model(name, num_classes=3).eval()
    assert isinstance(model, RecognitionNet)
    inputs = {"clip": torch.randn(1, 3, 4, 32, 32), "spectrogram": torch.randn(1, 1, 100, 40)}
    check_round_trip(model, [inputs[modality] for modality in model.traits.modalities], tmp_path)


@torch.no_grad()
def check_round_trip(model: Network, inputs: Sequence[Tensor], folder: Path) -> None:
    """Check that a network saved to a folder is loaded from it with its weights, traits and metadata."""
    model.save_pretrained(folder / "saved", license="MIT")
    expected = model(*inputs)
    for loaded in (type(model).from_pretrained(folder / "saved"), load_model(folder / "saved")):
        torch.testing.assert_close(loaded(*inputs), expected, rtol=0, atol=0)
        assert type(loaded) is type(model)
        assert loaded.traits == model.traits
        config = loaded.require_config()
        assert config.arguments == model.require_config().arguments
        assert config.metadata["license"] == "MIT"
