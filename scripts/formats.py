"""Try every kind of video and stream in every output format, and write what becomes of it to ``docs/formats.md``.

    python scripts/formats.py [--check]

Small clips are written with PyAV and rewritten by ``ls3d.enhance.denoise`` with the identity model. The outcome of each
cell is found by reading the output with PyAV alone. ``--check`` compares with the page instead of writing it. The exit
status is 1 if something was lost without a note, or a run failed after its first frame.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import av
import numpy as np

from ls3d.enhance import EnhanceOptions, denoise
from ls3d.errors import InputError
from ls3d.video import VideoFile

PAGE = Path(__file__).parents[1] / "docs" / "formats.md"

KEPT = "kept"
CONVERTED = "converted"
LEFT_OUT = "left out, said before"
REFUSED = "refused, said before"
SILENT = "SILENT"
FAILED = "FAILED AFTER THE WORK"
OUTCOMES = (KEPT, CONVERTED, LEFT_OUT, REFUSED, SILENT, FAILED)

#: Output formats by suffix; none is a folder of PNG images.
TARGETS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".ts", ".y4m", "")

_FRAMES = 6
_SIZE = (48, 64)
_FULL, _LIMITED = 2, 1

#: Encoders of the source, their pixel formats by depth, and their container.
_VIDEO = {
    "h264": ("libx264", {8: "yuv420p", 10: "yuv420p10le"}, ".mkv", {"preset": "ultrafast"}),
    "hevc": ("libx265", {8: "yuv420p", 10: "yuv420p10le"}, ".mkv", {"x265-params": "log-level=none"}),
    "av1": ("libsvtav1", {8: "yuv420p", 10: "yuv420p10le"}, ".mkv", {"preset": "12"}),
    "vp9": ("libvpx-vp9", {8: "yuv420p"}, ".mkv", {"deadline": "realtime"}),
    "mpeg2video": ("mpeg2video", {8: "yuv420p"}, ".mkv", {}),
    "mjpeg": ("mjpeg", {8: "yuvj420p"}, ".mkv", {}),
    "prores": ("prores_ks", {10: "yuv422p10le"}, ".mkv", {}),
    "ffv1": ("ffv1", {8: "yuv444p", 10: "yuv444p10le", 16: "gbrp16le"}, ".mkv", {}),
    "rawvideo": ("rawvideo", {8: "yuv420p"}, ".avi", {}),
}

_AUDIO = (
    *("aac", "mp2", "libmp3lame", "ac3", "eac3", "libopus", "flac", "alac"),
    *("pcm_s16le", "pcm_s24le", "pcm_f32le", "pcm_u8", "pcm_mulaw", "adpcm_ms", "wavpack", "tta"),
)
_IN_AVI = ("pcm_mulaw audio", "adpcm_ms audio")  # which PyAV writes into no Matroska file
_SUBTITLES = ("subrip", "ass", "webvtt", "mov_text")
#: Sources with an alpha channel: encoder, pixel format, suffix and options.
_TRANSPARENT = {
    "ProRes 4444": ("prores_ks", "yuva444p10le", ".mov", {}),
    "VP9": ("libvpx-vp9", "yuva420p", ".webm", {"deadline": "realtime", "crf": "10", "b": "0", "auto-alt-ref": "0"}),
    "FFV1": ("ffv1", "yuva420p", ".mkv", {}),
    "QuickTime Animation": ("qtrle", "argb", ".mov", {}),
    "PNG": ("png", "rgba", ".mov", {}),
}
_OTHERS = ("font", "JPEG cover", "chapters", "title", "timecode", "rotation", "mirroring", "sample aspect ratio")


@dataclass
class Run:
    """A run of the program on one file.

    Attributes:
        error: the error that ended it, if any.
        notes: warnings before the first frame.
        started: whether a frame was made.
    """

    error: Exception | None = None
    notes: list[str] = field(default_factory=list)
    started: bool = False


class _Recorder(logging.Handler):
    def __init__(self, run: Run) -> None:
        super().__init__(logging.WARNING)
        self._run = run

    def emit(self, record: logging.LogRecord) -> None:
        if not self._run.started:
            self._run.notes.append(record.getMessage())


def rewrite(source: Path, target: Path) -> Run:
    """Rewrite a file with the identity model."""
    run = Run()
    logger = logging.getLogger("ls3d")
    handler = _Recorder(run)
    logger.addHandler(handler)
    logger.propagate = False

    def step(_: object) -> None:
        run.started = True

    try:
        denoise(source, target, model="identity", options=EnhanceOptions(threads=1, cut_threshold=0), progress=step)
    except Exception as error:
        run.error = error
    finally:
        logger.removeHandler(handler)
        logger.propagate = True
    return run


@dataclass(frozen=True)
class Cell:
    """What becomes of one kind of thing in one format."""

    thing: str
    target: str
    outcome: str


def outcome_of(run: Run, changes: Callable[[], str]) -> str:
    """Classify a run.

    Args:
        run: the run.
        changes: reads the output and returns ``KEPT``, ``CONVERTED`` or ``LEFT_OUT``.
    """
    if run.error is not None:
        return REFUSED if isinstance(run.error, InputError) and not run.started else FAILED
    found = changes()
    return found if found == KEPT or run.notes else SILENT


def picture(number: int, height: int, width: int) -> av.VideoFrame:
    """A colored, moving picture."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = (np.arange(width) * 3 + 9 * number) % 200 + 20
    image[..., 1] = (np.arange(height)[:, None] * 4) % 200 + 20
    image[..., 2] = 90
    return av.VideoFrame.from_ndarray(image, format="rgb24")


