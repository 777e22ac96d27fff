"""The network of a recipe, ready to be trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ls3d.errors import InputError
from ls3d.models import Network, RecognitionNet, create_model, load_model
from ls3d.nn import limit_offsets, make_channels_last
from ls3d.training.recipe.sections import BaseRecipe, ModelSection


def build_network(recipe: BaseRecipe) -> Network:
    """The recipe's network with its initial weights, bounded offsets and memory format.

    Raises:
        InputError: the weights to start from are of another network.
    """
    network = create_or_load(recipe.model)
    if recipe.optimization.offset_limit:
        limit_offsets(network, recipe.optimization.offset_limit)
    if recipe.channels_last:
        make_channels_last(network)
    return network


def create_or_load(section: ModelSection) -> Network:
    """The network with random weights, or with those of the section, in training mode.

    The weights of a recognition network may have another classifier, which is replaced, and plain convolutions where
    the section asks for LS3D convolutions, which are converted: training starts from the outputs of the plain network.

    Raises:
        InputError: the weights are of another network.
    """
    if section.weights is None:
        return create_model(section.name, **section.arguments)
    network = load_model(section.weights)
    if isinstance(network, RecognitionNet) and network.name == section.name:
        _adapt(network, section.arguments)
    config = network.require_config()
    if (config.architecture, config.arguments) != (section.name, section.arguments):
        raise InputError(
            f"{section.weights} holds {config.architecture} {config.arguments}, "
            f"the recipe asks for {section.name} {section.arguments}"
        )
    return network.train()


def _adapt(network: RecognitionNet, arguments: Mapping[str, Any]) -> None:
    """Change a network's classifier and convolutions to those that ``arguments`` ask for."""
    config = network.require_config()
    classes = arguments.get("num_classes", network.num_classes)
    if classes != network.num_classes:
        network.reset_classifier(classes)
    elif "num_classes" in arguments:  # which the weights leave out if it is the default
        network.config = config.with_arguments(num_classes=classes)
    if arguments.get("ls3d") and not config.arguments.get("ls3d"):
        network.make_learnable(arguments["ls3d"])
