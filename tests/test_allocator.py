"""Freed memory is kept for the next tensor, in a process that asks for it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

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
