"""The interpolation task: predict the three frames between two (section 4.2 of the LS3D-Conv paper)."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as lightning
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ls3d.data.clips import ClipSample
from ls3d.errors import InputError
from ls3d.models.vfi import InterpolationNetPlus
from ls3d.nn import parameter_groups
from ls3d.training.recipe import OptimisationSection

#: A window's frames: the network sees the first and the last, and is asked for those between.
FRAMES = 5
_GIVEN, _ASKED = [0, 4], [1, 2, 3]


class InterpolationTask(lightning.LightningModule):
    """Train an interpolation network on windows of five frames.

    Args:
        model: a network that obeys the interpolation contract of ``ls3d.models.vfi``.
        optimisation: the recipe's section.
    """

    def __init__(self, model: nn.Module, optimisation: OptimisationSection) -> None:
        super().__init__()
        self.model = model
        self.optimisation = optimisation

    def training_step(self, batch: ClipSample, batch_index: int) -> Tensor:
        """The loss of one batch of windows ``(N, 3, 5, h, w)``."""
        target = batch["frames"][:, :, _ASKED]
        if self.optimisation.coarse_loss and isinstance(self.model, InterpolationNetPlus):
            *coarse, output = self.model.forward_pyramid(batch["frames"][:, :, _GIVEN], _ASKED)
            losses = [self._distance(level, _shrink(target, level)) for level in coarse]
            loss = self._distance(output, target) + self.optimisation.coarse_loss * torch.stack(losses).mean()
        else:
            loss = self._distance(self._predict(batch), target)
        if not torch.isfinite(loss):
            raise InputError(f"the loss is {loss.item()} at step {self.global_step}, clips {batch['clip']}")
        self.log("loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: ClipSample, batch_index: int) -> None:
        """Log PSNR over the three new frames, and that of blending the two given ones linearly."""
        target = batch["frames"][:, :, _ASKED]
        size = target.shape[0]
        self.log("psnr", _psnr(self._predict(batch), target), prog_bar=True, batch_size=size)
        first, last = batch["frames"][:, :, :1], batch["frames"][:, :, -1:]
        time = torch.tensor([0.25, 0.5, 0.75], device=target.device)[:, None, None]
        self.log("psnr_blend", _psnr(torch.lerp(first, last, time), target), batch_size=size)

    def _distance(self, output: Tensor, target: Tensor) -> Tensor:
        difference = output - target
        if self.optimisation.loss == "l1":
            return difference.abs().mean()
        return (difference.square() + 1e-6).sqrt().mean()

    def _predict(self, batch: ClipSample) -> Tensor:
        return self.model(batch["frames"][:, :, _GIVEN], indices=_ASKED)

    def configure_optimizers(self) -> Any:
        """AdamW with warm-up, plateau and linear decay; the offset predictors learn more slowly."""
        options = self.optimisation
        groups = parameter_groups(self.model, options.learning_rate, options.offset_factor)
        optimizer = torch.optim.AdamW(groups, weight_decay=options.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, options.rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _shrink(target: Tensor, level: Tensor) -> Tensor:
    """``target`` at the size of ``level``, each pixel the mean of those it covers."""
    factor = target.shape[-1] // level.shape[-1]
    return F.avg_pool3d(target, (1, factor, factor))


def _psnr(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean over frames of the PSNR in dB, values in [0, 1]."""
    error = (prediction.clamp(0, 1) - target).square().mean(dim=(1, 3, 4))
    return (-10 * error.clamp_min(1e-10).log10()).mean()
