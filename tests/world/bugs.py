"""What the simulated gateway catches for the sake of its clients, and no schedule may overlook: its own bugs, and its judges'."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.said.append(f"{record.getMessage()}: {error!r}")


@contextlib.contextmanager
def of_the_gateway() -> Iterator[list[str]]:
    """The errors that the simulated gateway logs within the block."""
    kept, logger = _Kept(), logging.getLogger("v6cli.simulator")
    logger.addHandler(kept)
    try:
        yield kept.said
    finally:
        logger.removeHandler(kept)
