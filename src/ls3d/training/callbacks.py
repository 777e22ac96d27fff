"""What is watched during training: where the taps go, and how the pictures look."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from ls3d.nn import OffsetStatistics, offset_statistics

log = logging.getLogger(__name__)


class OffsetGuard(Callback):
    """Log mean and greatest length of the offsets and the share of samples outside the frame, layer by layer.

    Exploding offsets are the best-known trap of this operator family: a tap that has left the frame reads zeros and
    gets no gradient that would bring it back. A layer whose greatest offset exceeds ``limit`` is warned about, once.

    Args:
        every: how many steps lie between two looks; a look predicts the offsets of that step a second time.
        limit: in pixels of the layer's own feature map.
    """

    def __init__(self, every: int, limit: float) -> None:
        self.every, self.limit = every, limit
        self._found: dict[str, OffsetStatistics] = {}
        self._watching = ExitStack()
        self._warned: set[str] = set()

    def on_train_batch_start(self, trainer: lightning.Trainer, module: Any, batch: Any, batch_index: int) -> None:
        """Begin to watch where it is time to."""
        if trainer.global_step % self.every == 0:
            if module.compiled:
                # A compiled network doesn't notice new hooks, and would keep those that it was compiled with.
                self._watching.enter_context(torch.compiler.set_stance("force_eager"))
            self._found = self._watching.enter_context(offset_statistics(module.model))

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: Any, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        """Log what was seen, and warn."""
        self._watching.close()
        for layer, seen in self._found.items():
            values = {"mean": seen.mean, "max": seen.max, "outside": seen.outside}
            module.log_dict({f"offsets/{layer}.{name}": value for name, value in values.items()})
            # Not "seen.max > limit": an offset that is no number must warn, too.
            if not seen.max <= self.limit and layer not in self._warned:
                self._warned.add(layer)
                log.warning(
                    "offsets of %s reach %.1f pixels at step %d, more than %g: lower optimization.offset_factor or set "
                    "optimization.offset_limit",
                    *(layer, seen.max, trainer.global_step, self.limit),
                )
        self._found = {}

    def on_exception(self, trainer: lightning.Trainer, module: Any, exception: BaseException) -> None:
        """Leave no hook behind."""
        self._watching.close()


class PictureLog(Callback):
    """At every validation, show in TensorBoard: without weights | the network | the truth, side by side.

    Args:
        samples: of how many validation samples; of each the middle one of the wanted frames.
    """

    def __init__(self, samples: int = 4) -> None:
        self.samples = samples

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        module: Any,
        outputs: Any,
        batch: Any,
        batch_index: int,
        dataloader_index: int = 0,
    ) -> None:
        """Write the strip of a sample."""
        if batch_index >= self.samples:
            return
        picture = strip(outputs["baseline"], outputs["output"], outputs["target"])
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(f"{batch_index}: {batch['clip'][0]}", picture, trainer.global_step)


def strip(*videos: Tensor) -> Tensor:
    """The middle frames of the first sample of each ``(N, 3, T, H, W)``, side by side: ``(3, H, n * W)`` in [0, 1]."""
    frames = [video[0, :, video.shape[2] // 2] for video in videos]
    return torch.cat(frames, dim=2).float().clamp(0, 1).cpu()
