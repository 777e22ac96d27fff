"""Private attributes of Lightning that training depends on. A test checks that they exist."""

from __future__ import annotations

import lightning.pytorch as lightning


def set_logged_step(trainer: lightning.Trainer, step: int) -> None:
    """Set the step under which loggers record; after a resume, Lightning's own count is one ahead."""
    trainer.fit_loop.epoch_loop._batches_that_stepped = step
