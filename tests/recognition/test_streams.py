"""Classification of streams: a pipe, HTTP, UDP; what may be opened; Ctrl-C. Every stream is red, green and blue."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from helpers import videos
from helpers.flat_colors import COLORS, color_at
from typer.testing import CliRunner

from ls3d.cli.main import app
from ls3d.data.clips import Pixels
from ls3d.errors import InputError
from ls3d.inference import Classifier
from ls3d.models import RecognitionNet, load_model
from ls3d.recognition import Window, classify_stream, classify_video
from ls3d.recognition.streams import _Reader
from ls3d.video.streams import StreamAddress, read_stream_regularly, stream_address

#: Of one-second windows at 0, 0.5, ..., 5 s, where each color is shown for two seconds.
SEQUENCE = ["red", "red", "red", None, "green", "green", "green", None, "blue", "blue", "blue"]


@pytest.fixture(scope="module")
def classifier(color_network: Path) -> Classifier:
    network = load_model(color_network)
    assert isinstance(network, RecognitionNet)
    return Classifier(network, "cpu")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clip = videos.Clip(60, (32, 48), rate=Fraction(10), picture=color_at(20))
    return clip.write(tmp_path_factory.mktemp("stream") / "colors.ts")


def names(classifier: Classifier, windows: list[Window]) -> list[str]:
    return [classifier.classes[int(window.probabilities.argmax())] for window in windows]


def assert_sequence(found: list[str]) -> None:
    assert len(found) == len(SEQUENCE)
    for name, expected in zip(found, SEQUENCE, strict=True):
        assert expected in (None, name)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder by HTTP; yields its address."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=os.fspath(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def address(name: str) -> StreamAddress:
    found = stream_address(name)
    assert found is not None
    return found


def test_windows_of_a_pipe_are_those_of_the_file(classifier: Classifier, video: Path) -> None:
    found = list(classify_stream(classifier, io.BytesIO(video.read_bytes())))
    assert_sequence(names(classifier, found))
    expected = classify_video(classifier, video).windows
    assert [(window.start, window.end) for window in found] == [(window.start, window.end) for window in expected]


def test_a_video_by_http(classifier: Classifier, video: Path) -> None:
    with served(video.parent) as server:
        windows = list(classify_stream(classifier, address(f"{server}/colors.ts"), stride=1.0))
    assert names(classifier, windows)[::2] == list(COLORS)


def test_a_playlist_by_http_opens_no_file(classifier: Classifier, video: Path, tmp_path: Path) -> None:
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:6", "#EXTINF:6,", f"file://{video}", "#EXT-X-ENDLIST"]
    (tmp_path / "list.m3u8").write_text("\n".join(lines) + "\n")
    with served(tmp_path) as server, pytest.raises(InputError, match=r"list\.m3u8"):
        list(classify_stream(classifier, address(f"{server}/list.m3u8")))


def test_udp_is_joined_in_the_middle(classifier: Classifier) -> None:
    """Frames are sent ten times as fast as their times say, so that the test is short.

    Until the first window is read, they are sent twice as fast. The sender's clock is at 1000 seconds. The first
    windows come all at once, when the stream has been recognized, so some of them may be dropped.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    stop, begun = threading.Event(), threading.Event()

    def send() -> None:
        options = {"g": "5", "preset": "ultrafast", "tune": "zerolatency", "repeat-headers": "1"}
        with av.open(f"udp://127.0.0.1:{port}?pkt_size=1316", "w", format="mpegts") as output:
            stream = output.add_stream("libx264", rate=10, options=options)
            stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
            for index in range(10_000):
                if stop.is_set():
                    break
                picture = av.VideoFrame.from_ndarray(color_at(40)(index, 32, 48), format="rgb24")
                picture.pts, picture.time_base = 10_000 + index, Fraction(1, 10)
                output.mux(stream.encode(picture))
                time.sleep(0.01 if begun.is_set() else 0.05)  # a window that isn't read in time is dropped

    sender = threading.Thread(target=send)
    sender.start()
    try:
        windows = classify_stream(classifier, address(f"udp://127.0.0.1:{port}"))
        found = [next(windows)]
        begun.set()
        found += islice(windows, 29)
        windows.close()  # type: ignore[attr-defined]
    finally:
        stop.set()
        sender.join()
    assert set(names(classifier, found)) == set(COLORS)
    starts = [window.start for window in found]
    assert starts[0] < 10
    assert starts == sorted(starts)


