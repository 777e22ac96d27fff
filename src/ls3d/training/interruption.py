"""Stopping a training by a signal: the state is saved after the step that is running."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import lightning.pytorch as lightning
from lightning.pytorch.callbacks import Callback

from ls3d.errors import TrainingStoppedError
from ls3d.training.processes import SINGLE, Processes

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopOnSignal(Callback):
    """Save the state and raise ``TrainingStoppedError`` after SIGTERM or Ctrl-C; a second Ctrl-C stops at once.

    It must follow the callbacks whose state changes at the end of a step.

    Args:
        path: the file of the state.
        processes: those of the training; all stop after the same step.
    """

    def __init__(self, path: Path, processes: Processes = SINGLE) -> None:
        self.path = path
        self.processes = processes
        self.received: signal.Signals | None = None
        self._step = 0

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle the signals within the block, in the main thread; other threads can't."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._receive) for number in _SIGNALS}
        try:
            yield
        except SystemExit as error:  # by which Lightning ends after a signal
            if self.received is None:
                raise
            raise TrainingStoppedError(self.received, None, self.path.parent) from error
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = signal.Signals(number)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Note the step at which training begins."""
        self._step = trainer.global_step
        if self.processes.count > 1 and threading.current_thread() is threading.main_thread():
            # Lightning has put its own handler before this one. It communicates with the other processes, which may be
            # communicating about something else: a deadlock.
            for number in _SIGNALS:
                signal.signal(number, self._receive)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save and stop, if a signal came and the step is complete, not only a part of its batch."""
        is_complete = trainer.global_step != self._step
        self._step = trainer.global_step
        if is_complete and (received := self._received_by_any()):
            trainer.save_checkpoint(self.path)
            raise TrainingStoppedError(received, trainer.global_step, self.path.parent)

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Stop, if a signal came during the validation, after which the state was saved."""
        if received := self._received_by_any():
            raise TrainingStoppedError(received, trainer.global_step, self.path.parent)

    def _received_by_any(self) -> signal.Signals | None:
        """The signal that a process of the training has received."""
        number = self.processes.largest(self.received or 0)
        return signal.Signals(number) if number else None
