"""Each check at its limits: pure functions, none of them green about what is not known."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest

from v6cli import settings
from v6cli.errors import GatewayUnavailable, Refused
from v6cli.health import checks
from v6cli.health.gather import GatewayFacts, GatewayProcess, Machine
from v6cli.latch import Latch, Mark, TradingState
from v6cli.models import Account, Contract, Greeks, GreekSource, Position, Severity
from v6cli.procedure import Status, exit_code
from v6cli.services.backend import ServiceState
from v6cli.services.logs import Repeated
from v6cli.services.processes import Found, Holder
from v6cli.state.alerts import RaisedAlert
from v6cli.state.mirror import Mirror

NOW = datetime(2026, 11, 24, 15, tzinfo=UTC)
OWN = settings.builtin("paper")
ACCOUNT = Account("DU1234567", "USD", NOW, net_liquidation=100_000.0, buying_power=50_000.0)
OPTION = Position("DU1234567", Contract(7, "SPY", "OPT", date(2026, 12, 18), 600.0, "C", 100.0), -2, 1.0)
STOCK = Position("DU1234567", Contract(8, "SPY", "STK"), 100, 1.0)
OK, DEGRADED, UNHEALTHY, UNKNOWN = Status.OK, Status.DEGRADED, Status.UNHEALTHY, Status.UNKNOWN


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def book(*positions: Position, at: datetime = NOW, greeks: dict[int, Greeks] | None = None) -> Mirror:
    return Mirror("run", at, ACCOUNT, list(positions), greeks or {})


def gateway(**changes: object) -> GatewayFacts:
    return GatewayFacts(
        **{"account": ACCOUNT, "positions": [], "may_write": True, "skew": 0.0, "farms_down": [], "link_lost": False} | changes
    )


def greek(source: GreekSource = GreekSource.MODEL, age: float = 0.0) -> dict[int, Greeks]:
    return {7: Greeks(7, source, ago(age), 0.4, 0.02, -0.3, 0.5)}


@pytest.mark.parametrize(
    ("lag", "status"),
    [
        (0, OK),
        (299, OK),
        (299.999, OK),
        (300, DEGRADED),
        (900, DEGRADED),
        (900.001, UNHEALTHY),
        (901, UNHEALTHY),
        (1e7, UNHEALTHY),
        (-5, OK),
        (-6, UNKNOWN),
        (-3600, UNKNOWN),
    ],
)
def test_lag_of_the_sync(lag: float, status: Status) -> None:
    found = checks.sync_lag(book(at=ago(lag)), NOW, OWN)
    assert found.status is status
    assert (found.fix is None) == (status is OK)


def test_what_was_never_synced_is_unknown() -> None:
    for found in (checks.sync_lag(None, NOW, OWN), checks.positions_match(None, gateway()), checks.greeks(None, NOW, OWN)):
        assert found.status is UNKNOWN and str(found.fix) == "v6 sync --force"
    assert checks.sync_lag(None, NOW, OWN).exit_code == 2


@pytest.mark.parametrize(("age", "status"), [(900, OK), (901, DEGRADED)])
def test_age_of_greeks(age: float, status: Status) -> None:
    assert checks.greeks(book(OPTION, greeks=greek(age=age)), NOW, OWN).status is status


@pytest.mark.parametrize(
    ("source", "status"),
    [
        (GreekSource.MODEL, OK),
        (GreekSource.COMPUTED, OK),
        (GreekSource.AS_OF_CLOSE, OK),
        (GreekSource.STALE, UNKNOWN),
        (GreekSource.MISSING, UNKNOWN),
    ],
)
def test_greeks_by_source(source: GreekSource, status: Status) -> None:
    found = checks.greeks(book(OPTION, STOCK, greeks=greek(source, 0)), NOW, OWN)
    assert found.status is status and found.exit_code == (0 if status is OK else 1)
    assert checks.greeks(book(OPTION), NOW, OWN).status is UNKNOWN
    assert checks.greeks(book(STOCK), NOW, OWN).status is OK


def test_greeks_of_the_close_may_be_as_old_as_the_close() -> None:
    found = checks.greeks(book(OPTION, greeks=greek(GreekSource.AS_OF_CLOSE, 3 * 86400)), NOW, OWN)
    assert found.status is OK and "as of the close" in found.text


@pytest.mark.parametrize(
    ("held", "status"),
    [
        ([OPTION, STOCK], OK),
        ([STOCK, OPTION], OK),
        ([OPTION], DEGRADED),
        ([], DEGRADED),
        ([OPTION, msgspec.structs.replace(STOCK, quantity=99.0)], DEGRADED),
    ],
)
def test_positions_against_the_gateway(held: list[Position], status: Status) -> None:
    assert checks.positions_match(book(OPTION, STOCK), gateway(positions=held)).status is status


def test_a_position_nobody_recorded_is_named() -> None:
    found = checks.positions_match(book(), gateway(positions=[STOCK]))
    assert found.status is DEGRADED and "SPY: 0 recorded, 100 held" in found.text


@pytest.mark.parametrize(
    ("skew", "status", "word"), [(5, OK, "within 5 s"), (-5, OK, "within 5 s"), (5.1, DEGRADED, "behind"), (-5.1, DEGRADED, "ahead of")]
)
def test_the_clock(skew: float, status: Status, word: str) -> None:
    found = checks.skew(skew, OWN)
    assert found.status is status and word in found.text


@pytest.mark.parametrize(
    ("change", "subject", "status", "code"),
    [
        ({}, "gateway", OK, 0),
        ({"link_lost": True}, "gateway", UNHEALTHY, 2),
        ({"farms_down": ["usopt"]}, "data farms", DEGRADED, 1),
        ({"may_write": False}, "gateway", UNHEALTHY, 2),
        ({"may_write": GatewayUnavailable("no end")}, "gateway", UNKNOWN, 2),
        ({"skew": 60.0}, "clock", DEGRADED, 1),
    ],
)
def test_a_gateway_that_answers_may_still_be_unwell(change: dict[str, object], subject: str, status: Status, code: int) -> None:
    found = checks.gateway(gateway(**change), OWN, NOW)
    assert exit_code(found) == code
    assert status in {one.status for one in found if one.subject == subject}


def test_a_gateway_that_is_down_names_what_starts_it() -> None:
    error = GatewayUnavailable("nobody listens")
    for state, line in (("running", "v6 services restart ib-gateway"), ("stopped", "v6 services start ib-gateway")):
        for now in (NOW, IN_RESET):
            found = checks.gateway_down(error, ServiceState("ib-gateway", state), OWN, now)
            assert (found.status, str(found.fix)) == (UNHEALTHY, line)
            assert "reset" not in found.text, "a gateway that v6 runs has nothing to do with IB's servers"


IN_RESET = datetime(2026, 11, 25, 5, 15, tzinfo=UTC)  # 00:15 in New York, where the night's window begins
AFTER_RESET = datetime(2026, 11, 25, 6, 45, tzinfo=UTC)


@pytest.mark.parametrize("now", [IN_RESET, AFTER_RESET - timedelta(seconds=1)])
def test_a_link_that_is_lost_while_ib_resets_its_servers_is_degraded_and_says_until_when(now: datetime) -> None:
    found = checks.gateway(gateway(link_lost=True), OWN, now)
    (lost,) = [one for one in found if one.status is not OK]
    assert lost.status is DEGRADED and exit_code(found) == 1
    assert "lost its connection to IB" in lost.text and "IB resets its servers until 2026-11-25 01:45:00 EST" in lost.text
    assert lost.advice.startswith("wait until 2026-11-25 01:45:00 EST; if it lasts past it, ")


@pytest.mark.parametrize("now", [NOW, IN_RESET - timedelta(seconds=1), AFTER_RESET])
def test_a_link_that_is_lost_at_another_time_is_unhealthy(now: datetime) -> None:
    found = checks.gateway(gateway(link_lost=True), OWN, now)
    assert exit_code(found) == 2 and not any("reset" in one.text for one in found)


def test_no_reset_makes_anything_else_look_better() -> None:
    for change, code in (({"may_write": False}, 2), ({"may_write": GatewayUnavailable("no end")}, 2), ({"farms_down": ["usopt"]}, 1)):
        found = checks.gateway(gateway(link_lost=True, **change), OWN, IN_RESET)
        assert exit_code(found) == code
    (farms,) = [one for one in found if one.subject == "data farms"]
    assert "wait until 2026-11-25 01:45:00 EST" in farms.advice and "restart" not in farms.advice
    down = checks.gateway_down(GatewayUnavailable("nobody listens"), None, OWN, IN_RESET)
    assert down.status is UNHEALTHY and "IB resets its servers until 2026-11-25 01:45:00 EST" in down.text
    assert down.advice.startswith("a login may fail until then; ")
    assert "reset" not in checks.gateway_down(GatewayUnavailable("nobody listens"), None, OWN, NOW).text
    assert "reset" not in checks.gateway_down(Refused("another account"), None, OWN, IN_RESET).text


JAVA = Found(7, 0.0, "java", "java ibgateway")


@pytest.mark.parametrize(
    ("found", "answers", "status", "text"),
    [
        (GatewayProcess(True, Holder(7, "java"), [JAVA]), True, OK, "gateway process: java (pid 7), listens at 127.0.0.1:4002"),
        (GatewayProcess(True, Holder(7, "java"), [JAVA]), False, OK, "gateway process: java (pid 7), listens at 127.0.0.1:4002"),
        (
            GatewayProcess(True, Holder(None, "a process of another user"), []),
            True,
            OK,
            "gateway process: a process of another user, listens at 127.0.0.1:4002",
        ),
        (GatewayProcess(True, None, [JAVA]), False, DEGRADED, "gateway process: java (pid 7), does not listen at 127.0.0.1:4002"),
        (GatewayProcess(False, None, [JAVA]), True, OK, "gateway process: java (pid 7)"),
        (GatewayProcess(True, None, []), False, UNHEALTHY, "no gateway process found on this machine"),
        (GatewayProcess(False, None, []), False, UNKNOWN, "no gateway process found on this machine"),
        (
            GatewayProcess(False, None, []),
            True,
            OK,
            "no gateway process found on this machine: what answers at 127.0.0.1:4002 runs elsewhere",
        ),
    ],
)
def test_the_process_of_the_gateway_is_named_or_said_not_to_be_found(
    found: GatewayProcess, answers: bool, status: Status, text: str
) -> None:
    said = checks.gateway_process(found, OWN, answers=answers)
    assert (said.subject, said.status, said.text) == ("gateway process", status, text)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, OK),
        ({"net_liquidation": None}, UNKNOWN),
        ({"buying_power": None}, UNKNOWN),
        ({"buying_power": 0.0}, DEGRADED),
        ({"buying_power": -1.0}, DEGRADED),
        ({"excess_liquidity": -0.01}, UNHEALTHY),
        ({"excess_liquidity": 0.0}, OK),
    ],
)
def test_the_account(change: dict[str, float | None], status: Status) -> None:
    assert checks.account(msgspec.structs.replace(ACCOUNT, **change)).status is status


@pytest.mark.parametrize(
    ("state", "status"),
    [("running", OK), ("starting", DEGRADED), ("stopping", DEGRADED), ("stopped", UNHEALTHY), ("failed", UNHEALTHY), ("absent", UNHEALTHY)],
)
def test_services(state: str, status: Status) -> None:
    found = checks.services([ServiceState("ib-gateway", "running", restarts=2), ServiceState("v6-position-sync", state, last_line="boom")])
    assert max(found, key=lambda one: one.exit_code).status is status
    assert ("boom" in found[-1].text) == (state == "failed")
    assert "2 restarts" in found[0].text


def test_services_without_a_supervisor_are_not_green() -> None:
    found = checks.services([ServiceState("ib-gateway", "running", detail="the supervisor was killed")])
    assert max(found, key=lambda one: one.exit_code).status is DEGRADED
    assert (found[-1].text, str(found[-1].fix)) == (
        "ib-gateway would not be started again: the supervisor was killed",
        "v6 services start",
    )


def test_no_services_is_not_known() -> None:
    assert [one.status for one in checks.services([])] == [UNKNOWN]


@pytest.mark.parametrize(("used", "status"), [(0.0, OK), (0.8999, OK), (0.9, UNHEALTHY), (1.0, UNHEALTHY), (float("nan"), UNHEALTHY)])
def test_the_machine(used: float, status: Status) -> None:
    for number, facts in enumerate((Machine(used, 0.1), Machine(0.1, used))):
        assert checks.machine(facts, OWN)[number].status is status
        assert checks.machine(facts, OWN)[1 - number].status is OK


def alert(severity: Severity, *, seen: bool = False) -> RaisedAlert:
    return RaisedAlert(1, "key", severity, "text", "", NOW, NOW, 1, NOW if seen else None, "me" if seen else None, None)


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        ([], OK),
        ([alert(Severity.CRITICAL, seen=True)], OK),
        ([alert(Severity.INFO)], DEGRADED),
        ([alert(Severity.WARNING)], DEGRADED),
        ([alert(Severity.CRITICAL)], UNHEALTHY),
        ([alert(Severity.CRITICAL, seen=True), alert(Severity.WARNING)], DEGRADED),
    ],
)
def test_alerts(raised: list[RaisedAlert], status: Status) -> None:
    found = checks.alerts(raised)
    assert found.status is status and found.fix is None, "what runs every fix must not acknowledge what nobody has read"
    assert bool(found.advice) is (status is not OK)


@pytest.mark.parametrize(
    ("state", "status"), [(TradingState.ACTIVE, OK), (TradingState.REDUCING, DEGRADED), (TradingState.HALTED, DEGRADED)]
)
def test_the_trading_state(state: TradingState, status: Status) -> None:
    found = checks.trading_state(
        Latch(state, (Mark("halt-1" if state is TradingState.HALTED else "reduce-1", state, "because", "ann", NOW),))
    )
    assert found.status is status and state.value in found.text and ("because" in found.text) == (status is DEGRADED)


def test_the_lake_and_the_logs() -> None:
    assert checks.lake([]).status is OK
    assert checks.lake(["positions: no table", "greeks: no table"]).text == "positions: no table (and 1 more)"
    assert checks.errors([], 3600).text == "no errors in the last hour"
    found = checks.errors([Repeated(3, "ERROR", NOW, "boom"), Repeated(1, "ERROR", NOW, "crash")], 86400)
    assert found.status is DEGRADED and found.text == "4 errors in the last 24 hours, such as: boom"
