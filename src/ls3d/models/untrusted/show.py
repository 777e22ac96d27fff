"""Names from files in messages: short, and without control characters."""

from __future__ import annotations

from collections.abc import Iterable

_LONGEST_NAME = 120  # characters
_LONGEST_LISTING = 6  # names


def printable(value: object) -> str:
    """Return a name from a file as it can be shown: escaped if it has control characters, cut if it is long."""
    text = value if isinstance(value, str) else f"<{type(value).__name__}>"
    if len(text) > _LONGEST_NAME:
        text = f"{text[: _LONGEST_NAME - 3]}..."
    return text if text.isprintable() else ascii(text)


def listing(names: Iterable[object]) -> str:
    """Return the first of the sorted names and the number of the others: ``"a, b and 3 more"``."""
    shown = sorted(printable(name) for name in names)
    if len(shown) <= _LONGEST_LISTING:
        return ", ".join(shown)
    return f"{', '.join(shown[:_LONGEST_LISTING])} and {len(shown) - _LONGEST_LISTING} more"
