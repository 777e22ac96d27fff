"""Tensors in torch's pickles, made from the storages of the file. Nothing of torch's pickle support is called."""

from __future__ import annotations

from math import prod
from typing import Any

import torch

from ls3d.models.untrusted.arrays import CONSTRUCTORS as ARRAYS
from ls3d.models.untrusted.opcodes import DamagedError
from ls3d.models.untrusted.placeholder import Placeholder
from ls3d.models.untrusted.unpickle import Constructor, Unpickler

_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
}
_DTYPES = {f"torch.{dtype}".replace("torch.torch.", "torch."): dtype for dtype in _STORAGES.values()}
_MOST_DIMENSIONS = 32


class Storage:
    """A storage of the file: its elements' type, and its bytes once they are found."""

    def __init__(self, dtype: torch.dtype, count: int) -> None:
        self.dtype = dtype
        self.count = count
        self.view: memoryview | None = None

    def elements(self, dtype: torch.dtype) -> torch.Tensor:
        """Return all elements as a flat tensor that shares the file's memory."""
        size = self.count * self.dtype.itemsize
        if self.view is None or len(self.view) < size:
            raise DamagedError("the data of a tensor are missing or cut short")
        if size % dtype.itemsize:
            raise DamagedError("the data of a tensor have a part of an element")
        if size == 0:
            return torch.empty(0, dtype=dtype)
        return torch.frombuffer(self.view[:size], dtype=dtype)


class LazyTensor:
    """What the file says of a tensor; ``resolve`` makes it, after the storages were found."""

    def __init__(self, storage: Storage, dtype: torch.dtype, offset: int, size: Any, stride: Any) -> None:
        plain = isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride) <= _MOST_DIMENSIONS
        if not plain or not all(isinstance(n, int) and 0 <= n < 1 << 48 for n in (offset, *size, *stride)):
            raise DamagedError("a tensor has a bad size, stride or offset")
        self._storage = storage
        self._dtype = dtype
        self._offset = offset
        self._size = size
        self._stride = stride
        self._resolved: torch.Tensor | None = None

    @property
    def bytes(self) -> int:
        """Bytes of the elements, which can be more than those of the storage."""
        return int(prod(self._size)) * self._dtype.itemsize

    def resolve(self) -> torch.Tensor:
        """The tensor, a view of the storage; always the same one."""
        if self._resolved is None:
            flat = self._storage.elements(self._dtype)
            last = self._offset + sum((n - 1) * step for n, step in zip(self._size, self._stride, strict=True))
            if prod(self._size) and last >= len(flat):
                raise DamagedError("a tensor reaches beyond its storage")
            if prod(self._size) == 0:
                self._resolved = torch.empty(self._size, dtype=self._dtype)
            else:
                self._resolved = flat.as_strided(self._size, self._stride, self._offset)
        return self._resolved


def storage_dtype(kind: Any) -> torch.dtype:
    """Return the type of the elements of a storage's class.

    Raises:
        DamagedError: the class is not known.
    """
    name = kind.name.rpartition(".")[2] if isinstance(kind, Placeholder) else ""
    if name not in _STORAGES:
        raise DamagedError("a tensor has a storage of an unknown class")
    return _STORAGES[name]


def _rebuild_tensor(_machine: Unpickler, arguments: tuple[Any, ...]) -> LazyTensor:
    """``_rebuild_tensor(storage, offset, size, stride)`` and ``_rebuild_tensor_v2``, with more arguments."""
    storage, offset, size, stride = arguments[:4]
    _require_storage(storage)
    return LazyTensor(storage, storage.dtype, offset, size, stride)


def _rebuild_tensor_v3(_machine: Unpickler, arguments: tuple[Any, ...]) -> LazyTensor:
    """``(storage, offset, size, stride, requires_grad, hooks, dtype, ...)``."""
    storage, offset, size, stride, _grad, _hooks, kind = arguments[:7]
    _require_storage(storage)
    dtype = _DTYPES.get(kind.name) if isinstance(kind, Placeholder) else None
    if dtype is None:
        raise DamagedError("a tensor has elements of an unknown type")
    return LazyTensor(storage, dtype, offset, size, stride)


def _require_storage(storage: Any) -> None:
    if not isinstance(storage, Storage):
        raise DamagedError(f"a tensor has a {type(storage).__name__} as its storage")


def _rebuild_parameter(_machine: Unpickler, arguments: tuple[Any, ...]) -> Any:
    """``(data, requires_grad, hooks[, state])``."""
    return arguments[0]


def _rebuild_subclass(machine: Unpickler, arguments: tuple[Any, ...]) -> Any:
    """``(function, class, arguments, state)``: the tensor without its subclass."""
    function, _kind, inner, _state = arguments
    return machine.apply(function, inner)


def _make_size(_machine: Unpickler, arguments: tuple[Any, ...]) -> Any:
    return arguments[0] if arguments else ()


#: For ``Unpickler``, with those of arrays.
CONSTRUCTORS: dict[str, Constructor] = {
    **ARRAYS,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v3": _rebuild_tensor_v3,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch._tensor._rebuild_from_type_v2": _rebuild_subclass,
    "torch.Size": _make_size,
}
