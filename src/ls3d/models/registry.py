"""The registry of networks: one small decorated function per variant, its facts beside it.

A decorated function builds the network and nothing else; its name is the model's name, the first line of its
docstring is the model's description. ``create_model`` remembers name and arguments on the network
(``model.config``), so that a checkpoint can say how to build it again.
"""

from __future__ import annotations

import difflib
import fnmatch
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_args, get_type_hints

from ls3d.errors import InputError
from ls3d.models.network import ModelConfig, Network, Task, Traits

Builder = Callable[..., Network]
SomeBuilder = TypeVar("SomeBuilder", bound=Builder)


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a network before it is built.

    Attributes:
        name: the name that ``create_model`` takes.
        traits: those of the network's class.
        description: one sentence.
        paper: where it was published, for example ``"arXiv:2011.10974, figure 2"``.
        parameters: published or computed number of parameters at the default arguments.
        input_size: a typical input without its batch, ``(C, T, H, W)``; spectrograms are ``(C, time, mel)``.
        facts: anything else worth keeping beside the name (GMACs, accuracy, normalization), by name.
    """

    name: str
    traits: Traits
    description: str
    paper: str = ""
    parameters: int | None = None
    input_size: tuple[int, ...] | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def task(self) -> Task:
        """What the network does."""
        return self.traits.task


_builders: dict[str, Builder] = {}
_infos: dict[str, ModelInfo] = {}


def register_model(
    *,
    paper: str = "",
    parameters: int | None = None,
    input_size: tuple[int, ...] | None = None,
    **facts: Any,
) -> Callable[[SomeBuilder], SomeBuilder]:
    """Decorate a builder function so that ``create_model`` finds it under its own name.

    Raises:
        TypeError: the builder's return annotation is not a subclass of ``Network``, or that class states no traits.
        RuntimeError: the name is taken.
    """

    def register(builder: SomeBuilder) -> SomeBuilder:
        name = builder.__name__
        if name in _builders:
            raise RuntimeError(f"two models are registered as {name!r}")
        description = (builder.__doc__ or "").strip().partition("\n")[0]
        _builders[name] = builder
        _infos[name] = ModelInfo(name, _traits_of(builder), description, paper, parameters, input_size, facts)
        return builder

    return register


def _traits_of(builder: Builder) -> Traits:
    made = get_type_hints(builder).get("return")
    if not (isinstance(made, type) and issubclass(made, Network)):
        raise TypeError(f"{builder.__name__} returns {made}, expected a subclass of Network as its return annotation")
    traits = inspect.getattr_static(made, "traits", None)
    if not isinstance(traits, Traits):
        raise TypeError(f"{made.__name__} states no traits, so {builder.__name__} can't be registered")
    return traits


def list_models(pattern: str = "*", task: Task | None = None) -> list[str]:
    """Names of the registered networks that match a shell pattern such as ``"*csn*"``, sorted."""
    return sorted(
        name for name, info in _infos.items() if fnmatch.fnmatch(name, pattern) and (task is None or info.task == task)
    )


def model_info(name: str) -> ModelInfo:
    """The facts that stand beside a network's name.

    Raises:
        InputError: no network has this name.
    """
    _check_known(name)
    return _infos[name]


def create_model(name: str, **arguments: Any) -> Network:
    """Build a network by its name, randomly initialized.

    Args:
        name: one of ``list_models()``.
        arguments: whatever the network's builder takes.

    Returns:
        The network, with ``model.config = ModelConfig(name, arguments)``.

    Raises:
        InputError: no network has this name, or this one takes no such argument.
    """
    _check_known(name)
    _check_arguments(name, arguments)
    model = _builders[name](**arguments)
    model.config = ModelConfig(name, arguments)
    return model


def _check_known(name: str) -> None:
    if name not in _builders:
        near = difflib.get_close_matches(name, _builders, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; `ls3d models` lists them"
        raise InputError(f"no model is called {name!r}{hint}")


def _check_arguments(name: str, arguments: Mapping[str, Any]) -> None:
    known = builder_arguments(name)
    for argument in arguments:
        if argument not in known:
            raise InputError(f"{name} takes no argument {argument!r}; it takes {', '.join(known)}")


def builder_arguments(name: str) -> list[str]:
    """What ``create_model`` takes for this network; ``**arguments: Unpack[SomeTypedDict]`` is its keys."""
    builder = _builders[name]
    known: list[str] = []
    for parameter in inspect.signature(builder).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            (typed,) = get_args(get_type_hints(builder)[parameter.name])
            known += get_type_hints(typed)
        else:
            known.append(parameter.name)
    return known
