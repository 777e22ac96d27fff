"""Safetensors files: bounded headers, and tensors one by one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ls3d.errors import InputError

#: Bytes of the header, which names the tensors and has the metadata.
LARGEST_HEADER = 8 << 20
#: The entry of the metadata that makes a file one of ls3d.
METADATA_KEY = "ls3d"


@dataclass(frozen=True)
class Header:
    """What a file says before its tensors.

    Attributes:
        shapes: of the tensors, by name.
        dtypes: of the tensors, by name, as safetensors calls them: ``"F32"``.
        metadata: texts by name.
        file_size: bytes of the whole file.
    """

    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]
    metadata: dict[str, str]
    file_size: int


@contextmanager
def open_safetensors(path: Path) -> Iterator[Any]:
    """Open a file with ``safe_open``, after its header's length was checked.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it is not a safetensors file, or is damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weights file")
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > LARGEST_HEADER:
        raise InputError(f"{path} is not a safetensors file (its header would have {length:,} bytes)")
    try:
        with safe_open(path, framework="pt", device="cpu") as opened:
            yield opened
    except SafetensorError as error:
        raise InputError(f"{path} is not a safetensors file ({error})") from error


def read_header(path: Path) -> Header:
    """Read names, shapes and metadata; errors as for ``open_safetensors``."""
    with open_safetensors(path) as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        shapes = {name: tuple(part.get_shape()) for name, part in slices.items()}
        dtypes = {name: part.get_dtype() for name, part in slices.items()}
        return Header(shapes, dtypes, file.metadata() or {}, path.stat().st_size)


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read all tensors of a file of another project; errors as for ``open_safetensors``.

    Raises:
        InputError: also if it is a weights file of ls3d.
    """
    with open_safetensors(path) as file:
        if METADATA_KEY in (file.metadata() or {}):
            raise InputError(f"{path} is a weights file of ls3d already, and needs no conversion")
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)


def write_safetensors(tensors: Mapping[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Write a file with the usual permissions; ``save_file`` alone would let only the owner read it.

    Raises:
        OSError: the file can't be written.
    """
    path.touch()
    mode = path.stat().st_mode
    try:
        save_file(dict(tensors), path, metadata)
    except SafetensorError as error:  # such as a full disk
        raise OSError(f"{path} can't be written: {error}") from error
    path.chmod(mode)


def add_to_digest(digest: hashlib._Hash, name: str, tensor: torch.Tensor) -> None:
    """Add name and bytes of a tensor to the digest of a file's tensors."""
    digest.update(name.encode())
    digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
