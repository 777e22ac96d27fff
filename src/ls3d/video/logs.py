"""What FFmpeg logs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import av


@contextmanager
def quiet() -> Iterator[None]:
    """Let FFmpeg log nothing."""
    level = av.logging.get_level()
    av.logging.set_level(None)
    try:
        yield
    finally:
        av.logging.set_level(level)


@contextmanager
def logged(level: int) -> Iterator[Sequence[tuple[int, str, str]]]:
    """Yield a list of what FFmpeg logs within the block, in this thread: level, component and text of each message.

    Args:
        level: of the least important messages, ``av.logging.ERROR`` for example.
    """
    level_before, skips_repeated = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(level)
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture() as messages:
            yield messages
    finally:
        av.logging.set_skip_repeated(skips_repeated)
        av.logging.set_level(level_before)
