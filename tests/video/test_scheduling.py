"""Encoders make no thread of this process a real-time thread, which SVT-AV1 does for root."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from helpers.encoding import rewrite, settings_for
from helpers.videos import Clip

from ls3d.video import Encoder, VideoFile

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="os.sched_getscheduler is Linux's")


def policies() -> set[int]:
    """Of all threads of this process."""
    return {os.sched_getscheduler(int(name)) for name in os.listdir("/proc/self/task")}


def test_encoders_start_no_real_time_threads(tmp_path: Path) -> None:
    source = Clip(4).write(tmp_path / "in.mp4")
    encoder = Encoder(settings_for(source, tmp_path / "out.mkv", "av1"))
    for index, frame in enumerate(VideoFile(source).frames()):
        encoder.encode(frame.picture, index)
        assert policies() == {os.SCHED_OTHER}
    encoder.flush()


def test_writing_a_file_starts_no_real_time_threads(tmp_path: Path) -> None:
    source = Clip(4).write(tmp_path / "in.mp4")
    rewrite(source, tmp_path / "out.mkv", "av1")
    assert policies() == {os.SCHED_OTHER}


def test_the_policy_that_a_user_chose_is_kept(tmp_path: Path) -> None:
    source = Clip(2).write(tmp_path / "in.mp4")
    try:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        rewrite(source, tmp_path / "out.mkv", "av1")
        assert os.sched_getscheduler(0) == os.SCHED_BATCH
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
