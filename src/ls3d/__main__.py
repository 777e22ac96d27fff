"""``python -m ls3d``: the command line without an installed script."""

from ls3d.cli import main

main()
