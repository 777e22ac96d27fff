"""The Hugging Face Hub, by the conventions of its ``PyTorchModelHubMixin``.

A repository, or a folder on disk, holds ``model.safetensors`` (whose metadata suffices to rebuild the network),
``config.json`` (the same metadata for people and search engines) and a model card. ``huggingface_hub`` is needed for
downloads and uploads only.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any, TypedDict, Unpack

from ls3d.errors import InputError, MissingExtraError, require
from ls3d.models.network import Network
from ls3d.models.weights import SUFFIX, read_metadata, save_weights

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"


class HubOptions(TypedDict, total=False):
    """Options of downloads; ``from_pretrained`` explains them."""

    revision: str | None
    local_files_only: bool
    token: str | None
    cache_dir: str | os.PathLike[str] | None


def save_pretrained(model: Network, folder: str | os.PathLike[str], **metadata: Any) -> Path:
    """Write a network's weights, configuration and model card into a folder; ``load_model`` reads it.

    Args:
        model: a network built by ``create_model``.
        folder: the folder, which is created if it doesn't exist.
        metadata: further metadata, JSON-able: ``training_data``, ``license``, ``metrics``, ...

    Returns:
        ``folder``.

    Raises:
        InputError: the network was not built by ``create_model``.
    """
    return _write_folder(model, Path(folder), str(folder), metadata)


def push_to_hub(
    model: Network,
    repo_id: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    token: str | None = None,
    commit_message: str = "Upload an ls3d model",
    **metadata: Any,
) -> str:
    """Upload a network to the Hugging Face Hub.

    Args:
        model: a network built by ``create_model``.
        repo_id: ``"owner/name"``; the repository is created if it doesn't exist.
        private: create a private repository.
        revision: the branch to upload to.
        token: the access token, instead of the one that ``hf auth login`` stores.
        commit_message: subject of the commit on the Hub.
        metadata: as for ``save_pretrained``.

    Returns:
        The URL of the commit.

    Raises:
        InputError: the Hub refuses the upload; the message says why.
        MissingExtraError: ``huggingface_hub`` is not installed.
    """
    huggingface = require("huggingface_hub", "hub")
    errors = require("huggingface_hub.errors", "hub")
    api = huggingface.HfApi(token=token)
    with tempfile.TemporaryDirectory() as folder:
        _write_folder(model, Path(folder), repo_id, metadata)
        try:
            api.create_repo(repo_id, private=private, exist_ok=True)
            commit = api.upload_folder(
                repo_id=repo_id, folder_path=folder, revision=revision, commit_message=commit_message
            )
        except (errors.HfHubHTTPError, errors.HFValidationError) as error:
            raise InputError(f"could not upload to {repo_id!r}: {error}") from error
    return str(commit)


def is_repository(source: str) -> bool:
    """Whether a source that is not on disk has the form ``owner/name``."""
    return source.count("/") == 1 and source[0] not in "./~" and not source.endswith(("/", SUFFIX))


def download(repo_id: str, **options: Unpack[HubOptions]) -> Path:
    """Download the weights file of a repository to the Hub's cache, if it isn't there.

    Raises:
        InputError: the repository or its weights file doesn't exist, or can't be reached.
        MissingExtraError: ``huggingface_hub`` is not installed.
    """
    try:
        huggingface = require("huggingface_hub", "hub")
        errors = require("huggingface_hub.errors", "hub")
    except MissingExtraError as error:
        raise MissingExtraError(f"{repo_id!r} is not on this disk, and the Hub can't be reached: {error}") from error
    try:
        return Path(huggingface.hf_hub_download(repo_id, WEIGHTS_FILE, **options))
    except errors.LocalEntryNotFoundError as error:
        raise InputError(
            f"{repo_id!r} is neither on this disk nor in the Hub's cache, and the Hub was not reached"
        ) from error
    except (errors.HfHubHTTPError, errors.EntryNotFoundError, errors.HFValidationError) as error:
        raise InputError(f"the Hub has no {WEIGHTS_FILE} of {repo_id!r}: {error}") from error


def _write_folder(model: Network, folder: Path, source: str, metadata: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(model, folder / WEIGHTS_FILE, **metadata)
    config = read_metadata(folder / WEIGHTS_FILE)
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_model_card(config, source), encoding="utf-8")
    return folder


def _model_card(config: dict[str, Any], source: str) -> str:
    """The README of a repository: the header that the Hub indexes, an example, the metadata."""
    header = ["library_name: ls3d", "tags: [video, 3d-convolution, ls3d]"]
    if "license" in config:
        header.append(f"license: {json.dumps(str(config['license']).lower())}")
    lines = [
        "---",
        *header,
        "---",
        "",
        f"# {config['architecture']}",
        "",
        "```python",
        "from ls3d.models import from_pretrained",
        "",
        f"model = from_pretrained({source!r})",
        "```",
        "",
        *(f"* {key}: `{json.dumps(value)}`" for key, value in config.items()),
    ]
    return "\n".join(lines) + "\n"
