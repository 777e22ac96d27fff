"""Files are written completely or not at all, locks exclude other processes, fingerprints notice changes."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from ls3d.files import atomic_write, exclusive, fingerprint, remove_leftovers, replace_folder


def test_the_file_is_replaced_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "scores.json"
    target.write_text("old")
    with atomic_write(target) as part:
        part.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def fail_in_the_middle(target: Path) -> None:
    with atomic_write(target) as part:
        part.write_text("half")
        raise RuntimeError("the disk is full")


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "scores.json"
    target.write_text("old")
    with pytest.raises(RuntimeError, match="full"):
        fail_in_the_middle(target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_lock_excludes_and_ends(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with exclusive(path), pytest.raises(BlockingIOError, match="another process"), exclusive(path):
        pass
    with exclusive(path, delete=True):
        pass
    assert not path.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_a_forked_process_does_not_hold_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    reader, writer = os.pipe()
    with exclusive(path, delete=True):
        child = os.fork()
        if child == 0:
            os.close(writer)
            os.read(reader, 1)  # until the parent ends the lock
            os._exit(0)
    try:
        with exclusive(path):
            pass
    finally:
        os.close(writer)
        os.close(reader)
        os.waitpid(child, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_a_forked_process_that_leaves_the_block_does_not_end_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with exclusive(path, delete=True):
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            with pytest.raises(BlockingIOError), exclusive(path):
                pass
    if child == 0:
        os._exit(0)


@pytest.mark.parametrize("limit", [1 << 30, 100])
def test_fingerprints_notice_changes(tmp_path: Path, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ls3d.files._COMPLETE_DIGEST", limit)
    paths = [tmp_path / name for name in "ab"]
    for path in paths:
        path.write_bytes(bytes(1 << 21))
    before = fingerprint(paths)
    assert ("sha256" in before) == (limit > 100)
    assert fingerprint(paths) == before
    assert fingerprint(paths[:1]) != before
    status = paths[1].stat()
    content = bytearray(1 << 21)
    content[-1] = 1
    paths[1].write_bytes(content)
    os.utime(paths[1], ns=(status.st_atime_ns, status.st_mtime_ns))
    assert fingerprint(paths) != before


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder of two files that is finished."""
    folder = tmp_path / "made"
    folder.mkdir()
    for name in ("1.png", "2.png"):
        (folder / name).write_text(name)
    return folder


@pytest.mark.parametrize("kind", ["new", "empty", "link", "link to nothing", "mount point"])
def test_a_folder_replaces_an_empty_one(kind: str, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    if kind in ("empty", "mount point"):
        target.mkdir()
    elif kind != "new":
        target.symlink_to(elsewhere)
    if kind == "link":
        elsewhere.mkdir()
    if kind == "mount point":
        refuse_folders(monkeypatch)
    replace_folder(made, target)
    assert {path.name: path.read_text() for path in target.iterdir()} == {"1.png": "1.png", "2.png": "2.png"}
    assert target.is_symlink() == (kind == "link")
    assert not made.exists()


def test_a_folder_with_files_is_not_replaced(made: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "1.png").write_text("precious")
    with pytest.raises(OSError, match="out"):
        replace_folder(made, target)
    assert (target / "1.png").read_text() == "precious"
    assert len(list(made.iterdir())) == 2


def test_a_full_disk_leaves_a_mount_point_empty(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "out"
    target.mkdir()
    refuse_folders(monkeypatch)

    def full(source: Path, copy: Path) -> None:
        copy.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("shutil.copy2", full)
    with pytest.raises(OSError, match="No space left"):
        replace_folder(made, target)
    assert list(target.iterdir()) == []
    assert len(list(made.iterdir())) == 2


def refuse_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let renames of folders fail as those to a mount point do."""
    rename = os.replace

    def replace(source: Path, target: Path) -> None:
        if source.is_dir():
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        rename(source, target)

    monkeypatch.setattr(os, "replace", replace)


def test_leftovers_are_those_of_one_file(tmp_path: Path) -> None:
    names = [".a[1].json.0f.tmp", ".other.json.0f.tmp", "a[1].json"]
    for name in names:
        (tmp_path / name).touch()
    remove_leftovers(tmp_path / "a[1].json")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[1:])
