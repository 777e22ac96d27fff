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
from typing import Any, Literal, TypeVar, get_args, get_type_hints

from torch import nn

from ls3d.errors import InputError

Task = Literal["interpolation", "super-resolution", "denoising", "recognition", "audio", "audio-visual"]
Builder = Callable[..., nn.Module]
SomeBuilder = TypeVar("SomeBuilder", bound=Builder)


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a network before it is built.

    Attributes:
        name: the name that ``create_model`` takes.
        task: what the network does.
        description: one sentence.
        paper: where it was published, for example ``"arXiv:2011.10974, figure 2"``.
        parameters: published or computed number of parameters at the default arguments.
        input_size: a typical input without its batch, ``(C, T, H, W)``; spectrograms are ``(C, time, mel)``.
        facts: anything else worth keeping beside the name (GMACs, accuracy, normalization), by name.
    """

    name: str
    task: Task
    description: str
    paper: str = ""
    parameters: int | None = None
    input_size: tuple[int, ...] | None = None
    facts: dict[str, Any] = field(default_factory=dict)


_builders: dict[str, Builder] = {}
_infos: dict[str, ModelInfo] = {}


def register_model(
    task: Task,
    *,
    paper: str = "",
    parameters: int | None = None,
    input_size: tuple[int, ...] | None = None,
    **facts: Any,
) -> Callable[[SomeBuilder], SomeBuilder]:
    """Decorate a builder function so that ``create_model`` finds it under its own name."""

    def register(builder: SomeBuilder) -> SomeBuilder:
        name = builder.__name__
        if name in _builders:
            raise RuntimeError(f"two models are registered as {name!r}")
        description = (builder.__doc__ or "").strip().partition("\n")[0]
        _builders[name] = builder
        _infos[name] = ModelInfo(name, task, description, paper, parameters, input_size, facts)
        return builder

    return register


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


def create_model(name: str, **arguments: Any) -> nn.Module:
    """Build a network by its name, randomly initialized.

    Args:
        name: one of ``list_models()``.
        arguments: whatever the network's builder takes.

    Returns:
        The network, with ``model.config = {"architecture": name, "arguments": arguments}``.

    Raises:
        InputError: no network has this name, or this one takes no such argument.
    """
    _check_known(name)
    _check_arguments(name, arguments)
    model = _builders[name](**arguments)
    model.config = {"architecture": name, "arguments": arguments}  # type: ignore[assignment]
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
