"""Contracts: their details, option chains, price steps, and finding them by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6cli import clock
from v6cli.models import Contract
from v6cli.simulator.chains import Wanted
from v6cli.simulator.listings import MARKET_RULES, OPTION_CLASSES
from v6cli.simulator.sessions import ZONE_NAME, day_of
from v6cli.simulator.wire import Value

if TYPE_CHECKING:
    from v6cli.simulator.connection import Connection
    from v6cli.simulator.server import Gateway
    from v6cli.simulator.wire import Request

_ORDER_TYPES = "ACTIVETIM,ALERT,ALGO,ALLOC,CASHQTY,COND,DAY,GTC,LMT,MIT,MKT,OCA,STP,STP LMT,TRAIL,WHATIF"
_STOCK_RULE = 26


def read_wanted(request: Request) -> Wanted:
    """A contract as a request describes it, in twelve fields."""
    con_id, symbol, kind, expiry = request.integer(), request.text().upper(), request.text().upper(), request.text().split(" ")[0]
    strike, right, multiplier, exchange = request.number(), request.text().upper(), request.text(), request.text().upper()
    request.skip(1)
    currency, local_symbol, trading_class = request.text().upper(), request.text(), request.text().upper()
    right = "" if right in {"0", "?"} else right[:1]
    return Wanted(con_id, symbol, kind, expiry, strike, right, multiplier, exchange, currency, local_symbol, trading_class)


def details(connection: Connection, request: Request) -> None:
    """9: the details of every contract that fits; error 200 when none does."""
    request.skip(1)
    id_, wanted, expired = request.identify(), read_wanted(request), request.boolean()
    gateway = connection.gateway
    if not wanted.con_id and not wanted.kind:
        connection.error(id_, 321, "Error validating request.-'bW' : cause - Please enter a valid security type")
        return
    today = day_of(clock.now())
    # What is held is known to IB for as long as it is held, even after it has expired.
    held = wanted.con_id in gateway.account.holdings
    found = gateway.chains.matching(wanted, today, expired=expired or held)
    if not found:
        connection.error(id_, 200, "No security definition has been found for the request")
        return
    hours: dict[tuple[str, str, bool], tuple[str, str]] = {}
    for contract in found:
        connection.send(10, 8, id_, *_detail_fields(gateway, contract, hours))
    connection.end("contract-details", 52, 1, id_)


def _detail_fields(gateway: Gateway, contract: Contract, hours: dict[tuple[str, str, bool], tuple[str, str]]) -> list[Value]:
    listing = gateway.market.listings[contract.symbol]
    today = day_of(clock.now())
    # Thousands of options share their class's hours; only those about to expire keep their own.
    near = contract.expiry is not None and (contract.expiry - today).days < 8
    key = (contract.kind, f"{contract.trading_class} {contract.expiry if near else ''}", near)
    if key not in hours:
        hours[key] = tuple(gateway.exchange.in_ib_words(contract, today, liquid=liquid) for liquid in (False, True))  # type: ignore[assignment]
    family = OPTION_CLASSES.get(contract.trading_class) if contract.is_option else None
    rule = family.rule if family else _STOCK_RULE
    exchanges = family.exchanges if family else ("CBOE" if listing.is_index else f"SMART,AMEX,NYSE,CBOE,{listing.exchange}")
    return [
        contract.symbol,
        contract.kind,
        f"{contract.expiry:%Y%m%d}" if contract.expiry else "",
        contract.strike or 0,
        contract.right or "",
        contract.exchange,
        contract.currency,
        contract.local_symbol,
        contract.trading_class,
        contract.trading_class,
        contract.con_id,
        MARKET_RULES[rule][0][1],
        100,  # market data size multiplier
        f"{contract.multiplier:g}" if contract.is_option else "",
        _ORDER_TYPES,
        exchanges,
        1,  # price magnifier
        listing.con_id if contract.is_option else 0,
        listing.name,
        "" if contract.is_option else listing.exchange,
        f"{contract.expiry:%Y%m}" if contract.expiry else "",
        *(("Indices", "Broad Range Equity Index", "*") if listing.is_index else ("Funds", "Equity Fund", "")),
        ZONE_NAME,
        *hours[key],
        "",  # economic value rule
        "",  # its multiplier
        0,  # security ids
        1,  # aggregated group
        contract.symbol if contract.is_option else "",
        listing.kind if contract.is_option else "",
        ",".join(str(rule) for _ in exchanges.split(",")),
        f"{contract.expiry:%Y%m%d}" if contract.expiry else "",
        "ETF" if contract.kind == "STK" else "",
    ]


def chains(connection: Connection, request: Request) -> None:
    """78: expiries and strikes of each option class on an underlying, per exchange."""
    id_, symbol = request.identify(), request.text().upper()
    request.skip(2)
    con_id = request.integer()
    gateway = connection.gateway
    listing = gateway.market.listings.get(symbol)
    if listing is None or con_id not in {0, listing.con_id}:
        connection.error(id_, 321, "Error validating request.-'bX' : cause - Invalid contract id")
        return
    for family, days, prices in gateway.chains.of_underlying(symbol, day_of(clock.now())):
        for exchange in family.exchanges.split(","):
            connection.send(
                75,
                id_,
                exchange,
                listing.con_id,
                family.name,
                f"{family.multiplier:g}",
                len(days),
                *(f"{day:%Y%m%d}" for day in days),
                len(prices),
                *prices,
            )
    connection.end("chains", 76, id_)


def market_rule(connection: Connection, request: Request) -> None:
    """91: the price steps of a market rule. The rule's number is no request id."""
    number = request.integer()
    steps = MARKET_RULES.get(number)
    if steps is None:
        connection.error(-1, 321, f"Error validating request.-'bX' : cause - Unknown market rule {number}")
        return
    connection.send(93, number, len(steps), *(field for step in steps for field in step))


def matching_symbols(connection: Connection, request: Request) -> None:
    """81: stocks and indices whose symbol or name begins with or contains the pattern."""
    id_, pattern = request.identify(), request.text().upper()
    found = [
        listing
        for listing in connection.gateway.market.listings.values()
        if pattern and (listing.symbol.startswith(pattern) or pattern in listing.name.upper())
    ]
    fields: list[Value] = []
    for listing in found:
        kinds = ["OPT", "BAG"] if any(family.symbol == listing.symbol for family in OPTION_CLASSES.values()) else []
        fields += [listing.con_id, listing.symbol, listing.kind, listing.exchange, "USD", len(kinds), *kinds]
    connection.send(79, id_, len(found), *fields)


HANDLERS = {9: details, 78: chains, 81: matching_symbols, 91: market_rule}
