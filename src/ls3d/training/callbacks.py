"""Watching the offsets of LS3D-Conv layers during training."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from ls3d.nn import OffsetStatistics, offset_statistics

log = logging.getLogger(__name__)


class OffsetGuard(Callback):
    """Log, for each layer, the mean and largest length of the offsets and the share of samples outside the frame.

    Exploding offsets are the most common failure of this family of operators: a tap outside the frame reads zeros and
    gets no gradient that could bring it back. A layer whose largest offset exceeds ``limit`` causes one warning.

    Args:
        network: the network that is trained.
        every: steps between two measurements; each predicts the offsets of its step a second time.
        limit: in pixels of the layer's feature map.
        compiled: whether the network is trained through ``torch.compile``.
    """

    def __init__(self, network: nn.Module, every: int, limit: float, compiled: bool = False) -> None:
        self.network = network
        self.every = every
        self.limit = limit
        self.compiled = compiled
        self._found: dict[str, OffsetStatistics] = {}
        self._measurement = ExitStack()
        self._warned: set[str] = set()

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Start a measurement if it is time for one."""
        if trainer.global_step % self.every == 0:
            if self.compiled:
                # A compiled network ignores hooks that were added later, and would keep those it was compiled with.
                self._measurement.enter_context(torch.compiler.set_stance("force_eager"))
            self._found = self._measurement.enter_context(offset_statistics(self.network))

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log the measurement, and warn."""
        self._measurement.close()
        for layer, offsets in self._found.items():
            values = {"mean": offsets.mean, "outside": offsets.outside}
            pl_module.log_dict({f"offsets/{layer}.{name}": value for name, value in values.items()}, sync_dist=True)
            pl_module.log(f"offsets/{layer}.max", offsets.max, reduce_fx="max", sync_dist=True)
            # Not "offsets.max > limit": NaN must warn, too.
            if not offsets.max <= self.limit and layer not in self._warned:
                self._warned.add(layer)
                log.warning(
                    "offsets of %s reach %.1f pixels at step %d, more than %g: lower optimization.offset_factor or set "
                    "optimization.offset_limit",
                    *(layer, offsets.max, trainer.global_step, self.limit),
                )
        self._found = {}

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Remove the hooks."""
        self._measurement.close()
