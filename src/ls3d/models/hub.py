"""Networks on the Hugging Face Hub, by the conventions of its ``PyTorchModelHubMixin``; offline by path.

A repository, or a folder, holds ``model.safetensors`` (whose metadata alone rebuilds the network),
``config.json`` (the same facts for people and search engines) and a model card. ``huggingface_hub`` is needed
for the Hub only.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import torch

from ls3d.errors import InputError, require
from ls3d.models.network import Network
from ls3d.models.weights import load_model, read_metadata, save_weights

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"


def from_pretrained(
    source: str | os.PathLike[str],
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    token: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    device: torch.device | str = "cpu",
) -> Network:
    """Build a network and load its weights from a file, a folder, or a repository of the Hugging Face Hub.

    Args:
        source: a ``.safetensors`` file, a folder that holds ``model.safetensors``, or ``"owner/name"`` on the
            Hub. What lies on the disk is never looked for on the Hub.
        revision: branch, tag or commit on the Hub.
        local_files_only: use the Hub's cache and nothing else.
        token: for private repositories.
        cache_dir: another place for the Hub's cache.
        device: where to put the network.

    Returns:
        The network in evaluation mode.

    Raises:
        FileNotFoundError: a path that isn't there, or a folder without weights.
        InputError: the weights do not fit, or the Hub has no such file.
        MissingExtraError: the Hub is asked, and ``huggingface_hub`` is not installed.
    """
    path = Path(source)
    if path.is_dir():
        path /= WEIGHTS_FILE
    elif not path.is_file() and _is_repository(str(source)):
        path = _download(str(source), revision, local_files_only, token, cache_dir)
    return load_model(_checked(path), device)


def save_pretrained(model: Network, folder: str | os.PathLike[str], **facts: Any) -> Path:
    """Write a network's weights, configuration and model card into a folder, which is made if need be.

    Args:
        model: a network built by ``create_model``.
        folder: where to.
        facts: JSON-able things worth keeping: ``training_data``, ``license``, ``metrics``, ...
    """
    return _write_folder(model, Path(folder), str(folder), facts)


def _write_folder(model: Network, folder: Path, address: str, facts: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(model, folder / WEIGHTS_FILE, **facts)
    config = read_metadata(folder / WEIGHTS_FILE)
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_card(config, address), encoding="utf-8")
    return folder


def push_to_hub(
    model: Network,
    repo_id: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    token: str | None = None,
    commit_message: str = "Upload an ls3d model",
    **facts: Any,
) -> str:
    """Upload a network to the Hugging Face Hub; the repository is made if need be.

    Args:
        model: a network built by ``create_model``.
        repo_id: ``"owner/name"``.
        private: make a private repository.
        revision: the branch to upload to.
        token: the access token, instead of the one that ``hf auth login`` keeps.
        commit_message: what the Hub's history says.
        facts: as for ``save_pretrained``.

    Returns:
        The address of the commit.

    Raises:
        InputError: the Hub refuses; the message says why.
        MissingExtraError: ``huggingface_hub`` is not installed.
    """
    hub = require("huggingface_hub", "hub")
    api = hub.HfApi(token=token)
    with tempfile.TemporaryDirectory() as folder:
        _write_folder(model, Path(folder), repo_id, facts)
        try:
            api.create_repo(repo_id, private=private, exist_ok=True)
            commit = api.upload_folder(
                repo_id=repo_id, folder_path=folder, revision=revision, commit_message=commit_message
            )
        except (hub.errors.HfHubHTTPError, hub.errors.HFValidationError) as error:
            raise InputError(f"could not upload to {repo_id!r}: {error}") from error
    return str(commit)


def _is_repository(source: str) -> bool:
    """Whether a source that is not on the disk reads like ``owner/name``."""
    return source.count("/") == 1 and source[0] not in "./~" and not source.endswith(".safetensors")


def _checked(path: Path) -> Path:
    """``load_model`` takes names too; here only files count."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weights file")
    if path.suffix != ".safetensors":
        raise InputError(f"{path} is not a .safetensors file; `ls3d convert` makes one from a checkpoint")
    return path


def _download(
    repo_id: str,
    revision: str | None,
    local_files_only: bool,
    token: str | None,
    cache_dir: str | os.PathLike[str] | None,
) -> Path:
    hub = require("huggingface_hub", "hub")
    try:
        path = hub.hf_hub_download(
            repo_id,
            WEIGHTS_FILE,
            revision=revision,
            local_files_only=local_files_only,
            token=token,
            cache_dir=cache_dir,
        )
    except hub.errors.LocalEntryNotFoundError as error:
        raise InputError(
            f"{repo_id!r} is neither on this disk nor in the Hub's cache, and the Hub was not reached"
        ) from error
    except (hub.errors.HfHubHTTPError, hub.errors.EntryNotFoundError, hub.errors.HFValidationError) as error:
        raise InputError(f"the Hub gives no {WEIGHTS_FILE} of {repo_id!r}: {error}") from error
    return Path(path)


def _card(config: dict[str, Any], address: str) -> str:
    """The model card: the header that the Hub indexes, and how to use the network."""
    header = ["library_name: ls3d", "tags: [video, 3d-convolution, ls3d]"]
    if "license" in config:
        header.append(f"license: {json.dumps(str(config['license']).lower())}")
    usage = f"from ls3d.models import from_pretrained\n\nmodel = from_pretrained({address!r})"
    facts = [f"* {key}: `{json.dumps(value)}`" for key, value in config.items()]
    lines = [
        "---",
        *header,
        "---",
        "",
        f"# {config['architecture']}",
        "",
        "```python",
        usage,
        "```",
        "",
        *facts,
    ]
    return "\n".join(lines) + "\n"
