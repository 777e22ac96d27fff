"""Networks of a known class, for tests that use more than the base class offers."""

from __future__ import annotations

from typing import Any, TypeVar

from ls3d.models import Network, create_model

Net = TypeVar("Net", bound=Network)


def create(kind: type[Net], name: str, **arguments: Any) -> Net:
    """Call ``create_model`` and check the class of the network."""
    model = create_model(name, **arguments)
    assert isinstance(model, kind)
    return model
