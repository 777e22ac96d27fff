"""Finding an entry of a table by the name that a user gave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from ls3d.errors import InputError

_Entry = TypeVar("_Entry")


def look_up(table: Mapping[str, _Entry], name: str, kind: str) -> _Entry:
    """The entry called ``name``.

    Args:
        table: entries by name.
        name: the one wanted.
        kind: what the entries are, for the error message: "data set", "protocol", ...

    Raises:
        InputError: there is none of this name; the message lists all names.
    """
    if name not in table:
        raise InputError(f"no {kind} is called {name!r}; there are {', '.join(table)}")
    return table[name]
