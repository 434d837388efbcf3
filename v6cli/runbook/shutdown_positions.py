"""The positions that an emergency shutdown leaves: what is held, what filled meanwhile, and what has lost the orders that closed it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from v6cli import clock
from v6cli.broker import account as accounts
from v6cli.broker import orders
from v6cli.errors import V6Error
from v6cli.home import Home
from v6cli.models import Fill, Position
from v6cli.procedure import Finding, Status
from v6cli.results import count
from v6cli.runbook.emergency_orders import Connect
from v6cli.runbook.emergency_record import Keeper, SavedOrder
from v6cli.runbook.fills import since
from v6cli.runbook.protection import listed, lost, said

if TYPE_CHECKING:
    from v6cli.settings import Settings
    from v6cli.state.mirror import Mirror


class Remainder:
    """What is held once everything is cancelled. ``notes`` are the open positions, a line for each underlying and expiry."""

    def __init__(self, home: Home, own: Settings | None, keeper: Keeper) -> None:
        self.notes: list[str] = []
        self._home = home
        self._own = own
        self._keeper = keeper

    async def look(self, connect: Connect, *, nothing_works: bool) -> list[Finding]:
        """What is held, from IB, else as the last sync saw it. ``nothing_works`` says that no order does, so that none protects it."""
        covered = ", with no order that closes or protects them" if nothing_works else ""
        try:
            held, fills = await _asked(connect)
        except V6Error as error:
            return self._as_recorded(error, covered)
        for saved in self._saved:
            saved.filled_after = since(saved.order, saved.seen_at, fills)  # that much is not to be entered again
        self._keeper.save()
        return [self._open(held, "", Status.OK, covered), *self._filled(), *self._unprotected(held)]

    def recorded(self) -> Mirror | None:
        """What the last sync saw; None where nothing is recorded, or not of this home's account."""
        from v6cli.state import mirror
        from v6cli.state.database import open_read_only

        try:
            with open_read_only(self._home) as state:
                seen = mirror.read(state)
            if seen is not None and self._own is not None:
                seen.check_account(self._own.account)
            return seen
        except Exception:  # noqa: BLE001  whatever is wrong with it, it is not known
            return None

    @property
    def _saved(self) -> list[SavedOrder]:
        return self._keeper.record.orders

    def _as_recorded(self, error: V6Error, covered: str) -> list[Finding]:
        seen = self.recorded()
        if seen is None:
            return [Finding("positions", Status.UNKNOWN, f"{error.message}; and nothing is recorded")]
        age = clock.show_age((clock.now() - seen.at).total_seconds())
        known = self._open(seen.positions, f"as of {age} ago: ", Status.UNKNOWN, covered)
        return [known, Finding("positions", Status.UNKNOWN, error.message)]

    def _open(self, held: Sequence[Position], when: str, status: Status, covered: str) -> Finding:
        evidence: dict[str, object] = {"positions": {str(one.contract): one.quantity for one in held}}
        if not held:
            return Finding("positions", status, f"{when}no position is open", evidence=evidence)
        self.notes += [f"open {when}{line}" for line in listed(held)]
        return Finding("positions", status, f"{when}{count(len(held), 'position')} open{covered}", evidence=evidence)

    def _filled(self) -> list[Finding]:
        return [
            Finding("positions", Status.DEGRADED, f"filled meanwhile: {saved.filled_after:g} of {said(saved.order)}")
            for saved in self._saved
            if saved.filled_after
        ]

    def _unprotected(self, held: Sequence[Position]) -> list[Finding]:
        return [
            Finding("positions", Status.DEGRADED, f"{position.quantity:+g} {position.contract} has lost {names}")
            for position, names in lost(held, self._saved)
        ]


async def _asked(connect: Connect) -> tuple[list[Position], list[Fill]]:
    connection = await connect("cancel")
    try:
        held, fills = await accounts.positions(connection), await orders.executions(connection)
        await connection.must_reach_ib()
        return held, fills
    finally:
        await connection.close()
