"""The Lightning module that trains a network for several modalities, each with its own loss."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ls3d.errors import InputError
from ls3d.models import Preprocessing
from ls3d.models.recognition.fusion import JOINT, LateFusionNet
from ls3d.training.gradient_blending.loaders import MultimodalViewBatch
from ls3d.training.gradient_blending.recipe import GradientBlendingRecipe
from ls3d.training.processes import SINGLE, Processes
from ls3d.training.recognition.module import ClassificationModule

log = logging.getLogger(__name__)

#: Optical flow is clipped to this many pixels and divided by it, as for I3D (arXiv:1705.07750).
LARGEST_FLOW = 20.0


class GradientBlendingModule(ClassificationModule):
    """Trains all heads of a network, each with a weight; validates the joint one.

    If the joint head was never trained because its weight was always 0, the mean of the other heads' probabilities
    by their weights is validated instead.

    Args:
        model: the network.
        recipe: what to train.
        preprocessing: how RGB clips are normalized.
        processes: that train it, each on its share of every batch.

    Attributes:
        weights: of the losses, by head; the callback ``GradientBlending`` sets those that are measured.
        prediction: shares of the heads in the probabilities that are validated.
        masked: names of the videos whose sound is masked.
    """

    def __init__(
        self,
        model: LateFusionNet,
        recipe: GradientBlendingRecipe,
        preprocessing: Preprocessing,
        processes: Processes = SINGLE,
    ) -> None:
        super().__init__(model, recipe, preprocessing, processes)
        self.network = model
        self._forward_heads = torch.compile(model.forward_heads) if recipe.compile else model.forward_heads
        fixed = recipe.blending.weights
        self.weights: dict[str, float] = dict(fixed) if isinstance(fixed, dict) else {}
        self.prediction = prediction_of([self.weights]) if self.weights else {JOINT: 1.0}
        self.masked: set[str] = set()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The weighted sum of the losses of one batch of ``MultimodalClip``.

        Raises:
            InputError: the loss is not finite.
        """
        self.note_missing(batch)
        rng = np.random.default_rng((self.recipe.seed, self.global_step, batch_idx % self.options.accumulate))
        losses = self.losses(batch, rng)
        # With a weight of 0, too: every parameter needs a gradient if several processes train.
        loss = torch.stack([self.weights.get(name, 0.0) * value for name, value in losses.items()]).sum()
        if not torch.isfinite(loss):
            raise InputError(f"the loss is {loss.item()} at step {self.global_step}, videos {batch['name']}")
        self.log("loss", loss, prog_bar=True, sync_dist=True)
        if len(losses) > 1:
            self.log_dict({f"loss/{name}": value.detach() for name, value in losses.items()}, sync_dist=True)
        return loss

    def losses(self, batch: Any, rng: np.random.Generator, heads: tuple[str, ...] = ()) -> dict[str, Tensor]:
        """The loss of each head: the sum over the samples that have its modality, divided by the size of the batch.

        Args:
            batch: of ``MultimodalClip``.
            rng: of color jitter and dropout.
            heads: names of the heads; all by default.
        """
        inputs = dict(batch["inputs"])
        if "clip" in inputs:
            inputs["clip"] = self._jitter_color(inputs["clip"].float(), rng)
        labels = torch.as_tensor(batch["label"])
        present = batch["present"]
        # Dropout draws from torch's global generator, which a resumed training would have in another state.
        torch.manual_seed(int(rng.integers(1 << 62)) + self.processes.rank)
        logits = self._forward_heads(self.normalize(inputs), heads or self.network.heads, present)
        smoothing = self.options.label_smoothing
        losses = {}
        for name, values in logits.items():
            each = F.cross_entropy(values.float(), labels, label_smoothing=smoothing, reduction="none")
            losses[name] = (each if name == JOINT else each * present[name]).mean()
        return losses

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Collect the probabilities of the videos of a ``MultimodalViewBatch``."""
        self._note_unreadable(batch["unreadable"])
        if batch["inputs"] is None:
            return
        probabilities = self._predict(batch)
        self._scores.append(probabilities.cpu())
        self._labels.append(batch["label"].cpu())

    def _predict(self, batch: MultimodalViewBatch) -> Tensor:
        """The probabilities ``(N, classes)`` of the videos of a batch; a head counts where its modality is present."""
        found = self.probabilities(batch, tuple(self.prediction))
        present = batch["present"]
        shares = {
            name: share
            * (torch.ones_like(found[name][:, :1]) if name == JOINT else present[name][:, None].to(found[name]))
            for name, share in self.prediction.items()
        }
        total = torch.stack([share * found[name] for name, share in shares.items()]).sum(dim=0)
        return total / torch.stack(list(shares.values())).sum(dim=0).clamp_min(1e-9)

    def probabilities(self, batch: MultimodalViewBatch, heads: tuple[str, ...]) -> dict[str, Tensor]:
        """The mean probabilities ``(N, classes)`` of the views of each video, by head."""
        views = batch["inputs"]
        assert views is not None
        count = next(iter(views.values())).shape[1]
        inputs = self.normalize({name: values.flatten(0, 1) for name, values in views.items()})
        present = {name: values.repeat_interleave(count) for name, values in batch["present"].items()}
        logits = self.network.forward_heads(inputs, heads, present)
        return {
            name: values.float().softmax(dim=1).unflatten(0, (-1, count)).mean(dim=1) for name, values in logits.items()
        }

    def normalize(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The inputs ``(N, ...)`` as the network takes them: RGB from 0 to 255, flow in pixels, spectrograms."""
        found = dict(inputs)
        if "clip" in found:
            found["clip"] = self._to_inputs(found["clip"])
        if "flow" in found:
            found["flow"] = found["flow"].clamp(-LARGEST_FLOW, LARGEST_FLOW) / LARGEST_FLOW
        return found

    def note_missing(self, batch: Any) -> None:
        """Note the videos of a batch that could not be read, and those whose sound is masked."""
        self._note_unreadable("\n".join(batch["unreadable"]))
        for present in batch["present"].values():
            self.masked.update(name for name, has in zip(batch["name"], present.tolist(), strict=True) if not has)

    def on_fit_end(self) -> None:
        """Name the videos that could not be read, and those whose sound was masked."""
        super().on_fit_end()
        masked = sorted(set().union(*self.processes.gather(self.masked)))
        if masked and self.processes.is_main:
            log.warning("%d videos have no sound, which was masked: %s", len(masked), ", ".join(masked))


def prediction_of(weights: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The shares of the heads in predictions: the joint head alone, if it was trained.

    Args:
        weights: of the losses in all super-epochs.
    """
    if any(each.get(JOINT, 0.0) > 0 for each in weights):
        return {JOINT: 1.0}
    total = sum(weights[-1].values())
    return {name: weight / total for name, weight in weights[-1].items() if weight > 0}
