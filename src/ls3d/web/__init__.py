"""A web page and a REST interface for enhancement and recognition: ``ls3d serve``.

``jobs`` is a bounded queue; every job runs in a process of its own (``worker``). ``api`` is the REST interface, which
the page (``page``, Gradio and the script in ``static``) uses too. ``guard`` sees every request first. The process of
the server imports neither torch nor PyAV; those of the jobs do.
"""

from __future__ import annotations

from collections.abc import Callable

from ls3d.errors import require
from ls3d.web.options import Limits as Limits
from ls3d.web.options import ServeOptions as ServeOptions


def serve(options: ServeOptions, ready: Callable[[str], None] | None = None) -> None:
    """Answer requests until the process gets SIGINT or SIGTERM. Then all jobs are canceled and all files deleted.

    Args:
        options: of the server.
        ready: is called with the page's address when the server can be reached.

    Raises:
        MissingExtraError: Gradio is not installed.
        OSError: the address or port can't be used.
    """
    require("gradio", "serve")
    from ls3d.web.server import run

    run(options, ready)
