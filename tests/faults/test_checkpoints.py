"""Faults of checkpoints of other projects: damaged and hostile pickles, zip files and tensors."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from faults._rows import Make, Row, check, chunks, write

NAME = "c.pth"
P2 = b"\x80\x02"


def pickled(content: bytes) -> Make:
    return write(NAME, content)


def torch_file(content: Any, change: Callable[[bytes], bytes] = lambda raw: raw) -> Make:
    def make(folder: Path) -> None:
        buffer = io.BytesIO()
        torch.save(content, buffer)
        (folder / NAME).write_bytes(change(buffer.getvalue()))

    return make


def zipped(entries: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Make:
    def make(folder: Path) -> None:
        with zipfile.ZipFile(folder / NAME, "w", method) as archive:
            for name, content in entries.items():
                archive.writestr(name, content)

    return make


def with_long_name(folder: Path) -> None:
    """An entry has another name before its content than in the list of entries."""
    zipped({"a/data.pkl": b"x" * 5000})(folder)
    content = (folder / NAME).read_bytes()
    (folder / NAME).write_bytes(content[:26] + struct.pack("<H", 4096) + content[28:])


def laughs(container: bytes, close: bytes) -> bytes:
    """Containers of two references to the container before: 2^60 in all."""
    steps = (container + b"h" + bytes([n]) + b"h" + bytes([n]) + close + b"q" + bytes([n + 1]) for n in range(60))
    return P2 + b"]q\x00" + b"".join(steps) + b"."


class Calls:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


def state(name: str, value: Any) -> bytes:
    return pickle.dumps({"blobs": {name: value}}, protocol=2)


def array(
    dtype: bytes,
    shape: bytes,
    data: bytes,
    dtype_state: bytes = b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
) -> bytes:
    """A pickle of one array, opcode by opcode, as Python 2 wrote it."""
    made = b"cnumpy\ndtype\n(U" + bytes([len(dtype)]) + dtype + b"K\x00K\x01tR" + dtype_state
    empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
    text = b"T" + struct.pack("<i", len(data)) + data
    return P2 + b"}(U\x05blobs}(U\x01w" + empty + b"(K\x01" + shape + made + b"\x89" + text + b"tbuu."


WEIGHTS = {"stem.0.weight": torch.zeros(2, 3), "layer1.0.conv1.0.weight": torch.zeros(2)}
STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"


def tensor(offset: bytes, size: bytes, stride: bytes) -> dict[str, bytes]:
    """Entries of a torch file with a storage of four floats and one tensor."""
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n(" + STORAGE + offset + size + stride + b"\x89Ntr"
    rebuild = rebuild.removesuffix(b"tr") + b"tR"
    return {"a/data.pkl": P2 + b"}(X\x01\x00\x00\x00w" + rebuild + b"u.", "a/data/0": bytes(16)}


FAULTS: dict[str, tuple[Make, str]] = {
    "empty": (pickled(b""), "is empty"),
    "text": (pickled(b"not a pickle"), "not a checkpoint"),
    "cut opcodes": (pickled(b"\x80\x02}q\x00(X"), "not a checkpoint"),
    "list": (pickled(P2 + b"]."), "holds a list"),
    "nothing on the stack": (pickled(P2 + b"."), "takes more objects"),
    "no mark": (pickled(P2 + b"K\x01t."), "no mark"),
    "missing memo": (pickled(P2 + b"h\x07."), "refers to its object 7"),
    "huge memo index": (pickled(P2 + b"]r\x00\x00\x00\x10."), "holds a list"),
    "bad UTF-8": (pickled(P2 + b"X\x02\x00\x00\x00\xff\xff."), "not UTF-8"),
    "items for a number": (pickled(P2 + b"K\x01K\x02K\x03s."), "gets the items"),
    "elements for a number": (pickled(P2 + b"K\x01K\x02a."), "gets the elements"),
    "odd items": (pickled(P2 + b"}(K\x01u."), "without a value"),
    "unknown opcode": (pickled(P2 + b"\xff."), "is no opcode"),
    "extension": (pickled(P2 + b"\x82\x01."), "not supported"),
    "out-of-band buffer": (pickled(b"\x80\x05\x97."), "not supported"),
    "integer of 1 MB": (pickled(P2 + b"\x8b" + struct.pack("<i", 1 << 20) + bytes(1 << 20) + b"."), "an integer of"),
    "decimal integer of 1 MB": (pickled(b"L" + b"9" * 1_000_000 + b"L\n."), "bad argument"),
    "text beyond the file": (pickled(b"\x80\x04\x8d" + b"\xff" * 8 + b"abc."), "ends after the file"),
    "persistent id": (pickled(P2 + b"K\x01Q."), "persistent object"),
    "list key": (pickled(P2 + b"}]K\x01s."), "is the key of a dictionary"),
    "deep tuple key": (pickled(P2 + b"})" + b"\x85" * 100_000 + b"K\x01s."), "is the key of a dictionary"),
    "equal hashes": (
        pickled(
            P2 + b"}(" + b"".join(b"\x8a\x08" + struct.pack("<q", n * ((1 << 61) - 1)) + b"N" for n in (1, 2)) + b"u."
        ),
        "is the key of a dictionary",
    ),
    "deep tuples": (pickled(P2 + b"}K\x01)" + b"\x85" * 100_000 + b"s."), "nested too deeply"),
    "deep lists": (pickled(P2 + b"}(K\x01" + b"]" * 50_000 + b"a" * 49_999 + b"u."), "holds no tensors"),
    "list laughs": (pickled(laughs(b"(", b"l")), "holds a list"),
    "tuple laughs": (pickled(laughs(b"", b"\x86")), "nested too deeply"),
    "many opcodes": (pickled(P2 + b"N0" * 600_000 + b"N."), "more than 1,000,000 opcodes"),
    "command": (pickled(state("w", Calls(os.system, "touch executed"))), "wants (posix|nt)[.]system"),
    "eval": (pickled(state("w", Calls(eval, "open('executed', 'w')"))), "wants __builtin__[.]eval"),
    "getattr": (pickled(state("w", Calls(getattr, [], "append"))), "wants __builtin__[.]getattr"),
    "ndarray of a terabyte": (pickled(state("w", Calls(np.ndarray, (1 << 40,)))), "wants numpy[.]ndarray"),
    "class with escapes": (
        pickled(P2 + b"}(U\x05blobs}(U\x01wcx\x1b]0;t\x07\nY\n)Ruu."),
        r"wants 'x\\x1b\]0;t",
    ),
    "object array": (pickled(state("w", np.zeros(2, object))), "wants numpy[.]ndarray"),
    "array of text": (pickled(state("w", np.array(["a", "b"]))), "wants numpy[.]ndarray"),
    "structured array": (pickled(state("w", np.zeros(2, "f4,i4"))), "wants numpy[.]ndarray"),
    "array too short": (pickled(array(b"f4", b"(K\x05t", bytes(16))), "4 values for an array"),
    "array of 64 GB": (pickled(array(b"f4", b"(\x8a\x05\x00\x00\x00\x00\x10t", bytes(16))), "values for an array"),
    "array of negative size": (pickled(array(b"f4", b"(J\xff\xff\xff\xfft", bytes(16))), "bad size"),
    "array with a shape of text": (pickled(array(b"f4", b"U\x01x", bytes(16))), "is no tuple"),
    "dtype of an array inside": (
        pickled(
            array(
                b"f4",
                b"(K\x04t",
                bytes(16),
                b"(K\x03U\x01<(cnumpy\ndtype\n(U\x02f4K\x00K\x01tR(K\x02ttNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
            )
        ),
        "wants numpy[.]ndarray",
    ),
    "no zip": (pickled(b"PK\x03\x04 not a zip"), "no intact zip"),
    "zip without data.pkl": (zipped({"a/b": b"x"}), "without data.pkl"),
    "zip bomb": (zipped({"a/data.pkl": b"]" * 80_000_000}, zipfile.ZIP_DEFLATED), "larger than the archive"),
    "big-endian": (zipped({"a/data.pkl": P2 + b"}.", "a/byteorder": b"big"}), "big-endian"),
    "torch cut": (torch_file(WEIGHTS, lambda raw: raw[: len(raw) // 2]), "no intact zip"),
    "torch flipped bit": (
        torch_file(
            {"state_dict": {"stem.0.weight": torch.ones(1000)}},
            lambda raw: raw.replace(b"\x00\x00\x80?" * 4, b"\x00\x00\x81?" * 4, 1),
        ),
        "checksum",
    ),
    "zip entry with a name of 4 KB": (with_long_name, r"no intact zip file \(File name.{,120}\)\)$"),
    "storage missing": (zipped({"a/data.pkl": tensor(b"K\x00", b"(K\x04t", b"(K\x01t")["a/data.pkl"]}), "no entry"),
    "tensor beyond its storage": (zipped(tensor(b"K\x01", b"(K\x04t", b"(K\x01t")), "reaches beyond"),
    "tensor before its storage": (
        zipped(tensor(b"J\xff\xff\xff\xff", b"(K\x04t", b"(K\x01t")),
        "bad size, stride or offset",
    ),
    "tensor of negative stride": (
        zipped(tensor(b"K\x00", b"(K\x04t", b"(J\xff\xff\xff\xfft")),
        "bad size, stride or offset",
    ),
    "tensor of a terabyte": (
        zipped(tensor(b"K\x00", b"(\x8a\x06\x00\x00\x00\x00\x00\x01t", b"(K\x00t")),
        "larger than the file",
    ),
    "storage of unknown class": (
        zipped(
            {
                "a/data.pkl": tensor(b"K\x00", b"(K\x04t", b"(K\x01t")["a/data.pkl"].replace(
                    b"FloatStorage", b"EvilStorages"
                )
            }
        ),
        "unknown class",
    ),
    "no tensors": (torch_file({"epoch": 3}), "holds no tensors, only epoch"),
    "unknown layout": (torch_file({"encoder.weight": torch.zeros(1)}), "none of the layouts"),
    "names with escapes": (torch_file({"\x1b]0;t\x07": torch.zeros(1)}), "none of the layouts"),
    "few dimensions": (torch_file(WEIGHTS), "as no registered network has"),
}

MISTAKES = [
    Row(
        "convert in place", ("convert", "a.safetensors", "a.safetensors"), write("a.safetensors", b"x"), "another file"
    ),
    Row("convert to another suffix", ("convert", NAME, "b.pth"), pickled(b"x"), "suffix"),
    Row("convert into a missing folder", ("convert", NAME, "x/b.safetensors"), pickled(b"x"), "no folder"),
    Row("convert nothing", ("convert", NAME, "b.safetensors"), None, "no such checkpoint"),
    Row("convert a folder", ("convert", ".", "b.safetensors"), None, "no such checkpoint"),
    Row("a bad setting", ("convert", NAME, "b.safetensors", "--set", "path=x"), pickled(b"x"), "no network takes"),
    Row("a setting without a value", ("convert", NAME, "b.safetensors", "--set", "x"), pickled(b"x"), "KEY=VALUE"),
]

READERS: dict[str, tuple[str, ...]] = {
    "convert": ("convert", NAME, "out.safetensors"),
    "load_checkpoint": ("ls3d.models:load_checkpoint", NAME),
}

ROWS = [
    Row(f"{fault} at {reader}", call, make, says)
    for fault, (make, says) in FAULTS.items()
    for reader, call in READERS.items()
]


@pytest.mark.parametrize("rows", chunks([*ROWS, *MISTAKES], 150))
def test_faults_of_checkpoints(rows: list[Row], tmp_path: Path) -> None:
    check(rows, tmp_path)
