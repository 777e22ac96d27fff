"""Text for terminals: every ``rich`` console of ls3d comes from here.

Names and metadata of files may hold control sequences, which make a terminal change its title, colors or the order of
letters. Here they are shown as escapes, and what looks like markup is shown as it is.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

#: Control characters (C0 except tab and line feed, C1), controls of the writing direction, separators of lines and
#: paragraphs, tags, and what is left of bytes that are no text.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    """The text with escapes such as ``\\x1b`` for everything that a terminal would act on, except line feeds."""
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    """As ``printable``, with escapes for line feeds and tabs too."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def console(stderr: bool = False, **settings: Any) -> Console:
    """A console that prints text as it is: no markup, no highlighting, and no control sequences but its own.

    Args:
        stderr: write to standard error.
        settings: further arguments of ``rich.console.Console``.
    """
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class PlainConsole(Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else Segment(printable(segment.text), segment.style)

    return PlainConsole(stderr=stderr, markup=False, highlight=False, emoji=False, **settings)


def escape_unencodable() -> None:
    """Make standard output and error show escapes for characters that their encoding, such as ASCII, doesn't have."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
