"""Positions, account values, summaries and P&L."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from v6cli import clock
from v6cli.models import Contract
from v6cli.simulator import valuation
from v6cli.simulator.holdings import Holding
from v6cli.simulator.valuation import Standing, Valued
from v6cli.simulator.wire import Value

if TYPE_CHECKING:
    from v6cli.simulator.connection import Connection
    from v6cli.simulator.wire import Request

_LEDGER = {"$LEDGER", "$LEDGER:ALL", "$LEDGER:USD"}


def contract_fields(contract: Contract, exchange: str = "") -> tuple[Value, ...]:
    """A contract as most answers carry it, in eleven fields."""
    return (
        contract.con_id,
        contract.symbol,
        contract.kind,
        f"{contract.expiry:%Y%m%d}" if contract.expiry else "",
        contract.strike or 0,
        contract.right or "",
        f"{contract.multiplier:g}" if contract.is_option else "",
        exchange,
        contract.currency,
        contract.local_symbol,
        contract.trading_class,
    )


def positions(connection: Connection, _request: Request) -> None:
    """61: every position, then the End, and from then on those that change."""
    connection.positions = True
    for name in connection.gateway.account.ids:
        for holding in connection.gateway.managed.holdings(name):
            _send_position(connection, name, holding)
    connection.end("positions", 62, 1)


def _send_position(connection: Connection, name: str, holding: Holding) -> None:
    connection.send(61, 3, name, *contract_fields(holding.contract), holding.quantity, round(holding.average_cost, 6))


def cancel_positions(connection: Connection, _request: Request) -> None:
    """64: positions that change are not pushed any more."""
    connection.positions = False


def positions_multi(connection: Connection, request: Request) -> None:
    """74: the positions of one account, under an id."""
    request.skip(1)
    id_, name = request.identify(), request.text()
    if _is_known(connection, id_, name):
        for each in [name] if name else connection.gateway.account.ids:
            for holding in connection.gateway.managed.holdings(each):
                connection.send(71, 1, id_, each, *contract_fields(holding.contract), holding.quantity, holding.average_cost, "")
        connection.end("positions", 72, 1, id_)


def account_updates(connection: Connection, request: Request) -> None:
    """6: values and portfolio of an account, kept up to date until unsubscribed."""
    request.skip(1)
    subscribe, name = request.boolean(), request.text() or connection.gateway.account.ids[0]
    if not subscribe:
        connection.account_updates = None
    elif _is_known(connection, -1, name):
        connection.account_updates = name
        _send_updates(connection, name)
        connection.end("account", 54, 1, name)


def account_updates_multi(connection: Connection, request: Request) -> None:
    """76: an account's values, under an id."""
    request.skip(1)
    id_, name, model = request.identify(), request.text() or connection.gateway.account.ids[0], request.text()
    if _is_known(connection, id_, name):
        for tag, value, currency in valuation.values(_standing(connection, name), name):
            connection.send(73, 1, id_, name, model, tag, value, currency)
        connection.end("account-multi", 74, 1, id_)


def summary(connection: Connection, request: Request) -> None:
    """62: chosen values of all accounts, kept up to date until cancelled."""
    request.skip(1)
    id_, _group, tags = request.identify(), request.text(), request.text()
    connection.summaries[id_] = [tag for tag in tags.split(",") if tag]
    _send_summary(connection, id_)
    connection.end("summary", 64, 1, id_)


def cancel_summary(connection: Connection, request: Request) -> None:
    """63: end a summary."""
    request.skip(1)
    connection.summaries.pop(request.identify(), None)


def pnl(connection: Connection, request: Request) -> None:
    """92: the account's P&L, kept up to date."""
    id_, name = request.identify(), request.text() or connection.gateway.account.ids[0]
    if _is_known(connection, id_, name):
        connection.pnl[id_] = name, None
        _send_pnl(connection, id_, name, None)


def pnl_single(connection: Connection, request: Request) -> None:
    """94: one position's P&L, kept up to date."""
    id_, name, _model, con_id = request.identify(), request.text(), request.text(), request.integer()
    name = name or connection.gateway.account.ids[0]
    if _is_known(connection, id_, name):
        connection.pnl[id_] = name, con_id
        _send_pnl(connection, id_, name, con_id)


