"""``python -m ls3d``: the command line without the installed script."""

from ls3d.cli import main

main()
