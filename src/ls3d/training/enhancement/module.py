"""Training an enhancement network on windows of clean frames (section 4 of the LS3D-Conv paper)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import lightning.pytorch as lightning
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ls3d.data.windows import ClipSample
from ls3d.errors import InputError
from ls3d.nn import parameter_groups
from ls3d.training.enhancement.adversarial import Adversary
from ls3d.training.enhancement.tasks import Problem
from ls3d.training.recipe.schema import OptimizationSection


class EnhancementTask(lightning.LightningModule):
    """Train an interpolation, super-resolution or denoising network.

    A network may offer ``forward_pyramid(...)``, with the arguments of its ``forward``: what it makes from coarse to
    fine, each ``(N, 3, T, h, w)``, its output last. The earlier ones are compared with the shrunk target, too, by the
    weight ``coarse_loss``.

    Args:
        model: the network.
        problem: what it is given and asked for.
        optimization: the recipe's section.
        seed: of the degradations; those of a step depend on ``(seed, step)`` alone.
        compiled: whether the network runs through ``torch.compile`` in training.
    """

    def __init__(
        self,
        model: nn.Module,
        problem: Problem,
        optimization: OptimizationSection,
        seed: int = 0,
        compiled: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        make = getattr(model, "forward_pyramid", None) if optimization.coarse_loss else None
        make = make or (lambda *inputs: [model(*inputs)])
        self._make: Callable[..., list[Tensor]] = torch.compile(make) if compiled else make
        self.compiled = compiled
        self.problem = problem
        self.optimization = optimization
        self.seed = seed
        self.adversary = Adversary(optimization.adversarial) if optimization.adversarial else None
        self._restored: dict[str, Any] | None = None

    def training_step(self, batch: ClipSample, batch_index: int) -> Tensor:
        """The loss of one batch of windows ``(N, 3, T, h, w)``."""
        clean = _as_float(batch["frames"])
        output, target, loss = self._compare(self._inputs(clean, self.global_step), clean)
        loss = loss + self._adversarial_loss(output, target)
        if not torch.isfinite(loss):
            raise InputError(f"the loss is {loss.item()} at step {self.global_step}, clips {batch['clip']}")
        self.log("loss", loss, prog_bar=True)
        return loss

    def _adversarial_loss(self, output: Tensor, target: Tensor) -> Tensor | float:
        """From the recipe's step on: the discriminators learn, then judge what the network made."""
        if self.adversary is None or self.global_step < self.optimization.adversarial.start:  # type: ignore[union-attr]
            return 0.0
        self.log("discriminator", self.adversary.learn(output, target))
        loss = self.adversary.loss(output)
        self.log("adversarial", loss)
        return loss

    def on_fit_start(self) -> None:
        """Take the discriminators to the device, as they were when training was stopped."""
        if self.adversary is not None:
            self.adversary.to(self.device)
            if self._restored is not None:
                self.adversary.load_state_dict(self._restored)
                self._restored = None

    def on_train_batch_start(self, batch: ClipSample, batch_index: int) -> None:
        """Let a resumed run log the same steps: Lightning's count for the loggers is one ahead after a resume."""
        self.trainer.fit_loop.epoch_loop._batches_that_stepped = self.global_step

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the discriminators and their optimiser."""
        if self.adversary is not None:
            checkpoint["adversary"] = self.adversary.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Find them again; they are loaded once the device is known."""
        self._restored = checkpoint.get("adversary")

    def validation_step(self, batch: ClipSample, batch_index: int) -> dict[str, Tensor]:
        """Log PSNR over the wanted frames, and that of the baseline without weights; return the frames of all three."""
        clean = _as_float(batch["frames"])
        inputs = self._inputs(clean, batch_index, "validation")
        output = self.model(*inputs)
        count, size = output.shape[2], len(clean)
        target, baseline = self.problem.target(clean, count), self.problem.baseline(inputs, count)
        self.log("psnr", _psnr(output, target), prog_bar=True, batch_size=size)
        self.log("psnr_baseline", _psnr(baseline, target), batch_size=size)
        return {"baseline": baseline, "output": output, "target": target}

    def _inputs(self, clean: Tensor, step: int, phase: str = "training") -> tuple[Any, ...]:
        digest = hashlib.blake2b(f"{phase} {self.seed} {step}".encode(), digest_size=7).digest()
        generator = torch.Generator(clean.device).manual_seed(int.from_bytes(digest, "little"))
        return self.problem.inputs(clean, generator)

    def _compare(self, inputs: tuple[Any, ...], clean: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the network makes, what it should, and the distance between them."""
        *coarse, output = self._make(*inputs)
        target = self.problem.target(clean, output.shape[2])
        loss = self._distance(output, target)
        if coarse:
            loss = (
                loss
                + self.optimization.coarse_loss
                * torch.stack([self._distance(o, _shrink(target, o)) for o in coarse]).mean()
            )
        return output, target, loss

    def _distance(self, output: Tensor, target: Tensor) -> Tensor:
        difference = output - target
        if self.optimization.loss == "l1":
            return difference.abs().mean()
        return (difference.square() + 1e-6).sqrt().mean()

    def configure_optimizers(self) -> Any:
        """AdamW with warm-up, plateau and linear decay; the offset predictors learn more slowly."""
        options = self.optimization
        groups = parameter_groups(self.model, options.learning_rate, options.offset_factor)
        optimizer = torch.optim.AdamW(groups, weight_decay=options.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, options.rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _as_float(frames: Tensor) -> Tensor:
    """8-bit values as floating point in [0, 1]."""
    return frames.float().div_(255)


def _shrink(target: Tensor, level: Tensor) -> Tensor:
    """``target`` at the size of ``level``, each pixel the mean of those it covers."""
    factor = target.shape[-1] // level.shape[-1]
    return F.avg_pool3d(target, (1, factor, factor))


def _psnr(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean over frames of the PSNR in dB, values in [0, 1]."""
    error = (prediction.clamp(0, 1) - target).square().mean(dim=(1, 3, 4))
    return (-10 * error.clamp_min(1e-10).log10()).mean()
