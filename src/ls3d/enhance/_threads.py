"""Threads with short queues between them, so that decoding, inference and encoding overlap."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Generic, TypeVar

T = TypeVar("T")

#: Seconds to wait at an interruption for a thread that may read or write a pipe of which the other end does nothing.
PATIENCE = 2.0

_POLL = 0.1  # seconds between checks whether the other thread is still there
_END = object()


@contextmanager
def prefetch(items: Iterator[T], depth: int, name: str) -> Iterator[Iterator[T]]:
    """Run an iterator in a thread, at most ``depth`` items ahead.

    Args:
        items: may be a generator that takes long for each item; its errors are raised where the result is read.
        depth: maximum number of items that wait.
        name: of the thread.
    """
    ready: queue.Queue[Any] = queue.Queue(depth)
    stop = threading.Event()
    failures: list[BaseException] = []

    def put(item: object) -> None:
        while not stop.is_set():
            with suppress(queue.Full):
                ready.put(item, timeout=_POLL)
                return

    def produce() -> None:
        try:
            for item in items:
                put(item)
                if stop.is_set():
                    break
            if isinstance(items, Generator):
                items.close()
        except BaseException as error:
            failures.append(error)
        put(_END)

    def consume() -> Iterator[T]:
        while (item := ready.get()) is not _END:
            yield item
        if failures:
            raise failures[0]

    thread = threading.Thread(target=produce, name=name, daemon=True)
    thread.start()
    patience: float | None = None
    try:
        yield consume()
    except (KeyboardInterrupt, SystemExit):
        patience = PATIENCE
        raise
    finally:
        stop.set()
        thread.join(patience)


class Worker(Generic[T]):
    """Calls ``handle`` on items in another thread, in order; its errors are raised where items are sent.

    Used as a context manager: at the end, even after an error, it waits until all items are handled. After an error of
    ``handle`` itself, the remaining items are discarded.

    Args:
        handle: is called with every item.
        depth: maximum number of items that wait.
        patience: seconds to wait at the end after an interruption, for items that may take forever; None to wait until
            all are handled.
    """

    def __init__(self, handle: Callable[[T], None], depth: int, patience: float | None = None) -> None:
        self._handle = handle
        self._items: queue.Queue[Any] = queue.Queue(depth)
        self._failure: BaseException | None = None
        self._patience = patience
        self._thread = threading.Thread(target=self._run, name="ls3d-encode", daemon=True)

    def send(self, item: T) -> None:
        """Pass an item on; waits while the queue is full.

        Raises:
            BaseException: whatever ``handle`` raised on an earlier item.
        """
        self._put(item)
        self._raise()

    def __enter__(self) -> Worker[T]:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._patience is not None and kind is not None and issubclass(kind, (KeyboardInterrupt, SystemExit)):
            with suppress(queue.Full):
                self._items.put(_END, timeout=self._patience)
            self._thread.join(self._patience)
            return
        self._put(_END)
        self._thread.join()
        if kind is None:
            self._raise()

    def _put(self, item: object) -> None:
        while self._thread.is_alive():
            with suppress(queue.Full):
                self._items.put(item, timeout=_POLL)
                return

    def _run(self) -> None:
        while (item := self._items.get()) is not _END:
            if self._failure is None:
                try:
                    self._handle(item)
                except BaseException as error:
                    self._failure = error

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure
