"""A pickle machine that makes plain data and calls nothing.

It keeps lists, tuples, dictionaries, sets, numbers, texts and bytes. What the file wants to call is looked up in a
table of our own functions (arrays, tensors, ordered dictionaries); everything else becomes a ``Placeholder``.
References stay references, so the result is never larger than the file says in so many opcodes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from mmap import mmap
from typing import Any, TypeAlias

from ls3d.models.untrusted.opcodes import DamagedError, read_opcodes
from ls3d.models.untrusted.placeholder import Placeholder

#: Builds an object from the arguments with which the file wants to call a function.
Constructor: TypeAlias = Callable[["Unpickler", tuple[Any, ...]], Any]

_MARK = object()
_LARGEST_KEY = (1 << 61) - 1  # larger integers can be chosen to have equal hashes
_MOST_TUPLE_KEYS = 10_000  # and so can tuples
_EXTRA_TEXT = 64 << 20  # bytes of texts that a pickle may hold beyond its size, as UTF-8 can be shorter


class Unpickler:
    """Reads pickles of one file.

    Args:
        buffer: the file.
        constructors: what is called for which function, by module and name.
        load_persistent: replaces persistent ids (the storages of torch); None refuses them.
    """

    def __init__(
        self,
        buffer: bytes | mmap,
        constructors: Mapping[str, Constructor],
        load_persistent: Callable[[Any], Any] | None = None,
    ) -> None:
        self._buffer = buffer
        self._constructors = constructors
        self._load_persistent = load_persistent
        self._text_budget = len(buffer) + _EXTRA_TEXT
        self._copy_budget = len(buffer) // 16 + 100_000
        self._tuple_keys = 0
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self.position = 0

    def load(self) -> Any:
        """Read the pickle at ``position``, and move it to the pickle's end.

        Raises:
            DamagedError: it is not a pickle, is damaged, or exceeds a limit.
        """
        self._stack = []
        self._memo = {}
        for name, argument, end in read_opcodes(self._buffer, self.position):
            if name == "STOP":
                self.position = end
                return self._pop()
            if argument is not None:
                self._charge_text(argument)
            handler = _HANDLERS.get(name)
            if handler is None:
                raise DamagedError(f"{name} is not supported")
            handler(self, argument)
        raise AssertionError("read_opcodes ends with STOP")

    def charge_copy(self, count: int) -> None:
        """Count objects that are copied from a container to a new one.

        Raises:
            DamagedError: too many, given the file's size.
        """
        self._copy_budget -= count
        if self._copy_budget < 0:
            raise DamagedError("the pickle copies its contents again and again")

    def _charge_text(self, value: Any) -> None:
        if isinstance(value, str | bytes):
            self._text_budget -= sys.getsizeof(value)
            if self._text_budget < 0:
                raise DamagedError("the texts of the pickle take more memory than the file")

    def _pop(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise DamagedError("the pickle takes more objects than it made")
        return self._stack.pop()

    def _top(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise DamagedError("the pickle takes more objects than it made")
        return self._stack[-1]

    def _pop_to_mark(self) -> list[Any]:
        items: list[Any] = []
        while self._stack:
            item = self._stack.pop()
            if item is _MARK:
                return items[::-1]
            items.append(item)
        raise DamagedError("the pickle has no mark for its objects")

    def _memoize(self, index: int | None) -> None:
        self._memo[len(self._memo) if index is None else index] = self._top()

    def _get(self, index: int) -> None:
        if index not in self._memo:
            raise DamagedError(f"the pickle refers to its object {index}, which it does not have")
        self._stack.append(self._memo[index])

    def _tuple(self, count: int) -> None:
        self._stack.append(tuple([self._pop() for _ in range(count)][::-1]))

    def _push_dict(self) -> None:
        items = self._pop_to_mark()
        self._stack.append({})
        self._set_items(items)

    def _set_items(self, items: list[Any]) -> None:
        if len(items) % 2:
            raise DamagedError("a dictionary has a key without a value")
        target = self._top()
        entries = target.items if isinstance(target, Placeholder) else target
        if not isinstance(entries, dict):
            raise DamagedError(f"a {type(target).__name__} gets the items of a dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            entries[self.checked_key(key)] = value

    def _set_item(self) -> None:
        value, key = self._pop(), self._pop()
        self._set_items([key, value])

    def _append(self, items: list[Any]) -> None:
        target = self._top()
        elements = target.elements if isinstance(target, Placeholder) else target
        if isinstance(elements, list):
            elements.extend(items)
        elif isinstance(elements, set):
            elements.update(map(self.checked_key, items))
        else:
            raise DamagedError(f"a {type(target).__name__} gets the elements of a list")

    def checked_key(self, key: Any) -> Any:
        """Return a key that is safe to hash: hashing nested tuples can overflow the stack."""
        if key is None or isinstance(key, str | bytes | float | bool | Placeholder):
            return key
        if isinstance(key, int) and abs(key) < _LARGEST_KEY:
            return key
        is_plain = isinstance(key, tuple) and len(key) <= 16 and all(isinstance(x, str | int | float) for x in key)
        self._tuple_keys += is_plain
        if not is_plain or self._tuple_keys > _MOST_TUPLE_KEYS:
            raise DamagedError(f"a {type(key).__name__} is the key of a dictionary")
        return key

    def _global(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise DamagedError("the name of a class is not a text")
        self._stack.append(Placeholder(f"{module}.{name}"))

    def _call(self, function: Any, arguments: Any) -> None:
        if not isinstance(function, Placeholder):
            raise DamagedError(f"the pickle calls a {type(function).__name__}")
        if not isinstance(arguments, tuple):
            raise DamagedError(f"the arguments of {function.name[:100]!a} are no tuple")
        constructor = self._constructors.get(function.name)
        if constructor is None or function.arguments is not None:
            self._stack.append(Placeholder(function.name, arguments))
        else:
            self._stack.append(self.construct(function.name, constructor, arguments))

    def construct(self, name: str, constructor: Constructor, arguments: tuple[Any, ...]) -> Any:
        """Call one of our constructors with arguments from the file."""
        try:
            return constructor(self, arguments)
        except DamagedError:
            raise
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise DamagedError(f"{name} has bad arguments: {error}") from error

    def apply(self, function: Any, arguments: Any) -> Any:
        """Call a function of the file from a constructor, as the file itself could."""
        self._call(function, arguments)
        return self._stack.pop()

    def _reduce(self) -> None:
        arguments, function = self._pop(), self._pop()
        self._call(function, arguments)

    def _new_object(self, has_keywords: bool) -> None:
        if has_keywords:
            self._pop()
        self._reduce()

    def _object(self) -> None:
        items = self._pop_to_mark()
        if not items:
            raise DamagedError("an object without a class")
        self._call(items[0], tuple(items[1:]))

    def _instance(self, names: str) -> None:
        items = self._pop_to_mark()
        self._global(*names.split(" ", 1))
        self._call(self._pop(), tuple(items))

    def _build(self) -> None:
        state = self._pop()
        target = self._top()
        if isinstance(target, Placeholder):
            target.state = state
        elif isinstance(target, HasState):
            self.construct("an array", lambda _, values: target.set_state(values[0]), (state,))
        # Attributes of a dictionary, such as _metadata of a state dictionary, are left out.

    def _persistent(self, pid: Any) -> None:
        if self._load_persistent is None:
            raise DamagedError("it refers to a persistent object")
        self._stack.append(self._load_persistent(pid))


class HasState:
    """Base of our own objects that the file sets the state of."""

    def set_state(self, state: Any) -> None:
        """Set what was the state of the original."""
        raise NotImplementedError


def _frozen_set(machine: Unpickler) -> frozenset[Any]:
    return frozenset(map(machine.checked_key, machine._pop_to_mark()))


#: Opcodes whose argument is the object.
_PUSH_ARGUMENT = """INT BININT BININT1 BININT2 LONG LONG1 LONG4 STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES
    BINBYTES8 BYTEARRAY8 UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 FLOAT BINFLOAT"""
_HANDLERS: dict[str, Callable[[Unpickler, Any], object]] = {
    **dict.fromkeys(_PUSH_ARGUMENT.split(), lambda machine, argument: machine._stack.append(argument)),
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "NONE": lambda machine, _: machine._stack.append(None),
    "NEWTRUE": lambda machine, _: machine._stack.append(True),
    "NEWFALSE": lambda machine, _: machine._stack.append(False),
    "EMPTY_LIST": lambda machine, _: machine._stack.append([]),
    "EMPTY_TUPLE": lambda machine, _: machine._stack.append(()),
    "EMPTY_DICT": lambda machine, _: machine._stack.append({}),
    "EMPTY_SET": lambda machine, _: machine._stack.append(set()),
    "MARK": lambda machine, _: machine._stack.append(_MARK),
    "APPEND": lambda machine, _: machine._append([machine._pop()]),
    "APPENDS": lambda machine, _: machine._append(machine._pop_to_mark()),
    "ADDITEMS": lambda machine, _: machine._append(machine._pop_to_mark()),
    "LIST": lambda machine, _: machine._stack.append(machine._pop_to_mark()),
    "TUPLE": lambda machine, _: machine._stack.append(tuple(machine._pop_to_mark())),
    "TUPLE1": lambda machine, _: machine._tuple(1),
    "TUPLE2": lambda machine, _: machine._tuple(2),
    "TUPLE3": lambda machine, _: machine._tuple(3),
    "DICT": lambda machine, _: machine._push_dict(),
    "SETITEM": lambda machine, _: machine._set_item(),
    "SETITEMS": lambda machine, _: machine._set_items(machine._pop_to_mark()),
    "FROZENSET": lambda machine, _: machine._stack.append(_frozen_set(machine)),
    "POP": lambda machine, _: machine._stack.pop() if machine._stack else machine._pop(),
    "DUP": lambda machine, _: machine._stack.append(machine._top()),
    "POP_MARK": lambda machine, _: machine._pop_to_mark(),
    "GET": lambda machine, index: machine._get(index),
    "BINGET": lambda machine, index: machine._get(index),
    "LONG_BINGET": lambda machine, index: machine._get(index),
    "PUT": lambda machine, index: machine._memoize(index),
    "BINPUT": lambda machine, index: machine._memoize(index),
    "LONG_BINPUT": lambda machine, index: machine._memoize(index),
    "MEMOIZE": lambda machine, _: machine._memoize(None),
    "GLOBAL": lambda machine, names: machine._global(*names.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine._global(*[machine._pop(), machine._pop()][::-1]),
    "REDUCE": lambda machine, _: machine._reduce(),
    "BUILD": lambda machine, _: machine._build(),
    "INST": lambda machine, names: machine._instance(names),
    "OBJ": lambda machine, _: machine._object(),
    "NEWOBJ": lambda machine, _: machine._new_object(False),
    "NEWOBJ_EX": lambda machine, _: machine._new_object(True),
    "PERSID": lambda machine, pid: machine._persistent(pid),
    "BINPERSID": lambda machine, _: machine._persistent(machine._pop()),
    "READONLY_BUFFER": lambda machine, _: machine._top(),
}
