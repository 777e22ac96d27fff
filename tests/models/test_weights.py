"""Weights files: round trip, names, folders, and other files, which are refused with one sentence."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from ls3d.errors import InputError
from ls3d.models import (
    DEFAULTS,
    ModelConfig,
    bundled_weights,
    create_model,
    load_enhancement_model,
    load_model,
    model_info,
    read_metadata,
    save_weights,
)
from ls3d.nn import LS3DConv3d

ARGUMENTS: dict[str, Any] = {"width": 8, "ls3d_blocks": [5, 6]}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return save_weights(create_model("vfi_ls3d", **ARGUMENTS), tmp_path / "w.safetensors", license="CC0")


def test_round_trip(tmp_path: Path) -> None:
    model = create_model("vfi_ls3d", **ARGUMENTS)
    loaded = load_model(save_weights(model, tmp_path / "w.safetensors", metrics={"psnr": 30.5}))
    assert loaded.require_config().arguments == ARGUMENTS
    assert loaded.require_config().metadata["metrics"] == {"psnr": 30.5}
    assert not loaded.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


def test_half_precision_is_for_storage_only(tmp_path: Path) -> None:
    model = create_model("vfi_ls3d", **ARGUMENTS)
    whole = save_weights(model, tmp_path / "whole.safetensors")
    half = save_weights(model, tmp_path / "half.safetensors", half=True)
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    for name, tensor in load_model(half).state_dict().items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, model.state_dict()[name], rtol=1e-3, atol=1e-6)


def test_only_the_file_remains_and_others_may_read_it(weights: Path) -> None:
    assert [path.name for path in weights.parent.iterdir()] == [weights.name]
    plain = weights.parent / "plain"
    plain.touch()
    assert stat.S_IMODE(weights.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_the_digest_follows_the_weights(tmp_path: Path) -> None:
    model = create_model("vfi_conv3d", width=8)
    first = read_metadata(save_weights(model, tmp_path / "a.safetensors", license="one"))["sha256"]
    again = read_metadata(save_weights(model, tmp_path / "b.safetensors", license="two"))["sha256"]
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] += 1
    changed = read_metadata(save_weights(model, tmp_path / "c.safetensors"))["sha256"]
    assert first == again != changed


@pytest.mark.parametrize(
    ("content", "sentence"), [(b"", "not a safetensors file"), (b"PK\x03\x04 a zip", "not a safetensors file")]
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        load_model(path)


def test_foreign_safetensors_are_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="no 'ls3d' metadata"):
        load_model(tmp_path / "w.safetensors")


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    model = create_model("vfi_ls3d", width=8)
    model.config = ModelConfig("vfi_ls3d", {"width": 16})
    with pytest.raises(InputError, match="does not fit vfi_ls3d"):
        load_model(save_weights(model, tmp_path / "w.safetensors"))


def with_metadata(weights: Path, text: str) -> Path:
    """Replace the metadata of a weights file."""
    save_file(load_file(weights), weights, {"ls3d": text})
    return weights


#: Metadata of weights files, and a part of the error.
ODD_METADATA: list[tuple[Any, str]] = [
    ("not JSON", "is a str, expected a JSON object"),
    ([1, 2], "is a list, expected a JSON object"),
    (None, "is a NoneType, expected a JSON object"),
    ({}, "the metadata has no architecture and no arguments"),
    ({"architecture": "vfi_ls3d"}, "the metadata has no arguments"),
    ({"arguments": {}}, "the metadata has no architecture"),
    ({"architecture": 3, "arguments": {}}, "architecture is 3, expected the name of a model"),
    ({"architecture": None, "arguments": {}}, "architecture is None, expected the name of a model"),
    ({"architecture": "vfi_ls3d", "arguments": [8]}, r"arguments is \[8\], expected a dictionary"),
    ({"architecture": "vfi_ls3d", "arguments": None}, "arguments is None, expected a dictionary"),
    ({"architecture": "vfi_l3sd", "arguments": {}}, "did you mean vfi_ls3d"),
    ({"architecture": "../vfi", "arguments": {}}, "no model is called"),
    ({"architecture": "vfi_ls3d", "arguments": {"wide": 8}}, "takes no argument 'wide'"),
    ({"architecture": "vfi_ls3d", "arguments": {"name": "vsr"}}, "can't be built with the arguments"),
    ({"architecture": "vfi_ls3d", "arguments": {"width": "many"}}, "can't be built with the arguments"),
    ({"architecture": "vfi_ls3d", "arguments": {"width": -8}}, "can't be built with the arguments"),
    ({"architecture": "vfi_ls3d", "arguments": {"width": {}}}, "can't be built with the arguments"),
    ({"architecture": "vfi_ls3d", "arguments": {"ls3d_blocks": 5}}, "can't be built with the arguments"),
    ({"architecture": "vfi_ls3d", "arguments": {"ls3d_blocks": [9]}}, r"must be in 1\.\.6, got \[9\]"),
    ({"architecture": "r3d_18", "arguments": {"temporal_strides": 2}}, "can't be built with the arguments"),
    ({"architecture": "r3d_18", "arguments": {"pool1": []}}, r"pool1 is \[\]"),
    ({"architecture": "vfi_ls3d", "arguments": ARGUMENTS, "offset_limit": "far"}, "offset_limit is 'far'"),
    ({"architecture": "vfi_ls3d", "arguments": ARGUMENTS, "offset_limit": -1}, "offset_limit is -1"),
    ({"architecture": "vfi_ls3d", "arguments": ARGUMENTS, "offset_limit": 10**400}, "offset_limit is 10{20}"),
    ({"architecture": "vfi_ls3d", "arguments": {"width": 10**400}}, "an integer of 1329 bits"),
    ({"architecture": "r3d_18", "arguments": {"dropout": 10**400}}, "an integer of 1329 bits"),
    ({"architecture": "vfi_conv3d", "arguments": {"width": 8}}, "does not fit vfi_conv3d"),
]


@pytest.mark.parametrize(("metadata", "message"), ODD_METADATA)
def test_odd_metadata_is_refused_with_one_sentence(weights: Path, metadata: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_model(with_metadata(weights, json.dumps(metadata)))
    assert str(caught.value).startswith(str(weights))
    assert "\n" not in str(caught.value)


def test_metadata_that_is_not_json_is_refused(weights: Path) -> None:
    for text in ("", "{", "[" * 100_000):
        with pytest.raises(InputError, match="metadata is not JSON"):
            read_metadata(with_metadata(weights, text))


def test_an_offset_limit_is_applied(weights: Path) -> None:
    metadata = {**read_metadata(weights), "offset_limit": 2.5}
    model = load_model(with_metadata(weights, json.dumps(metadata)))
    limits = {module.max_offset for module in model.modules() if isinstance(module, LS3DConv3d)}
    assert limits == {2.5}


def test_reserved_names_of_metadata_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="may not have the entries architecture"):
        save_weights(create_model("vfi_ls3d", **ARGUMENTS), tmp_path / "w.safetensors", architecture="vsr_ls3d")
    assert not list(tmp_path.iterdir())


def test_a_folder_and_its_file_are_loaded(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = weights.parent / "vfi"
    folder.mkdir()
    weights.rename(folder / "model.safetensors")
    for source in (folder, str(folder), folder / "model.safetensors", str(folder / "model.safetensors")):
        assert load_model(source).name == "vfi_ls3d"
    monkeypatch.chdir(weights.parent)
    assert load_model(f".{os.sep}vfi").name == "vfi_ls3d"
    assert load_model(Path("vfi")).name == "vfi_ls3d"
    assert load_model("vfi").name == DEFAULTS["vfi"]  # a name, not the folder


def test_other_sources_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "checkpoint.pth").touch()
    for source in (tmp_path / "empty", tmp_path / "no_such", tmp_path / "no_such.pth", Path("vfi_conv3d")):
        with pytest.raises(FileNotFoundError, match="no such weights file"):
            load_model(source)
    with pytest.raises(InputError, match="ls3d convert"):
        load_model(tmp_path / "checkpoint.pth")


def test_unknown_names_and_names_without_weights() -> None:
    with pytest.raises(FileNotFoundError, match=r"no_such\.safetensors"):
        load_model("no_such.safetensors")
    with pytest.raises(InputError, match="did you mean vfi_ls3d"):
        load_model("vfi_l3sd")
    with pytest.raises(InputError, match="vfi_conv3d has no bundled weights"):
        load_model("vfi_conv3d")


def test_models_without_weights_load_by_name() -> None:
    assert load_model("blend").require_config().architecture == "blend"


def test_an_enhancement_model_must_have_the_task(weights: Path) -> None:
    assert load_enhancement_model(weights).traits.scale == 1
    assert load_enhancement_model("bicubic", "super-resolution").traits.scale == 4
    with pytest.raises(InputError, match="its task is interpolation, expected denoising") as caught:
        load_enhancement_model(weights, "denoising")
    assert caught.value.argument == "model"
    recognition = save_weights(create_model("audio_resnet_18"), weights.with_name("audio.safetensors"))
    with pytest.raises(InputError, match="its task is audio, expected an enhancement task"):
        load_enhancement_model(recognition)


@pytest.mark.parametrize("task", DEFAULTS)
def test_every_default_is_a_name_of_its_network(task: str) -> None:
    assert model_info(task) == model_info(DEFAULTS[task])
    assert create_model(task).require_config() == ModelConfig(DEFAULTS[task])


@pytest.mark.parametrize("task", DEFAULTS)
def test_every_default_is_bundled_with_its_origin(task: str) -> None:
    path = bundled_weights()[DEFAULTS[task]]
    metadata = read_metadata(path)
    assert path.stat().st_size < 4_000_000
    assert {"license", "training_data", "recipe", "metrics", "steps", "sha256"} <= set(metadata)
    assert load_model(task).require_config().to_dict() == metadata
    assert model_info(metadata["architecture"]).name == DEFAULTS[task]
