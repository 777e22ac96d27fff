"""Faults of videos, images, outputs, options and data sets, at the commands and functions that read them."""

from __future__ import annotations

import json
import os
import struct
import zlib
from fractions import Fraction
from pathlib import Path

import pytest
from helpers.videos import Clip

from faults._rows import Make, Row, check, chunks, write

#: Limits for rows that run FFmpeg and a network, which take threads and memory of their own.
MEMORY = 1200
SECONDS = 60.0


def png(width: int, height: int, rows: int) -> bytes:
    """A gray PNG of any stated size, with pixels for only ``rows`` rows."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0" * ((width + 1) * rows), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def clip(name: str, **settings: object) -> Make:
    """Write a good video."""

    def make(folder: Path) -> None:
        Clip(5, (32, 48), **settings).write(folder / name)  # type: ignore[arg-type]

    return make


def damaged(name: str, keep: int) -> Make:
    """Write the first bytes of a video."""

    def make(folder: Path) -> None:
        Clip(5, (32, 48)).write(folder / name)
        (folder / name).write_bytes((folder / name).read_bytes()[:keep])

    return make


def sound(folder: Path) -> None:
    """Write a file without video."""
    Clip(5, (32, 48), audio=["eng"]).write(folder / "video.mp4")
    import av

    with av.open(str(folder / "video.mp4")) as source, av.open(str(folder / "in.mkv"), "w") as output:
        stream = output.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)


def both(*makers: Make) -> Make:
    """Run several makers."""

    def make(folder: Path) -> None:
        for each in makers:
            each(folder)

    return make


def y4m(header: str) -> bytes:
    return f"YUV4MPEG2 {header}\n".encode() + (b"FRAME\n" + b"\x80" * 24) * 3


#: Sources that can't be used: what makes them, their name, what the sentence must say.
SOURCES: dict[str, tuple[Make | None, str, str]] = {
    "missing": (None, "in.mkv", "no such file"),
    "empty": (write("in.mkv", b""), "in.mkv", "is empty"),
    "text": (write("in.mkv", "no video"), "in.mkv", "not a video"),
    "noise": (write("in.mkv", bytes(range(256)) * 64), "in.mkv", "not a video|no frame|no video"),
    "zip": (write("in.mp4", b"PK\x03\x04" + b"\0" * 200), "in.mp4", "not a video"),
    "header only": (damaged("in.mkv", 200), "in.mkv", "not a video|no frame|no video"),
    "mp4 without index": (damaged("in.mp4", 900), "in.mp4", "not a video|no frame|no video"),
    "sound only": (sound, "in.mkv", "no video stream"),
    "URL": (None, "http://localhost:9/in.mkv", "nothing is read from the network"),
    "RTSP": (None, "rtsp://localhost:9/in", "nothing is read from the network"),
    "device": (None, "/dev/null", "device or a pipe"),
    "pipe": (lambda folder: os.mkfifo(folder / "in.mkv"), "in.mkv", "device or a pipe"),
    "folder without images": (lambda folder: (folder / "in").mkdir(), "in", "no images"),
    "folder with one damaged image": (write("in/0.png", b"damaged"), "in", "not an image|no frame"),
    "playlist": (
        both(write("in.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nb.ts\n#EXT-X-ENDLIST\n"), clip("b.ts")),
        "in.m3u8",
        "not a video|no frame|no video",
    ),
    "list of files": (
        both(write("in.ffconcat", "ffconcat version 1.0\nfile b.mkv\n"), clip("b.mkv")),
        "in.ffconcat",
        "not a video|no frame|no video",
    ),
    "name that is a pattern": (
        both(write("%d.png", b"damaged"), write("1.png", png(16, 16, 16))),
        "%d.png",
        "not an image|no frame",
    ),
    "bomb": (write("in/0.png", png(60_000, 60_000, 1)), "in", "max.pixels .* 60000 x 60000"),
    "y4m of 2^31 - 1 frames a second": (write("in.y4m", y4m("W4 H4 F2147483647:1")), "in.y4m", "frames per second"),
    "y4m of a frame in 68 years": (write("in.y4m", y4m("W4 H4 F1:2147483647")), "in.y4m", "frames per second"),
    "y4m without size": (write("in.y4m", y4m("F25:1")), "in.y4m", "not a video|no frame"),
    "y4m of 2^31 pixels": (
        write("in.y4m", y4m("W100000 H100000 F25:1")),
        "in.y4m",
        "have 100000 x 100000 pixels",
    ),
    "control characters": (None, "\x1b]0;title\x07\x9b1m\u202e.mkv", r"\\x1b.*no such file"),
    "markup": (None, "x[/y].mkv", r"x\[/y\]\.mkv: no such file"),
}

READERS: dict[str, tuple[str, ...]] = {
    "interpolate": ("interpolate", "SOURCE", "out.mkv", "--model", "blend", "--progress", "none"),
    "upscale": ("upscale", "SOURCE", "out.mp4", "--model", "bicubic", "--progress", "none"),
    "denoise to images": ("denoise", "SOURCE", "out", "--model", "identity", "--progress", "none"),
}

#: Outputs that can't be written.
TARGETS: dict[str, tuple[Make | None, str, str]] = {
    "exists": (write("out.mkv", "precious"), "out.mkv", "out.mkv exists; --overwrite replaces it"),
    "is a video": (clip("out.mkv"), "out.mkv", "exists; --overwrite"),
    "full folder": (write("out/precious", "x"), "out", "folder with files in it"),
    "no folder": (None, "none/out.mkv", "there is no folder none"),
    "unknown suffix": (None, "out.gif", "suffix .gif is not a video format"),
    "device": (None, "/dev/null", "device or a pipe"),
    "source": (None, "in.mkv", "the source itself"),
    "foreign workspace": (write("out.mkv.ls3d/precious", "x"), "out.mkv", "not an unfinished job"),
    "workspace is a file": (write("out.mkv.ls3d", "x"), "out.mkv", "is a file"),
    "markup and controls": (None, "[red]\x1b[2J/out.mkv", r"\\x1b\[2J/out"),
}

#: Values of options that can't be used.
OPTIONS: dict[str, tuple[str, ...]] = {
    "--start inf": ("--start", "inf"),
    "--start nan": ("--start", "nan"),
    "--start 1e999999999": ("--start", "1e999999999"),
    "--start 99": ("--start", "99"),
    "--start 1/0": ("--start", "1/0"),
    "--duration 0": ("--duration", "0"),
    "--duration -1": ("--duration", "-1"),
    "--max-memory inf": ("--max-memory", "inf"),
    "--max-memory nan": ("--max-memory", "nan"),
    "--max-memory 0": ("--max-memory", "0"),
    "--max-memory 1M": ("--max-memory", "1M"),
    "--max-pixels 0": ("--max-pixels", "0"),
    "--max-pixels 100": ("--max-pixels", "100"),
    "--max-pixels 1e9": ("--max-pixels", "1e9"),
    "--tile 1": ("--tile", "1"),
    "--crf 64": ("--crf", "64"),
    "--crf 60 for h264": ("--crf", "60", "--codec", "h264"),
    "--crf -1": ("--crf", "-1"),
    "--codec none": ("--codec", "none"),
    "--codec h264_vaapi": ("--codec", "h264_vaapi"),
    "--encoder-options text": ("--encoder-options", "fast"),
    "--encoder-options unknown": ("--encoder-options", "presett=fast"),
    "--encoder-options value": ("--encoder-options", "qmin=many"),
    "--deinterlace maybe": ("--deinterlace", "maybe"),
    "--dedup on": ("--dedup", "on"),
    "--hwaccel gpu": ("--hwaccel", "gpu"),
    "--device warp": ("--device", "warp"),
    "--device meta": ("--device", "meta"),
    "--device cuda:99": ("--device", "cuda:99"),
    "--precision int8": ("--precision", "int8"),
    "--on-error ignore": ("--on-error", "ignore"),
    "--image-rate 0": ("--image-rate", "0"),
    "--image-rate 1e9": ("--image-rate", "1e9"),
    "--threads -1": ("--threads", "-1"),
    "--segment-frames 0": ("--segment-frames", "0"),
    "--cut-threshold 101": ("--cut-threshold", "101"),
    "--cut-threshold nan": ("--cut-threshold", "nan"),
    "--no-such-option": ("--no-such-option",),
    "--preview and --duration": ("--preview", "1", "--duration", "1"),
    "no model": ("--model", "no_such_model"),
    "model of another task": ("--model", "c3d"),
    "model is a folder": ("--model", "."),
    "model is a video": ("--model", "./in.mkv"),
}

SIZES = {
    "--scale": ("0", "-2", "9", "inf", "nan", "1/0", "many", ""),
    "--width": ("0", "-16", "99999", "16.5", "wide"),
    "--height": ("0", "1e3"),
    "--fit": ("1920", "1920x", "0x0", "1920x1080x3", "-1920x1080", "99999999999x9", "big"),
}

#: Lists of videos that can't be begun: what makes them, their name, the target, what the sentence must say.
LISTS: dict[str, tuple[Make, str, str, str]] = {
    "videos and images": (
        both(write("list/a.mkv", "x"), write("list/b.png", "x")),
        "list",
        "out",
        "holds videos .1. and images .1.",
    ),
    "output is a video": (write("list/a.mkv", "x"), "list", "out.mkv", "expected a folder"),
    "output is a file": (both(write("list/a.mkv", "x"), write("out", "x")), "list", "out", "expected a folder"),
    "output is standard output": (write("list/a.mkv", "x"), "list", "-", "expected a folder"),
    "output is the folder itself": (write("list/a.mkv", "x"), "list", "list", "folder of the sources"),
    "no folder for the output": (write("list/a.mkv", "x"), "list", "none/out", "there is no folder none"),
    "two outputs of one name": (
        both(write("1/a.mkv", "x"), write("2/a.mkv", "x")),
        "*/a.mkv",
        "out",
        "would both become out/a.mkv",
    ),
    "pattern of no file": (write("list/a.mkv", "x"), "list/*.mp4", "out", "no such file"),
    "pattern of no video": (write("list/a.txt", "x"), "list/*", "out", "suffix .txt is not a video format"),
}

RATES = ("inf", "nan", "0", "-1", "1e-9", "1e9", "1/0", "many", "", "1e99999999")

ROWS = [
    *(
        Row(
            f"{fault} at {reader}",
            tuple(name if each == "SOURCE" else each for each in call),
            make,
            says,
            leaves=("in.mkv",) if fault == "pipe" else (),
            memory=MEMORY,
            seconds=SECONDS,
        )
        for fault, (make, name, says) in SOURCES.items()
        for reader, call in READERS.items()
    ),
    *(
        Row(
            f"target {fault} at {command}",
            (command, "in.mkv", target, "--model", model, "--progress", "none"),
            both(clip("in.mkv"), make or (lambda folder: None)),
            says,
            memory=MEMORY,
            seconds=SECONDS,
        )
        for fault, (make, target, says) in TARGETS.items()
        for command, model in (("interpolate", "blend"), ("denoise", "identity"))
    ),
    *(
        Row(
            f"{fault} at {command}",
            (command, "in.mkv", "out.mkv", "--progress", "none", *(() if "--model" in option else model), *option),
            clip("in.mkv"),
            memory=MEMORY,
            seconds=SECONDS,
        )
        for fault, option in OPTIONS.items()
        for command, model in (("interpolate", ("--model", "blend")), ("upscale", ("--model", "bicubic")))
    ),
    *(
        Row(
            f"--fps {rate!r}",
            ("interpolate", "in.mkv", "out.mkv", "--model", "blend", "--progress", "none", "--fps", rate),
            clip("in.mkv"),
            says="--fps",
            memory=MEMORY,
            seconds=SECONDS,
        )
        for rate in RATES
    ),
    *(
        Row(
            f"--factor {factor!r}", ("interpolate", "in.mkv", "out.mkv", "--factor", factor), clip("in.mkv"), "--factor"
        )
        for factor in ("0", "0.5", "-2", "101", "inf", "nan", "1/0", "many", "", "1e99")
    ),
    *(
        Row(
            f"{flag} {value!r}",
            ("upscale", "in.mkv", "out.mkv", flag, value, "--model", "bicubic"),
            clip("in.mkv"),
            flag if value else "",
        )
        for flag, values in SIZES.items()
        for value in values
    ),
    Row(
        "two sizes",
        ("upscale", "in.mkv", "out.mkv", "--scale", "2", "--height", "1080", "--model", "bicubic"),
        clip("in.mkv"),
        "--height 1080: can't be combined with",
    ),
    Row(
        "a size beyond the limit",
        ("upscale", "in.mkv", "out.mkv", "--height", "100", "--max-pixels", "9999", "--model", "bicubic"),
        clip("in.mkv"),
        "--max-pixels 9999: the output would have 150 x 100 pixels",
        memory=MEMORY,
        seconds=SECONDS,
    ),
    *(
        Row(f"list: {fault}", ("denoise", source, target, "--model", "identity", "--progress", "none"), make, says)
        for fault, (make, source, target, says) in LISTS.items()
    ),
    Row(
        "list with a bad file",
        ("denoise", "list", "out", "--model", "identity", "--progress", "none"),
        both(write("list/a.mkv", "no video"), lambda folder: Clip(2, (32, 48)).write(folder / "list" / "b.mkv")),
        "list/a.mkv is not a video",
        status=3,
        leaves=("out", "out/b.mkv"),
        memory=MEMORY,
        seconds=SECONDS,
    ),
    Row("--sigma loud", ("denoise", "in.mkv", "out.mkv", "--sigma", "loud"), clip("in.mkv"), "--sigma loud"),
    Row("standard input is no pipe", ("denoise", "-", "out.mkv", "--model", "identity"), None, "standard input"),
    Row(
        "a gap of a day",
        ("interpolate", "in.mkv", "out.mkv", "--model", "blend", "--fps", "60", "--progress", "none"),
        clip("in.mkv", time_base=Fraction(1, 1000), pts=[0, 40, 80, 120, 86_400_000]),
        status=0,
        leaves=("out.mkv",),
        memory=MEMORY,
        seconds=SECONDS,
    ),
]


def frames(folder: str, *sizes: tuple[int, int]) -> Make:
    """Write numbered images of these sizes."""
    return both(*(write(f"{folder}/{n}.png", png(*size, size[1])) for n, size in enumerate(sizes)))


EVALUATIONS: dict[str, tuple[Make | None, tuple[str, ...], str]] = {
    "no folder": (None, ("folder-x2", "data"), "does not hold"),
    "empty folder": (lambda folder: (folder / "data").mkdir(), ("folder-x2", "data"), "does not hold"),
    "unknown protocol": (None, ("vid44", "data"), "no protocol"),
    "short clip": (frames("data/a", (32, 32)), ("folder-x2", "data"), "long enough"),
    "second frame of another size": (frames("data/a", (32, 32), (32, 32), (24, 24)), ("folder-x2", "data"), "frame 2"),
    "truth of another size": (frames("data/a", (32, 32), (24, 24), (32, 32)), ("folder-x2", "data"), "frame 1"),
    "damaged image": (
        both(frames("data/a", (32, 32), (32, 32), (32, 32)), write("data/a/1.png", b"damaged")),
        ("folder-x2", "data"),
        "1.png is not an image",
    ),
    "damaged video": (write("data/a.mp4", b"damaged"), ("folder-x2", "data"), "a.mp4 is not a video"),
    "list that is binary": (
        write("data/tri_testlist.txt", b"\xff\xfe\0"),
        ("vimeo-triplet", "data"),
        "not a text file",
    ),
    "list of two thirds": (write("data/test-easy.txt", "a b"), ("snu-film-easy", "data"), "expected three"),
    "JSON list that is broken": (
        write("data/mlb-youtube-segmented.json", "{"),
        ("mlb-youtube", "data"),
        "not the list of MLB-YouTube",
    ),
    "JSON list of numbers": (
        write("data/mlb-youtube-segmented.json", json.dumps([1])),
        ("mlb-youtube", "data"),
        "not the list of MLB-YouTube",
    ),
    "markup in a name": (write("data/x[/y].mp4", b"damaged"), ("folder-x2", "data"), r"x\[/y\].mp4"),
}

ROWS_OF_EVALUATION = [
    *(
        Row(
            f"{fault} at evaluate",
            ("evaluate", "blend", "--protocol", protocol, "--data", data, "--json", "out.json"),
            make,
            says,
            memory=MEMORY,
            seconds=SECONDS,
        )
        for fault, (make, (protocol, data), says) in EVALUATIONS.items()
    ),
    Row(
        "report is a folder",
        ("evaluate", "blend", "--protocol", "folder-x2", "--data", "data", "--json", "data/a"),
        frames("data/a", (32, 32), (32, 32), (32, 32)),
        "folder|directory",
        memory=MEMORY,
    ),
    Row(
        "journal that is binary",
        ("evaluate", "blend", "--protocol", "folder-x2", "--data", "data", "--json", "out.json"),
        both(frames("data/a", (32, 32), (32, 32), (32, 32)), write("out.json.part", b"\xff\0\xfe")),
        status=0,
        leaves=("out.json", "out.json.part"),
        memory=MEMORY,
        seconds=SECONDS,
    ),
]


@pytest.mark.parametrize("rows", chunks(ROWS, 40))
def test_faults_of_the_engine(rows: list[Row], tmp_path: Path) -> None:
    check(rows, tmp_path)


def test_faults_of_evaluation(tmp_path: Path) -> None:
    check(ROWS_OF_EVALUATION, tmp_path)
