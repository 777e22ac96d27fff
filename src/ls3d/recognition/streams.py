"""``classify_stream``: the classes of a camera, a network stream or a pipe, window by window as it comes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, BinaryIO

from ls3d.data.clips import Pixels
from ls3d.inference import Classifier
from ls3d.recognition.classify import (
    Window,
    classify_clips,
    decoded_size,
    frames_between_windows,
    sliding_windows,
)
from ls3d.video.streams import StreamAddress, read_stream_regularly

_POLL = 0.1  # seconds between checks whether the reader is to stop
_PATIENCE = 2.0  # seconds to wait for a reader at the end; a stream may send nothing


def classify_stream(
    classifier: Classifier, source: StreamAddress | BinaryIO, *, stride: float | None = None
) -> Iterator[Window]:
    """Classify a stream by a sliding window.

    Decoding runs in another thread. If the network is slower than a live stream (a camera, RTSP, RTMP, RTP, UDP),
    windows are left out, so that the newest one is always classified; any other stream waits.

    Args:
        classifier: the network; its metadata say how long a clip is.
        source: what ``ls3d.video.streams.stream_address`` returns, or a binary file that is read once.
        stride: seconds from one window to the next; None for half the length of a clip.

    Yields:
        Each window, with times from the first frame of the stream on, until the stream ends.

    Raises:
        InputError: the stream can't be opened, is not a video, sends nothing, or the stride is not positive.
    """
    step = frames_between_windows(classifier, stride)
    frames = read_stream_regularly(source, classifier.clip.fps, decoded_size(classifier))
    windows = sliding_windows(frames, classifier.clip.frames, step)
    reader = _Reader(windows, drops=isinstance(source, StreamAddress) and source.live)
    try:
        while (window := reader.next()) is not None:
            yield from classify_clips(classifier, [window])
    finally:
        reader.stop()


class _Reader:
    """Consumes an iterator in a thread; one window may wait.

    Args:
        windows: the iterator.
        drops: whether a new window replaces the one that waits, instead of waiting itself.
    """

    def __init__(self, windows: Iterator[tuple[int, Pixels]], drops: bool) -> None:
        self._windows = windows
        self._drops = drops
        self._waiting: queue.Queue[Any] = queue.Queue(1)
        self._stopped = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="ls3d-stream", daemon=True)
        self._thread.start()

    def next(self) -> tuple[int, Pixels] | None:
        """The next window; None at the end.

        Raises:
            BaseException: whatever the iterator raised.
        """
        window: tuple[int, Pixels] | None = self._waiting.get()
        if window is None and self._failure is not None:
            raise self._failure
        return window

    def stop(self) -> None:
        """End the thread, unless it waits for a stream that sends nothing; then it ends with the process."""
        self._stopped.set()
        self._thread.join(_PATIENCE)

    def _run(self) -> None:
        try:
            for window in self._windows:
                if self._drops:
                    with suppress(queue.Empty):
                        self._waiting.get_nowait()
                self._put(window)
                if self._stopped.is_set():
                    break
        except BaseException as error:
            self._failure = error
        self._put(None)

    def _put(self, item: tuple[int, Pixels] | None) -> None:
        while not self._stopped.is_set():
            with suppress(queue.Full):
                self._waiting.put(item, timeout=_POLL)
                return