def add_video(output: Any, codec: str, pix_fmt: str, options: dict[str, str], full: bool = False) -> Any:
    """Add a video stream with millisecond times, if the container has times."""
    stream = output.add_stream(codec, rate=25, options=options)
    stream.height, stream.width = _SIZE
    stream.pix_fmt = pix_fmt
    if output.format.name != "avi" and codec != "mpeg2video":
        stream.codec_context.time_base = Fraction(1, 1000)
    stream.codec_context.color_range = _FULL if full else _LIMITED
    return stream


def encode(output: Any, stream: Any, full: bool = False, variable: bool = False) -> None:
    """Encode the frames of a clip."""
    times = [0, 40, 80, 200, 240, 400] if variable else [40 * n for n in range(_FRAMES)]
    for number, time in enumerate(times):
        frame = picture(number, *_SIZE).reformat(format=stream.pix_fmt, dst_color_range="JPEG" if full else "MPEG")
        frame.color_range = _FULL if full else _LIMITED
        frame.pts, frame.time_base = time, Fraction(1, 1000)
        output.mux(stream.encode(frame))
    output.mux(stream.encode())


def video_cells(folder: Path, targets: tuple[str, ...]) -> Iterator[Cell]:
    """Codecs, depths, ranges and kinds of rate."""
    for name, (encoder, formats, suffix, options) in _VIDEO.items():
        rates = (False, True) if suffix == ".mkv" and name != "mpeg2video" else (False,)
        for (depth, pix_fmt), variable in product(formats.items(), rates):
            for full in _ranges(name, pix_fmt):
                range_name = "full" if full else "limited"
                thing = f"{name}, {depth} bits, {range_name} range, {'variable' if variable else 'constant'} rate"
                source = folder / f"source{suffix}"
                with av.open(str(source), "w") as output:
                    encode(output, add_video(output, encoder, pix_fmt, dict(options), full), full, variable)
                for target in targets:
                    path = folder / f"out{target}"
                    run = rewrite(source, path)
                    yield Cell(thing, target, outcome_of(run, partial(_compare_video, source, path)))
                    _remove(path)


def _ranges(name: str, pix_fmt: str) -> tuple[bool, ...]:
    """Whether the range is full, for all ranges that a codec has."""
    if name == "mjpeg" or pix_fmt.startswith("gbr"):
        return (True,)
    return (False,) if name == "rawvideo" else (False, True)


