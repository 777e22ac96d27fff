"""The command line. Every command calls a function of the library that has the same arguments."""

from ls3d.cli.main import main

__all__ = ["main"]
