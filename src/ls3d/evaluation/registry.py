"""The protocols by name, those of all tasks."""

from __future__ import annotations

from ls3d.data.lookup import look_up
from ls3d.evaluation.fidelity import denoising, interpolation, super_resolution
from ls3d.evaluation.protocol import Protocol

#: Every protocol by name.
PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (*interpolation.PROTOCOLS, *super_resolution.PROTOCOLS, *denoising.PROTOCOLS)
}


def get_protocol(name: str) -> Protocol:
    """Look up a protocol.

    Raises:
        InputError: there is none of this name.
    """
    return look_up(PROTOCOLS, name, "protocol")
