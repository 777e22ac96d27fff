"""A process that runs many jobs doesn't grow."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from helpers.networks import NotANumber
from helpers.videos import Clip

from ls3d.enhance import EnhanceOptions, denoise, interpolate
from ls3d.errors import InputError
from ls3d.inference import NonFiniteOutputError

JOBS = 1000
WARM_UP = 200  # jobs until caches are full
GROWTH = 8 << 20  # bytes

OPTIONS = EnhanceOptions(threads=1, overwrite=True, resume=False)


def used() -> tuple[int, int, int]:
    """Bytes of memory, open files and threads of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_thousand_jobs(tmp_path: Path) -> None:
    """Two in five jobs fail: one when it opens its source, one in the network."""
    source = Clip(3, (16, 16), audio=["eng"]).write(tmp_path / "in.mkv")
    (tmp_path / "text.mkv").write_text("not a video")

    def run(number: int) -> None:
        kind = number % 5
        if kind == 0:
            interpolate(source, tmp_path / "out.mkv", model="blend", options=OPTIONS)
        elif kind == 1:
            denoise(source, tmp_path / "out.y4m", model="identity", options=OPTIONS)
        elif kind == 2:
            denoise(source, tmp_path / f"out{number}", model="identity", options=OPTIONS)
        elif kind == 3:
            with pytest.raises(InputError):
                denoise(tmp_path / "text.mkv", tmp_path / "bad.mkv", model="identity", options=OPTIONS)
        else:
            with pytest.raises(NonFiniteOutputError):
                denoise(source, tmp_path / "bad.mkv", model=NotANumber(), options=OPTIONS)

    for number in range(WARM_UP):
        run(number)
    memory, files, threads = used()
    for number in range(WARM_UP, JOBS):
        run(number)
    assert used()[0] < memory + GROWTH
    assert used()[1:] == (files, threads)
