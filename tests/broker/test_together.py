"""One act for all who wait: how often it is done, whom it serves, and what becomes of a failure."""

from __future__ import annotations

import asyncio

import pytest

from v6cli.broker.contracts import Directory
from v6cli.broker.together import Together
from v6cli.errors import GatewayUnavailable

from .test_long_lived import options_of


class Act:
    """An act that takes as long as it is made to; ``done`` counts those that came to their end."""

    def __init__(self) -> None:
        self.begun = 0
        self.done = 0
        self.fails = False
        self.may_end = asyncio.Event()

    async def __call__(self) -> None:
        self.begun += 1
        await self.may_end.wait()
        if self.fails:
            raise GatewayUnavailable(f"number {self.begun}")
        self.done += 1


async def _meanwhile(together: Together, number: int) -> list[asyncio.Future[None]]:
    waiting = [asyncio.ensure_future(together.done()) for _ in range(number)]
    await asyncio.sleep(0)
    return waiting


def test_who_comes_while_it_is_under_way_waits_for_the_next_which_serves_all() -> None:
    async def main() -> None:
        act = Act()
        together = Together(act)
        (first,) = await _meanwhile(together, 1)
        later = await _meanwhile(together, 20)
        assert act.begun == 1
        act.may_end.set()
        await asyncio.gather(first, *later)
        assert act.done == 2, "one for twenty; what began before they came is no answer to them"
        await together.done()
        assert act.done == 3

    asyncio.run(main())


def test_a_failure_is_everybodys_who_waited_for_it_and_nobody_elses() -> None:
    async def main() -> None:
        act = Act()
        act.fails = True
        together = Together(act)
        (first,) = await _meanwhile(together, 1)
        later = await _meanwhile(together, 5)
        act.may_end.set()
        said = [str(one) for one in await asyncio.gather(first, *later, return_exceptions=True)]
        assert said == ["number 1", *["number 2"] * 5]
        act.fails = False
        await together.done()

    asyncio.run(main())


def test_who_is_interrupted_leaves_it_to_the_next() -> None:
    async def main() -> None:
        act = Act()
        together = Together(act)
        (first,) = await _meanwhile(together, 1)
        (second,) = await _meanwhile(together, 1)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        act.may_end.set()
        await second
        assert (act.begun, act.done) == (2, 1), "an act that was cut short has proven nothing"

    asyncio.run(main())


def test_a_proof_of_the_link_serves_all_who_wait_and_is_had_anew_by_who_comes_later(stage, monkeypatch) -> None:
    async def act(stage) -> None:
        connection = await stage.connect()
        asked: list[str] = []
        ask = connection.client.reaches_ib

        async def counted() -> bool:
            asked.append("")
            return await ask()

        monkeypatch.setattr(connection.client, "reaches_ib", counted)
        await asyncio.gather(*(connection.must_reach_ib() for _ in range(30)))
        assert len(asked) == 2, "the first one's, and one for all who came while it was under way"
        stage.gateway.faults.set("link-lost")
        lost = await asyncio.gather(*(connection.must_reach_ib() for _ in range(30)), return_exceptions=True)
        assert all(isinstance(one, GatewayUnavailable) for one in lost)
        await connection.close()

    stage(act)


def test_options_of_one_class_and_expiry_are_asked_for_once_however_many_ask(stage, monkeypatch) -> None:
    async def act(stage) -> None:
        connection = await stage.connect()
        options = await options_of(connection)
        asked: list[object] = []
        ask = connection.client.contract_details

        async def counted(contract: object) -> list[object]:
            asked.append(contract)
            return await ask(contract)

        monkeypatch.setattr(connection.client, "contract_details", counted)
        directory = Directory(connection)
        found = await asyncio.gather(*(directory.details(own) for own in options))
        assert all(details.hours is not None for details in found)
        assert len(asked) == len({(own.symbol, own.trading_class, own.expiry) for own in options}) < len(options)
        await connection.close()

    stage(act)
