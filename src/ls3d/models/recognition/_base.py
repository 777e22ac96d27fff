"""The base of the recognition networks, with timm's interface: features, head, classifier, intermediate layers by name.

A family's class builds its layers and defines how inputs become features and features become logits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ClassVar, Self, TypedDict

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ls3d.errors import InputError
from ls3d.models.network import Network, RecognitionTraits
from ls3d.models.recognition._learnable import Learnable, learnable_names, make_learnable
from ls3d.models.registry import builder_arguments


class RecognitionArguments(TypedDict, total=False):
    """The arguments that all recognition networks on clips take.

    Attributes:
        num_classes: outputs of the classifier; with 0 there is none, and the network returns features ``(N, C)``.
        in_channels: 3 for RGB, 2 for optical flow.
        ls3d: the convolutions that become LS3D: False, True (those over time) or names, as shell patterns such as
            ``"layer3.*"``; see ``make_learnable``.
        dropout: probability of dropping a feature before the classifier.
    """

    num_classes: int
    in_channels: int
    ls3d: Learnable
    dropout: float


class RecognitionNet(Network):
    """Base of the recognition networks.

    A subclass defines ``forward_features`` and ``forward_head``, and sets the other attributes.

    Attributes:
        classifier: name of the last layer.
        stages: names of the layers that ``run_stages`` runs, in order.
        in_channels: channels of the input.
        num_classes: outputs of the classifier, 0 without one.
        num_features: inputs of the classifier.
        input_layers: the first layers, which ``make_learnable(True)`` leaves unchanged.
        grad_checkpointing: whether the backward pass recomputes the activations of the stages.
    """

    traits: RecognitionTraits
    classifier: ClassVar[str] = "fc"

    stages: tuple[str, ...]
    input_layers: tuple[str, ...] = ("stem",)
    in_channels: int
    num_classes: int
    num_features: int
    grad_checkpointing: bool = False

    def forward_features(self, *inputs: Any, **named_inputs: Any) -> Tensor:
        """Map the inputs that ``traits.modalities`` names to the features that ``forward_head`` takes.

        Raises:
            InputError: the network doesn't take an input of this shape.
        """
        raise NotImplementedError

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """Map features to logits ``(N, num_classes)``, or to the classifier's inputs ``(N, num_features)``."""
        raise NotImplementedError

    def forward(self, *inputs: Tensor, **named_inputs: Tensor) -> Tensor:
        """Map the inputs that ``traits.modalities`` names to logits ``(N, num_classes)``.

        Raises:
            InputError: the network doesn't take an input of this shape.
        """
        return self.forward_head(self.forward_features(*inputs, **named_inputs))

    def get_classifier(self) -> nn.Module:
        """Return the last layer: ``nn.Linear``, or ``nn.Identity`` without a classifier."""
        return self.get_submodule(self.classifier)

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the classifier by a new one, randomly initialized; 0 removes it.

        ``config`` is updated, so that saved weights can be loaded again.
        """
        self.set_submodule(self.classifier, self._new_classifier(self.num_features, num_classes))
        self.num_classes = num_classes
        self._update_config(num_classes=num_classes)

    def _new_classifier(self, features: int, num_classes: int) -> nn.Module:
        """Make a classifier of the network's device and dtype."""
        like = next(self.parameters())
        return make_classifier(features, num_classes).to(like.device, like.dtype)

    def make_learnable(self, ls3d: Learnable = True) -> Self:
        """Convert convolutions to LS3D convolutions; the output stays the same until they are trained.

        The LS3D paper starts its training on Kinetics this way (section 4.5), from the weights of the plain network.
        ``config`` is updated, so that saved weights can be loaded again.

        Args:
            ls3d: the convolutions, as in ``RecognitionArguments``; False changes nothing.

        Raises:
            InputError: no convolution is chosen, or the network's parts are chosen by name (``late_fusion``).
        """
        if ls3d is False:
            return self
        if self.config is not None and "ls3d" not in builder_arguments(self.config.architecture):
            raise InputError(f"{self.config.architecture} has no argument ls3d; its parts may have it")
        part = self._learnable_part()
        before = learnable_names(part)
        make_learnable(part, ls3d, part.input_layers)
        self._update_config(ls3d=learnable_names(part) if before else ls3d)
        return self

    def _learnable_part(self) -> RecognitionNet:
        """The network to whose layers ``ls3d`` refers."""
        return self

    def _update_config(self, **arguments: Any) -> None:
        """Replace arguments in ``config``, if there is one, after the network was changed."""
        if self.config is not None:
            self.config = self.config.with_arguments(**arguments)

    def layer_names(self) -> list[str]:
        """Return all names that ``forward_intermediates`` takes, in the order of the network."""
        return [name for name, _ in self.named_modules() if name]

    def forward_intermediates(self, *inputs: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """Run the network and return the outputs of some of its layers.

        Args:
            inputs: as for ``forward``.
            layers: names from ``layer_names()``: ``"stem"``, ``"layer3"``, ``"fc6"``, ``"layer4.1.conv2"``, ...

        Returns:
            One tensor for each name, in the order of ``layers``.

        Raises:
            InputError: the network has no layer of this name.
        """
        modules = {name: self._find_layer(name) for name in layers}
        outputs: dict[str, Tensor] = {}
        with _recorded_outputs(modules, outputs):
            self(*inputs)
        return {name: outputs[name] for name in modules}

    def _find_layer(self, name: str) -> nn.Module:
        try:
            return self.get_submodule(name)
        except AttributeError:
            top = ", ".join(child for child, _ in self.named_children())
            raise InputError(f"the network has no layer {name!r}; it has {top}, and their sublayers") from None

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute activations in the backward pass: less memory, more time, equal gradients and statistics."""
        self.grad_checkpointing = enable

    def run_stages(self, x: Tensor) -> Tensor:
        """Run ``stages`` in order, each block checkpointed if ``grad_checkpointing`` is set."""
        for name in self.stages:
            stage = self.get_submodule(name)
            if self.grad_checkpointing and self.training and torch.is_grad_enabled():
                x = _run_checkpointed(stage, x)
            else:
                x = stage(x)
        return x

    def check_clip(self, clip: Tensor) -> None:
        """Check the shape of a clip.

        Raises:
            InputError: it is not ``(N, in_channels, T, H, W)``, or T is not ``traits.clip_length``.
        """
        length = self.traits.clip_length
        # Not `length in (None, clip.shape[2])`: torch.compile finds no open size in a tuple (dynamic=True).
        fits = clip.ndim == 5 and clip.shape[1] == self.in_channels and (length is None or clip.shape[2] == length)
        if not fits:
            raise InputError(
                f"a clip of shape {tuple(clip.shape)} does not fit; "
                f"the network takes (N, {self.in_channels}, {'T' if length is None else length}, H, W)"
            )


def make_classifier(features: int, num_classes: int) -> nn.Module:
    """Make a linear layer with N(0, 0.01) weights, or the identity for 0 classes.

    Raises:
        InputError: the number of classes is negative.
    """
    if num_classes < 0:
        raise InputError(f"num_classes is {num_classes}, expected 0 (no classifier) or more")
    if num_classes == 0:
        return nn.Identity()
    layer = nn.Linear(features, num_classes)
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)
    return layer


@contextmanager
def _recorded_outputs(modules: Mapping[str, nn.Module], outputs: dict[str, Tensor]) -> Iterator[None]:
    """Store the outputs of ``modules`` in ``outputs`` within the context."""

    def make_hook(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            # A copy, because the ReLU that follows may work in place.
            outputs[name] = output.clone()

        return hook

    handles = [module.register_forward_hook(make_hook(name)) for name, module in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _run_checkpointed(stage: nn.Module, x: Tensor) -> Tensor:
    parts = list(stage.children())
    in_blocks = isinstance(stage, nn.Sequential) and bool(parts) and all(any(part.children()) for part in parts)
    for block in parts if in_blocks else [stage]:

        def contexts(
            block: nn.Module = block,
        ) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
            return nullcontext(), _frozen_statistics(block)

        if torch.compiler.is_compiling():  # the compiler supports no context functions
            x = checkpoint(block, x, use_reentrant=False)
        else:
            x = checkpoint(block, x, use_reentrant=False, context_fn=contexts)
    return x


@contextmanager
def _frozen_statistics(block: nn.Module) -> Iterator[None]:
    """Normalize by the batch, but don't update the running statistics: the first pass has updated them."""
    norms = [module for module in block.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    stored = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked = norm.num_batches_tracked.clone()
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, stored, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked = batches
