"""Historical bars, kept up to date where asked, and the schedule of sessions."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING

from v6cli import clock
from v6cli.simulator.answers.contracts import read_wanted
from v6cli.simulator.history import BEGINS, Bar, Unanswerable, bars, growing, sessions
from v6cli.simulator.pacing import SMALL_BARS
from v6cli.simulator.sessions import ZONE_NAME, day_of
from v6cli.simulator.subscriptions import BarRequest, Bars
from v6cli.simulator.wire import Value

if TYPE_CHECKING:
    from v6cli.simulator.connection import Connection
    from v6cli.simulator.server import Gateway
    from v6cli.simulator.wire import Request


def historical_data(connection: Connection, request: Request) -> None:
    """20: bars up to an end; error 162 when there are none."""
    id_, wanted = request.identify(), read_wanted(request)
    expired, end, size, duration, regular = request.boolean(), request.text(), request.text(), request.text(), request.boolean()
    what, style = request.text().upper(), request.integer()
    if wanted.kind == "BAG":
        connection.error(id_, 162, "Historical Market Data Service error message:No historical market data for combos")
        return
    keep = request.boolean()
    gateway = connection.gateway
    found = gateway.chains.matching(wanted, day_of(clock.now()), expired=expired or wanted.con_id in gateway.account.holdings)
    if len(found) != 1:
        connection.error(id_, 200, "No security definition has been found for the request")
        return
    asked = BarRequest(found[0], end, duration, size, what, regular, style == 2)
    if gateway.pacing and size in SMALL_BARS and gateway.history_pace.exceeded(asked, (found[0].con_id, what), clock.now()):
        connection.error(id_, 162, "Historical Market Data Service error message:Historical data request pacing violation")
        return
    try:
        _answer(connection, id_, asked, keep=keep)
    except Unanswerable as error:
        connection.error(id_, error.code, error.text)


def _answer(connection: Connection, id_: int, asked: BarRequest, *, keep: bool) -> None:
    market, now = connection.gateway.market, clock.now()
    if asked.what == "SCHEDULE":
        _send_schedule(connection, id_, asked)
        return
    found = bars(market, asked, now)
    if not found:
        raise Unanswerable(
            162, f"Historical Market Data Service error message:HMDS query returned no data: {asked.contract.symbol}@SMART {asked.what}"
        )
    rows = [_bar_fields(bar, asked) for bar in found]
    connection.send(17, id_, str(rows[0][0]), str(rows[-1][0]), len(rows), *(field for row in rows for field in row))
    if keep:
        connection.bars[id_] = Bars(asked, rows[-1])


def _bar_fields(bar: Bar, asked: BarRequest) -> tuple[Value, ...]:
    return (_bar_time(bar.start, asked), bar.opened, bar.high, bar.low, bar.close, bar.volume, bar.average, bar.count)


def _bar_time(start: datetime | date, asked: BarRequest) -> str:
    if not isinstance(start, datetime):
        return f"{start:%Y%m%d}"
    return str(int(start.timestamp())) if asked.epoch else f"{start.astimezone(clock.eastern()):%Y%m%d %H:%M:%S} {ZONE_NAME}"


def _send_schedule(connection: Connection, id_: int, asked: BarRequest) -> None:
    found = sessions(connection.gateway.market, asked, clock.now())
    if not found:
        raise Unanswerable(162, "Historical Market Data Service error message:HMDS query returned no data")
    rows = [[_schedule_time(first), _schedule_time(last), f"{day:%Y%m%d}"] for day, (first, last) in found]
    connection.send(106, id_, rows[0][0], rows[-1][1], ZONE_NAME, len(rows), *(field for row in rows for field in row))


def _schedule_time(moment: datetime) -> str:
    return f"{moment.astimezone(clock.eastern()):%Y%m%d-%H:%M:%S}"


def cancel(connection: Connection, request: Request) -> None:
    """25: stop keeping a history up to date."""
    request.skip(1)
    connection.bars.pop(request.identify(), None)


def head_timestamp(connection: Connection, request: Request) -> None:
    """87: where history begins."""
    connection.send(88, request.identify(), f"{BEGINS:%Y%m%d}-14:30:00")


def push(gateway: Gateway) -> None:
    """Send the bar that is growing, where it has changed."""
    now = clock.now()
    for connection in gateway.clients.values():
        for id_, kept in connection.bars.items():
            found = growing(gateway.market, kept.request, now) if connection.writable else []
            for row in (_bar_fields(bar, kept.request) for bar in found):
                if row != kept.sent:
                    kept.sent = row
                    start, opened, high, low, close, volume, average, count = row
                    connection.send(90, id_, count, start, opened, close, high, low, average, volume)


HANDLERS = {20: historical_data, 25: cancel, 87: head_timestamp}