def _first(path: Path) -> Path:
    return sorted(path.iterdir())[0] if path.is_dir() else path


def _compare_video(source: Path, path: Path) -> str:
    """Whether frames, times, depth, chroma and range are the source's."""
    before = VideoFile(source)
    after = VideoFile(_first(path))
    old, new = before.info.color, after.info.color
    if new.layout.depth < old.layout.depth or new.layout.subsampling > old.layout.subsampling:
        return CONVERTED
    if old.layout.family == new.layout.family and new.full_range != old.full_range:
        return CONVERTED
    if path.is_dir():
        count = len(list(path.iterdir()))
        return KEPT if count == _FRAMES else CONVERTED
    times = [[frame.time for frame in each.frames()] for each in (before, after)]
    times = [[time - each[0] for time in each] for each in times]
    if len(times[0]) != len(times[1]):
        return CONVERTED
    return KEPT if all(abs(a - b) <= Fraction(2, 1000) for a, b in zip(*times, strict=True)) else CONVERTED


def stream_cells(folder: Path, targets: tuple[str, ...]) -> Iterator[Cell]:
    """Audio, subtitles, attachments, chapters, metadata, geometry."""
    things = [*(f"{name} audio" for name in _AUDIO), *(f"{name} subtitles" for name in _SUBTITLES), *_OTHERS]
    for thing in things:
        source = _write_source(folder, thing)
        for target in targets:
            path = folder / f"out{target}"
            run = rewrite(source, path)
            yield Cell(thing, target, outcome_of(run, partial(_compare_streams, thing, source, path)))
            _remove(path)


def transparency_cells(folder: Path, targets: tuple[str, ...]) -> Iterator[Cell]:
    """Alpha channels."""
    for name, (encoder, pix_fmt, suffix, options) in _TRANSPARENT.items():
        source = folder / f"source{suffix}"
        with av.open(str(source), "w") as output:
            stream: Any = output.add_stream(encoder, rate=25, options=options)
            stream.height, stream.width = _SIZE
            stream.pix_fmt = pix_fmt
            for number in range(_FRAMES):
                frame = _transparent_picture(number).reformat(format=pix_fmt)
                frame.pts, frame.time_base = number, Fraction(1, 25)
                output.mux(stream.encode(frame))
            output.mux(stream.encode())
        for target in targets:
            path = folder / f"out{target}"
            run = rewrite(source, path)
            thing = f"transparency, {name}"
            yield Cell(thing, target, outcome_of(run, partial(_compare_transparency, source, path)))
            _remove(path)


def _transparent_picture(number: int) -> av.VideoFrame:
    """A picture that is opaque in a moving rectangle, and fades towards the right elsewhere."""
    color = picture(number, *_SIZE).to_ndarray(format="rgb24")
    alpha = np.tile(np.linspace(0, 200, _SIZE[1]).astype(np.uint8), (_SIZE[0], 1))
    alpha[10:30, 5 + 4 * number : 25 + 4 * number] = 255
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(np.dstack([color, alpha])), format="rgba")


def _compare_transparency(source: Path, path: Path) -> str:
    """Whether the alpha of the first frame is the source's, but for what a codec loses."""
    alphas = []
    for each in (source, _first(path)):
        video = VideoFile(each)
        alpha = next(iter(video.frames())).alpha
        if alpha is None:
            return LEFT_OUT
        alphas.append(alpha / (2**video.info.color.layout.depth - 1))
    return KEPT if abs(alphas[0] - alphas[1]).mean() < 0.03 else CONVERTED


