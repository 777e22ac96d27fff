"""The stand-in for every object of a pickle that is neither plain data nor an array."""

from __future__ import annotations

from typing import Any


class Placeholder:
    """An object of a class that is not built, or a reference to a class or function.

    Attributes:
        name: of the class or function, with its module.
        arguments: with which the file wants to call it; None for a mere reference.
        state: what the file wants the object to be set to, such as the attributes of an ``argparse.Namespace``.
        items: entries, if it is a kind of dictionary.
        elements: elements, if it is a kind of list or set.
    """

    __slots__ = ("arguments", "elements", "items", "name", "state")

    def __init__(self, name: str, arguments: Any = None) -> None:
        self.name = name
        self.arguments = arguments
        self.state: Any = None
        self.items: dict[Any, Any] = {}
        self.elements: list[Any] = []

    def __repr__(self) -> str:
        return f"Placeholder({self.name!r})"
