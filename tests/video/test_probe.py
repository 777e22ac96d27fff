"""Properties of files that PyAV wrote with known properties, and errors for everything that is not a video."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.videos import BT601, BT709, HDR10, Clip, times

from ls3d.errors import InputError
from ls3d.video import probe

UNSPECIFIED = {"colorspace": 2, "color_primaries": 2, "color_trc": 2, "color_range": 0}


def test_size_timing_and_streams(tmp_path: Path) -> None:
    clip = Clip(10, audio=["eng", "fra"], rotation=90, aspect=Fraction(4, 3))
    info = probe(clip.write(tmp_path / "in.mp4"))
    assert info.name == str(tmp_path / "in.mp4")
    assert (info.codec, info.width, info.height) == ("h264", 64, 48)
    assert info.rate == Fraction(25)
    assert (info.frames, info.duration, info.start) == (10, Fraction(10, 25), Fraction(0))
    assert (info.rotation, info.sample_aspect_ratio) == (90, Fraction(4, 3))
    assert [(stream.index, stream.type, stream.codec) for stream in info.streams] == [
        (0, "video", "h264"),
        (1, "audio", "aac"),
        (2, "audio", "aac"),
    ]
    assert [stream.metadata["language"] for stream in info.streams[1:]] == ["eng", "fra"]
    assert info.index == 0
    assert info.seekable


@pytest.mark.parametrize("rotation", [-90, 180])
def test_rotation(tmp_path: Path, rotation: int) -> None:
    info = probe(Clip(2, rotation=rotation).write(tmp_path / "in.mp4"))
    assert info.rotation % 360 == rotation % 360
    assert (info.width, info.height) == (64, 48)


def test_metadata_and_chapters(tmp_path: Path) -> None:
    chapters = [(0, 100, "first"), (100, 400, "second")]
    info = probe(Clip(10, chapters=chapters, metadata={"title": "A title"}).write(tmp_path / "in.mkv"))
    assert info.metadata["title"] == "A title"
    times = [
        tuple(chapter[key] * Fraction(chapter["time_base"]) for key in ("start", "end")) for chapter in info.chapters
    ]
    assert times == [(Fraction(start, 1000), Fraction(end, 1000)) for start, end, _ in chapters]
    assert [chapter["metadata"]["title"] for chapter in info.chapters] == ["first", "second"]


@pytest.mark.parametrize("tags", [BT601, BT709, HDR10, {**BT709, "color_range": 2}])
def test_color_tags(tmp_path: Path, tags: dict[str, int]) -> None:
    info = probe(Clip(2, tags=tags).write(tmp_path / "in.mkv"))
    assert info.tags == tags
    assert info.color.matrix == tags["colorspace"]
    assert info.color.full_range == (tags["color_range"] == 2)


@pytest.mark.parametrize(("height", "matrix"), [(576, 6), (720, 1)])
def test_missing_color_tags_are_inferred_from_the_size(tmp_path: Path, height: int, matrix: int) -> None:
    info = probe(Clip(1, (height, 64)).write(tmp_path / "in.mkv"))
    assert info.tags == UNSPECIFIED
    assert (info.color.matrix, info.color.full_range) == (matrix, False)


def test_jpeg_formats_are_full_range(tmp_path: Path) -> None:
    info = probe(Clip(2, codec="mjpeg", pix_fmt="yuvj422p", options={}).write(tmp_path / "in.mkv"))
    assert info.color.layout.name == "yuv422p"
    assert info.tags["color_range"] == 2
    assert info.color.full_range


@pytest.mark.parametrize(("pix_fmt", "layout"), [("yuva420p", "yuv420p"), ("bgra", "gbrp"), ("yuv420p", "yuv420p")])
def test_transparency(tmp_path: Path, pix_fmt: str, layout: str) -> None:
    info = probe(Clip(1, codec="ffv1", pix_fmt=pix_fmt, options={}).write(tmp_path / "in.mkv"))
    assert info.alpha == ("a" in pix_fmt)
    assert info.color.layout.name == layout


@pytest.mark.parametrize("interlaced", [False, True])
def test_interlacing(tmp_path: Path, interlaced: bool) -> None:
    options = {"flags": "+ilme+ildct", "x264-params": "tff=1"} if interlaced else {}
    assert probe(Clip(2, options=options).write(tmp_path / "in.mp4")).field_order == ("top" if interlaced else "")


def test_hdr_metadata(tmp_path: Path) -> None:
    """BT.2020 primaries and D65 in units of 1/50000, 1000 and 0.005 candela per square meter in 1/10000."""
    primaries = (8500, 39850, 6550, 2300, 35400, 14600, 15635, 16450)
    display = "G(8500,39850)B(6550,2300)R(35400,14600)WP(15635,16450)L(10000000,50)"
    options = {"x265-params": f"log-level=error:master-display={display}:max-cll=1000,400"}
    clip = Clip(2, codec="libx265", pix_fmt="yuv420p10le", tags=HDR10, options=options)
    mastering = probe(clip.write(tmp_path / "in.mkv")).mastering
    assert mastering.primaries == primaries
    assert mastering.luminance == (10_000_000, 50)
    assert mastering.light_level == (1000, 400)


def test_no_hdr_metadata(tmp_path: Path) -> None:
    mastering = probe(Clip(1).write(tmp_path / "in.mp4")).mastering
    assert (mastering.primaries, mastering.luminance, mastering.light_level) == (None, None, None)


def test_a_file_without_a_header_states_no_duration(tmp_path: Path) -> None:
    info = probe(Clip(10, options={"bf": "0"}).write(tmp_path / "in.h264"))
    assert (info.container, info.duration, info.frames) == ("h264", None, None)


def test_the_clock_of_the_file_may_start_late(tmp_path: Path) -> None:
    path = Clip(5, container_options={"output_ts_offset": "3"}).write(tmp_path / "in.ts")
    assert probe(path).start == times(path)[0] == 3


def test_a_cover_picture_is_not_the_video(tmp_path: Path) -> None:
    film = Clip(5).write(tmp_path / "film.mp4")
    cover = Clip(1, (200, 300), codec="png", pix_fmt="rgb24", options={}).write(tmp_path / "cover.mov")
    target = tmp_path / "in.mp4"
    with av.open(str(film)) as video, av.open(str(cover)) as picture, av.open(str(target), "w") as output:
        sources = (picture, video)  # the cover comes first
        streams = [output.add_stream_from_template(source.streams.video[0]) for source in sources]
        streams[0].disposition = av.stream.Disposition.attached_pic
        for source, stream in zip(sources, streams, strict=True):
            for packet in source.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    output.mux(packet)
    info = probe(target)
    assert (info.codec, info.width, info.height, info.streams[info.index].codec) == ("h264", 64, 48, "h264")


def test_an_audio_file_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.wav"), "w") as output:
        stream = output.add_stream("pcm_s16le", rate=8000, layout="mono")
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        samples.sample_rate = 8000
        output.mux(stream.encode(samples))
    with pytest.raises(InputError, match=r"no video stream that can be decoded \(it holds audio\)"):
        probe(tmp_path / "a.wav")


def test_files_that_are_not_videos_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video\n" * 50)
    with pytest.raises(FileNotFoundError, match=r"missing\.mp4: no such file"):
        probe(tmp_path / "missing.mp4")
    with pytest.raises(InputError, match="is a folder"):
        probe(tmp_path)
    with pytest.raises(InputError, match=r"empty\.mp4 is empty"):
        probe(tmp_path / "empty.mp4")
    with pytest.raises(InputError, match=r"text\.mp4 is not a video"):
        probe(tmp_path / "text.mp4")


def test_a_video_without_a_decodable_frame_is_refused(tmp_path: Path) -> None:
    path = Clip(3, codec="png", pix_fmt="rgb24", options={}).write(tmp_path / "in.mov")
    content = path.read_bytes()
    start, end = content.index(b"mdat") + 4, content.index(b"moov") - 4
    path.write_bytes(content[:start] + bytes(end - start) + content[end:])
    with pytest.raises(InputError, match="no frame can be decoded"):
        probe(path)


@pytest.mark.parametrize("location", ["left", "center", "topleft"])
def test_chroma_siting(tmp_path: Path, location: str) -> None:
    options = {"crf": "0", "chroma_sample_location": location}
    info = probe(Clip(2, options=options).write(tmp_path / "in.mkv"))
    assert info.chroma_location == location
    assert info.color.cosited == (location != "center", location == "topleft")
    assert probe(Clip(2, codec="ffv1", options={}).write(tmp_path / "silent.mkv")).chroma_location == ""


def test_transparency_in_a_second_layer(tmp_path: Path) -> None:
    picture = av.VideoFrame(64, 64, "yuva420p")
    with av.open(str(tmp_path / "in.webm"), "w") as output:
        stream = output.add_stream("libvpx-vp9", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuva420p"
        stream.metadata["alpha_mode"] = "1"
        picture.pts = 0
        output.mux([*stream.encode(picture), *stream.encode()])
    assert probe(tmp_path / "in.webm").alpha


def test_mirroring(tmp_path: Path) -> None:
    matrix = (-(1 << 16), 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    picture = av.VideoFrame(64, 64, "yuv420p")
    with av.open(str(tmp_path / "in.mp4"), "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.set_display_matrix(matrix)
        picture.pts = 0
        output.mux([*stream.encode(picture), *stream.encode()])
    assert probe(tmp_path / "in.mp4").display_matrix == matrix