def _write_source(folder: Path, thing: str) -> Path:
    in_mov = thing in ("mov_text subtitles", "timecode", "rotation", "mirroring", "sample aspect ratio")
    path = folder / ("source.mov" if in_mov else "source.avi" if thing in _IN_AVI else "source.mkv")
    with av.open(str(path), "w") as output:
        video = add_video(output, "libx264", "yuv420p", {"preset": "ultrafast"})
        audio = output.add_stream(thing.split()[0], rate=48000, layout="mono") if thing.endswith("audio") else None
        text = _open_text(folder, thing) if thing.endswith("subtitles") else None
        copied = None
        if text is not None and thing.split()[0] in ("subrip", "ass", "webvtt"):
            copied = output.add_stream_from_template(text.streams[0])
        elif text is not None:
            decoder = text.streams[0].codec_context
            decoder.open(strict=False)
            copied = output.add_stream("mov_text")
            copied.codec_context.time_base = Fraction(1, 1000)
            copied.codec_context.subtitle_header = decoder.subtitle_header
        _add_other(output, video, thing)
        output.start_encoding()
        encode(output, video)
        if audio is not None:
            _encode_audio(output, audio)
        if text is not None:
            _copy_text(output, copied, text)
    return path


def _add_other(output: Any, video: Any, thing: str) -> None:
    if thing == "font":
        output.add_attachment("font.ttf", "application/x-truetype-font", b"a font")
    elif thing == "JPEG cover":
        output.add_attachment("cover.jpg", "image/jpeg", _jpeg())
    elif thing == "chapters":
        chapter = {"id": 1, "start": 0, "end": 200, "time_base": Fraction(1, 1000), "metadata": {"title": "one"}}
        output.set_chapters([chapter])
    elif thing == "title":
        output.metadata["title"] = "A title"
    elif thing == "timecode":
        output.metadata["timecode"] = "01:00:00:00"
    elif thing == "rotation":
        video.set_display_rotation(90)
    elif thing == "mirroring":
        video.set_display_matrix((-(1 << 16), 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30))
    elif thing == "sample aspect ratio":
        video.codec_context.sample_aspect_ratio = Fraction(4, 3)


def _jpeg() -> bytes:
    context = av.CodecContext.create("mjpeg", "w")
    context.width, context.height, context.pix_fmt, context.time_base = 64, 48, "yuvj420p", Fraction(1, 25)
    frame = picture(0, 48, 64).reformat(format="yuvj420p")
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])


def _encode_audio(output: Any, stream: Any) -> None:
    context = stream.codec_context
    resampler = av.AudioResampler(context.format, "mono", 48000, stream.frame_size or 1024)
    samples = np.sin(np.arange(24000) / 20)[None].astype(np.float32) / 4
    frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
    frame.sample_rate, frame.time_base, frame.pts = 48000, Fraction(1, 48000), 0
    for part in [*resampler.resample(frame), *resampler.resample(None)]:
        if not stream.frame_size or part.samples == stream.frame_size:
            output.mux(stream.encode(part))
    output.mux(stream.encode(None))


def _open_text(folder: Path, thing: str) -> Any:
    """A file of subtitles, opened."""
    if thing.startswith("ass"):
        events = "[Events]\nFormat: Layer, Start, End, Style, Text\nDialogue: 0,0:00:00.04,0:00:00.20,Default,one\n"
        styles = "[V4+ Styles]\nFormat: Name, Fontname\nStyle: Default,Arial"
        content = f"[Script Info]\nScriptType: v4.00+\n\n{styles}\n\n{events}"
        path = folder / "text.ass"
    elif thing.startswith("webvtt"):
        content, path = "WEBVTT\n\n00:00.040 --> 00:00.200\none\n\n", folder / "text.vtt"
    else:
        content, path = "1\n00:00:00,040 --> 00:00:00,200\none\n\n", folder / "text.srt"
    path.write_text(content)
    return av.open(str(path))


def _copy_text(output: Any, stream: Any, text: Any) -> None:
    for packet in text.demux(text.streams[0]):
        if not packet.size:
            continue
        if stream.codec_context is not None and stream.codec_context.name == "mov_text":
            made = av.Packet(b"\0\3one")
            made.pts, made.dts, made.duration, made.time_base = (
                packet.pts,
                packet.pts,
                packet.duration,
                packet.time_base,
            )
            packet = made
        packet.stream = stream
        output.mux(packet)


