"""A sync as a table: each difference with its cause, and what the sync saw."""

from __future__ import annotations

from v6cli.results import Column, Table
from v6cli.sync.reconcile import SyncRun

COLUMNS = (
    Column("contract"),
    Column("before", kind="quantity", unit="contracts or shares"),
    Column("after", kind="quantity", unit="contracts or shares"),
    Column("cause"),
    Column("detail", wraps=True),
)


def table(done: SyncRun, *, dry_run: bool) -> Table:
    """The differences of one sync."""
    rows = [(one.contract, one.before, one.after, one.cause, one.detail) for one in done.differences]
    greeks = f"greeks known for {done.greeks_known} of {done.greeks_known + done.greeks_unknown} options"
    notes = [
        f"{done.positions} positions, {greeks}, {done.executions} executions, {done.working_orders} working orders",
        f"fetch {done.fetch:.2f} s, greeks {done.greeks:.2f} s, write {done.write:.2f} s",
    ]
    if dry_run:
        notes.append("dry run: nothing was written")
    return Table(
        "v6.sync/1",
        f"sync of account {done.account}",
        COLUMNS,
        list(rows),
        as_of=done.at,
        notes=notes,
        empty="nothing changed since the last sync",
    )
