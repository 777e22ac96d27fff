"""Code that all layouts use: what a translation is, and renaming of tensors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ls3d.errors import InputError
from ls3d.models.metadata import Preprocessing
from ls3d.models.untrusted import listing

#: Pairs of a pattern that matches a whole name and its replacement, as for ``re.sub``; the first match counts.
Rules = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Translation:
    """The renamed tensors of a checkpoint, and what its layout implies beyond their shapes.

    Attributes:
        tensors: by our names.
        assumed: arguments for ``create_model`` that neither the shapes nor the file determine: the layout's usual ones.
        preprocessing: how inputs are normalized.
        known: arguments for ``create_model`` that the configuration in the file determines.
        preprocessing_is_known: whether the configuration in the file, or the layout, determines ``preprocessing``.
        metadata: further metadata of the weights, JSON-able, such as ``classes`` and ``clip``.
    """

    tensors: dict[str, Tensor]
    assumed: dict[str, Any]
    preprocessing: Preprocessing
    known: dict[str, Any] = field(default_factory=dict)
    preprocessing_is_known: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """The layout of a project's checkpoints.

    Attributes:
        name: of the project.
        recognizes: whether a checkpoint, given by the names of its tensors, has this layout.
        translate: maps the outermost dictionary of a checkpoint and its tensors to a ``Translation``.
        families: beginnings of the names of the networks that the layout is supported for; empty for any.
        notes: further assumptions, which no argument of ours changes.
    """

    name: str
    recognizes: Callable[[Iterable[str]], bool]
    translate: Callable[[Mapping[str, Any], dict[str, Tensor]], Translation]
    families: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def rename(tensors: Mapping[str, Tensor], rules: Rules, ignored: str = r"(?!)") -> dict[str, Tensor]:
    """Rename every tensor by the first rule that matches its name.

    Args:
        tensors: by the names of the checkpoint.
        rules: see ``Rules``.
        ignored: pattern of the names that are not weights of the network (momenta, learning rates).

    Returns:
        The tensors by our names.

    Raises:
        InputError: no rule matches a name (the message lists them), or two tensors have the same new name.
    """
    # Compiled once: some layouts have more patterns than the cache of ``re``.
    compiled = [(re.compile(pattern), replacement) for pattern, replacement in rules]
    skip = re.compile(ignored)
    renamed: dict[str, Tensor] = {}
    unmatched = []
    for name, tensor in tensors.items():
        if skip.fullmatch(name):
            continue
        target = _apply_rules(name, compiled)
        if target is None:
            unmatched.append(name)
        elif target in renamed:
            raise InputError(f"the checkpoint has two tensors for {listing([target])}, one of them {listing([name])}")
        else:
            renamed[target] = tensor
    if unmatched:
        raise InputError(f"the checkpoint has tensors that no rule maps: {listing(unmatched)}")
    return renamed


def _apply_rules(name: str, rules: Iterable[tuple[re.Pattern[str], str]]) -> str | None:
    for pattern, replacement in rules:
        match = pattern.fullmatch(name)
        if match:
            return match.expand(replacement)
    return None
