"""What FFmpeg logs. Its level of logging belongs to the whole process, so blocks in several threads share it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import av

Message = tuple[int, str, str]


@contextmanager
def _restored() -> Iterator[None]:
    """Restore FFmpeg's settings of logging at the end; within the block, repeated messages aren't skipped."""
    level, skips_repeated = av.logging.get_level(), av.logging.get_skip_repeated()
    others: Any = nullcontext() if level is not None else av.logging.Capture(local=False)
    with others:  # what they log is not for Python's logging, unless the user has set a level
        av.logging.set_skip_repeated(False)
        try:
            yield
        finally:
            av.logging.set_skip_repeated(skips_repeated)
            av.logging.set_level(level)


class _SharedLevel:
    """The level while at least one block wants one: the one of the most messages. The last block restores the first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: list[int] = []
        self._restore = ExitStack()

    @contextmanager
    def wanted(self, level: int) -> Iterator[None]:
        with self._lock:
            if not self._wanted:
                self._restore.enter_context(_restored())
            self._wanted.append(level)
            av.logging.set_level(max(self._wanted))
        try:
            yield
        finally:
            with self._lock:
                self._wanted.remove(level)
                if self._wanted:
                    av.logging.set_level(max(self._wanted))
                else:
                    self._restore.close()


_LEVEL = _SharedLevel()


@contextmanager
def quiet() -> Iterator[None]:
    """Let FFmpeg log nothing in this thread."""
    with _LEVEL.wanted(av.logging.PANIC), av.logging.Capture():
        yield


@contextmanager
def logged(level: int) -> Iterator[Callable[[], list[Message]]]:
    """Yield a function for what FFmpeg has logged within the block, in this thread: level, component, text of each.

    Args:
        level: of the least important messages, ``av.logging.ERROR`` for example.
    """
    with _LEVEL.wanted(level), av.logging.Capture() as messages:
        yield lambda: [message for message in messages if message[0] <= level]