def cancel_pnl(connection: Connection, request: Request) -> None:
    """93 and 95: end a P&L."""
    connection.pnl.pop(request.identify(), None)


def nothing(_connection: Connection, _request: Request) -> None:
    """75, 77: nothing is pushed after these answers' End."""


def push(connection: Connection, *, values: bool) -> None:
    """Bring this client's subscriptions up to date; without ``values`` only its P&L."""
    for id_, (name, con_id) in connection.pnl.items():
        if name in connection.gateway.account.ids:
            _send_pnl(connection, id_, name, con_id)
    if not values:
        return
    if connection.account_updates in connection.gateway.account.ids:
        _send_updates(connection, connection.account_updates)
    for id_ in connection.summaries:
        _send_summary(connection, id_)


def push_changes(connection: Connection, changed: Iterable[Contract], now: datetime) -> None:
    """Tell a subscriber which positions have changed, those that are closed as zero, and what the account is worth now."""
    account = connection.gateway.account
    if account.id not in account.ids:
        return
    shown = connection.gateway.statement.holdings(now)
    held = [shown.get(contract.con_id) or Holding(contract, 0.0, 0.0) for contract in changed]
    if connection.positions:
        for holding in held:
            _send_position(connection, account.id, holding)
    if connection.account_updates != account.id:
        return
    state = connection.gateway.statement.standing(now)
    known = {position.holding.contract.con_id: position for position in [*state.positions, *state.closed]}
    _send_values(connection, state, account.id)
    for holding in held:
        if holding.contract.con_id in known:
            connection.send(7, 8, *_portfolio_fields(connection, known[holding.contract.con_id]), account.id)


def _is_known(connection: Connection, id_: int, name: str) -> bool:
    if name in {"", *connection.gateway.account.ids}:
        return True
    connection.error(id_, 321, f"Error validating request.-'bX' : cause - Invalid account code '{name[:40]}'.")
    return False


def _standing(connection: Connection, name: str) -> Standing:
    return connection.gateway.managed.standing(name, clock.now())


def _send_updates(connection: Connection, name: str) -> None:
    state = _standing(connection, name)
    _send_values(connection, state, name)
    for position in state.positions:
        connection.send(7, 8, *_portfolio_fields(connection, position), name)
    connection.send(8, 1, clock.now().astimezone(clock.eastern()).strftime("%H:%M"))


def _send_values(connection: Connection, state: Standing, name: str) -> None:
    for tag, value, currency in valuation.values(state, name):
        connection.send(6, 2, tag, value, currency, name)


def _portfolio_fields(connection: Connection, position: Valued) -> tuple[Value, ...]:
    holding = position.holding
    listing = connection.gateway.market.listings[holding.contract.symbol]
    primary = "AMEX" if holding.contract.is_option else listing.exchange
    return (
        *contract_fields(holding.contract, primary),
        holding.quantity,
        position.price,
        position.value,
        round(holding.average_cost, 6),
        position.unrealized,
        position.realized,
    )


def _send_summary(connection: Connection, id_: int) -> None:
    asked = set(connection.summaries[id_])
    for name in connection.gateway.account.ids:
        state = _standing(connection, name)
        plain = [row for row in valuation.values(state, name) if row[0] in asked and row[2] in {"", "USD"}]
        of_ledger = valuation.ledger(state) if asked & _LEDGER else []
        for tag, value, currency in dict.fromkeys([*plain, *of_ledger]):
            connection.send(63, 1, id_, name, tag, value, currency)


def _send_pnl(connection: Connection, id_: int, name: str, con_id: int | None) -> None:
    state = _standing(connection, name)
    if con_id is None:
        connection.send(94, id_, state.daily, state.unrealized, state.realized)
        return
    for position in (*state.positions, *state.closed):
        if position.holding.contract.con_id == con_id:
            held = position.holding.quantity
            connection.send(95, id_, held, position.daily, position.unrealized, position.realized, position.value)


HANDLERS = {
    61: positions,
    64: cancel_positions,
    74: positions_multi,
    75: nothing,
    6: account_updates,
    76: account_updates_multi,
    77: nothing,
    62: summary,
    63: cancel_summary,
    92: pnl,
    93: cancel_pnl,
    94: pnl_single,
    95: cancel_pnl,
}
