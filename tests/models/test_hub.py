"""Folders, the Hub's cache and uploads, offline."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from helpers.marks import slow_except
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from ls3d.errors import InputError, MissingExtraError
from ls3d.models import (
    Network,
    RecognitionNet,
    Task,
    create_model,
    from_pretrained,
    list_models,
    load_model,
    model_info,
    push_to_hub,
    save_pretrained,
)
from ls3d.models.card import model_card
from ls3d.models.recognition.c3d import C3D

if TYPE_CHECKING:
    from helpers.hub_server import HubServer

#: A network of each task with parameters, small where its arguments allow it.
ONE_OF_EACH: dict[Task, tuple[str, dict[str, Any]]] = {
    "interpolation": ("vfi_ls3d_plus_s", {"width": 8, "levels": 3}),
    "super-resolution": ("vsr_p3d_ls3d", {}),
    "denoising": ("vdn_ls3d", {"width": 8}),
    "recognition": ("r3d_18", {"num_classes": 3, "width": 8}),
    "audio": ("audio_resnet_18", {"num_classes": 3}),
    "audio-visual": ("av_r3d_18", {"num_classes": 3}),
    "multimodal": (
        "late_fusion",
        {
            "num_classes": 3,
            "clip_arguments": {"width": 8},
            "flow_arguments": {"width": 8},
            "spectrogram": None,
        },
    ),
}


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


def round_trip(model: Network, folder: Path) -> None:
    """Save a network, load it again, and compare everything that is kept."""
    save_pretrained(model, folder, license="MIT")
    found = from_pretrained(folder)
    assert same(found, model)
    assert (found.name, found.traits) == (model.name, model.traits)
    assert found.require_config().arguments == model.require_config().arguments


@pytest.mark.parametrize("task", slow_except(ONE_OF_EACH, set(ONE_OF_EACH) - {"audio-visual"}))
def test_a_network_of_each_task_is_loaded_as_it_was_saved(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    name, arguments = ONE_OF_EACH[task]
    model = create_model(name, **arguments)
    assert model.traits.task == task
    round_trip(model, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", list_models())
def test_every_network_is_loaded_as_it_was_saved(name: str, tmp_path: Path) -> None:
    round_trip(create_model(name), tmp_path)
    shutil.rmtree(tmp_path)  # up to 500 MB


class TestTampered:
    """Weights that are not those that were saved are refused by one sentence that says so."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return save_pretrained(create_model("vsr_p3d_ls3d"), tmp_path / "mine")

    def change(self, folder: Path, **metadata: object) -> None:
        """Write the weights with other values, and with changed metadata."""
        path = folder / "model.safetensors"
        with safe_open(path, "pt") as file:
            kept = json.loads(file.metadata()["ls3d"])
        tensors = load_file(path)
        next(iter(tensors.values())).view(-1)[0] += 1e-3
        save_file(tensors, path, {"ls3d": json.dumps({**kept, **metadata})})

    def test_another_bit(self, folder: Path) -> None:
        path = folder / "model.safetensors"
        content = bytearray(path.read_bytes())
        content[-4] ^= 1  # the last bit of a value's fraction
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"model.safetensors is damaged: its tensors don't have the SHA-256"):
            from_pretrained(folder)

    def test_another_value(self, folder: Path) -> None:
        self.change(folder)
        with pytest.raises(InputError, match=r"model.safetensors is damaged"):
            load_model(folder / "model.safetensors")

    def test_another_digest_too(self, folder: Path) -> None:
        self.change(folder, sha256="0" * 64)
        with pytest.raises(InputError, match=r"not the file that config.json describes, which has another sha256$"):
            from_pretrained(folder)

    def test_another_offset_limit(self, folder: Path) -> None:
        self.change(folder, offset_limit=0.0)
        with pytest.raises(InputError, match=r"another offset_limit$"):
            from_pretrained(folder)

    def test_a_file_with_another_digest_than_the_given_one(self, folder: Path) -> None:
        digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
        from_pretrained(folder, sha256=digest.upper())
        with pytest.raises(InputError, match=rf"model.safetensors has the SHA-256 {digest}, expected 00"):
            from_pretrained(folder, sha256="00")
        with pytest.raises(InputError, match=r"blend has no weights file whose SHA-256 could be compared"):
            from_pretrained("blend", sha256=digest)

    @pytest.mark.parametrize("text", ["", "[" * 100_000, "[]", " " * (5 << 20)])
    def test_a_configuration_that_is_none(self, folder: Path, text: str) -> None:
        (folder / "config.json").write_text(text)
        with pytest.raises(InputError, match=r"config.json is not"):
            from_pretrained(folder)

    def test_a_folder_needs_no_configuration(self, folder: Path) -> None:
        (folder / "config.json").unlink()
        assert from_pretrained(folder).name == "vsr_p3d_ls3d"


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


