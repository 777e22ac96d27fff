"""What every recognition network offers, in timm's manner: features, head, classifier, layers by name.

A family's class builds its layers and says how features become logits; everything else is here.
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
from ls3d.models.recognition._learnable import Learnable, make_learnable


class RecognitionArguments(TypedDict, total=False):
    """The arguments that every recognition network takes.

    Attributes:
        num_classes: outputs of the classifier; 0 leaves it out, and the network returns features ``(N, C)``.
        in_channels: 3 for RGB, 2 for optical flow.
        ls3d: the convolutions that become LS3D: False, True (those over time) or names, as shell patterns
            such as ``"layer3.*"``; see ``make_learnable``.
        dropout: probability of dropping a feature before the classifier.
    """

    num_classes: int
    in_channels: int
    ls3d: Learnable
    dropout: float


class RecognitionNet(Network):
    """Base of the recognition networks.

    A subclass defines ``forward_features`` and ``forward_head`` and names its classifier in ``classifier``.

    Attributes:
        stages: names of the layers that ``run_stages`` runs, in order.
        in_channels: channels of the input clip.
        num_classes: outputs of the classifier, 0 without one.
        num_features: channels that the classifier sees.
        input_layers: the layers that see the clip itself, which ``make_learnable`` leaves alone.
        frames: the one length of clip that the network takes, None for any.
        grad_checkpointing: recompute the stages in the backward pass instead of keeping their activations.
    """

    traits: RecognitionTraits
    classifier: ClassVar[str] = "fc"

    stages: tuple[str, ...]
    input_layers: tuple[str, ...] = ("stem",)
    in_channels: int
    num_classes: int
    num_features: int
    frames: int | None = None
    grad_checkpointing: bool = False

    def forward_features(self, clip: Tensor) -> Tensor:
        """Map a clip ``(N, C, T, H, W)`` to the last feature map ``(N, C', T', H', W')``."""
        raise NotImplementedError

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """Map the last feature map to logits ``(N, num_classes)``, or to what the classifier sees."""
        raise NotImplementedError

    def forward(self, clip: Tensor) -> Tensor:
        """Map a clip ``(N, C, T, H, W)`` to logits ``(N, num_classes)``.

        Raises:
            InputError: the clip's shape is not what the network takes.
        """
        return self.forward_head(self.forward_features(clip))

    def get_classifier(self) -> nn.Module:
        """The last layer, ``nn.Linear`` or ``nn.Identity``."""
        return self.get_submodule(self.classifier)

    def reset_classifier(self, num_classes: int) -> None:
        """Put a new, randomly initialized classifier in place of the old one; 0 leaves it out.

        What ``create_model`` remembered follows, so that saved weights find their network again.
        """
        old = next(self.parameters())
        layer = make_classifier(self.num_features, num_classes)
        setattr(self, self.classifier, layer.to(old.device, old.dtype))
        self.num_classes = num_classes
        self._remember(num_classes=num_classes)

    def make_learnable(self, ls3d: Learnable = True) -> Self:
        """Turn convolutions into LS3D convolutions that give the same output until they are trained.

        How the LS3D paper begins its training on Kinetics (section 4.5): with the weights of the plain
        network. What ``create_model`` remembered follows.

        Args:
            ls3d: which ones, as ``create_model`` takes it.

        Raises:
            InputError: no convolution is chosen.
        """
        make_learnable(self, ls3d, self.input_layers)
        self._remember(ls3d=ls3d)
        return self

    def _remember(self, **arguments: Any) -> None:
        """Note what has become of the arguments of ``create_model``."""
        if self.config is not None:
            self.config = self.config.with_arguments(**arguments)

    def layer_names(self) -> list[str]:
        """Every name that ``forward_intermediates`` takes, in the order of the network."""
        return [name for name, _ in self.named_modules() if name]

    def forward_intermediates(self, *inputs: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """Run the network and keep what the named layers give.

        Args:
            inputs: what ``forward`` takes.
            layers: names out of ``layer_names()``; ``"stem"``, ``"layer3"``, ``"fc6"``, ``"layer4.1.conv2"``,
                ...

        Returns:
            One tensor for every name, in the order of ``layers``.

        Raises:
            InputError: a name that the network does not have.
        """
        layers = list(layers)
        found: dict[str, Tensor] = {}
        with _recording(self, {name: self._layer(name) for name in layers}, found):
            self(*inputs)
        return {name: found[name] for name in layers}

    def _layer(self, name: str) -> nn.Module:
        try:
            return self.get_submodule(name)
        except AttributeError:
            top = ", ".join(child for child, _ in self.named_children())
            raise InputError(f"the network has no layer {name!r}; it has {top}, and what they hold") from None

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Trade time for memory in training; outputs, gradients and running statistics stay what they are."""
        self.grad_checkpointing = enable

    def run_stages(self, x: Tensor) -> Tensor:
        """Run ``stages`` one after the other, checkpointed block by block when that is switched on."""
        for name in self.stages:
            stage = self.get_submodule(name)
            if self.grad_checkpointing and self.training and torch.is_grad_enabled():
                x = _run_checkpointed(stage, x)
            else:
                x = stage(x)
        return x

    def check_clip(self, clip: Tensor) -> None:
        """Say what is wrong with the shape of a clip.

        Raises:
            InputError: it is not ``(N, in_channels, T, H, W)``, or T is not ``frames``.
        """
        length = "T" if self.frames is None else self.frames
        if clip.ndim != 5 or clip.shape[1] != self.in_channels or length not in ("T", clip.shape[2]):
            raise InputError(
                f"a clip of shape {tuple(clip.shape)} does not fit; "
                f"the network takes (N, {self.in_channels}, {length}, H, W)"
            )


def make_classifier(features: int, num_classes: int) -> nn.Module:
    """A linear layer with N(0, 0.01) weights, or the identity for 0 classes.

    Raises:
        InputError: a negative number of classes.
    """
    if num_classes < 0:
        raise InputError(f"num_classes is {num_classes}; it is 0 (no classifier) or more")
    if num_classes == 0:
        return nn.Identity()
    layer = nn.Linear(features, num_classes)
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)
    return layer


@contextmanager
def _recording(owner: nn.Module, layers: Mapping[str, nn.Module], found: dict[str, Tensor]) -> Iterator[None]:
    """Keep the outputs of ``layers`` in ``found`` while inside."""

    def keeper(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            # A copy: the ReLU that follows may work in place.
            found[name] = output.clone()

        return keep

    handles = [module.register_forward_hook(keeper(name)) for name, module in layers.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _run_checkpointed(stage: nn.Module, x: Tensor) -> Tensor:
    parts = list(stage.children())
    in_blocks = bool(parts) and all(any(part.children()) for part in parts)
    for block in parts if in_blocks else [stage]:

        def contexts(
            block: nn.Module = block,
        ) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
            return nullcontext(), _frozen_statistics(block)

        if torch.compiler.is_compiling():  # the compiler takes no contexts of ours
            x = checkpoint(block, x, use_reentrant=False)
        else:
            x = checkpoint(block, x, use_reentrant=False, context_fn=contexts)
    return x


@contextmanager
def _frozen_statistics(block: nn.Module) -> Iterator[None]:
    """Normalize as in training, but leave the running statistics alone: the first pass has updated them."""
    norms = [module for module in block.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked = norm.num_batches_tracked.clone()
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, kept, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, batches
