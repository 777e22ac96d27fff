"""The steps of a job: networks that frames pass through one after the other, described by data, and loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ls3d.enhance._arguments import NoiseLevel, UnusableModelError
from ls3d.errors import InputError
from ls3d.inference import Enhancer
from ls3d.models import EnhancementNetwork, load_enhancement_model


@dataclass(frozen=True)
class NetworkReference:
    """A network that can be loaded again.

    Attributes:
        model: its name or the path of its weights file, or the network itself.
        task: what it must be for.
        name: for messages and the job file.
        digest: of its class, configuration and weights.
    """

    model: str | EnhancementNetwork
    task: str
    name: str
    digest: str

    def load(self) -> EnhancementNetwork:
        """Load the network.

        Raises:
            InputError: there is no such network, or its weights have changed since this reference was made.
        """
        network = load_network(self.model, self.task)
        if network_digest(network) != self.digest:
            raise InputError(f"{self.name}: the weights have changed since the job began; start the job over")
        return network


def load_network(model: str | EnhancementNetwork, task: str) -> EnhancementNetwork:
    """The network itself, or the one with this name or weights file.

    Raises:
        UnusableModelError: there is no such network, its weights can't be read, or it is for another task.
    """
    if isinstance(model, str):
        try:
            return load_enhancement_model(model, task)
        except InputError as error:
            raise UnusableModelError(error.message, argument=error.argument) from error
        except FileNotFoundError as error:
            raise UnusableModelError(str(error)) from error
    if model.traits.task != task:
        raise UnusableModelError(f"{model.name}: its task is {model.traits.task}, expected {task}", argument="model")
    return model


def network_digest(network: EnhancementNetwork) -> str:
    """SHA-256 of everything that a network's output depends on: class, traits, arguments and weights."""
    arguments = {} if network.config is None else network.config.arguments
    digest = hashlib.sha256(f"{type(network).__name__} {network.traits} {arguments}".encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Step:
    """A network that frames pass through.

    Attributes:
        network: what is run.
        tile: maximum side of a tile in pixels of the network's input, None for whole frames.
        sigma: noise level for networks that take one, otherwise None.
    """

    network: NetworkReference
    tile: int | None
    sigma: NoiseLevel | None

    def conditions(self) -> dict[str, Any]:
        """Everything that the frames depend on, as JSON."""
        model = {"name": self.network.name, "digest": self.network.digest}
        return {"model": model, "tile": self.tile, "sigma": self.sigma}


@dataclass(frozen=True)
class LoadedStep:
    """A step whose network is loaded.

    Attributes:
        network: how to load the network again.
        enhancer: runs it.
        sigma: noise level for networks that take one, otherwise None.
    """

    network: NetworkReference
    enhancer: Enhancer
    sigma: NoiseLevel | None = None

    def described(self) -> Step:
        """The step as data, with the tiles that are used now."""
        return Step(self.network, self.enhancer.tiler.tile, self.sigma)


def reach(enhancers: Sequence[Enhancer]) -> tuple[int, int]:
    """Number of source frames before and after the current one that the last of several networks depends on."""
    traits = [enhancer.traits for enhancer in enhancers]
    return sum(each.frames_before for each in traits), sum(each.frames_after for each in traits)
