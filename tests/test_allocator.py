"""Freed memory is kept for the next tensor, in a process that asks for it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.flat_colors import color_at
from helpers.videos import Clip

COUNT = """
import resource, sys
import torch
import ls3d
kept = ls3d.keep_freed_memory() if sys.argv[1] == "keep" else False
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(16 * 2**20)  # 64 MiB
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def count_page_faults(argument: str, **variables: str) -> tuple[bool, int]:
    command = [sys.executable, "-c", COUNT, argument]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=True)
    kept, faults = done.stdout.split()
    return kept == "True", int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator has these settings")
def test_the_system_clears_the_pages_of_a_large_tensor_only_once() -> None:
    kept, few = count_page_faults("keep")
    not_kept, many = count_page_faults("keep", LS3D_KEEP_MEMORY="0")
    assert kept
    assert not not_kept
    assert few < many / 20


DECODE = """
import sys
from pathlib import Path
import ls3d
from ls3d.video.timed_frames import read_frames_regularly
assert ls3d.keep_freed_memory()
found = []
for index, _ in enumerate(read_frames_regularly(sys.argv[1], 5.0)):
    if index % 400 == 399:
        with open("/proc/self/statm") as file:
            found.append(int(file.read().split()[1]) * 4096)
print(found[-1] - found[0])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator has these settings")
def test_memory_does_not_grow_while_a_video_is_decoded(tmp_path: Path) -> None:
    video = Clip(4000, (96, 128), picture=color_at(100)).write(tmp_path / "long.mp4")
    done = subprocess.run([sys.executable, "-c", DECODE, str(video)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 2e6
