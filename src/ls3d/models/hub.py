"""The Hugging Face Hub, by the conventions of its ``PyTorchModelHubMixin``.

A repository, or a folder on disk, holds ``model.safetensors`` (whose metadata suffices to rebuild the network),
``config.json`` (the same metadata for people and search engines) and a model card. ``huggingface_hub`` is needed for
downloads and uploads only; ``HF_HUB_OFFLINE=1`` keeps it to its cache.

Three digests protect weights. ``load_weights`` compares the tensors with the SHA-256 in their file. ``find_in_folder``
and ``download`` compare the file's metadata with ``config.json``, if there is one. ``sha256`` of ``from_pretrained`` is
the digest of the whole file, which only its user can know.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from pathlib import Path
from typing import Any, TypedDict, Unpack

from ls3d.errors import InputError, MissingExtraError, require
from ls3d.models.card import model_card
from ls3d.models.exported import EXPORTED_SUFFIXES
from ls3d.models.network import Network
from ls3d.models.untrusted.show import listing
from ls3d.models.weights import SUFFIX, read_metadata, save_weights

log = logging.getLogger(__name__)

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"

#: Entries of the metadata on which a network's output depends.
_COMPARED = ("architecture", "arguments", "offset_limit", "sha256")
_LARGEST_CONFIG = 4 << 20  # bytes


class HubOptions(TypedDict, total=False):
    """Options of downloads; ``from_pretrained`` explains them."""

    revision: str | None
    local_files_only: bool
    token: str | None
    cache_dir: str | os.PathLike[str] | None


def save_pretrained(model: Network, folder: str | os.PathLike[str], *, half: bool = False, **metadata: Any) -> Path:
    """Write a network's weights, configuration and model card into a folder; ``load_model`` reads it.

    Args:
        model: a network built by ``create_model``.
        folder: the folder, which is created if it doesn't exist.
        half: see ``save_weights``.
        metadata: further metadata, JSON-able: ``training_data``, ``license``, ``metrics``, ...

    Returns:
        ``folder``.

    Raises:
        InputError: the network was not built by ``create_model``.
    """
    folder = Path(folder)
    return _write_folder(model, folder, f"./{folder.resolve().name}", half, metadata)


def push_to_hub(
    model: Network,
    repo_id: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    token: str | None = None,
    commit_message: str = "Upload an ls3d model",
    half: bool = False,
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
        half: see ``save_weights``.
        metadata: as for ``save_pretrained``.

    Returns:
        The URL of the commit.

    Raises:
        InputError: the Hub refuses the upload or can't be reached; the message says why.
        MissingExtraError: ``huggingface_hub`` is not installed.
    """
    huggingface = require("huggingface_hub", "hub")
    errors = require("huggingface_hub.errors", "hub")
    api = huggingface.HfApi(token=token)
    with tempfile.TemporaryDirectory() as folder:
        _write_folder(model, Path(folder), repo_id, half, metadata)
        try:
            api.create_repo(repo_id, private=private, exist_ok=True)
            commit = api.upload_folder(
                repo_id=repo_id, folder_path=folder, revision=revision, commit_message=commit_message
            )
        # Connections that fail raise the HTTP client's errors, of which HTTPError is the base, or an OSError.
        except (errors.HTTPError, errors.HFValidationError, OSError) as error:
            raise InputError(f"could not upload to {repo_id!r}: {error}") from error
    return str(commit)


def is_repository(source: str) -> bool:
    """Whether a source that is not on disk has the form ``owner/name``."""
    files = (SUFFIX, *EXPORTED_SUFFIXES, ".pth", ".pt", ".pkl")
    return source.count("/") == 1 and source[0] not in "./~" and not source.endswith(("/", *files))


def download(repo_id: str, **options: Unpack[HubOptions]) -> Path:
    """Download the weights file of a repository to the Hub's cache, if it isn't there.

    Raises:
        InputError: the repository or its weights file doesn't exist, can't be reached, or is not the file that the
            repository's configuration describes.
        MissingExtraError: ``huggingface_hub`` is not installed.
    """
    try:
        huggingface = require("huggingface_hub", "hub")
        errors = require("huggingface_hub.errors", "hub")
    except MissingExtraError as error:
        raise MissingExtraError(f"{repo_id!r} is not on this disk, and the Hub can't be reached: {error}") from error
    try:
        weights = Path(huggingface.hf_hub_download(repo_id, WEIGHTS_FILE, **options))
    except errors.LocalEntryNotFoundError as error:
        raise InputError(
            f"{repo_id!r} is neither on this disk nor in the Hub's cache, and the Hub was not reached"
        ) from error
    except (errors.HfHubHTTPError, errors.EntryNotFoundError, errors.HFValidationError) as error:
        raise InputError(f"the Hub has no {WEIGHTS_FILE} of {repo_id!r}: {error}") from error
    try:
        config = Path(huggingface.hf_hub_download(repo_id, CONFIG_FILE, **options))
    except (errors.HfHubHTTPError, errors.EntryNotFoundError):
        log.info("%s has no %s", repo_id, CONFIG_FILE)
    else:
        _compare(weights, config, repo_id)
    return weights


def find_in_folder(folder: Path) -> Path:
    """Return the weights file of a folder, which need not exist.

    Raises:
        InputError: it is not the file that the folder's configuration describes.
    """
    weights = folder / WEIGHTS_FILE
    config = folder / CONFIG_FILE
    if weights.is_file() and config.is_file():
        _compare(weights, config, str(folder))
    return weights


def check_digest(path: Path, expected: str) -> None:
    """Compare the SHA-256 of a weights file with the expected one.

    Raises:
        InputError: it is another.
    """
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected.lower():
        raise InputError(f"{path} has the SHA-256 {found}, expected {expected}")


def _compare(weights: Path, config: Path, source: str) -> None:
    """Check that a configuration describes a weights file."""
    described: object = None
    try:
        if config.stat().st_size <= _LARGEST_CONFIG:
            described = json.loads(config.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source}: {CONFIG_FILE} is not JSON ({error})") from error
    if not isinstance(described, dict):
        raise InputError(f"{source}: {CONFIG_FILE} is not a JSON object of at most {_LARGEST_CONFIG >> 20} MiB")
    metadata = read_metadata(weights)
    different = [key for key in _COMPARED if described.get(key) != metadata.get(key)]
    if different:
        raise InputError(
            f"{source}: {WEIGHTS_FILE} is not the file that {CONFIG_FILE} describes, which has another "
            f"{listing(different)}"
        )


def _write_folder(model: Network, folder: Path, source: str, half: bool, metadata: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(model, folder / WEIGHTS_FILE, half=half, **metadata)
    config = read_metadata(folder / WEIGHTS_FILE)
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(model_card(config, source), encoding="utf-8")
    return folder
