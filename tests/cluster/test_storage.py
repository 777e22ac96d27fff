"""Outputs at URLs whose upload is interrupted, and the folder for copies."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
from helpers.simulated import SimulatedExecutor
from helpers.videos import Clip

from ls3d.cluster import run_batch, storage
from ls3d.cluster.scratch import private_scratch
from ls3d.cluster.storage import Place, RemoteWorkspace
from ls3d.enhance import EnhanceCall, EnhanceOptions, EnhanceReport
from ls3d.enhance._workspace import Workspace
from ls3d.errors import InputError, OutputExistsError

OUTPUT = "memory://bucket/out"
REPORT = EnhanceReport.of(OUTPUT, [], 0.0)


class KilledError(BaseException):
    """A process ends."""


@pytest.fixture(autouse=True)
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("LS3D_SCRATCH", str(tmp_path / "scratch"))
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield files
    files.store.clear()


def kill_at(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """End the process when it begins to upload a file to a URL that ends with ``name``."""
    upload = storage.upload

    def dies(path: Path, url: str) -> None:
        if url.endswith(name):
            raise KilledError
        upload(path, url)

    monkeypatch.setattr(storage, "upload", dies)


@pytest.mark.parametrize("resume", [True, False])
def test_a_folder_of_which_a_part_is_uploaded_is_completed(
    resume: bool, tmp_path: Path, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = EnhanceOptions(threads=1, segment_frames=2, resume=resume)
    source = Clip(4, (16, 16)).write(tmp_path / "in.mkv")
    call = EnhanceCall("interpolate", source, OUTPUT, {"model": "blend"}, options)
    whole = replace(call, target=tmp_path / "whole")
    whole.run()
    expected = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    first, second, *_ = sorted(expected)
    with monkeypatch.context() as patched:
        kill_at(second, patched)
        with pytest.raises(KilledError):
            run_batch([call], SimulatedExecutor())
    assert bucket.find("/bucket/out") == [f"/bucket/out/{first}"]
    (result,) = run_batch([call], SimulatedExecutor())
    assert result.status == "done", result.error
    assert {path.rpartition("/")[2]: bucket.cat_file(path) for path in bucket.find("/bucket/out")} == expected
    assert bucket.find("/bucket/out.ls3d") == ["/bucket/out.ls3d/delivered.json"]
    call = replace(call, options=replace(options, resume=True))
    assert run_batch([call], SimulatedExecutor())[0].status == "already done"
    bucket.rm_file(f"/bucket/out/{second}")
    (result,) = run_batch([call], SimulatedExecutor())
    assert "folder with files in it" in str(result.error)


def test_an_old_output_of_the_same_size_is_not_the_new_one(
    tmp_path: Path, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.pipe_file("/bucket/out.mkv", b"old")
    (tmp_path / "output").write_bytes(b"new")
    workspace = RemoteWorkspace(Place("in.mkv", f"{OUTPUT}.mkv"))
    with monkeypatch.context() as patched:
        kill_at("out.mkv", patched)
        with pytest.raises(KilledError):
            workspace.deliver(tmp_path / "output", {"a": 1}, REPORT, overwrite=True)
    assert workspace.finished({"a": 1}) is None
    with pytest.raises(OutputExistsError):
        workspace.check_target({"a": 2}, overwrite=False)
    workspace.deliver(tmp_path / "output", {"a": 1}, REPORT, overwrite=False)
    assert bucket.cat_file("/bucket/out.mkv") == b"new"
    assert workspace.finished({"a": 1}) == REPORT


def test_a_storage_that_cannot_be_opened_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(url: str) -> Any:
        raise EOFError("no answer")  # what some packages raise that connect at once

    monkeypatch.setattr(fsspec.core, "url_to_fs", refused)
    with pytest.raises(InputError, match=r"sftp://host/a\.mp4: no answer"):
        storage.check_url("sftp://host/a.mp4")


def test_files_of_others_are_not_mixed_with_an_output(bucket: Any) -> None:
    bucket.pipe_file("/bucket/out/notes.txt", b"mine")
    with pytest.raises(InputError, match="memory://bucket/out is a folder with files in it"):
        RemoteWorkspace(Place("in.mkv", OUTPUT)).check_target({}, overwrite=True)


def test_an_output_that_a_lost_worker_has_left_on_this_machine_is_replaced(tmp_path: Path) -> None:
    place = Place("in.mkv", OUTPUT, tmp_path)
    place.local_target().mkdir()
    (place.local_target() / "000000.png").touch()
    RemoteWorkspace(place).pull_segments(Workspace(place.local_target()), [])
    assert not place.local_target().exists()


def test_copies_are_in_a_folder_of_this_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LS3D_SCRATCH")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / f"ls3d-{os.getuid()}").mkdir(mode=0o777)
    folder = private_scratch()
    assert folder.stat().st_mode & 0o077 == 0
    assert Place("in.mkv", OUTPUT).local_target().is_relative_to(folder)
    with monkeypatch.context() as patched:
        patched.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
        with pytest.raises(InputError, match="LS3D_SCRATCH"):
            private_scratch()
    (tmp_path / "own").mkdir()
    folder.rename(tmp_path / "other")
    folder.symlink_to(tmp_path / "own")
    with pytest.raises(InputError, match="not a folder of this user"):
        Place(f"{OUTPUT}/a.mkv", OUTPUT).local_source()
    monkeypatch.delattr(os, "getuid")
    assert private_scratch() == tmp_path / "ls3d"
