"""Kinds of files for ``fuzz.py``: videos, images, and the files of workspaces."""

from __future__ import annotations

import io
import shutil
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import av
import numpy as np

from scripts.fuzz import Kind, mutate_bytes

_SIZE = (48, 64)


def _picture(index: int) -> av.VideoFrame:
    y, x = np.mgrid[0 : _SIZE[0], 0 : _SIZE[1]]
    return av.VideoFrame.from_ndarray(np.stack([x + 5 * index, y, x + y], -1).astype(np.uint8), format="rgb24")


def _video(container: str, codec: str) -> bytes:
    content = io.BytesIO()
    with av.open(content, "w", format=container) as output:
        stream = cast(av.VideoStream, output.add_stream(codec, rate=25))
        stream.height, stream.width = _SIZE
        stream.pix_fmt = "yuv420p"
        for index in range(6):
            output.mux(stream.encode(_picture(index)))
        output.mux(stream.encode())
    return content.getvalue()


def _image(codec: str, pixel_format: str) -> bytes:
    encoder = cast(av.VideoCodecContext, av.CodecContext.create(codec, "w"))
    encoder.height, encoder.width = _SIZE
    encoder.pix_fmt = pixel_format
    encoder.time_base = Fraction(1, 25)
    return b"".join(map(bytes, [*encoder.encode(_picture(0).reformat(format=pixel_format)), *encoder.encode(None)]))


def _read_video(path: Path) -> None:
    from ls3d.video import VideoFile

    for _ in VideoFile(path, max_pixels=1 << 20).frames():
        pass


def _read_images(path: Path) -> None:
    from ls3d.video import ImageSequence
    from ls3d.video.images import read_image

    ImageSequence(path.parent, max_pixels=1 << 20)
    read_image(path)


def _import_video() -> None:
    import torch

    from ls3d.video import ImageSequence, VideoFile  # noqa: F401

    torch.set_num_threads(1)


def _workspace_files() -> list[bytes]:
    """The files of an unfinished job, each with its name in the first line."""
    from ls3d.enhance import EnhanceOptions
    from ls3d.enhance.engine import make_segment, plan_job
    from ls3d.enhance.jobs import prepare_denoising

    with TemporaryDirectory() as name:
        source = Path(name) / "in.mkv"
        source.write_bytes(_video("matroska", "ffv1"))
        options = EnhanceOptions(threads=1, segment_frames=3)
        prepared = prepare_denoising(source, Path(name) / "out.mkv", model="identity", options=options)
        workspace = prepared.job.workspace()
        workspace.prepare(prepared.job.signature())
        for plan in plan_job(prepared.job, prepared.source):
            make_segment(prepared.job, plan)
        return [f"{path.name}\n".encode() + path.read_bytes() for path in sorted(workspace.folder.iterdir())]


def _mutate_content(content: bytes, draw: Any) -> bytes:
    name, _, rest = content.partition(b"\n")
    return name + b"\n" + mutate_bytes(rest, draw)


_WORKSPACE: dict[str, bytes] = {}


def _read_workspace(path: Path) -> None:
    """Put the mutant into an intact workspace, and read that as a job does that is resumed."""
    from ls3d.enhance._workspace import Workspace

    name, _, mutant = path.read_bytes().partition(b"\n")
    workspace = Workspace(path.with_name("out.mkv"))
    shutil.rmtree(workspace.folder, ignore_errors=True)
    workspace.folder.mkdir()
    for known, content in {**_WORKSPACE, name.decode(): mutant}.items():
        (workspace.folder / known).write_bytes(content)
    with workspace.locked():
        for plan in workspace.plans():
            segment = workspace.finished(plan)
            if segment is not None:
                list(workspace.encoded(segment).read())
        workspace.finished_report({})
        workspace.prepare({})


def _prepare_workspace() -> None:
    import torch

    torch.set_num_threads(1)
    for content in _workspace_files():
        name, _, rest = content.partition(b"\n")
        _WORKSPACE[name.decode()] = rest


def _videos() -> list[bytes]:
    pairs = (("matroska", "libx264"), ("mp4", "libx264"), ("mpegts", "mpeg2video"), ("avi", "mpeg4"))
    return [_video(container, codec) for container, codec in (*pairs, ("webm", "libvpx-vp9"))]


def _images() -> list[bytes]:
    formats = (("png", "rgb24"), ("tiff", "rgb24"), ("mjpeg", "yuvj420p"), ("bmp", "bgr24"), ("libwebp", "yuv420p"))
    return [_image(codec, pixel_format) for codec, pixel_format in formats]


KINDS = {
    "videos": Kind(".mkv", _videos, _read_video, prepare=_import_video),
    "images": Kind(".png", _images, _read_images, prepare=_import_video),
    "workspaces": Kind(".bin", _workspace_files, _read_workspace, _mutate_content, _prepare_workspace),
}
