"""Weights files: what goes in comes out, and what is no weights file is refused in a sentence."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ls3d.errors import InputError
from ls3d.models import (
    DEFAULTS,
    bundled_weights,
    create_model,
    load_model,
    model_info,
    read_metadata,
    save_weights,
)

ARGUMENTS = {"width": 8, "ls3d_blocks": [5, 6]}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return save_weights(create_model("vfi_ls3d", **ARGUMENTS), tmp_path / "w.safetensors", license="CC0")


def test_round_trip(tmp_path: Path) -> None:
    model = create_model("vfi_ls3d", **ARGUMENTS)
    loaded = load_model(save_weights(model, tmp_path / "w.safetensors", metrics={"psnr": 30.5}))
    assert loaded.config["arguments"] == ARGUMENTS
    assert loaded.config["metrics"] == {"psnr": 30.5}
    assert not loaded.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


def test_half_precision_is_for_storage(tmp_path: Path) -> None:
    model = create_model("vfi_ls3d", **ARGUMENTS)
    whole = save_weights(model, tmp_path / "whole.safetensors")
    half = save_weights(model, tmp_path / "half.safetensors", half=True)
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    for name, tensor in load_model(half).state_dict().items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, model.state_dict()[name], rtol=1e-3, atol=1e-6)


def test_nothing_but_the_file_is_left_and_others_may_read_it(weights: Path) -> None:
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
    model.config = {"architecture": "vfi_ls3d", "arguments": {"width": 16}}
    with pytest.raises(InputError, match="does not fit vfi_ls3d"):
        load_model(save_weights(model, tmp_path / "w.safetensors"))


def test_names_that_lead_nowhere() -> None:
    with pytest.raises(FileNotFoundError, match=r"no_such\.safetensors"):
        load_model("no_such.safetensors")
    with pytest.raises(InputError, match="did you mean vfi_ls3d"):
        load_model("vfi_l3sd")
    with pytest.raises(InputError, match="vfi_conv3d has no bundled weights"):
        load_model("vfi_conv3d")


def test_models_without_weights_load_by_name() -> None:
    assert load_model("blend").config["architecture"] == "blend"


@pytest.mark.parametrize("task", DEFAULTS)
def test_every_default_is_bundled_and_says_where_it_comes_from(task: str) -> None:
    path = bundled_weights()[DEFAULTS[task]]
    metadata = read_metadata(path)
    assert path.stat().st_size < 4_000_000
    assert {"license", "training_data", "recipe", "metrics", "steps", "sha256"} <= set(metadata)
    assert load_model(task).config == metadata
    assert model_info(metadata["architecture"]).name == DEFAULTS[task]
