"""Blocks of several threads that capture what FFmpeg logs, at the same time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from multiprocessing.pool import ThreadPool
from pathlib import Path

import av
import pytest
from helpers.videos import Clip

from ls3d.video import VideoFile
from ls3d.video.logs import logged, quiet


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    level, skips = av.logging.get_level(), av.logging.get_skip_repeated()
    yield
    assert (av.logging.get_level(), av.logging.get_skip_repeated()) == (level, skips)


def log(level: int, text: str) -> None:
    av.logging.log(level, "test", text)


def test_messages_from_a_level_on_are_captured() -> None:
    with logged(av.logging.WARNING) as messages:
        log(av.logging.ERROR, "a")
        log(av.logging.INFO, "b")
        assert messages() == [(av.logging.ERROR, "test", "a")]
        log(av.logging.WARNING, "c")
        log(av.logging.WARNING, "c")
    assert [text for _, _, text in messages()] == ["a", "c", "c"]


def test_blocks_that_overlap_keep_their_levels() -> None:
    """The first block ends while the second one is open, and takes its level along."""
    first, second = threading.Event(), threading.Event()

    def verbose() -> list[str]:
        with logged(av.logging.INFO) as messages:
            first.set()
            assert second.wait(60)
            log(av.logging.INFO, "verbose")
        return [text for _, _, text in messages()]

    with ThreadPool(1) as pool, quiet():
        other = pool.apply_async(verbose)
        assert first.wait(60)
        with logged(av.logging.ERROR) as messages:
            second.set()
            assert other.get(60) == ["verbose"]
            log(av.logging.INFO, "left out")
            log(av.logging.ERROR, "same")
            log(av.logging.ERROR, "same")
        assert [text for _, _, text in messages()] == ["same", "same"]


def test_what_other_threads_log_does_not_reach_the_user(caplog: pytest.LogCaptureFixture) -> None:
    with ThreadPool(1) as pool, logged(av.logging.INFO) as messages:
        pool.apply(log, (av.logging.ERROR, "of another thread"))
        with quiet():
            log(av.logging.ERROR, "in a quiet block")
    assert messages() == []
    assert caplog.records == []


def test_a_level_that_the_user_chose_stays_in_force_elsewhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "libav")
    av.logging.set_level(av.logging.ERROR)
    try:
        with ThreadPool(1) as pool, logged(av.logging.INFO):
            pool.apply(log, (av.logging.ERROR, "of another thread"))
        assert av.logging.get_level() == av.logging.ERROR
    finally:
        av.logging.set_level(None)
    assert [record.getMessage() for record in caplog.records] == ["of another thread"]


def test_properties_are_found_by_threads_at_the_same_time(tmp_path: Path) -> None:
    """The siting of the chroma samples is known only from what FFmpeg logs."""
    path = Clip(2, (32, 48)).write(tmp_path / "in.mp4")
    with ThreadPool(4) as pool:
        infos = pool.map(lambda _: VideoFile(path).info, range(200), chunksize=1)
    assert {info.chroma_location for info in infos} == {"left"}
