"""The Lightning callback that measures the weights of the losses during a training."""

from __future__ import annotations

import json
import logging
import signal
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from ls3d.errors import TrainingStoppedError
from ls3d.files import write_json
from ls3d.models.recognition.fusion import JOINT
from ls3d.training.gradient_blending.estimate import Estimator
from ls3d.training.gradient_blending.module import GradientBlendingModule, prediction_of
from ls3d.training.gradient_blending.recipe import GradientBlendingRecipe
from ls3d.training.gradient_blending.weights import Measurement, blend_weights, overfitting_ratio, show
from ls3d.training.interruption import StopOnSignal
from ls3d.training.processes import SINGLE, Processes

log = logging.getLogger(__name__)

#: File in the folder of a training: the measurements and weights of all super-epochs.
HISTORY = "blending.json"

#: Seconds between two exchanges of the processes while they measure.
_EXCHANGE_EVERY = 2.0

#: Yields None while it works, and the measurement of a head when it is complete.
_Work = Generator[tuple[str, Measurement] | None, None, None]


class GradientBlending(Callback):
    """Sets the weights of the losses at the beginning of each super-epoch.

    The heads are divided among the processes, each of which trains whole ones, so that the weights do not depend on
    the number of processes. Finished measurements are written to ``blending.json`` in the folder of the training, and
    are not repeated when it resumes.

    Args:
        recipe: what is trained.
        estimator: measures the heads.
        identity: of the training: recipe, clips, version.
        processes: that train.

    Attributes:
        history: for each super-epoch: its number, its first step, the measurements and the weights.
    """

    def __init__(
        self,
        recipe: GradientBlendingRecipe,
        estimator: Estimator,
        identity: Mapping[str, Any],
        processes: Processes = SINGLE,
    ) -> None:
        self.recipe = recipe
        self.estimator = estimator
        self.identity = dict(identity)
        self.processes = processes
        self.history: list[dict[str, Any]] = []

    @property
    def file(self) -> Path:
        """The file of the history."""
        return self.recipe.output / HISTORY

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Measure the weights if a super-epoch begins.

        Raises:
            TrainingStoppedError: a signal came meanwhile.
        """
        assert isinstance(pl_module, GradientBlendingModule)
        number = self.recipe.super_epoch_of(trainer.global_step)
        if not self.history or self.history[-1]["super_epoch"] != number:
            self._measure(trainer, pl_module, number)
        pl_module.weights = self.history[-1]["weights"]
        pl_module.prediction = prediction_of([entry["weights"] for entry in self.history])
        pl_module.log_dict({f"weight/{name}": weight for name, weight in pl_module.weights.items()})

    def state_dict(self) -> dict[str, Any]:
        """What a training state has of the callback."""
        return {"history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a training state."""
        self.history = state_dict["history"]

    def _measure(self, trainer: lightning.Trainer, module: GradientBlendingModule, number: int) -> None:
        """Measure all heads, and add the weights to the history.

        Raises:
            TrainingStoppedError: a signal came meanwhile.
        """
        heads = module.network.heads
        found = self.processes.gather(self._recorded(number) if self.processes.is_main else {})[0]
        missing = [name for name in heads if name not in found]
        state = {name: value.detach().clone() for name, value in module.network.state_dict().items()}
        work = self._work(missing[self.processes.rank :: self.processes.count], state, number, module.device)
        (stop,) = (each for each in trainer.callbacks if isinstance(each, StopOnSignal))  # type: ignore[attr-defined]
        is_done = False
        while not is_done:
            results = self.processes.gather(self.processes.run(lambda: _advance(work, stop)))
            found |= {name: measured for measurements, _ in results for name, measured in measurements.items()}
            is_done = all(finished for _, finished in results)
            self._write([*self.history, _entry(number, trainer.global_step, found)])
            if received := self.processes.largest(stop.received or 0):
                raise TrainingStoppedError(signal.Signals(received), None, self.recipe.output)
        self._note(trainer.global_step, {name: found[name] for name in heads}, number)

    def _note(self, step: int, found: Mapping[str, Measurement], number: int) -> None:
        previous = self.history[-1]["weights"] if self.history else None
        weights = self.processes.run(lambda: blend_weights(found, previous))
        entry = _entry(number, step, found)
        entry |= {"weights": weights, "overfitting_ratio": overfitting_ratio(weights, found)}
        self.history = [*self.history, entry]
        self._write(self.history)
        if self.processes.is_main:
            log.info("super-epoch %d: weights %s", number, show(weights))
            prediction = prediction_of([entry["weights"] for entry in self.history])
            if JOINT not in prediction:
                log.warning("the joint head is not trained; predictions are those of %s", show(prediction))

    def _work(self, heads: Sequence[str], state: Mapping[str, Tensor], number: int, device: torch.device) -> _Work:
        for head in heads:
            measured = yield from self.estimator.measure(head, state, number, device)
            yield head, measured

    def _recorded(self, number: int) -> dict[str, Measurement]:
        """The measurements of a super-epoch that are in the file already."""
        try:
            content = json.loads(self.file.read_text(encoding="utf-8"))
            if content["training"] != self.identity:
                return {}
            entries = [entry for entry in content["history"] if entry["super_epoch"] == number]
            return {
                name: Measurement(tuple(values["training"]), tuple(values["held_out"]))
                for entry in entries
                for name, values in entry["measurements"].items()
            }
        except (OSError, ValueError, LookupError, TypeError):  # there is none, or it is damaged
            return {}

    def _write(self, history: Sequence[Mapping[str, Any]]) -> None:
        if self.processes.is_main:
            content = {"training": self.identity, "history": history}
            write_json(self.file, content, durable=True)


def _advance(work: _Work, stop: StopOnSignal | None) -> tuple[dict[str, Measurement], bool]:
    """Work until the next exchange: the measurements that were completed, and whether all are."""
    until = time.monotonic() + _EXCHANGE_EVERY
    for result in work:
        if result is not None:
            return dict([result]), False
        if time.monotonic() > until or (stop is not None and stop.received):
            return {}, False
    return {}, True


def _entry(number: int, step: int, found: Mapping[str, Measurement]) -> dict[str, Any]:
    measurements = {
        name: {**asdict(measured), "overfitting": measured.overfitting, "generalization": measured.generalization}
        for name, measured in found.items()
    }
    return {"super_epoch": number, "step": step, "measurements": measurements}
