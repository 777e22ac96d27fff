"""Pictures of the validation in TensorBoard."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor


class PictureLog(Callback):
    """At every validation, log pictures of the weightless baseline, the network's output and the target in a row.

    Args:
        samples: number of validation samples that are logged; of each, the middle frame of the target.
    """

    def __init__(self, samples: int = 4) -> None:
        self.samples = samples

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Log one sample."""
        if batch_idx >= self.samples:
            return
        picture = middle_frames(outputs["baseline"], outputs["output"], outputs["target"])
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(f"{batch_idx}: {batch['clip'][0]}", picture, trainer.global_step)


def middle_frames(*videos: Tensor) -> Tensor:
    """The middle frames of the first sample of each ``(N, 3, T, H, W)`` in a row: ``(3, H, n * W)`` in [0, 1]."""
    frames = [video[0, :, video.shape[2] // 2] for video in videos]
    return torch.cat(frames, dim=2).float().clamp(0, 1).cpu()
