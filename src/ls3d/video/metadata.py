"""Which metadata of a source is true of an output, too."""

from __future__ import annotations

from collections.abc import Mapping

#: Metadata that describes the source's bytes rather than its content: prefixes of keys, and whole keys.
_STALE_PREFIXES = ("DURATION", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES", "BPS", "_STATISTICS", "encoder", "ENCODER")
_STALE_KEYS = frozenset({"major_brand", "minor_version", "compatible_brands", "alpha_mode", "ALPHA_MODE"})


def current_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata without the entries that describe the source's bytes (sizes, rates, encoder) or its alpha."""
    return {
        key: value for key, value in metadata.items() if not key.startswith(_STALE_PREFIXES) and key not in _STALE_KEYS
    }
