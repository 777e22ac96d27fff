"""Files are written completely or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from ls3d.files import atomic_write


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
