"""Folders, the Hub's cache and uploads, offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ls3d.errors import InputError, MissingExtraError
from ls3d.models import Network, RecognitionNet, create_model, from_pretrained, load_model, push_to_hub, save_pretrained
from ls3d.models.recognition.c3d import C3D


@pytest.fixture
def model() -> Network:
    return create_model("audio_resnet_18", num_classes=3)


def same(model: nn.Module, other: nn.Module) -> bool:
    """Whether the states of two networks are equal."""
    state = model.state_dict()
    expected = other.state_dict()
    return state.keys() == expected.keys() and all(torch.equal(state[key], expected[key]) for key in state)


def test_a_folder_holds_weights_configuration_and_card(model: Network, tmp_path: Path) -> None:
    folder = save_pretrained(model, tmp_path / "made" / "mine", license="MIT", metrics={"top1": 0.5})
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    config = json.loads((folder / "config.json").read_text())
    assert config["architecture"] == "audio_resnet_18"
    assert config["arguments"] == {"num_classes": 3}
    assert config["metrics"] == {"top1": 0.5}
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: ls3d\n")
    assert 'license: "mit"' in card
    assert same(from_pretrained(folder), model)
    assert same(load_model(folder), model)
    assert not from_pretrained(folder).training


def test_errors_of_paths(model: Network, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "weights.bin").write_bytes(b"")
    for missing in (tmp_path / "empty", tmp_path / "none.safetensors", "./owner/none.safetensors"):
        with pytest.raises(FileNotFoundError, match=r"no such weights file"):
            from_pretrained(missing)
    with pytest.raises(InputError, match="ls3d convert"):
        from_pretrained(tmp_path / "weights.bin")
    save_pretrained(model, tmp_path / "mine")
    with pytest.raises(InputError, match="holds a network of class AudioResNet, expected C3D"):
        C3D.from_pretrained(tmp_path / "mine")
    assert isinstance(RecognitionNet.from_pretrained(tmp_path / "mine"), RecognitionNet)


def test_without_huggingface_hub_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    for load in (from_pretrained, load_model):
        with pytest.raises(MissingExtraError, match=r"'owner/name' is not on this disk.*pip install 'ls3d\[hub\]'"):
            load("owner/name")


class TestHub:
    """With ``huggingface_hub`` itself."""

    @pytest.fixture(autouse=True)
    def _hub(self) -> None:
        pytest.importorskip("huggingface_hub")

    def test_the_cache_is_enough(self, model: Network, tmp_path: Path) -> None:
        """A cache as the Hub's library lays it out."""
        repository = tmp_path / "cache" / "models--owner--name"
        save_pretrained(model, repository / "snapshots" / ("0" * 40))
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text("0" * 40)
        found = from_pretrained("owner/name", cache_dir=tmp_path / "cache", local_files_only=True)
        assert same(found, model)

    def test_what_is_not_in_the_cache_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"'owner/none' is neither on this disk nor in the Hub's cache"):
            from_pretrained("owner/none", cache_dir=tmp_path, local_files_only=True)

    def test_upload(self, model: Network, monkeypatch: pytest.MonkeyPatch) -> None:
        import huggingface_hub

        seen: dict[str, Any] = {}

        class Api:
            def __init__(self, token: str | None = None) -> None:
                seen["token"] = token

            def create_repo(self, repo_id: str, **options: Any) -> None:
                seen["created"] = (repo_id, options)

            def upload_folder(self, repo_id: str, folder_path: str, **options: Any) -> str:
                seen["files"] = {path.name: path.read_bytes() for path in Path(folder_path).iterdir()}
                seen["uploaded"] = (repo_id, options)
                return "https://hub/commit"

        monkeypatch.setattr(huggingface_hub, "HfApi", Api)
        assert push_to_hub(model, "owner/name", private=True, token="t", license="MIT") == "https://hub/commit"
        assert seen["created"] == ("owner/name", {"private": True, "exist_ok": True})
        assert seen["uploaded"][0] == "owner/name"
        assert seen["token"] == "t"
        assert b"from_pretrained('owner/name')" in seen["files"]["README.md"]
        assert json.loads(seen["files"]["config.json"])["license"] == "MIT"

    def test_a_name_that_the_hub_refuses(self, model: Network) -> None:
        with pytest.raises(InputError, match="could not upload"):
            push_to_hub(model, "owner/name/too/long")
