"""What IB refuses without a status: dead only as its lists prove it, sent once more where another order would not be refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from v6cli.simulator.checks import Refused
from v6cli.simulator.desk import Desk
from v6cli.state import intents
from v6cli.trading import flatten, walk
from v6cli.trading.flatten import Flatten

from .conftest import Trading, ends
from .test_flatten import Closing, closing, names  # noqa: F401  a fixture

BOOK = """
seed = 3
[[positions]]
symbol = "SPX"
quantity = -1
right = "P"
expiry = "monthly+1"
strike = "spot-2%"
[[positions]]
symbol = "SPX"
quantity = 2
right = "C"
expiry = "monthly+2"
strike = "spot+1%"
"""


@pytest.fixture
def index_options(tmp_path: Path) -> str:
    """A scenario of index options dear enough that their prices go in steps of 0.10, while IB names 0.05 as their tick."""
    path = tmp_path / "index.toml"
    path.write_text(BOOK)
    return str(path)


def refusing(monkeypatch: pytest.MonkeyPatch, code: int, times: int) -> list[int]:
    """The gateway refuses so many new orders with nothing but a message; the order ids that it refused."""
    refused: list[int] = []
    take = Desk.take

    def taking(self: Desk, ticket: Any, now: Any) -> None:
        if len(refused) < times:
            refused.append(ticket.order_id)
            raise Refused(code, "no")
        take(self, ticket, now)

    monkeypatch.setattr(Desk, "take", taking)
    return refused


@pytest.mark.parametrize("first", ["rest", "change"])
def test_a_price_off_the_tick_is_rounded_and_sent_once(
    closing: Any,  # noqa: F811
    index_options: str,
    monkeypatch: pytest.MonkeyPatch,
    first: str,
) -> None:
    """Whether the refusal is heard while the order rests or by a change of it, which finds it dead."""
    prices, ended = walk.prices, Flatten._ended

    async def after_a_change(self: Flatten, working: Any, within: float) -> Any:
        return await (ended(self, working, within) if working.refusal is not None else working.ended(within))

    if first == "change":
        monkeypatch.setattr(Flatten, "_ended", after_a_change)

    def between_two_steps(sides: list[walk.Side], own: Any, tick: float, multiplier: float) -> list[float]:
        first, *further = prices(sides, own, tick, multiplier)
        if tick == 0.05 and abs(first * 10 - round(first * 10)) < 1e-6:
            first = round(first - sides[0].sign * tick, 2)
        return [first, *further]

    monkeypatch.setattr(walk, "prices", between_two_steps)

    async def act(at: Closing) -> None:
        at.own = msgspec.structs.replace(at.own, steps=8)
        contracts = sorted(at.sizes)
        assert names(await at.close(market=True)) == {}, "the market may move away while the price walks"
        refused = [one for one in intents.recent(at.stage.state, 100) if one.code == flatten.OFF_TICK]
        assert sorted(one.order.contract.con_id for one in refused) == contracts, "each of them once"
        assert all(one.state == "rejected" and "minimum price variation" in one.note for one in refused)

    closing(act, scenario=index_options)


def test_an_id_that_ib_has_already_is_looked_for_and_then_another_one_is_used(
    closing: Any,  # noqa: F811
    index_options: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def act(at: Closing) -> None:
        ids = refusing(monkeypatch, flatten.DUPLICATE_ID, 1)
        assert names(await at.close()) == {}
        assert len(ids) == 1
        dead = [one for one in intents.recent(at.stage.state, 100) if one.code == flatten.DUPLICATE_ID]
        assert [one.state for one in dead] == ["rejected"]
        assert ids[0] not in {order.order_id for order in at.gateway.book.ended if order.client_id == 90}

    closing(act, scenario=index_options)


@pytest.mark.parametrize("code", [flatten.DUPLICATE_ID, flatten.OFF_TICK])
def test_what_is_refused_again_and_again_is_left(
    closing: Any,  # noqa: F811
    index_options: str,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
) -> None:
    async def act(at: Closing) -> None:
        refused = refusing(monkeypatch, code, 1000)
        typed = next(con_id for con_id, size in at.sizes.items() if size > 0)
        left = names(await at.close(limits={typed: 700.03}))
        assert len(left) == 2 and all("IB refused it: no" in why for why in left.values()), left
        assert len(refused) == 4, "each of the two twice"

    closing(act, scenario=index_options)


@pytest.mark.parametrize("code", [flatten.DUPLICATE_ID, flatten.OFF_TICK])
def test_an_order_that_lives_in_spite_of_it_is_followed(closing: Any, index_options: str, code: int) -> None:  # noqa: F811
    async def act(at: Closing) -> None:
        at.own = msgspec.structs.replace(at.own, steps=1)
        at.gateway.faults.set("warn-orders", code=code, text="something about your order")
        assert names(await at.close()) == {}
        assert not [
            one for one in intents.recent(at.stage.state, 100) if one.state == "rejected" and one.note == "something about your order"
        ]

    closing(act, scenario=index_options)


def test_an_order_refused_without_a_status_is_dead_once_the_lists_prove_it(trading: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(at: Trading) -> None:
        refused = refusing(monkeypatch, 201, 1)
        working = await at.desk.place(await at.sells(limit=999.0))
        assert await working.ended(0.5) is None and len(refused) == 1 and at.state == "open"
        await working.reprice(at.low)
        assert at.orders == 0, "the change of a dead order would be a new one"
        end = await working.refused()
        assert end is not None and (end.ending, end.filled, end.code, end.why) == ("rejected", 0.0, 201, "no")
        assert at.state == "rejected"
        again = await at.desk.place(await at.sells(limit=at.low))
        assert (await ends(again)).ending == "filled"

    trading(act)


def test_steps_of_prices() -> None:
    assert walk.coarser(0.01) == 0.05 and walk.coarser(0.05) == 0.1
    assert walk.coarser(1.0) is None
