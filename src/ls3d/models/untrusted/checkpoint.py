"""``read_checkpoint``: safetensors, files of ``torch.save`` (zip and older), and pickles of arrays."""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ls3d.errors import InputError
from ls3d.models.untrusted import arrays, tensors
from ls3d.models.untrusted.archive import Archive
from ls3d.models.untrusted.opcodes import DamagedError
from ls3d.models.untrusted.placeholder import Placeholder
from ls3d.models.untrusted.resolve import resolve
from ls3d.models.untrusted.safetensor_file import read_tensors
from ls3d.models.untrusted.show import printable
from ls3d.models.untrusted.tensors import Storage, storage_dtype
from ls3d.models.untrusted.unpickle import Unpickler

_ZIP = b"PK\x03\x04"
#: A pickled magic number, at the beginning of torch's files before 1.6.
_LEGACY = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
_LEGACY_END = 32  # opcodes of the pickle's protocol may come first
_MOST_STORAGES = 100_000


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint: safetensors, a file of ``torch.save``, or a pickle of arrays (Caffe2's ``.pkl``).

    Returns:
        The outermost dictionary of the file. Tensors are ``torch.Tensor``, arrays ``numpy.ndarray``; both share the
        memory that the file is mapped into. Other objects are ``Placeholder``.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it is none of these, is damaged, or exceeds a limit.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    if path.suffix == ".safetensors":
        return read_tensors(path)
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise InputError(f"{path} is empty")
        # Private and writable: torch warns of memory that is read-only.
        buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    try:
        root = _read(path, buffer)
    except DamagedError as error:
        raise InputError(f"{path} is not a checkpoint, or is damaged ({error})") from error
    if isinstance(root, Placeholder):
        raise InputError(f"{path} holds a {printable(root.name)}, expected a dictionary")
    if not isinstance(root, Mapping):
        raise InputError(f"{path} holds a {type(root).__name__}, expected a dictionary")
    return dict(root)


def _read(path: Path, buffer: mmap.mmap) -> Any:
    head = buffer[:_LEGACY_END]
    if head.startswith(_ZIP):
        return _read_zip(path, buffer)
    if _LEGACY in head:
        return _read_legacy(buffer)
    return resolve(Unpickler(buffer, arrays.CONSTRUCTORS).load(), len(buffer))


def _read_zip(path: Path, buffer: mmap.mmap) -> Any:
    """Read a file of ``torch.save``: a pickle, and one entry for each storage."""
    archive = Archive(path, buffer)
    try:
        pickled = next((name for name in archive.names() if name.endswith("/data.pkl")), None)
        if pickled is None:
            raise DamagedError("it is a zip file without data.pkl")
        folder = pickled.removesuffix("data.pkl")
        if archive.size(f"{folder}byteorder") > 0 and bytes(archive.read(f"{folder}byteorder")) != b"little":
            raise DamagedError("its tensors are big-endian")
        storages: dict[str, Storage] = {}

        def find(pid: Any) -> Storage:
            key, storage = _make_storage(pid)
            if key not in storages:
                storage.view = archive.read(f"{folder}data/{key}")
                storages[key] = storage
            return _same_storage(storages[key], storage)

        content = bytes(archive.read(pickled))
        return resolve(Unpickler(content, tensors.CONSTRUCTORS, find).load(), len(buffer))
    finally:
        archive.close()


def _read_legacy(buffer: mmap.mmap) -> Any:
    """Read a file of torch before 1.6: five pickles, then the storages, each after the number of its elements."""
    storages: dict[str, Storage] = {}

    def find(pid: Any) -> Storage:
        key, storage = _make_storage(pid)
        if len(storages) > _MOST_STORAGES:
            raise DamagedError("it has too many storages")
        return _same_storage(storages.setdefault(key, storage), storage)

    machine = Unpickler(buffer, tensors.CONSTRUCTORS, find)
    _magic, _version, system = machine.load(), machine.load(), machine.load()
    if not isinstance(system, dict) or not system.get("little_endian", False):
        raise DamagedError("its tensors are big-endian")
    root = machine.load()
    keys = machine.load()
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise DamagedError("its list of storages is none")
    position = machine.position
    for key in keys:
        storage = storages.get(key)
        if storage is None:
            raise DamagedError("it has a storage that no tensor uses")
        count = int.from_bytes(buffer[position : position + 8], "little")
        end = position + 8 + count * storage.dtype.itemsize
        if count != storage.count or end > len(buffer):
            raise DamagedError("the data of a tensor are missing or cut short")
        storage.view = memoryview(buffer)[position + 8 : end]
        position = end
    return resolve(root, len(buffer))


def _make_storage(pid: Any) -> tuple[str, Storage]:
    """Read a persistent id: ``("storage", class, key, device, number of elements, ...)``."""
    if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
        raise DamagedError("it refers to a persistent object that is no storage")
    kind, key, _device, count = pid[1:5]
    if not isinstance(key, str) or not isinstance(count, int) or not 0 <= count < 1 << 48:
        raise DamagedError("a storage has a bad name or size")
    if len(pid) > 5 and pid[5] is not None:
        raise DamagedError("a storage is a part of another one, which torch stopped to write in 2017")
    return key, Storage(storage_dtype(kind), count)


def _same_storage(known: Storage, again: Storage) -> Storage:
    """Return the storage of an id; a file may use one storage with several types."""
    if known.count * known.dtype.itemsize != again.count * again.dtype.itemsize:
        raise DamagedError("a storage has two sizes")
    if known.dtype != again.dtype:
        raise DamagedError("a storage has two types")
    return known
