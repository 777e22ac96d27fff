"""Measuring how a head overfits and generalizes: it is trained alone, and its losses are compared before and after.

Algorithm "GB_Estimate" of arXiv:1905.12681. Everything depends on the seed, the super-epoch and the step alone.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ls3d.data.labeled import LabeledVideo
from ls3d.errors import InputError
from ls3d.models import Preprocessing
from ls3d.models.recognition.fusion import JOINT, LateFusionNet
from ls3d.training._network import build_network
from ls3d.training.gradient_blending.loaders import random_clips, view_loader
from ls3d.training.gradient_blending.module import GradientBlendingModule
from ls3d.training.gradient_blending.recipe import GradientBlendingRecipe
from ls3d.training.gradient_blending.weights import Measurement
from ls3d.training.recognition.optimizer import make_optimizer

#: Seeds of the samples of a training and of its measurements are this far apart.
_SEEDS = 1 << 32


class Estimator:
    """Trains heads alone and measures them.

    Args:
        recipe: what is trained.
        training: the videos that are trained on.
        held_out: the videos that are held out from them.
        preprocessing: how RGB clips are normalized.
    """

    def __init__(
        self,
        recipe: GradientBlendingRecipe,
        training: Sequence[LabeledVideo],
        held_out: Sequence[LabeledVideo],
        preprocessing: Preprocessing,
    ) -> None:
        self.recipe = recipe
        self.training = training
        self.held_out = held_out
        self.preprocessing = preprocessing
        # As many as are held out, so that both losses have the same noise.
        rng = np.random.default_rng((recipe.seed, len(training)))
        self.measured = sorted(rng.permutation(len(training))[: len(held_out)].tolist())

    def measure(
        self, head: str, weights: Mapping[str, Tensor], super_epoch: int, device: torch.device
    ) -> Generator[None, None, Measurement]:
        """Train a head alone and measure it; yields after every step, so that the caller can pause or stop.

        Args:
            head: its name; a modality's head trains the network of this modality, ``"joint"`` all.
            weights: state of the network from which the training starts.
            super_epoch: its number.
            device: where to train.

        Raises:
            InputError: the loss is not finite, or no video can be read.
        """
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            network = build_network(self.recipe)
        assert isinstance(network, LateFusionNet)
        network.load_state_dict(dict(weights))
        module = GradientBlendingModule(network, self.recipe, self.preprocessing).to(device)
        before = yield from self._losses(module, head)
        yield from self._train(module, head, super_epoch)
        after = yield from self._losses(module, head)
        return Measurement((before[0], after[0]), (before[1], after[1]))

    def _train(self, module: GradientBlendingModule, head: str, super_epoch: int) -> Iterator[None]:
        recipe = self.recipe
        options = recipe.optimization
        first = super_epoch * recipe.super_epoch
        optimizer = make_optimizer(module.network, options)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: options.rate(first + step))
        module.train()
        module.freeze_norms()
        batches = iter(self._batches(module, super_epoch))
        for step in range(recipe.super_epoch):
            optimizer.zero_grad()
            for part in range(recipe.accumulate):
                batch = _move(next(batches), module)
                module.note_missing(batch)
                rng = np.random.default_rng((recipe.seed + (super_epoch + 1) * _SEEDS, step, part))
                with self._autocast(module):
                    loss = module.losses(batch, rng, (head,))[head]
                if not torch.isfinite(loss):
                    raise InputError(f"the loss of {head} alone is {loss.item()} at step {first + step}")
                (loss / recipe.accumulate).backward()
            if options.clip_gradient:
                nn.utils.clip_grad_norm_(module.parameters(), options.clip_gradient)
            optimizer.step()
            schedule.step()
            yield

    def _batches(self, module: GradientBlendingModule, super_epoch: int) -> DataLoader[Any]:
        recipe = self.recipe
        seed = recipe.seed + (super_epoch + 1) * _SEEDS
        samples = random_clips(recipe, self.training, recipe.clip_format(module.network), seed)
        return DataLoader(
            samples,
            recipe.optimization.batch_size // recipe.accumulate,
            sampler=range(recipe.super_epoch * recipe.optimization.batch_size),
            num_workers=recipe.data.workers,
        )

    def _losses(self, module: GradientBlendingModule, head: str) -> Generator[None, None, tuple[float, float]]:
        """Mean losses of a head on training videos and on held-out ones."""
        module.eval()
        found = []
        for videos in ([self.training[index] for index in self.measured], self.held_out):
            losses: list[Tensor] = []
            for batch in view_loader(self.recipe, videos, self.recipe.clip_format(module.network)):
                if batch["inputs"] is not None:
                    losses.append(self._loss(module, head, batch))
                yield
            if not sum(len(each) for each in losses):
                raise InputError(f"none of the videos on which {head} is measured can be read")
            found.append(float(torch.cat(losses).mean()))
        return found[0], found[1]

    @torch.no_grad()
    def _loss(self, module: GradientBlendingModule, head: str, batch: Any) -> Tensor:
        """The losses of the videos that have the modality of the head."""
        moved = _move(batch, module)
        with self._autocast(module):
            probabilities = module.probabilities(moved, (head,))[head]
        true = probabilities.gather(1, moved["label"][:, None])[:, 0].clamp_min(1e-9)
        kept = torch.ones_like(true, dtype=torch.bool) if head == JOINT else moved["present"][head]
        return -true.log().double()[kept]

    def _autocast(self, module: GradientBlendingModule) -> AbstractContextManager[object]:
        if self.recipe.precision == "32-true":
            return nullcontext()
        return torch.autocast(module.device.type, torch.bfloat16)


def _move(batch: Any, module: GradientBlendingModule) -> Any:
    """A batch on the device of a module."""
    return module.transfer_batch_to_device(batch, module.device, 0)
