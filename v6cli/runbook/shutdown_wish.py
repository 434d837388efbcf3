"""What an operator asks of an emergency shutdown, as the options of the command say it."""

from __future__ import annotations

from msgspec import Struct

from v6cli.errors import UsageError


class Wish(Struct, frozen=True):
    """What was asked for. ``account`` is what was typed with --account."""

    reason: str = ""
    account: str = ""
    keep_orders: bool = False
    keep_dashboard: bool = False
    close_all: bool = False

    @property
    def options(self) -> list[str]:
        """The options that change what is done."""
        given = (("--keep-orders", self.keep_orders), ("--keep-dashboard", self.keep_dashboard), ("--close-all", self.close_all))
        return [name for name, wanted in given if wanted]

    def check(self) -> None:
        """Raise UsageError for options that exclude each other."""
        if self.keep_orders and self.close_all:
            raise UsageError("--keep-orders and --close-all exclude each other: closing cancels what rests on a position")
