"""The page and the REST interface on one port."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from urllib.parse import quote

import uvicorn
from starlette.types import ASGIApp

from ls3d.web.api import create_api
from ls3d.web.folders import temporary_folder
from ls3d.web.guard import Guard
from ls3d.web.jobs import JobQueue
from ls3d.web.options import ServeOptions
from ls3d.web.page import add_page

log = logging.getLogger(__name__)

_CONNECTIONS = 256  # at the same time
_FAREWELL = 2  # seconds for requests that are being answered at the end


def create_app(jobs: JobQueue, options: ServeOptions) -> ASGIApp:
    """Make the whole application: page, REST interface, and ``Guard`` in front of them."""
    return Guard(add_page(create_api(jobs), options), options, jobs)


def run(options: ServeOptions, ready: Callable[[str], None] | None = None) -> None:
    """See ``ls3d.web.serve``."""
    if not options.is_local:
        secret = "with a token" if options.token else "without a token: everybody who reaches it can use it"
        log.warning("the server listens on %s, not only for this computer, %s, unencrypted", options.host, secret)
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    with socket.create_server((options.host, options.port), family=family) as listening, temporary_folder() as folder:
        jobs = JobQueue(folder, options)
        try:
            config = uvicorn.Config(
                create_app(jobs, options),
                log_level="warning",
                access_log=False,
                server_header=False,
                ws="none",
                http="h11",  # limits the size of headers
                limit_concurrency=_CONNECTIONS,
                timeout_graceful_shutdown=_FAREWELL,
            )
            if ready is not None:
                ready(_address(options, listening.getsockname()[1]))
            uvicorn.Server(config).run([listening])
        finally:
            jobs.close()


def _address(options: ServeOptions, port: int) -> str:
    host = f"[{options.host}]" if ":" in options.host else options.host
    return f"http://{host}:{port}/{'?token=' + quote(options.token, safe='') if options.token else ''}"
