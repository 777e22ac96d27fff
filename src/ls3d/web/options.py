"""The options of the server."""

from __future__ import annotations

from dataclasses import dataclass, field

from ls3d.errors import InputError, check_positive

#: Addresses that only this computer can reach.
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Limits:
    """What a job may cost.

    Attributes:
        max_size: of an upload, in bytes.
        max_length: of a video, in seconds.
        max_pixels: in a picture of the source or of the result.
        max_run: seconds that a job may run.
        preview: seconds of a video that a preview processes.
    """

    max_size: int = 500_000_000
    max_length: float = 600
    max_pixels: int = 3840 * 2160
    max_run: float = 6 * 3600
    preview: float = 3

    def __post_init__(self) -> None:
        check_positive(**vars(self))


@dataclass(frozen=True)
class ServeOptions:
    """Options of the server.

    Attributes:
        host: address to listen on.
        port: port to listen on.
        token: what clients have to know; None for no token.
        allowed_hosts: names under which a proxy makes the server known, besides its own.
        queue: jobs that may wait or run at the same time.
        workers: jobs that run at the same time.
        keep: seconds after which a job is deleted that nobody has asked for.
        device: of the networks.
        classifier: weights file or name of the recognition network.
        limits: of each job.
    """

    host: str = LOOPBACK[0]
    port: int = 7860
    token: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    queue: int = 32
    workers: int = 1
    keep: float = 1800
    device: str = "auto"
    classifier: str = "i3d_inception"
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        check_positive(queue=self.queue, workers=self.workers, keep=self.keep)
        if self.token is not None and not (self.token.isascii() and self.token.isprintable() and self.token.strip()):
            raise InputError("expected printable ASCII characters", argument="token")

    @property
    def is_local(self) -> bool:
        """Whether only this computer can reach the server."""
        return self.host.lower() in LOOPBACK