@pytest.mark.parametrize(("drops", "expected"), [(True, [4]), (False, [0, 1, 2, 3, 4])])
def test_a_live_stream_drops_windows_that_are_not_read_in_time(drops: bool, expected: list[int]) -> None:
    """Five windows come before the first one is read."""
    pixels = np.zeros((1, 2, 2, 3), np.uint8)
    done = threading.Event()

    def windows() -> Iterator[tuple[int, Pixels]]:
        for number in range(5):
            yield number, pixels
        done.set()

    reader = _Reader(windows(), drops)
    if drops:
        done.wait()
    found = []
    while (window := reader.next()) is not None:
        found.append(window[0])
    reader.stop()
    assert found == expected


def test_a_clock_that_is_set_leaves_no_gap(tmp_path: Path) -> None:
    """MPEG-TS can be concatenated: the times jump by an hour, and then back."""
    parts = []
    for number, first in enumerate((0, 36_000, 100)):
        clip = videos.Clip(10, (32, 48), rate=Fraction(10), pts=range(first, first + 10), picture=color_at(10))
        parts.append(clip.write(tmp_path / f"{number}.ts").read_bytes())
    frames = list(read_stream_regularly(io.BytesIO(b"".join(parts)), 10.0))
    assert 28 <= len(frames) <= 32


def test_what_a_name_stands_for(tmp_path: Path) -> None:
    assert stream_address("/dev/video3") == StreamAddress("/dev/video3", "v4l2", (), live=True)
    assert stream_address("avfoundation:0") == StreamAddress("0", "avfoundation", (), live=True)
    assert stream_address("dshow:video=USB Camera") == StreamAddress("video=USB Camera", "dshow", (), live=True)
    assert address("rtsp://camera/1").live
    for credentials in ("user:secret@", "user:sec@ret@", "user@"):
        assert address(f"rtsp://{credentials}camera/1@2").title == "rtsp://camera/1@2"
    assert not address("https://host/a.mp4").live
    assert address("https://host/a.mp4").protocols == ("https", "tls", "tcp")
    for name in ("holiday.mp4", "C:/holiday.mp4", "/dev/null", "a:b.mp4"):
        assert stream_address(name) is None
    for name in ("file:///etc/passwd", "concat://a", "ftp://host/a.mp4"):
        with pytest.raises(InputError, match="expected one of the schemes http, https"):
            stream_address(name)


def test_streams_that_cannot_be_opened(classifier: Classifier) -> None:
    for name in ("/dev/video99", "http://127.0.0.1:9/a.mp4"):
        with pytest.raises(InputError, match="can't be opened"):
            list(classify_stream(classifier, address(name)))
    with pytest.raises(InputError, match="standard input is not a video"):
        list(classify_stream(classifier, io.BytesIO(b"no video")))


#: The program, also if the tests run in the background of a shell, whose processes ignore SIGINT.
PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from ls3d.cli import main
main()
"""


def start(color_network: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", PROGRAM, "classify", "-", "--model", os.fspath(color_network), *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe)


def test_standard_input_as_lines_of_json(color_network: Path, video: Path) -> None:
    with start(color_network, "--top", "1", "--json-lines", "-") as process:
        output, errors = process.communicate(video.read_bytes(), timeout=120)
    assert process.returncode == 0, errors
    lines = [json.loads(line) for line in output.splitlines()]
    assert_sequence([next(iter(line["best"])) for line in lines])
    assert [line["start"] for line in lines] == [k / 2 for k in range(11)]
    assert errors.startswith(b"mean of 11 windows: ")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT between processes")
def test_an_interrupted_stream_has_a_summary(color_network: Path, video: Path) -> None:
    with start(color_network) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(video.read_bytes())
        process.stdin.flush()
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)  # the pipe is still open
        output, errors = process.stdout.read(), process.stderr.read()
    assert process.returncode == 130, errors
    assert first.startswith(b"0.0-1.0 s: red ")
    assert output.splitlines()[-1].startswith(b"mean of ")
    assert b"Traceback" not in errors


@pytest.mark.parametrize("option", ["--json", "--csv", "--plot", "--annotate"])
def test_streams_have_no_time_line(color_network: Path, option: str) -> None:
    result = CliRunner().invoke(app, ["classify", "udp://127.0.0.1:9", "--model", str(color_network), option, "a.mp4"])
    assert isinstance(result.exception, InputError)
    assert result.exception.argument == option.removeprefix("--")


def test_a_stream_is_alone(color_network: Path) -> None:
    result = CliRunner().invoke(app, ["classify", "-", "a.mp4", "--model", str(color_network)])
    assert "expected no other video besides it" in str(result.exception)
