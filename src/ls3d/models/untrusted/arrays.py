"""NumPy's arrays in pickles, read from their bytes. Nothing of NumPy's pickle support is called."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from ls3d.models.untrusted.opcodes import Bytes, DamagedError
from ls3d.models.untrusted.placeholder import Placeholder
from ls3d.models.untrusted.unpickle import Constructor, HasState, Unpickler

_CODES = ("b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8")
_DTYPES: dict[str, np.dtype[Any]] = {code: np.dtype(code) for code in _CODES}
_BYTE_ORDERS = ("<", ">", "=", "|")
_MOST_DIMENSIONS = 32


class DType(HasState):
    """What the file says of a ``numpy.dtype``; ``dtype`` is None if it is not a plain number type."""

    def __init__(self, code: object) -> None:
        order = code[0] if isinstance(code, str) and code[:1] in _BYTE_ORDERS else ""
        self.code = code[len(order) :] if isinstance(code, str) else code
        self.dtype = _DTYPES.get(self.code) if isinstance(self.code, str) else None
        if self.dtype is not None and order:
            self.dtype = self.dtype.newbyteorder(order)  # type: ignore[arg-type]

    def set_state(self, state: Any) -> None:
        """Apply the byte order; fields or a shape inside make it no plain number type."""
        if self.dtype is None:
            return
        if state[2] is not None or state[3] is not None or state[4] is not None:
            self.dtype = None
        elif state[1] in _BYTE_ORDERS:
            self.dtype = self.dtype.newbyteorder(state[1])


class Array(HasState):
    """What the file says of a ``numpy.ndarray``; ``resolve`` returns the array."""

    def __init__(self) -> None:
        self._resolved: npt.NDArray[Any] | Placeholder = Placeholder("numpy.ndarray")

    def set_state(self, state: Any) -> None:
        """Make the array; one of another type than plain numbers stays a placeholder."""
        _version, shape, dtype, fortran, data = state
        if isinstance(dtype, DType) and dtype.dtype is not None:
            self._resolved = _from_bytes(data, dtype.dtype, shape, bool(fortran))

    def resolve(self) -> npt.NDArray[Any] | Placeholder:
        """The array."""
        return self._resolved


def _from_bytes(data: Any, dtype: np.dtype[Any], shape: Any, fortran: bool) -> npt.NDArray[Any]:
    """Make an array from its bytes.

    Raises:
        DamagedError: the shape is none, or the bytes are not those of an array of this shape.
    """
    if not isinstance(shape, tuple) or len(shape) > _MOST_DIMENSIONS:
        raise DamagedError("the shape of an array is no tuple of a few sizes")
    if not all(isinstance(size, int) and 0 <= size < 1 << 48 for size in shape):
        raise DamagedError("the shape of an array has a bad size")
    raw = _raw_bytes(data)
    count, rest = divmod(len(raw), dtype.itemsize)
    if rest or count != prod(shape):
        raise DamagedError(f"{count} values for an array of shape {shape}")
    return np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")


def _raw_bytes(data: Any) -> bytes | memoryview:
    """Return the contents of an array; Python 2 wrote bytes as strings in Latin-1."""
    if isinstance(data, Bytes):
        return bytes(str(data.view, "utf-8"), "latin1") if data.is_text else data.view
    if isinstance(data, str):
        return data.encode("latin1")
    if not isinstance(data, bytes):
        raise DamagedError(f"the contents of an array are a {type(data).__name__}")
    return data


def _make_array(_machine: Unpickler, _arguments: tuple[Any, ...]) -> Array:
    return Array()


def _make_dtype(_machine: Unpickler, arguments: tuple[Any, ...]) -> DType:
    return DType(arguments[0])


def _from_buffer(_machine: Unpickler, arguments: tuple[Any, ...]) -> Array:
    """``numpy.core.numeric._frombuffer(data, dtype, shape, order)``, of protocol 5."""
    data, dtype, shape, order = arguments
    array = Array()
    array.set_state((1, shape, dtype, order == "F", data))
    return array


def _make_scalar(_machine: Unpickler, arguments: tuple[Any, ...]) -> Any:
    dtype, data = arguments
    if not isinstance(dtype, DType) or dtype.dtype is None:
        return Placeholder("numpy.scalar", arguments)
    return _from_bytes(data, dtype.dtype, (), False).item()


def _encode(_machine: Unpickler, arguments: tuple[Any, ...]) -> bytes | Bytes:
    """``_codecs.encode(text, "latin1")``: bytes as Python 3 writes them for protocol 2."""
    text, encoding = arguments
    if encoding not in ("latin1", "latin-1"):
        raise DamagedError("a text in another encoding than latin1")
    if isinstance(text, Bytes) and text.is_text:
        return text
    if not isinstance(text, str):
        raise DamagedError("bytes are made of something else than a text")
    return text.encode("latin1")


def _make_bytes(_machine: Unpickler, arguments: tuple[Any, ...]) -> Any:
    """``bytes()`` for no bytes in protocol 2, ``bytearray(data)``."""
    data = arguments[0] if arguments else b""
    if not isinstance(data, bytes | Bytes | str):
        raise DamagedError("bytes of something else")
    return data


def _make_dictionary(machine: Unpickler, arguments: tuple[Any, ...]) -> dict[Any, Any]:
    """``OrderedDict(items)``, ``dict(items)``; ``defaultdict(factory, items)`` without its factory."""
    items = next((argument for argument in arguments if isinstance(argument, list | dict)), [])
    machine.charge_copy(len(items))
    pairs = items.items() if isinstance(items, dict) else items
    return {machine.checked_key(key): value for key, value in pairs}


#: For ``Unpickler``. NumPy's modules have other names from NumPy 2 on, ``builtins`` had another one in Python 2.
CONSTRUCTORS: dict[str, Constructor] = {
    "numpy.dtype": _make_dtype,
    **{f"numpy.{core}.multiarray._reconstruct": _make_array for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _make_scalar for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _from_buffer for core in ("core", "_core")},
    "_codecs.encode": _encode,
    **{f"{module}.{name}": _make_bytes for module in ("builtins", "__builtin__") for name in ("bytes", "bytearray")},
    "collections.OrderedDict": _make_dictionary,
    "collections.defaultdict": _make_dictionary,
    "collections.Counter": _make_dictionary,
}
