"""What is to be typed into TWS where v6 sends nothing: no order is typed beside one that works on the same position."""

from __future__ import annotations

from typing import Any

import pytest

from v6cli import clock, events
from v6cli.broker import account, orders
from v6cli.broker.connection import Connection, connect
from v6cli.broker.orders import Listed
from v6cli.models import Account
from v6cli.runbook import by_hand
from v6cli.state.mirror import Mirror


async def places(stage: Any, client_id: int, contract: Any, quantity: float) -> None:
    """A client of the bare library offers so much of a contract, far from the market."""
    one = await connect(stage.settings, stage.home, "cancel", events.ignore, client_id=client_id)
    library, raw = one.client.library, one.client._ib
    raw.placeOrder(contract(library), library.LimitOrder("SELL", quantity, 5000.0, account="DU1234567", tif="GTC"))
    await raw.reqCurrentTimeAsync()
    await one.close()


async def shown(stage: Any, connection: Connection) -> Any:
    return await by_hand.asked(connection, lambda _part: True, stage.settings.closing, 50)


def test_what_works_on_a_position_is_to_be_cancelled_first(stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_hand, "QUOTED_WITHIN", 0.2)

    async def act(stage) -> None:
        async with stage.as_client("look") as connection:
            held = await account.positions(connection)
            stock = next(one for one in held if one.contract.kind == "STK")
            other = next(
                symbol
                for symbol in ("SPY", "QQQ", "IWM")
                if symbol not in {one.contract.symbol for one in held if not one.contract.is_option}
            )
            option = next(one.contract for one in held if one.contract.is_option)
            await places(stage, 90, lambda library: library.Stock(stock.contract.symbol, "SMART", "USD"), 10)
            await places(stage, 55, lambda library: library.Stock(other, "SMART", "USD"), 10)
            await places(
                stage, 56, lambda library: library.Contract(conId=option.con_id, secType="OPT", symbol=option.symbol, exchange="SMART"), 1
            )
            notes = (await shown(stage, connection)).notes
        first = [note for note in notes if "cancel first" in note]
        assert sorted(note.rpartition("(")[2] for note in first) == ["client 56)", "client 90)"], notes
        assert f"SELL 10 {stock.contract.symbol} LMT 5000.00" in " ".join(first)
        assert notes[: len(first)] == first and not any("UNKNOWN" in note for note in notes)

    stage(act)


def test_a_list_without_an_end_leaves_it_unknown(stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_hand, "QUOTED_WITHIN", 0.2)

    async def nothing_more(_connection: Connection) -> Listed:
        return Listed((), (), complete=False)

    monkeypatch.setattr(orders, "everything", nothing_more)

    async def act(stage) -> None:
        async with stage.as_client("look") as connection:
            assert (await shown(stage, connection)).notes[0].startswith("WHAT ELSE WORKS IS UNKNOWN: look in TWS")

    stage(act)


def test_what_worked_when_the_last_sync_looked_is_not_what_works() -> None:
    at = clock.now()
    seen = Mirror("", at, Account("DU1234567", "USD", at), (), {})
    assert by_hand.recorded(seen, lambda _part: True).notes[0].startswith("WHAT WORKS IS UNKNOWN: look in TWS")
