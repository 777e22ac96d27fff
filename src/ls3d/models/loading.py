"""Loading networks: by name, from a file, from a folder, or from a repository of the Hugging Face Hub."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Unpack

import torch

from ls3d.errors import InputError
from ls3d.models import hub
from ls3d.models.downloads import DOWNLOADS, downloaded_weights
from ls3d.models.exported import EXPORTED_SUFFIXES, load_exported
from ls3d.models.network import EnhancementNetwork, Network
from ls3d.models.recognition._base import RecognitionNet
from ls3d.models.registry import create_model, is_registered, model_info
from ls3d.models.weights import SUFFIX, bundled_weights, load_weights


def load_model(source: str | os.PathLike[str], device: torch.device | str = "cpu") -> Network:
    """Build a network and load its weights, ready for inference.

    A source on disk is never searched on the Hub. A name takes precedence over a file or folder that is called the
    same; ``"./name"`` is always a path.

    Args:
        source: the name of a task's default (``"vfi"``), of a model with bundled or downloaded weights, or of one that
            needs no weights (``"blend"``); a ``.safetensors`` file; a folder that holds ``model.safetensors``; an
            ``.onnx`` or ``.pt2`` file that ``ls3d export`` wrote; or ``"owner/name"`` on the Hugging Face Hub.
        device: where to put the network.

    Returns:
        The network in evaluation mode; ``model.config`` holds the metadata of its weights file.

    Raises:
        FileNotFoundError: a path that doesn't exist, or a folder without weights.
        InputError: an unknown name, a name without weights, a file that is not one of ls3d or doesn't fit its
            architecture, or a repository that doesn't exist.
        MissingExtraError: the Hub is needed, and ``huggingface_hub`` is not installed.
    """
    return from_pretrained(source, device=device)


def from_pretrained(
    source: str | os.PathLike[str],
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    token: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    sha256: str | None = None,
    device: torch.device | str = "cpu",
) -> Network:
    """Call ``load_model`` with options for the Hugging Face Hub.

    Args:
        source: as for ``load_model``.
        revision: branch, tag or commit on the Hub.
        local_files_only: use the Hub's cache only.
        token: access token for private repositories.
        cache_dir: another folder for the Hub's cache.
        sha256: digest that the weights file must have, in hexadecimal: the one that ``sha256sum`` prints and that the
            Hub's page of the file shows.
        device: where to put the network.

    Returns:
        As ``load_model``.

    Raises:
        As ``load_model``; also InputError if the weights file has another digest, or there is none to compare.
    """
    if Path(source).suffix in EXPORTED_SUFFIXES and Path(source).is_file():
        if sha256 is not None:
            hub.check_digest(Path(source), sha256)
        return load_exported(source).to(device)
    path = find_weights(source, revision=revision, local_files_only=local_files_only, token=token, cache_dir=cache_dir)
    if path is not None:
        if sha256 is not None:
            hub.check_digest(path, sha256)
        return load_weights(path, device)
    if sha256 is not None:
        raise InputError(f"{source} has no weights file whose SHA-256 could be compared")
    model = create_model(str(source))
    if model.name in DOWNLOADS:
        raise InputError(
            f"the weights of {model.name} are not here yet; `ls3d weights get {model.name}` downloads them"
        )
    if next(model.parameters(), None) is not None:
        raise InputError(f"{model.name} has no bundled weights; give the path of a {SUFFIX} file")
    return model.eval().to(device)


def load_enhancement_model(source: str | os.PathLike[str], task: str | None = None) -> EnhancementNetwork:
    """Call ``load_model`` for a network that maps frames to frames.

    Args:
        source: as for ``load_model``.
        task: the task that the network must have; None for any.

    Raises:
        InputError: also if the network's task is another one.
    """
    model = load_model(source)
    if not isinstance(model, EnhancementNetwork) or task not in (None, model.traits.task):
        expected = task or "an enhancement task"
        raise InputError(f"{source}: its task is {model.traits.task}, expected {expected}", argument="model")
    return model


def load_recognition_model(source: str | os.PathLike[str], argument: str = "model") -> RecognitionNet:
    """Call ``load_model`` for a network that recognizes what a clip shows.

    Args:
        source: as for ``load_model``.
        argument: name of the argument that errors are about.

    Raises:
        InputError: also if the network is for another task.
    """
    model = load_model(source)
    if not isinstance(model, RecognitionNet):
        raise InputError(f"{source}: expected a network for recognition", argument=argument)
    return model


def find_weights(source: str | os.PathLike[str], **options: Unpack[hub.HubOptions]) -> Path | None:
    """Find the weights file of a source; it is downloaded if it is on the Hub.

    Args:
        source: as for ``load_model``.
        options: for the Hub.

    Returns:
        The file; None for a registered network without bundled or downloaded weights.

    Raises:
        As ``load_model``.
    """
    if isinstance(source, str) and is_registered(source):
        name = model_info(source).name
        return bundled_weights().get(name) or downloaded_weights(name)
    path = Path(source)
    if path.is_dir():
        return _existing(hub.find_in_folder(path))
    if path.is_file():
        return _existing(path)
    if hub.is_repository(str(source)):
        return hub.download(str(source), **options)
    if isinstance(source, str) and path.name == source and not path.suffix:
        model_info(source)  # raises: no network has this name
    return _existing(path)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weights file")
    if path.suffix != SUFFIX:
        raise InputError(f"{path} is not a {SUFFIX} file; `ls3d convert` makes one from a checkpoint")
    return path
