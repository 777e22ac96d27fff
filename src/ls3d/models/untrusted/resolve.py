"""Replaces the stand-ins for arrays and tensors by arrays and tensors, in a structure of any depth."""

from __future__ import annotations

from typing import Any

from ls3d.models.untrusted.arrays import Array, DType
from ls3d.models.untrusted.opcodes import DamagedError
from ls3d.models.untrusted.placeholder import Placeholder
from ls3d.models.untrusted.tensors import LazyTensor, Storage

_EXTRA_BYTES = 64 << 20
_DEEPEST_TUPLE = 20


def resolve(root: Any, file_size: int) -> Any:
    """Replace all stand-ins inside ``root``, without recursion and visiting every object once.

    Args:
        root: what ``Unpickler`` returned.
        file_size: in bytes.

    Raises:
        DamagedError: a tensor doesn't fit its storage, or all tensors together are larger than the file.
    """
    return _Resolver(2 * file_size + _EXTRA_BYTES).run(root)


class _Resolver:
    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._seen: dict[int, Any] = {}
        self._open: list[dict[Any, Any] | list[Any] | Placeholder] = []

    def run(self, root: Any) -> Any:
        root = self._resolved(root, 0)
        while self._open:
            container = self._open.pop()
            if isinstance(container, Placeholder):
                container.state = self._resolved(container.state, 0)
                continue
            pairs = container.items() if isinstance(container, dict) else enumerate(container)
            for key, value in list(pairs):
                container[key] = self._resolved(value, 0)
        return root

    def _resolved(self, value: Any, depth: int) -> Any:
        """Return what replaces a value; containers are replaced by themselves, and their contents later."""
        if isinstance(value, LazyTensor):
            if id(value) not in self._seen:
                self._seen[id(value)] = value
                self._charge(value.bytes)
            return value.resolve()
        if isinstance(value, Array):
            return value.resolve()
        if isinstance(value, DType | Storage):
            return Placeholder(type(value).__name__)
        if isinstance(value, tuple):
            return self._resolved_tuple(value, depth)
        if isinstance(value, dict | list) and id(value) not in self._seen:
            self._seen[id(value)] = value
            self._open.append(value)
        elif isinstance(value, Placeholder) and id(value) not in self._seen:
            self._seen[id(value)] = value
            self._open += [value, value.items, value.elements]
        return value

    def _resolved_tuple(self, value: tuple[Any, ...], depth: int) -> Any:
        if id(value) not in self._seen:
            if depth > _DEEPEST_TUPLE:
                raise DamagedError("tuples are nested too deeply")
            # The original is kept, so that its id isn't used again.
            self._seen[id(value)] = (value, tuple(self._resolved(item, depth + 1) for item in value))
        return self._seen[id(value)][1]

    def _charge(self, size: int) -> None:
        self._budget -= size
        if self._budget < 0:
            raise DamagedError("its tensors are larger than the file")
