"""Zip archives whose sizes are not trusted."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import mmap
from pathlib import Path
from typing import IO

from ls3d.models.untrusted.opcodes import DamagedError
from ls3d.models.untrusted.show import printable

_LARGEST_DIRECTORY = 8 << 20  # bytes of the list of entries; ZipFile makes objects of about 10 times its size
_EXTRA_CONTENT = 32 << 20  # bytes that the entries may have together beyond the archive's size
_END_RECORD = b"PK\x05\x06"
_LONGEST_COMMENT = 1 << 16


class Archive:
    """The entries of a zip file, with bounded sizes and checked CRCs.

    Args:
        path: the file.
        buffer: its contents.

    Raises:
        DamagedError: it is no zip file, or its entries are larger than a checkpoint's.
    """

    def __init__(self, path: Path, buffer: mmap) -> None:
        self._buffer = buffer
        _check_directory(buffer)
        with _as_damage():
            self._zip = zipfile.ZipFile(path)
        entries = self._zip.infolist()
        if sum(entry.file_size for entry in entries) > len(buffer) + _EXTRA_CONTENT:
            raise DamagedError("its entries are larger than the archive")
        self._entries = {entry.filename: entry for entry in entries}
        if len(self._entries) < len(entries):
            raise DamagedError("two entries have the same name")

    def close(self) -> None:
        """Close the file."""
        self._zip.close()

    def names(self) -> list[str]:
        """Names of the entries."""
        return list(self._entries)

    def size(self, name: str) -> int:
        """Bytes of an entry; -1 if there is none."""
        return self._entries[name].file_size if name in self._entries else -1

    def read(self, name: str) -> memoryview:
        """Return the contents of an entry; without a copy, unless it is compressed.

        Raises:
            DamagedError: there is no such entry, or it is damaged.
        """
        entry = self._entries.get(name)
        if entry is None:
            raise DamagedError(f"it has no entry {name[:100]!a}")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DamagedError("an entry is compressed by another method than deflate")
        with _as_damage(), self._zip.open(entry) as file:
            if entry.compress_type != zipfile.ZIP_STORED:
                return _writable(_read_bounded(file, entry.file_size))
        start = _data_offset(self._buffer, entry)
        view = memoryview(self._buffer)[start : start + entry.file_size]
        if len(view) != entry.file_size or entry.compress_size != entry.file_size or zlib.crc32(view) != entry.CRC:
            raise DamagedError(f"its entry {name[:100]!a} has a wrong checksum")
        return view


@contextmanager
def _as_damage() -> Iterator[None]:
    """Convert what ``zipfile`` raises for damaged and unusual files."""
    try:
        yield
    except DamagedError:
        raise
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError, zlib.error) as error:
        raise DamagedError(f"it is no intact zip file ({printable(str(error))})") from error


def _check_directory(buffer: mmap) -> None:
    """Bound the list of entries before ``ZipFile`` reads all of it."""
    end = buffer.rfind(_END_RECORD, max(0, len(buffer) - _LONGEST_COMMENT - 22))
    if end < 0:
        raise DamagedError("it is no intact zip file (it has no list of entries)")
    size = int.from_bytes(buffer[end + 12 : end + 16], "little")
    if size == 0xFFFFFFFF:  # the 64-bit record has it, at a position that stands before the end record
        record = int.from_bytes(buffer[end - 12 : end - 4], "little")
        size = int.from_bytes(buffer[record + 40 : record + 48], "little")
    if size > _LARGEST_DIRECTORY:
        raise DamagedError("its list of entries is larger than a checkpoint's")


def _data_offset(buffer: mmap, entry: zipfile.ZipInfo) -> int:
    header = buffer[entry.header_offset : entry.header_offset + 30]
    return entry.header_offset + 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")


def _read_bounded(file: IO[bytes], size: int) -> bytes:
    """Read an entry of a known size; ``ZipFile`` checks its CRC at the end."""
    content = file.read(size)
    if len(content) != size or file.read(1):
        raise DamagedError("an entry has another size than it says")
    return content


def _writable(content: bytes) -> memoryview:
    """torch warns of memory that is read-only."""
    return memoryview(bytearray(content))
