"""The Lightning module that trains a recognition network."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from ls3d.data.labeled_clips import LabeledClip
from ls3d.errors import InputError
from ls3d.inference import normalize_clips
from ls3d.metrics import Accuracy
from ls3d.models import Preprocessing, RecognitionNet
from ls3d.training._lightning_internals import set_logged_step
from ls3d.training._sharding import shard_parameters
from ls3d.training.processes import SINGLE, Processes
from ls3d.training.recognition.loaders import ViewBatch
from ls3d.training.recognition.mixing import draw_mixture
from ls3d.training.recognition.optimizer import make_optimizer
from ls3d.training.recognition.recipe import BaseClassificationRecipe

log = logging.getLogger(__name__)


class ClassificationModule(lightning.LightningModule):
    """Trains a network to classify clips; validates on the mean probabilities of several clips of each video.

    Args:
        model: the network.
        recipe: what to train.
        preprocessing: how clips are normalized.
        processes: that train it, each on its share of every batch.
    """

    def __init__(
        self,
        model: RecognitionNet,
        recipe: BaseClassificationRecipe,
        preprocessing: Preprocessing,
        processes: Processes = SINGLE,
    ) -> None:
        super().__init__()
        self.model = model
        # No module, which would hold the parameters under a second name.
        self._forward: Callable[[Tensor], Tensor] = partial(torch.compile(model) if recipe.compile else model)
        self.recipe = recipe
        self.options = recipe.optimization
        self.preprocessing = preprocessing
        self.processes = processes
        self.unreadable: dict[str, str] = {}
        self._scores: list[Tensor] = []
        self._labels: list[Tensor] = []

    def configure_model(self) -> None:
        """Divide the parameters among the processes, if the recipe asks for it."""
        if self.recipe.is_sharded and self.processes.count > 1:
            assert self.device_mesh is not None
            shard_parameters(self.model, self.device_mesh["data_parallel"])

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
        inputs, other_labels, weight = self._mix(inputs, labels, rng)
        # Dropout draws from torch's global generator, which a resumed training would have in another state.
        torch.manual_seed(int(rng.integers(1 << 62)) + self.processes.rank)
        logits = self._forward(inputs)
        loss = weight * self._cross_entropy(logits, labels)
        if other_labels is not None:
            loss = loss + (1 - weight) * self._cross_entropy(logits, other_labels)
        if not torch.isfinite(loss):
            raise InputError(f"the loss is {loss.item()} at step {self.global_step}, videos {batch['name']}")
        self.log("loss", loss, prog_bar=True, sync_dist=True)
        return loss

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Make a resumed training log the same steps as an uninterrupted one; keep frozen normalizations frozen."""
        set_logged_step(self.trainer, self.global_step)
        self.freeze_norms()  # no other hook is called when training resumes within an epoch

    def freeze_norms(self) -> None:
        """Set the batch normalizations to evaluation mode, if the recipe freezes them."""
        if self.options.frozen_norms:
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
        collected = self.processes.gather((self._scores, self._labels))
        self._scores, self._labels = [], []
        if not any(scores for scores, _ in collected):
            return
        scores = torch.cat([each for parts, _ in collected for each in parts])
        labels = torch.cat([each for _, parts in collected for each in parts])
        accuracy = Accuracy.of(scores, labels)
        likelihood = scores.gather(1, labels[:, None]).clamp_min(1e-9)
        self.log("top1", 100 * accuracy.top1, prog_bar=True, sync_dist=True)
        self.log("top5", 100 * accuracy.top5, sync_dist=True)
        self.log("validation_loss", -likelihood.log().mean(), sync_dist=True)

    def on_fit_end(self) -> None:
        """Name the videos that could not be decoded."""
        for found in self.processes.gather(self.unreadable):
            self.unreadable = {**self.unreadable, **found}
        if self.unreadable and self.processes.is_main:
            names = ", ".join(sorted(self.unreadable))
            log.warning("%d videos could not be decoded and were skipped: %s", len(self.unreadable), names)

    def recompute_norms(self, batches: Iterable[LabeledClip]) -> None:
        """Replace the running statistics of batch normalizations by their means over batches of training clips."""

        def inputs() -> Iterator[Tensor]:
            for batch in batches:
                self._note_unreadable("\n".join(batch["unreadable"]))
                yield self._to_inputs(batch["clip"].to(self.device).float())

        update_bn(inputs(), self.model)

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
        size = (2, len(clips) * self.processes.count, 1, 1, 1, 1)
        factors = torch.from_numpy(rng.uniform(1 - strength, 1 + strength, size).astype(np.float32))
        brightness, contrast = (self.processes.share(factor).to(clips.device) for factor in factors)
        mean = clips.mean(dim=(1, 2, 3, 4), keepdim=True)
        changed: Tensor = ((clips - mean) * contrast + mean * brightness).clamp(0, 255)
        return changed

    def _mix(self, inputs: Tensor, labels: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor | None, float]:
        """Mix each clip with another one of the batch: the clips, the other ones' labels, the first ones' weight."""
        height, width = inputs.shape[-2:]
        count = len(inputs) * self.processes.count
        mixture = draw_mixture(rng, count, (height, width), self.options.mixup, self.options.cutmix)
        if mixture is None:
            return inputs, None, 1.0
        other = self.processes.share(torch.from_numpy(mixture.order).to(inputs.device))
        others = self.processes.gather_samples(inputs)[other]
        return mixture.mix(inputs, others), self.processes.gather_samples(labels)[other], mixture.weight

    def _to_inputs(self, clips: Tensor) -> Tensor:
        inputs = normalize_clips(clips, self.preprocessing, self.recipe.data.subtract_mean)
        return inputs.contiguous(memory_format=torch.channels_last_3d) if self.recipe.channels_last else inputs
