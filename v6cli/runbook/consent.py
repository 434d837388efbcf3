"""For whom a cancel of everything may speak: it takes the orders of every account that the gateway manages."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from msgspec import structs

from v6cli import settings
from v6cli.broker.connection import Connection
from v6cli.errors import BadConfiguration, Refused
from v6cli.home import Home, profile_of
from v6cli.runbook.shutdown_wish import Wish
from v6cli.settings import Settings

AGAIN = "v6 emergency shutdown"


class Consent:
    """What one shutdown, or ``v6 orders cancel --all``, may touch. ``own`` is None where the settings of the home are unknown; ``denied`` is why it cancelled no order."""

    def __init__(self, home: Home, wish: Wish, own: Settings | None) -> None:
        self.pinned = own.account if own else ""
        self.typed = wish.account
        self.denied = ""
        self.yes = False  # whether it was not to ask
        self._home = home
        self._wish = wish
        self._own = own
        self._managed: Sequence[str] = ()

    def again(self, *more: str) -> str:
        """The line that does it again, with what was asked for this time and ``more``."""
        options = [*self._wish.options, *more]
        if self.yes:
            options.append("--yes")
        if self.typed and "--account ID" not in more:
            options.append(f"--account {shlex.quote(self.typed)}")
        return " ".join([AGAIN, *dict.fromkeys(options)])

    @property
    def to_type(self) -> bool:
        """Whether an account has to be typed and was not: none is pinned, a global cancel reaches another, or real money is closed."""
        foreign = not self._wish.keep_orders and (not self.pinned or bool(self._others(self.pinned)))
        closes_real_money = self._wish.close_all and self._own is not None and self._own.profile == "live"
        return (foreign or closes_real_money) and not self.typed

    @property
    def reaches(self) -> str:
        """In words for a question: whose orders a global cancel would take, where they are not this home's alone."""
        return f"; a global cancel takes the orders of {' and '.join(self._managed)}" if self._others(self.pinned) else ""

    def take(self, typed: str) -> bool:
        """Take what was typed when it was asked for, where it is the account wanted; whether it is."""
        if not typed or typed != (self.pinned or typed):
            return False
        self.typed = typed
        return True

    def check(self) -> None:
        """Raise Refused where no order was cancelled for lack of consent: then nothing else is done either."""
        if self.denied:
            raise Refused(f"no position was closed: {self.denied}", next_step=self.again("--close-all", "--account ID"))

    def met(self, connection: Connection) -> None:
        """Learn which accounts the gateway manages."""
        self._managed = tuple(connection.client.accounts)

    def forbids(self, connection: Connection) -> str:
        """Why no global cancel may go to this gateway; empty where it may."""
        self.met(connection)
        why = ""
        if self.typed and self.typed != connection.account:
            why = f"--account says {self.typed}, this home is pinned to {connection.account}"
        elif self.to_type:
            others = self._others(connection.account)
            whose = f", and of {' and '.join(others)}" if others else ""
            why = f"a global cancel takes the orders of {connection.account}{whose}: nobody typed that account"
        if why:
            self.denied = f"NO ORDER WAS CANCELLED: {why}"
        return why

    def settings(self) -> Settings:
        """The settings to log in with, else the packaged ones with the account that was typed. Raises Refused, BadConfiguration."""
        if self._own is not None and self._own.account:
            return self._own
        if not self.typed:
            if self._own is not None:
                return self._own  # whoever looks may take the one account that there is; nothing is sent unless one is typed
            if not self._wish.keep_orders:
                self.denied = "NO ORDER WAS CANCELLED: the account of this home is unknown, and nobody typed it"
            raise Refused("the account of this home is unknown: nothing is sent to a gateway", next_step=self.again("--account ID"))
        if self._own is not None:
            return structs.replace(self._own, account=self.typed)
        try:
            return settings.builtin(profile_of(self._home.root) or "", self.typed)
        except BadConfiguration as error:
            raise Refused(f"account {self.typed} cannot be this home's: {error.message}") from error

    def _others(self, account: str) -> list[str]:
        return [one for one in self._managed if one != account]