def _compare_streams(thing: str, source: Path, path: Path) -> str:
    if thing == "sample aspect ratio":
        ratios = [VideoFile(each).info.sample_aspect_ratio for each in (source, _first(path))]
        return KEPT if ratios[0] == ratios[1] else LEFT_OUT
    if path.is_dir() or path.suffix == ".y4m":
        return LEFT_OUT
    with av.open(str(source)) as old, av.open(str(path)) as new:
        if thing == "chapters":
            return KEPT if len(new.chapters()) == len(old.chapters()) else LEFT_OUT
        if thing == "title":
            return KEPT if new.metadata.get("title") == "A title" else LEFT_OUT
        if thing == "timecode":
            return KEPT if any("01:00:00:00" in _values(each) for each in (new, *new.streams)) else LEFT_OUT
        if thing in ("rotation", "mirroring"):
            infos = [VideoFile(each).info.display_matrix for each in (source, path)]
            return KEPT if infos[0] == infos[1] else LEFT_OUT
    return _compare_packets(source, path)


def _values(holder: Any) -> str:
    return " ".join(holder.metadata.values())


def _compare_packets(source: Path, path: Path) -> str:
    """Whether the second stream's type, codec and packets are those of the source."""
    before, after = _content(source), _content(path)
    if not after:
        return LEFT_OUT
    return KEPT if after == before else CONVERTED


def _content(path: Path) -> tuple[str, str, bytes] | None:
    with av.open(str(path)) as container:
        others = [
            each for each in container.streams if each.index and (each.codec_context or each.type == "attachment")
        ]
        if not others:
            return None
        stream = others[0]
        if isinstance(stream, av.stream.AttachmentStream):
            return "attachment", "", stream.data
        codec = stream.codec_context.codec.canonical_name
        packets = [bytes(packet) for packet in container.demux(stream)]
        data = b"".join(packet for packet in packets if packet != b"\0\0")  # a pause in mov_text
        return stream.type, codec, data


def _remove(path: Path) -> None:
    if path.is_dir():
        for each in path.iterdir():
            each.unlink()
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def page(cells: list[Cell], targets: tuple[str, ...]) -> str:
    """The page in Markdown."""
    counts = Counter(cell.outcome for cell in cells)
    head = "| | " + " | ".join(target or "PNG folder" for target in targets) + " |"
    rule = "|---|" + "---|" * len(targets)
    lines = [
        "# What each output format keeps",
        "",
        "Generated by `python scripts/formats.py`, which rewrites a small file of every kind with the identity model",
        "and reads the output. Everything that is not kept is said before the first frame is made.",
        "",
        "| outcome | cells |",
        "|---|---|",
        *(f"| {outcome} | {counts[outcome]} |" for outcome in OUTCOMES),
        "",
    ]
    for title, of_video in (("Video of the source", True), ("Other streams and properties", False)):
        lines += [f"## {title}", "", head, rule]
        for thing in dict.fromkeys(cell.thing for cell in cells if (" rate" in cell.thing) == of_video):
            found = {cell.target: cell.outcome for cell in cells if cell.thing == thing}
            short = [found[target].split(",")[0] for target in targets]
            lines.append(f"| {thing} | {' | '.join(short)} |")
        lines.append("")
    return "\n".join(lines)


def make_cells() -> list[Cell]:
    """Try everything."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [
            *video_cells(folder, TARGETS),
            *transparency_cells(folder, TARGETS),
            *stream_cells(folder, TARGETS),
        ]


def main() -> int:
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the page instead of writing it")
    arguments = parser.parse_args()
    cells = make_cells()
    text = page(cells, TARGETS)
    for cell in cells:
        if cell.outcome in (SILENT, FAILED):
            print(f"{cell.outcome}: {cell.thing} into {cell.target or 'PNG folder'}", file=sys.stderr)
    if arguments.check:
        return int(text != PAGE.read_text())
    PAGE.write_text(text)
    return int(any(cell.outcome in (SILENT, FAILED) for cell in cells))


if __name__ == "__main__":
    sys.exit(main())
