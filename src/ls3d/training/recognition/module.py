"""The Lightning module that trains a recognition network."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from ls3d.data.labeled_clips import LabeledClip
from ls3d.errors import InputError
from ls3d.inference import normalize_clips
from ls3d.metrics import Accuracy
from ls3d.models import Preprocessing, RecognitionNet
from ls3d.training._lightning_internals import set_logged_step
from ls3d.training.recognition.loaders import ViewBatch
from ls3d.training.recognition.optimizer import make_optimizer
from ls3d.training.recognition.recipe import ClassificationRecipe

log = logging.getLogger(__name__)


class ClassificationModule(lightning.LightningModule):
    """Trains a network to classify clips; validates on the mean probabilities of several clips of each video.

    Args:
        model: the network.
        recipe: what to train.
        preprocessing: how clips are normalized.
    """

    def __init__(self, model: RecognitionNet, recipe: ClassificationRecipe, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.model = model
        self._forward: Callable[[Tensor], Tensor] = torch.compile(model) if recipe.compile else model
        self.recipe = recipe
        self.options = recipe.optimization
        self.preprocessing = preprocessing
        self.unreadable: dict[str, str] = {}
        self._scores: list[Tensor] = []
        self._labels: list[Tensor] = []

    def training_step(self, batch: LabeledClip, batch_idx: int) -> Tensor:
        """The loss of one batch of clips ``(N, 3, T, h, w)``.

        Raises:
            InputError: the loss is not finite.
        """
        self._note_unreadable("\n".join(batch["unreadable"]))
        rng = np.random.default_rng((self.recipe.seed, self.global_step, batch_idx % self.options.accumulate))
        clips = self._jitter_color(batch["clip"].float(), rng)
        labels = torch.as_tensor(batch["label"])
        inputs = self._to_inputs(clips)
        inputs, other, weight = self._mix(inputs, rng)
        logits = self._forward(inputs)
        loss = weight * self._cross_entropy(logits, labels)
        if other is not None:
            loss = loss + (1 - weight) * self._cross_entropy(logits, labels[other])
        if not torch.isfinite(loss):
            raise InputError(f"the loss is {loss.item()} at step {self.global_step}, videos {batch['name']}")
        self.log("loss", loss, prog_bar=True)
        return loss

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Make a resumed training log the same steps as an uninterrupted one; keep frozen normalizations frozen."""
        set_logged_step(self.trainer, self.global_step)
        if self.options.frozen_norms:  # no other hook is called when training resumes within an epoch
            for module in self.model.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()

    def validation_step(self, batch: ViewBatch, batch_idx: int) -> None:
        """Collect the probabilities of the videos of a batch."""
        self._note_unreadable(batch["unreadable"])
        views = batch["clips"]
        if views is None:
            return
        inputs = self._to_inputs(views.flatten(0, 1))
        logits: Tensor = self.model(inputs)
        probabilities = logits.float().softmax(dim=1).unflatten(0, views.shape[:2]).mean(dim=1)
        self._scores.append(probabilities.cpu())
        self._labels.append(batch["label"].cpu())

    def on_validation_epoch_end(self) -> None:
        """Log the accuracy in percent, and the mean negative logarithm of the true class's probability."""
        if not self._scores:
            return
        scores, labels = torch.cat(self._scores), torch.cat(self._labels)
        self._scores, self._labels = [], []
        accuracy = Accuracy.of(scores, labels)
        likelihood = scores.gather(1, labels[:, None]).clamp_min(1e-9)
        self.log("top1", 100 * accuracy.top1, prog_bar=True)
        self.log("top5", 100 * accuracy.top5)
        self.log("validation_loss", -likelihood.log().mean())

    def on_fit_end(self) -> None:
        """Name the videos that could not be decoded."""
        if self.unreadable:
            names = ", ".join(sorted(self.unreadable))
            log.warning("%d videos could not be decoded and were skipped: %s", len(self.unreadable), names)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The recipe's optimizer and schedule."""
        optimizer = make_optimizer(self.model, self.options)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.options.rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _note_unreadable(self, lines: str) -> None:
        """Log each video that can't be decoded once."""
        for line in filter(None, lines.split("\n")):
            name, _, reason = line.partition("\t")
            if name not in self.unreadable:
                self.unreadable[name] = reason
                log.warning("%s can't be decoded and is skipped: %s", name, reason)

    def _cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits.float(), labels, label_smoothing=self.options.label_smoothing)

    def _jitter_color(self, clips: Tensor, rng: np.random.Generator) -> Tensor:
        """Change the brightness and the contrast of each clip of ``(N, 3, T, h, w)``, values from 0 to 255."""
        strength = self.recipe.data.color
        if not strength:
            return clips
        factors = rng.uniform(1 - strength, 1 + strength, (2, len(clips), 1, 1, 1, 1)).astype(np.float32)
        brightness, contrast = torch.from_numpy(factors).to(clips.device)
        mean = clips.mean(dim=(1, 2, 3, 4), keepdim=True)
        changed: Tensor = ((clips - mean) * contrast + mean * brightness).clamp(0, 255)
        return changed

    def _mix(self, inputs: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor | None, float]:
        """Mix each clip with another one of the batch: the clips, the other ones' indices, the first ones' weight."""
        if not self.options.mixup:
            return inputs, None, 1.0
        weight = float(rng.beta(self.options.mixup, self.options.mixup))
        other = torch.from_numpy(rng.permutation(len(inputs))).to(inputs.device)
        return inputs.lerp(inputs[other], 1 - weight), other, weight

    def _to_inputs(self, clips: Tensor) -> Tensor:
        inputs = normalize_clips(clips, self.preprocessing, self.recipe.data.subtract_mean)
        return inputs.contiguous(memory_format=torch.channels_last_3d) if self.recipe.channels_last else inputs
