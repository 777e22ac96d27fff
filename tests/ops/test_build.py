"""The build of the CPU kernel with compilers that fail: why is kept for ``ls3d doctor``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KERNEL = Path("ls3d/ops/backends/cpu")
#: Writes an empty file instead of compiling, or fails.
COMPILER = """#!/bin/sh
case "$*" in *{fails_with}*) echo "{error}" >&2; exit 1;; esac
while [ "$1" != -o ]; do shift; done
: > "$2"
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the compiler is a shell script")
@pytest.mark.parametrize(("fails_with", "built"), [("-std=gnu++17", False), ("-fopenmp", True)])
def test_the_error_of_a_compiler_is_kept(tmp_path: Path, fails_with: str, built: bool) -> None:
    error = "g++: error: unrecognized option"
    compiler = tmp_path / "c++"
    compiler.write_text(COMPILER.format(fails_with=fails_with, error=error))
    compiler.chmod(0o755)
    command = [
        sys.executable,
        "setup.py",
        "build_ext",
        "--build-lib",
        f"{tmp_path}/lib",
        "--build-temp",
        f"{tmp_path}/o",
    ]
    tools = {"CC": str(compiler), "CXX": str(compiler), "LDSHARED": str(compiler), "LDCXXSHARED": str(compiler)}
    done = subprocess.run(command, cwd=ROOT, env=os.environ | tools, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert error in done.stderr
    assert ("without OpenMP" if built else "was not built") in done.stderr
    folder = tmp_path / "lib" / KERNEL
    assert (folder / "build_problem.txt").read_text() == error + "\n"
    assert (folder / "libls3d.so").exists() == built