class TestCard:
    """What the card of a network says."""

    def test_of_bundled_weights(self, tmp_path: Path) -> None:
        card = (save_pretrained(load_model("vfi"), tmp_path / "mine", half=True) / "README.md").read_text()
        assert 'license: "apache-2.0"' in card
        assert "## License\n\nApache-2.0; the training clips have their own licenses" in card
        assert "- sam2_bedroom.mp4: Apache-2.0, facebookresearch/sam2\n" in card
        assert "model = from_pretrained('./mine')" in card
        assert "ls3d interpolate in.mp4 out.mp4 --model ./mine" in card
        assert "At the end of the training:\n\n- loss: -0.711\n- psnr: 27.082\n" in card
        assert "- correction_factor: `0.8`\n" in card
        assert "- ucf101: PSNR 34.98 dB (379 clips)" in card
        assert '"learning_rate": 0.0008' in card

    def test_of_other_weights(self, tmp_path: Path) -> None:
        """What was measured of the bundled weights doesn't count for others."""
        model = create_model("r3d_18", num_classes=3, width=8)
        folder = save_pretrained(model, tmp_path, license="My own, 2026", classes=["a", "b", "c"])
        card = (folder / "README.md").read_text()
        assert 'license: "other"\nlicense_name: "my-own-2026"' in card
        assert 'pipeline_tag: "video-classification"' in card
        assert "from ls3d.inference import Classifier" in card
        assert "## Training data\n\nNot recorded." in card
        assert "- classes: 3, named in `config.json`" in card
        vfi = save_pretrained(create_model("vfi"), tmp_path / "untrained")
        assert "## Scores\n\nNone are recorded." in (vfi / "README.md").read_text()

    @pytest.mark.parametrize("name", list_models())
    def test_the_example_runs_and_the_header_is_read(self, name: str) -> None:
        """Every statement but the last of the example, without weights; the header by the Hub's own reader."""
        hub = pytest.importorskip("huggingface_hub")
        text = model_card({"architecture": name, "arguments": {}, "license": "MIT"}, "owner/name")
        data = hub.ModelCard(text).data
        assert (data.library_name, data.license) == ("ls3d", "mit")
        assert model_info(name).task in data.tags
        code = text.partition("```python\n")[2].partition("```")[0]
        imports = [line for line in code.splitlines() if line.startswith("from ")]
        exec("\n".join(imports), {})
        compile(code, name, "exec")


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

    @pytest.mark.parametrize("suffix", [".safetensors", ".onnx", ".pt2", ".pth"])
    def test_a_missing_file_is_not_looked_for_there(self, suffix: str) -> None:
        with pytest.raises(FileNotFoundError, match=f"weights/net{suffix}: no such weights file"):
            load_model(f"weights/net{suffix}")

    def test_what_is_not_in_the_cache_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"'owner/none' is neither on this disk nor in the Hub's cache"):
            from_pretrained("owner/none", cache_dir=tmp_path, local_files_only=True)

    @pytest.fixture
    def small(self) -> Network:
        name, arguments = ONE_OF_EACH["recognition"]
        return create_model(name, **arguments)

    @pytest.fixture
    def server(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
        """The Hub, faked below the HTTP client of ``huggingface_hub``."""
        httpx2 = pytest.importorskip("httpx2")
        from helpers.hub_server import HubServer
        from huggingface_hub import constants, set_client_factory
        from huggingface_hub.utils._http import default_client_factory

        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        server = HubServer("owner/name")
        set_client_factory(lambda: httpx2.Client(transport=httpx2.MockTransport(server.handle), follow_redirects=True))
        yield server
        set_client_factory(default_client_factory)

    def test_round_trip(self, server: HubServer, small: Network, tmp_path: Path) -> None:
        """Uploaded, downloaded, and loaded from the cache when there is no connection."""
        url = small.push_to_hub("owner/name", token="t", license="MIT")
        assert url == f"https://huggingface.co/owner/name/commit/{server.commit}"
        assert sorted(server.files) == ["README.md", "config.json", "model.safetensors"]
        digest = hashlib.sha256(server.files["model.safetensors"]).hexdigest()
        assert same(from_pretrained("owner/name", cache_dir=tmp_path, sha256=digest), small)
        count = len(server.requests)
        assert same(from_pretrained("owner/name", cache_dir=tmp_path, local_files_only=True), small)
        assert len(server.requests) == count

    def test_a_file_that_was_exchanged_on_the_hub(self, server: HubServer, small: Network, tmp_path: Path) -> None:
        push_to_hub(small, "owner/name", token="t")
        save_pretrained(create_model("r3d_18", num_classes=3, width=8), tmp_path / "other")
        server.files["model.safetensors"] = (tmp_path / "other" / "model.safetensors").read_bytes()
        with pytest.raises(InputError, match=r"owner/name: .*not the file that config.json describes.* sha256$"):
            from_pretrained("owner/name", cache_dir=tmp_path)

    def test_a_repository_needs_no_configuration(self, server: HubServer, small: Network, tmp_path: Path) -> None:
        push_to_hub(small, "owner/name", token="t")
        del server.files["config.json"]
        assert same(from_pretrained("owner/name", cache_dir=tmp_path), small)

    def test_what_is_not_there(self, server: HubServer, small: Network, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"the Hub has no model.safetensors of 'owner/none'"):
            from_pretrained("owner/none", cache_dir=tmp_path)
        server.refuses = 403
        with pytest.raises(InputError, match="could not upload to 'owner/name'"):
            push_to_hub(small, "owner/name", token="t")

    def test_no_connection(self, server: HubServer, small: Network, monkeypatch: pytest.MonkeyPatch) -> None:
        from httpx2 import ConnectError

        def refuse(_: object) -> None:
            raise ConnectError("no route")

        monkeypatch.setattr(server, "handle", refuse)
        with pytest.raises(InputError, match="could not upload to 'owner/name': no route"):
            push_to_hub(small, "owner/name", token="t")

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
