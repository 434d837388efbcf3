"""Books to write to a lake."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest

from v6cli.lake.rows import SyncRunRecord
from v6cli.lake.writer import Batch
from v6cli.models import Account, Contract, Fill, Greeks, GreekSource, Position

START = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
MakeBatch = Callable[..., Batch]


def call(con_id: int) -> Contract:
    return Contract(con_id, "SPX", "OPT", date(2026, 12, 18), 5000.0 + con_id, "C", 100.0, "USD", "CBOE", f"SPXW {con_id}", "SPXW")


def fill(number: int, commission: float | None = None, at: datetime = START) -> Fill:
    realized = None if commission is None else 0.0
    return Fill(f"e{number}", "DU1", call(number), "BOT", 1.0, 2.5, at, 7, 70, 1, f"i{number}.1", commission, realized)


@pytest.fixture
def batch() -> MakeBatch:
    """The batch of sync ``number``: it holds ``size`` calls, as many as its number unless told, each ``number`` times."""

    def make(number: int, size: int | None = None, executions: tuple[Fill, ...] = (), run: str | None = None) -> Batch:
        at = START + timedelta(minutes=number)
        held = [
            Position("DU1", call(con_id), float(number), 1234.5, 12.0, None, -1.0, 0.0)
            for con_id in range(number if size is None else size)
        ]
        greeks = [
            Greeks(position.contract.con_id, GreekSource.MODEL, at, 0.5, 0.01, -1.0, 2.0, 0.2, 12.0, float(number)) for position in held
        ]
        account = Account("DU1", "USD", at, float(number))
        record = SyncRunRecord(run or f"r{number}", at - timedelta(seconds=2), "done", "DU1", at=at, note=f"sync {number}")
        return Batch(record, held, greeks, account, executions)

    return make
