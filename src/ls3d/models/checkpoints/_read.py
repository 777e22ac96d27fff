"""Reading checkpoints of other projects without executing code from them.

A pickle is a program. Caffe2's files are read by an unpickler that supports arrays and plain containers only, without
NumPy's own reconstruction code; PyTorch's by ``torch.load(weights_only=True)``, with NumPy's arrays and scalars allowed
in addition. A file that references any other object is refused, and the message names the object.
"""

from __future__ import annotations

import os
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ls3d.errors import InputError

_ZIP = b"PK\x03\x04"
#: First bytes of PyTorch's files before 1.6: a pickled magic number.
_LEGACY = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint: safetensors, a file of ``torch.save``, or a pickle of arrays (Caffe2's ``.pkl``).

    Returns:
        The outermost dictionary of the file; arrays as ``torch.Tensor`` or ``numpy.ndarray``.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it is none of these, is damaged, or references an object that is neither an array nor a plain
            container.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    with path.open("rb") as file:
        head = file.read(len(_LEGACY))
    if path.suffix == ".safetensors":
        root: Any = _read_safetensors(path)
    elif head.startswith(_ZIP) or head == _LEGACY:
        root = _read_torch(path)
    else:
        root = _read_pickle(path)
    if not isinstance(root, Mapping):
        raise InputError(f"{path} holds a {type(root).__name__}, expected a dictionary")
    return dict(root)


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path} is not a safetensors file ({error})") from error


def _read_torch(path: Path) -> Any:
    scalar, array = np.float64(0).__reduce__()[0], np.zeros(1).__reduce__()[0]
    dtypes = [type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8", "u1", "?")]
    allowed: list[Any] = [np.ndarray, np.dtype, *dtypes]
    for package in ("numpy.core", "numpy._core"):  # before and from NumPy 2 on
        allowed += [(scalar, f"{package}.multiarray.scalar"), (array, f"{package}.multiarray._reconstruct")]
    try:
        with torch.serialization.safe_globals(allowed):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reference = re.search(r"GLOBAL (\S+)", str(error))
        if reference is None:
            raise InputError(f"{path} can't be read: {str(error).splitlines()[0]}") from error
        raise _refusal(path, reference[1]) from error
    except (RuntimeError, EOFError) as error:
        raise InputError(f"{path} is damaged: {str(error).splitlines()[0]}") from error


def _read_pickle(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            root = _ArrayUnpickler(file, path).load()
        return _replace_placeholders(root)
    except InputError:
        raise
    except Exception as error:  # damaged opcodes can raise any exception
        raise InputError(f"{path} is not a checkpoint, or is damaged ({type(error).__name__}: {error})") from error


def _refusal(path: Path, name: str) -> InputError:
    return InputError(f"{path} wants {name}, which is neither an array nor a plain container; refused")


class _ArrayUnpickler(pickle.Unpickler):
    """Builds containers, numbers, strings and placeholders of NumPy's arrays; refuses every other global."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        super().__init__(file, encoding="latin1")  # Python 2 wrote the bytes of arrays as strings
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        module = re.sub(r"^numpy\._core\b", "numpy.core", module)
        try:
            return _GLOBALS[module, name]
        except KeyError:
            raise _refusal(self._path, f"{module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        raise _refusal(self._path, f"the persistent object {pid!r}")


class _DType:
    """Placeholder of ``numpy.dtype`` of a number type."""

    def __init__(self, code: str, *_: Any) -> None:
        self.dtype = np.dtype(code)
        if self.dtype.kind not in "biuf":
            raise ValueError(f"an array of {code!r}")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Placeholder of ``numpy.ndarray``, which makes ``array`` from the state in the file."""

    array: np.ndarray

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, dtype, fortran, data = state
        raw = data.encode("latin1") if isinstance(data, str) else data
        flat = np.frombuffer(raw, dtype.dtype)
        if flat.size != prod(shape):
            raise ValueError(f"{flat.size} values for an array of shape {shape}")
        self.array = flat.reshape(shape, order="F" if fortran else "C")


def _make_array(*_: Any) -> _Array:
    return _Array()


def _from_buffer(data: bytes, dtype: _DType, shape: tuple[int, ...], order: str) -> np.ndarray:
    return np.frombuffer(data, dtype.dtype).reshape(shape, order="F" if order == "F" else "C")


def _make_scalar(dtype: _DType, data: Any) -> Any:
    raw = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(raw, dtype.dtype)[0].item()


def _encode(text: str, encoding: str) -> bytes:
    """Decode bytes as Python 3 writes them for protocol 2."""
    if encoding != "latin1":
        raise ValueError(f"a string in {encoding!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Return ``bytes()``, the contents of an empty array in protocol 2."""
    return b""


#: The globals that a pickle may reference, and what they are replaced by.
_GLOBALS: dict[tuple[str, str], Callable[..., Any] | object] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("numpy", "dtype"): _DType,
    ("numpy", "ndarray"): object(),  # an argument of _reconstruct only
    ("numpy.core.multiarray", "_reconstruct"): _make_array,
    ("numpy.core.multiarray", "scalar"): _make_scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
}


def _replace_placeholders(value: Any) -> Any:
    if isinstance(value, _Array):
        return value.array
    if isinstance(value, Mapping):
        return {key: _replace_placeholders(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_replace_placeholders(item) for item in value)
    return value
