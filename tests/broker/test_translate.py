"""What IB sends, as v6's nouns: what is missing is unknown or refused, never made up."""

from __future__ import annotations

import math
from datetime import date
from types import SimpleNamespace

import pytest

from v6cli.broker import translate
from v6cli.broker.account import positions_and_account
from v6cli.errors import Unavailable
from v6cli.health import examine
from v6cli.health.gather import Facts
from v6cli.procedure import Status, exit_code
from v6cli.state import mirror

OPTION = {
    "conId": 7,
    "symbol": "SPY",
    "secType": "OPT",
    "lastTradeDateOrContractMonth": "20261218",
    "strike": 600.0,
    "right": "C",
    "multiplier": "100",
    "currency": "USD",
    "exchange": "SMART",
    "localSymbol": "SPY   261218C00600000",
    "tradingClass": "SPY",
}


def raw(**changes: object) -> SimpleNamespace:
    return SimpleNamespace(**OPTION | changes)


@pytest.mark.parametrize("kind", ["OPT", "FOP"])
def test_an_option(kind: str) -> None:
    own = translate.contract(raw(secType=kind, right="CALL", lastTradeDateOrContractMonth="20261218 15:00:00"))
    assert (own.expiry, own.strike, own.right, own.multiplier) == (date(2026, 12, 18), 600.0, "C", 100.0)


@pytest.mark.parametrize(
    ("change", "lacks"),
    [
        ({"multiplier": ""}, "multiplier"),
        ({"multiplier": "0"}, "multiplier"),
        ({"multiplier": "-100"}, "multiplier"),
        ({"multiplier": "nan"}, "multiplier"),
        ({"multiplier": None}, "multiplier"),
        ({"strike": 0.0}, "strike"),
        ({"strike": math.nan}, "strike"),
        ({"strike": 1.7976931348623157e308}, "strike"),
        ({"right": "?"}, "right"),
        ({"right": ""}, "right"),
        ({"lastTradeDateOrContractMonth": ""}, "expiry"),
        ({"lastTradeDateOrContractMonth": "202612"}, "expiry"),
        ({"strike": 0.0, "multiplier": ""}, "strike, no multiplier"),
    ],
)
def test_an_option_that_lacks_a_part_is_refused_and_named(change: dict[str, object], lacks: str) -> None:
    with pytest.raises(Unavailable, match=rf"option SPY   261218C00600000 .contract 7. has no {lacks}$"):
        translate.contract(raw(**change))


def test_what_is_no_option_needs_none_of_it() -> None:
    stock = raw(secType="STK", multiplier="", strike=0.0, right="?", lastTradeDateOrContractMonth="")
    own = translate.contract(stock)
    assert (own.expiry, own.strike, own.right, own.multiplier) == (None, None, None, 1.0)


@pytest.mark.parametrize("text", ["202612", "", "2026121", "20261301", "soon"])
def test_what_is_no_day(text: str) -> None:
    assert translate.day(text) is None


def test_a_book_with_such_an_option_is_unknown_and_leaves_the_one_before(stage, monkeypatch) -> None:
    async def act(stage) -> None:
        await stage.sync()
        before = mirror.read(stage.state)
        connection = await stage.connect()
        answered = connection.client.positions

        async def without_multiplier():
            found = await answered()
            option = next(one for one in found if one.contract.secType == "OPT")
            option.contract.multiplier = ""
            return found

        monkeypatch.setattr(type(connection.client), "positions", lambda _client: without_multiplier())
        with pytest.raises(Unavailable, match="has no multiplier"):
            await positions_and_account(connection)
        with pytest.raises(Unavailable, match="has no multiplier"):
            await stage.sync(connection)
        assert mirror.read(stage.state) == before
        found = await examine.everything(facts(stage, connection))
        assert exit_code(found) == 2
        assert {one.subject for one in found if one.status is Status.UNKNOWN} == {"account", "positions", "services"}
        (gateway,) = [one for one in found if one.subject == "gateway"]
        assert gateway.status is Status.UNHEALTHY and "has no multiplier" in gateway.text and gateway.fix is None
        await connection.close()

    stage(act, timeout=5.0)


def facts(stage, connection) -> Facts:
    class Open:
        async def __aenter__(self):
            return connection

        async def __aexit__(self, *_exception):
            return None

    class NoServices:
        def status(self, _names):
            return []

        def log_files(self, _name):
            return []

    return Facts(stage.home, stage.settings, NoServices(), Open)
