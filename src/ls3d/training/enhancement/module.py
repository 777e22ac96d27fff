"""The Lightning module that trains an enhancement network (section 4 of the LS3D-Conv paper)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import lightning.pytorch as lightning
import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.utils.data import DataLoader

from ls3d.data.windows import ClipSample
from ls3d.errors import InputError
from ls3d.inference import Enhancer
from ls3d.metrics import psnr
from ls3d.models import EnhancementNetwork
from ls3d.nn import parameter_groups
from ls3d.training._lightning_internals import set_logged_step
from ls3d.training.enhancement.adversarial import AdversarialLoss
from ls3d.training.enhancement.pairs import TrainingPairs
from ls3d.training.enhancement.recipe import EnhancementOptimization
from ls3d.training.processes import SINGLE, Processes

#: PSNR in dB that equal frames count as, so that means stay finite.
_PSNR_LIMIT = 100.0


class EnhancementModule(lightning.LightningModule):
    """Trains an interpolation, super-resolution or denoising network.

    Args:
        model: the network; with ``coarse_loss``, all outputs of its ``forward_pyramid`` are trained.
        pairs: its inputs and targets.
        optimization: the recipe's section.
        seed: of the random inputs; those of a step depend only on ``(seed, step)``.
        compiled: whether training runs the network through ``torch.compile``.
        processes: that train it, each on its share of every batch.
    """

    def __init__(
        self,
        model: EnhancementNetwork,
        pairs: TrainingPairs,
        optimization: EnhancementOptimization,
        seed: int = 0,
        compiled: bool = False,
        processes: Processes = SINGLE,
    ) -> None:
        super().__init__()
        self.model = model
        forward = model.forward_pyramid if optimization.coarse_loss else _forward_alone(model)
        self._forward: Callable[..., list[Tensor]] = torch.compile(forward) if compiled else forward
        self.pairs = pairs
        self.optimization = optimization
        self.seed = seed
        self.processes = processes
        self.adversarial = AdversarialLoss(optimization.adversarial, processes) if optimization.adversarial else None
        self._adversarial_state: dict[str, Any] | None = None

    def training_step(self, batch: ClipSample, batch_idx: int) -> Tensor:
        """The loss of one batch of windows ``(N, 3, T, h, w)``.

        Raises:
            InputError: the loss is not finite.
        """
        clean = _as_float(batch["frames"])
        output, target, loss = self._compare(self._inputs(clean, self.global_step, training=True), clean)
        loss = loss + self._adversarial_loss(output, target)
        if not torch.isfinite(loss):
            raise InputError(f"the loss is {loss.item()} at step {self.global_step}, clips {batch['clip']}")
        self.log("loss", loss, prog_bar=True, sync_dist=True)
        return loss

    def _adversarial_loss(self, output: Tensor, target: Tensor) -> Tensor | float:
        """From the recipe's step on: train the discriminators, then return the network's loss."""
        options = self.optimization.adversarial
        if self.adversarial is None or options is None or self.global_step < options.start:
            return 0.0
        self.log("discriminator", self.adversarial.train_discriminators(output, target), sync_dist=True)
        loss = self.adversarial.generator_loss(output)
        self.log("adversarial", loss, sync_dist=True)
        return loss

    def on_fit_start(self) -> None:
        """Move the discriminators to the device, then load their state: their optimizer's must be there, too."""
        if self.adversarial is not None:
            self.adversarial.to(self.device)
            if self._adversarial_state is not None:
                self.adversarial.load_state_dict(self._adversarial_state)
                self._adversarial_state = None

    def on_train_batch_start(self, batch: ClipSample, batch_idx: int) -> None:
        """Make a resumed training log the same steps as an uninterrupted one."""
        set_logged_step(self.trainer, self.global_step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the discriminators and their optimizer."""
        if self.adversarial is not None:
            checkpoint["adversarial"] = self.adversarial.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep their state until the device is known."""
        self._adversarial_state = checkpoint.get("adversarial")

    def validation_step(self, batch: ClipSample, batch_idx: int) -> dict[str, Tensor]:
        """Log the mean PSNR of the network and of the weightless baseline.

        Returns:
            ``baseline``, ``output`` and ``target``, each ``(N, 3, T, H, W)``.
        """
        clean = _as_float(batch["frames"])
        validation = self.trainer.val_dataloaders
        assert isinstance(validation, DataLoader)
        assert isinstance(validation.sampler, range)  # the windows of this process
        inputs = self._inputs(clean, validation.sampler[batch_idx], training=False)
        output = self.pairs.enhance(Enhancer(self.model, self.device), inputs)
        count = output.shape[2]
        target = self.pairs.target(clean, inputs, count)
        baseline = self.pairs.baseline(inputs, count)
        self.log("psnr", _mean_psnr(output, target), prog_bar=True, batch_size=len(clean), sync_dist=True)
        self.log("psnr_baseline", _mean_psnr(baseline, target), batch_size=len(clean), sync_dist=True)
        return {"baseline": baseline, "output": output, "target": target}

    def _inputs(self, clean: Tensor, step: int, training: bool) -> tuple[Any, ...]:
        phase = "training" if training else "validation"
        digest = hashlib.blake2b(f"{phase} {self.seed} {step}".encode(), digest_size=7).digest()
        generator = torch.Generator(clean.device).manual_seed(int.from_bytes(digest, "little"))
        return self.pairs.inputs(clean, generator, training, self.processes if training else SINGLE)

    def _compare(self, inputs: tuple[Any, ...], clean: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The network's output, the target, and the loss of all scales."""
        *coarse, output = self._forward(*inputs)
        target = self.pairs.target(clean, inputs, output.shape[2])
        loss = self._distance(output, target)
        if coarse:
            distances = [self._distance(level, _shrink(target, level)) for level in coarse]
            loss = loss + self.optimization.coarse_loss * torch.stack(distances).mean()
        return output, target, loss

    def _distance(self, output: Tensor, target: Tensor) -> Tensor:
        difference = output - target
        if self.optimization.loss == "l1":
            return difference.abs().mean()
        if self.optimization.loss == "psnr":
            return 0.1 * (difference.square().mean((1, 2, 3, 4)) + 1e-5).log().mean()
        return (difference.square() + 1e-6).sqrt().mean()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW with the recipe's schedule; the offset predictors have their own learning rate."""
        options = self.optimization
        groups = parameter_groups(self.model, options.learning_rate, options.offset_factor)
        optimizer = torch.optim.AdamW(groups, weight_decay=options.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, options.rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _forward_alone(model: EnhancementNetwork) -> Callable[..., list[Tensor]]:
    """``forward``, as a pyramid with one level."""

    def forward(*inputs: Any) -> list[Tensor]:
        return [model(*inputs)]

    return forward


def _as_float(frames: Tensor) -> Tensor:
    """8-bit values as floating point in [0, 1]."""
    return frames.float().div_(255)


def _shrink(target: Tensor, level: Tensor) -> Tensor:
    """``target`` at the size of ``level``; each pixel is the mean of those that it covers."""
    factor = target.shape[-1] // level.shape[-1]
    return F.avg_pool3d(target, (1, factor, factor))


def _mean_psnr(output: Tensor, target: Tensor) -> Tensor:
    """Mean PSNR in dB over the frames of ``(N, 3, T, H, W)`` in [0, 1]."""
    frames = output.clamp(0, 1).transpose(1, 2)
    return psnr(frames, target.transpose(1, 2), peak=1.0).clamp_max(_PSNR_LIMIT).mean().float()
