"""The registry of networks: one decorated builder function for each variant, with its metadata.

A builder creates a network and does nothing else. Its name is the name of the model, the first line of its docstring
is the description, its return annotation is the class whose ``traits`` are registered. ``create_model`` stores the name
and the arguments in ``model.config``, from which a weights file says how to rebuild the network.
"""

from __future__ import annotations

import difflib
import fnmatch
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_args, get_type_hints

from ls3d.errors import InputError
from ls3d.models.metadata import Preprocessing, PublishedAccuracy, PublishedFidelity
from ls3d.models.network import ModelConfig, Network, Task, Traits

#: The names that stand for the bundled default of a task.
DEFAULTS = {"vfi": "vfi_ls3d_plus_s", "vsr": "vsr_ls3d_plus_s", "vdn": "vdn_ls3d_plus_s"}

Builder = Callable[..., Network]
SomeBuilder = TypeVar("SomeBuilder", bound=Builder)


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a network before it is built.

    Attributes:
        name: the name that ``create_model`` takes.
        traits: those of the network's class.
        description: one sentence.
        paper: where it was published, such as ``"arXiv:2011.10974, figure 2"``.
        parameters: published or computed number of parameters with default arguments.
        input_size: a typical input without its batch: ``(C, T, H, W)``, for spectrograms ``(C, time, mel)``.
        flow_size: a typical optical flow of a multimodal network, ``(2, T, H, W)``.
        audio_size: a typical spectrogram of an audio-visual network, ``(C, time, mel)``.
        gmacs: 10^9 multiply-adds for inputs of these sizes, where they were published.
        accuracy: published accuracy of classification.
        published: published fidelity of restored or interpolated frames.
        preprocessing: how its inputs are normalized.
    """

    name: str
    traits: Traits
    description: str
    paper: str = ""
    parameters: int | None = None
    input_size: tuple[int, ...] | None = None
    flow_size: tuple[int, ...] | None = None
    audio_size: tuple[int, ...] | None = None
    gmacs: float | None = None
    accuracy: PublishedAccuracy | None = None
    published: tuple[PublishedFidelity, ...] = ()
    preprocessing: Preprocessing | None = None

    @property
    def task(self) -> Task:
        """The task of the network."""
        return self.traits.task


_builders: dict[str, Builder] = {}
_infos: dict[str, ModelInfo] = {}


def register_model(
    *,
    paper: str = "",
    parameters: int | None = None,
    input_size: tuple[int, ...] | None = None,
    flow_size: tuple[int, ...] | None = None,
    audio_size: tuple[int, ...] | None = None,
    gmacs: float | None = None,
    accuracy: PublishedAccuracy | None = None,
    published: Sequence[PublishedFidelity] = (),
    preprocessing: Preprocessing | None = None,
) -> Callable[[SomeBuilder], SomeBuilder]:
    """Decorate a builder function so that ``create_model`` finds it under its own name.

    The arguments are those of ``ModelInfo``.

    Raises:
        TypeError: the builder's return annotation is not a subclass of ``Network``, or that class doesn't state the
            traits that its base requires.
        RuntimeError: a model of this name is registered already.
    """

    def register(builder: SomeBuilder) -> SomeBuilder:
        name = builder.__name__
        if name in _builders:
            raise RuntimeError(f"two models are registered as {name!r}")
        _infos[name] = ModelInfo(
            name,
            _read_traits(builder),
            (builder.__doc__ or "").strip().partition("\n")[0],
            paper,
            parameters,
            input_size,
            flow_size,
            audio_size,
            gmacs,
            accuracy,
            tuple(published),
            preprocessing,
        )
        _builders[name] = builder
        return builder

    return register


def _read_traits(builder: Builder) -> Traits:
    """Return the traits of the class that a builder is annotated to return."""
    name = builder.__name__
    try:
        network_class = get_type_hints(builder).get("return")
    except NameError as error:
        raise TypeError(f"the annotations of {name} can't be evaluated: {error}") from error
    if not (isinstance(network_class, type) and issubclass(network_class, Network)):
        raise TypeError(f"{name} is annotated to return {network_class}, expected a subclass of Network")
    traits: object = inspect.getattr_static(network_class, "traits", None)
    if traits is None:
        raise TypeError(f"{network_class.__name__} states no traits, so {name} can't be registered")
    required: type[Traits] = get_type_hints(network_class)["traits"]
    if not isinstance(traits, required):
        raise TypeError(
            f"{network_class.__name__}.traits is of type {type(traits).__name__}, expected {required.__name__}, "
            f"so {name} can't be registered"
        )
    return traits


def list_models(pattern: str = "*", task: Task | None = None) -> list[str]:
    """Return the names of the registered networks, sorted.

    Args:
        pattern: a shell pattern that names must match, such as ``"*csn*"``.
        task: the task of the networks; None for any.
    """
    return sorted(
        name for name, info in _infos.items() if fnmatch.fnmatch(name, pattern) and (task is None or info.task == task)
    )


def is_registered(name: str) -> bool:
    """Whether ``create_model`` knows this name."""
    return DEFAULTS.get(name, name) in _builders


def model_info(name: str) -> ModelInfo:
    """Return what is known of a network before it is built.

    Args:
        name: one of ``list_models()``, or a task's default, such as ``"vfi"``.

    Raises:
        InputError: no network has this name.
    """
    return _infos[_full_name(name)]


def create_model(name: str, **arguments: Any) -> Network:
    """Build a network by its name, randomly initialized.

    Args:
        name: one of ``list_models()``, or a task's default, such as ``"vfi"``.
        arguments: those of the network's builder.

    Returns:
        The network, with ``model.config = ModelConfig(name, arguments)``.

    Raises:
        InputError: no network has this name, or this one doesn't take one of the arguments.
    """
    name = _full_name(name)
    _check_arguments(name, arguments)
    model = _builders[name](**arguments)
    model.config = ModelConfig(name, arguments)
    return model


def _full_name(name: str) -> str:
    """Replace the name of a task's default by that of its network."""
    full = DEFAULTS.get(name, name)
    if full not in _builders:
        similar = difflib.get_close_matches(name, _builders, n=3)
        hint = f"; did you mean {' or '.join(similar)}?" if similar else "; `ls3d models` lists them"
        raise InputError(f"no model is called {name!r}{hint}")
    return full


def _check_arguments(name: str, arguments: Mapping[str, Any]) -> None:
    known = builder_arguments(name)
    for argument in arguments:
        if argument not in known:
            raise InputError(f"{name} takes no argument {argument!r}; it takes {', '.join(known) or 'none'}")


def builder_arguments(name: str) -> list[str]:
    """Return the names of the arguments that ``create_model`` takes for a network."""
    return list(argument_types(name))


def argument_types(name: str) -> dict[str, Any]:
    """Return the annotated types of the arguments that ``create_model`` takes for a network.

    A builder's ``**arguments: Unpack[SomeTypedDict]`` stands for the keys of that dictionary.

    Raises:
        InputError: no network has this name.
    """
    builder = _builders[_full_name(name)]
    hints = get_type_hints(builder)
    known: dict[str, Any] = {}
    for parameter in inspect.signature(builder).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            (typed,) = get_args(hints[parameter.name])
            known |= get_type_hints(typed)
        else:
            known[parameter.name] = hints[parameter.name]
    return known
