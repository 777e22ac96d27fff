"""The opcodes of a pickle, with their arguments, from a buffer whose lengths are not trusted."""

from __future__ import annotations

import io
import pickletools
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap
from typing import Any

#: Texts and bytes that are longer stay where they are in the file.
INLINE = 1 << 20
#: Opcodes in a pickle. Each makes at most one object and one entry of the memo, about 130 bytes.
MOST_OPCODES = 1_000_000
#: Bytes of an integer.
_LONGEST_INTEGER = 64
#: Characters in a line, the argument of the text opcodes of protocol 0.
_LONGEST_LINE = 1 << 20

_BY_CODE = {ord(opcode.code): opcode for opcode in pickletools.opcodes}
_WITHOUT_ARGUMENT = {code: opcode.name for code, opcode in _BY_CODE.items() if opcode.arg is None}
_COUNT_BYTES = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}
_INTEGERS = ("LONG1", "LONG4")
_PYTHON_2 = ("BINSTRING", "SHORT_BINSTRING")


class DamagedError(ValueError):
    """A file is damaged, or hostile; the message says how."""


@dataclass(frozen=True)
class Bytes:
    """Bytes, or text in UTF-8, that are too long to be copied: a part of the file."""

    view: memoryview
    is_text: bool


def read_opcodes(buffer: bytes | mmap, start: int = 0) -> Iterator[tuple[str, Any, int]]:
    """Yield name, argument and end of each opcode until ``STOP``.

    Texts, and the strings of Python 2 in Latin-1, are ``str``; long texts and bytes are ``Bytes``.

    Raises:
        DamagedError: the pickle ends early, has an unknown opcode, or an argument or their number is out of bounds.
    """
    view = memoryview(buffer)
    length = len(view)
    position = start
    for _ in range(MOST_OPCODES):
        if position >= length:
            raise DamagedError("the pickle ends before its last opcode")
        code = view[position]
        position += 1
        name = _WITHOUT_ARGUMENT.get(code)
        if name is not None:
            yield name, None, position
            if name == "STOP":
                return
            continue
        opcode = _BY_CODE.get(code)
        if opcode is None:
            raise DamagedError(f"{code:#04x} is no opcode")
        argument, position = _read_argument(opcode, buffer, view, position)
        yield opcode.name, argument, position
    raise DamagedError(f"the pickle has more than {MOST_OPCODES:,} opcodes")


def _read_argument(
    opcode: pickletools.OpcodeInfo, buffer: bytes | mmap, view: memoryview, position: int
) -> tuple[Any, int]:
    """Return the argument of an opcode, and where it ends."""
    assert opcode.arg is not None
    size = opcode.arg.n
    if size in _COUNT_BYTES:
        count_end = position + _COUNT_BYTES[size]
        end = count_end + int.from_bytes(view[position:count_end], "little")
        if end > len(view):
            raise DamagedError(f"the argument of {opcode.name} ends after the file")
        return _counted(opcode.name, view[count_end:end]), end
    if size == pickletools.UP_TO_NEWLINE:
        end = position
        for _ in range(2 if opcode.arg.name == "stringnl_noescape_pair" else 1):
            end = buffer.find(b"\n", end, end + _LONGEST_LINE) + 1
            if end == 0:
                raise DamagedError(f"the argument of {opcode.name} does not end")
    else:
        end = position + size
    raw = bytes(view[position:end])
    try:
        return opcode.arg.reader(io.BytesIO(raw)), end
    except (ValueError, IndexError) as error:
        raise DamagedError(f"{opcode.name} has a bad argument") from error


def _counted(name: str, view: memoryview) -> Any:
    """Decode an argument that is preceded by its length."""
    if name in _INTEGERS:
        if len(view) > _LONGEST_INTEGER:
            raise DamagedError(f"an integer of {len(view)} bytes")
        return int.from_bytes(view, "little", signed=True)
    is_text = "UNICODE" in name
    if len(view) > INLINE:
        return Bytes(view, is_text)
    if name in _PYTHON_2:
        return str(view, "latin1")
    try:
        return str(view, "utf-8", "surrogatepass") if is_text else bytes(view)
    except UnicodeDecodeError as error:
        raise DamagedError("a text is not UTF-8") from error
