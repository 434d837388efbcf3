"""What can be wrong with the lake.

::

    Unavailable               69
    ├── LakeUnreadable            a table is missing or broken
    └── LakeEmpty                 the lake is sound, and no sync has written to it yet
"""

from __future__ import annotations

from v6cli.errors import Unavailable

_NEXT_STEP = "v6 sync --force"


class LakeUnreadable(Unavailable):
    """A table of the lake is missing or broken."""

    def __init__(self, message: str, *, next_step: str | None = _NEXT_STEP) -> None:
        super().__init__(message, next_step=next_step)


class LakeEmpty(Unavailable):
    """The lake is sound, and no sync has written to it yet."""

    def __init__(self, message: str, *, next_step: str | None = _NEXT_STEP) -> None:
        super().__init__(message, next_step=next_step)


def first_line(error: BaseException) -> str:
    """What an error of deltalake says, without the backtrace that it appends."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
