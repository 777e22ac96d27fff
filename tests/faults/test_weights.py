"""Faults of weights files, at every entry point that reads them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save, save_file

from faults._rows import Make, Row, check, chunks, write
from ls3d.models import create_model, read_metadata, save_weights

NAME = "w.safetensors"
Tensors = dict[str, torch.Tensor]


def metadata(text: str) -> Make:
    """Write a safetensors file with one small tensor and this metadata of ls3d."""
    return lambda folder: save_file({"x": torch.zeros(1)}, folder / NAME, {"ls3d": text})


def arguments(architecture: str = "vfi_ls3d", **values: Any) -> Make:
    return metadata(json.dumps({"architecture": architecture, "arguments": values}))


def intact(folder: Path) -> Path:
    return save_weights(create_model("vfi_ls3d", width=4), folder / NAME)


def changed(change: Callable[[Tensors], object], **values: Any) -> Make:
    """Write an intact file, change its tensors and some of its metadata; the digest is removed unless it is given."""

    def make(folder: Path) -> None:
        path = intact(folder)
        meta = {**read_metadata(path), "sha256": None, **values}
        tensors = load(path.read_bytes())
        change(tensors)
        kept = {key: value for key, value in meta.items() if value is not None}
        path.write_bytes(save(tensors, {"ls3d": json.dumps(kept)}))

    return make


def first_tensor(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Tensors], object]:
    def apply(tensors: Tensors) -> None:
        name = min(tensors)
        tensors[name] = change(tensors[name])

    return apply


def filled(value: float) -> Callable[[Tensors], object]:
    return first_tensor(lambda tensor: torch.full_like(tensor, value))


def damaged(change: Callable[[bytes], bytes]) -> Make:
    return lambda folder: (folder / NAME).write_bytes(change(intact(folder).read_bytes()))


def header(text: str | bytes, length: int | None = None) -> Make:
    content = text.encode() if isinstance(text, str) else text
    return write(NAME, struct.pack("<Q", len(content) if length is None else length) + content)


def flip(content: bytes) -> bytes:
    return content[:-100] + bytes([content[-100] ^ 0x40]) + content[-99:]


#: Files that are no weights files of ls3d, or damaged ones, and what the sentence must say.
FILES: dict[str, tuple[Make, str]] = {
    "empty file": (write(NAME, b""), "not a safetensors file"),
    "zip": (write(NAME, b"PK\x03\x04 a zip"), "not a safetensors file"),
    "header too long": (header(b"{}", 1 << 62), "header would have"),
    "header of 100 MB": (header(b"{}", 100_000_000), "header would have"),
    "header not JSON": (header("{nope"), "not a safetensors file"),
    "header a list": (header("[]"), "not a safetensors file"),
    "header deep": (header("[" * 100_000), "not a safetensors file"),
    "tensor beyond the file": (
        header('{"x": {"dtype": "F32", "shape": [16000000000], "data_offsets": [0, 64000000000]}}'),
        "not a safetensors file",
    ),
    "no metadata": (lambda folder: save_file({"x": torch.zeros(1)}, folder / NAME), "no 'ls3d' metadata"),
    "not JSON": (metadata("{nope"), "not JSON"),
    "list": (metadata("[]"), "expected a JSON object"),
    "null": (metadata("null"), "expected a JSON object"),
    "number": (metadata("3"), "expected a JSON object"),
    "deep JSON": (metadata("[" * 100_000), "not JSON"),
    "nested JSON": (metadata('{"a":' * 200 + "1" + "}" * 200), "nested more than"),
    "huge integer": (metadata('{"a": ' + "9" * 100_000 + "}"), "not JSON"),
    "2 MB of metadata": (metadata('"' + "x" * 2_000_000 + '"'), "characters, more than"),
    "no entries": (metadata("{}"), "no architecture"),
    "no arguments": (metadata('{"architecture": "vfi_ls3d"}'), "no arguments"),
    "architecture a number": (metadata('{"architecture": 3, "arguments": {}}'), "architecture is 3"),
    "architecture unknown": (arguments("vfi_l3sd"), "no model is called"),
    "architecture long": (arguments("x" * 100_000), "expected a model"),
    "architecture with escapes": (arguments("\x1b]0;title\x07\u202e"), "no model is called"),
    "arguments a list": (metadata('{"architecture": "vfi_ls3d", "arguments": []}'), "expected a dictionary"),
    "width negative": (arguments(width=-1), "width is -1"),
    "width zero": (arguments(width=0), "would have no elements|width"),
    "width text": (arguments(width="64"), "width is '64'"),
    "width fraction": (arguments(width=1.5), "width is 1.5"),
    "width not a number": (arguments(width=float("nan")), "width is nan"),
    "width 1e30": (arguments(width=1e30), "width is 1e"),
    "width huge": (arguments(width=10**9), "width is 1000000000"),
    "width boolean": (arguments(width=True), "width is True"),
    "width wrong": (arguments(width=900), "does not fit vfi_ls3d"),
    "scale 400": (arguments("vsr_ls3d_plus_s", scale=400), "scale|does not fit"),
    "a million blocks": (arguments("vdn_ls3d_plus_s", blocks=10**6), "blocks is 1000000|takes no argument"),
    "argument name": (arguments("c3d", name="x"), "no argument 'name'"),
    "argument with escapes": (arguments(**{"\x1b[31m": 1}), "takes no argument"),
    "argument unknown": (arguments(wide=8), "no argument 'wide'"),
    "choice unknown": (arguments("r3d_18", pool1="all"), "pool1 is 'all'"),
    "bn_eps text": (arguments("r3d_18", bn_eps="tiny"), "bn_eps is 'tiny'"),
    "long list": (arguments(ls3d_blocks=[1] * 100_000), "ls3d_blocks"),
    "tensor with escapes": (
        lambda folder: save_file(
            {"\x1b]0;title\x07": torch.zeros(1)}, folder / NAME, {"ls3d": '{"architecture": "blend", "arguments": {}}'}
        ),
        "has no '",
    ),
    "offset limit text": (changed(lambda _: None, offset_limit="far"), "offset_limit is 'far'"),
    "offset limit negative": (changed(lambda _: None, offset_limit=-1), "offset_limit is -1"),
    "offset limit boolean": (changed(lambda _: None, offset_limit=True), "offset_limit is True"),
    "tensor missing": (changed(lambda tensors: tensors.pop(min(tensors))), "it lacks"),
    "tensor of another shape": (changed(first_tensor(lambda tensor: tensor[:1])), "expected"),
    "tensor too many": (changed(lambda tensors: tensors.update(x=torch.zeros(1))), "has no x"),
    "complex tensor": (changed(first_tensor(lambda tensor: tensor.to(torch.complex64))), "type C64"),
    "boolean tensor": (changed(first_tensor(lambda tensor: tensor.bool())), "type BOOL"),
    "int8 tensor": (changed(first_tensor(lambda tensor: tensor.to(torch.int8))), "type I8"),
    "cut": (damaged(lambda content: content[:-10]), "not a safetensors file"),
    "cut in the header": (damaged(lambda content: content[:50]), "not a safetensors file"),
}

#: Faults of the values, which only loading the network notices.
VALUES: dict[str, tuple[Make, str]] = {
    "NaN": (changed(filled(float("nan"))), "infinite or not a number"),
    "infinite": (changed(filled(float("inf"))), "infinite or not a number"),
    "flipped bit": (damaged(flip), "SHA-256"),
    "wrong digest": (changed(lambda _: None, sha256="0" * 64), "SHA-256"),
    "digest of another type": (changed(lambda _: None, sha256=3), "SHA-256"),
}


@cache
def video() -> bytes:
    frame = b"FRAME\n" + bytes(32 * 32 * 3 // 2)
    return b"YUV4MPEG2 W32 H32 F25:1 C420\n" + 3 * frame


def with_video(make: Make) -> Make:
    def both(folder: Path) -> None:
        make(folder)
        (folder / "in.y4m").write_bytes(video())

    return both


LOADERS: dict[str, tuple[str, ...]] = {
    "load_model": ("ls3d.models:load_model", NAME),
    "interpolate": ("interpolate", "in.y4m", "out.mkv", "--model", NAME),
}
READERS = {"summary": ("summary", NAME), **LOADERS}

ROWS = [
    Row(f"{fault} at {reader}", call, with_video(make), says)
    for faults, readers in ((FILES, READERS), (VALUES, LOADERS))
    for fault, (make, says) in faults.items()
    for reader, call in readers.items()
]


@pytest.mark.parametrize("rows", chunks(ROWS, 90))
def test_faults_of_weights(rows: list[Row], tmp_path: Path) -> None:
    check(rows, tmp_path)
