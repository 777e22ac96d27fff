"""Outlines: networks on the meta device, which have names and shapes of tensors but take no memory for them.

What a file or a recipe says of a network is checked here, before the network is built: the types of its arguments, and
that it has no more layers than expected.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import torch
from torch import nn
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from torch.overrides import TorchFunctionMode

from ls3d.errors import InputError
from ls3d.models.network import Network
from ls3d.models.registry import argument_types, create_model
from ls3d.models.untrusted.show import printable

#: The largest integer among the arguments of a network, where the tensors of a file don't set another limit.
LARGEST_ARGUMENT = 65_536
#: The most layers and parameters of a network, where the tensors of a file don't set another limit.
MOST_PARTS = 100_000
_LONGEST_SEQUENCE = 4096
_INITIALIZERS = frozenset(
    {
        torch.Tensor.normal_,
        torch.Tensor.uniform_,
        torch.Tensor.fill_,
        torch.Tensor.zero_,
        nn.init.normal_,
        nn.init.uniform_,
        nn.init.constant_,
        nn.init.kaiming_uniform_,
        nn.init.kaiming_normal_,
    }
)


def make_outline(
    name: str, arguments: Mapping[str, Any], *, largest: int = LARGEST_ARGUMENT, most_parts: int = MOST_PARTS
) -> Network:
    """Build a network on the meta device.

    Args:
        name: as for ``create_model``.
        arguments: as for ``create_model``.
        largest: integers among the arguments must not be larger.
        most_parts: the network must not have more layers and parameters.

    Raises:
        InputError: there is no such network, it doesn't take one of the arguments, or can't be built with them.
    """
    check_arguments(name, arguments, largest)
    try:
        with torch.device("meta"), _NoInitialization(), _bounded_registration(most_parts), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of tensors without elements, which are refused below
            network = create_model(name, **arguments)
    except InputError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{name} can't be built with the arguments {_show(arguments)}: {reason}") from error
    empty = next((key for key, tensor in network.named_parameters() if tensor.numel() == 0), None)
    if empty is not None:
        raise InputError(f"{name} can't be built with the arguments {_show(arguments)}: {empty} would have no elements")
    return network


def check_arguments(name: str, arguments: Mapping[str, Any], largest: int = LARGEST_ARGUMENT) -> None:
    """Check the types and sizes of arguments, which builders don't.

    Raises:
        InputError: there is no such network, or an argument is of another type or out of bounds.
    """
    types = argument_types(name)
    for key, value in arguments.items():
        if key not in types:
            # Not by create_model: "name" would collide with its own parameter.
            known = ", ".join(types) or "none"
            raise InputError(
                f"{name} can't be built with the arguments {_show(arguments)}: {name} takes no argument "
                f"{printable(key)!r}; it takes {known}"
            )
        if not _fits(value, types[key]):
            raise InputError(
                f"{name} can't be built with the arguments {_show(arguments)}: {key} is {_show(value)}, "
                f"expected {_describe(types[key])}"
            )
        if any(number < 0 or number > largest for number in _numbers(value)):
            raise InputError(
                f"{name} can't be built with the arguments {_show(arguments)}: {key} is {_show(value)}, "
                f"expected 0 to {largest}"
            )


def _fits(value: object, kind: Any) -> bool:
    """Whether a value from JSON is of a type that builders are annotated with."""
    origin = get_origin(kind)
    if kind is Any:
        return True
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in get_args(kind))
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in get_args(kind))
    if isinstance(origin, type) and issubclass(origin, Sequence):
        parts = [part for part in get_args(kind) if part is not ...] or [Any]
        is_sequence = isinstance(value, list | tuple) and len(value) <= _LONGEST_SEQUENCE
        return is_sequence and all(any(_fits(item, part) for part in parts) for item in value)  # type: ignore[attr-defined]
    if origin is dict:  # whoever takes it checks its values
        return isinstance(value, dict) and all(isinstance(key, str) for key in value)
    if kind is bool or kind is NoneType or kind is str:
        return isinstance(value, kind)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    return False


def _numbers(value: object) -> Iterator[int | float]:
    if isinstance(value, list | tuple | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _numbers(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def _describe(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(repr(choice) for choice in get_args(kind))
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(_describe(part) for part in get_args(kind))
    return "nothing" if kind is NoneType else kind.__name__ if isinstance(kind, type) else str(kind).rpartition(".")[2]


def _show(value: object) -> str:
    """Show a value from a file in one short line; it is not nested deeply, since JSON was read from a bounded text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if abs(value) > sys.float_info.max:  # an integer, which no format shortens
            return f"an integer of {value.bit_length()} bits" if isinstance(value, int) else str(value)
        return f"{value:g}" if abs(value) > 1e15 else str(value)
    return repr(printable(value)) if isinstance(value, str) else printable(repr(value))


class _NoInitialization(TorchFunctionMode):
    """Skips random initialization, for which torch imports its compiler on the meta device."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _INITIALIZERS:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


@contextmanager
def _bounded_registration(most: int) -> Iterator[None]:
    """Raise ``InputError`` as soon as this thread has registered more layers and parameters than ``most``."""
    thread = threading.get_ident()
    count = 0

    def hook(_module: nn.Module, _name: str, _part: object) -> None:
        nonlocal count
        if threading.get_ident() == thread:
            count += 1
            if count > most:
                raise InputError(f"the network would have more than {most:,} layers and parameters")

    handles = [register_module_module_registration_hook(hook), register_module_parameter_registration_hook(hook)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
