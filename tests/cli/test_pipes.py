"""y4m through pipes between processes: the same bytes as from files."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.videos import decode, moving_picture, planes, time_of

from ls3d import enhance


def write_y4m(path: Path, pix_fmt: str, count: int = 6) -> None:
    """A y4m file as FFmpeg's own muxer writes it."""
    with av.open(str(path), "w", format="yuv4mpegpipe") as container:
        stream = container.add_stream("wrapped_avframe", rate=Fraction(24000, 1001))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 62, 46, pix_fmt
        for number in range(count):
            picture = av.VideoFrame.from_ndarray(moving_picture(number, 46, 62), "rgb24").reformat(format=pix_fmt)
            picture.pts = number
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def through_a_pipe(command: str, source: Path, *options: str) -> bytes:
    """What a command writes to a pipe when another process writes the source to its standard input."""
    with source.open("rb") as file:
        writer = subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE)
        words = [sys.executable, "-m", "ls3d", command, "-", "-", *options]
        piped = subprocess.run(words, stdin=writer.stdout, capture_output=True, check=True)
        assert writer.wait() == 0
    return piped.stdout


def test_interpolation_through_a_pipe_gives_the_bytes_of_a_file(tmp_path: Path) -> None:
    source, target = tmp_path / "in.y4m", tmp_path / "out.y4m"
    write_y4m(source, "yuv420p")
    enhance.interpolate(source, target, factor=2)
    assert through_a_pipe("interpolate", source, "--factor", "2") == target.read_bytes()
    old, new = decode(source), decode(target)
    assert [time_of(frame) for frame in new] == [Fraction(1001 * n, 48000) for n in range(12)]
    for number, frame in enumerate(old):
        assert all(np.array_equal(a, b) for a, b in zip(planes(frame), planes(new[2 * number]), strict=True))


@pytest.mark.slow
def test_other_commands_through_a_pipe_give_the_bytes_of_a_file(tmp_path: Path) -> None:
    source, target = tmp_path / "in.y4m", tmp_path / "out.y4m"
    write_y4m(source, "yuv444p")
    enhance.denoise(source, target, sigma=10)
    assert through_a_pipe("denoise", source, "--sigma", "10") == target.read_bytes()
    enhance.upscale(source, target, scale=2, options=enhance.EnhanceOptions(overwrite=True))
    assert through_a_pipe("upscale", source, "--scale", "2") == target.read_bytes()
