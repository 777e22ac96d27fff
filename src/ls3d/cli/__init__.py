"""The command line: parse, call, show. Every command has its twin in the library and adds nothing but words."""

from ls3d.cli.main import main

__all__ = ["main"]
