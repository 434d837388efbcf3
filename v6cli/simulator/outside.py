"""What happens to the account without any API client: trades by hand in TWS, assignment, liquidation, corrected executions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from v6cli import clock
from v6cli.errors import BadConfiguration
from v6cli.models import Contract
from v6cli.simulator import matching
from v6cli.simulator.account import Account
from v6cli.simulator.checks import Refused
from v6cli.simulator.desk import Desk
from v6cli.simulator.expiry import deliver
from v6cli.simulator.faults import Parameter
from v6cli.simulator.faults.fault import concerns, names, number
from v6cli.simulator.floor import Floor, Listener
from v6cli.simulator.holdings import Holding
from v6cli.simulator.listings import listed
from v6cli.simulator.market import Market
from v6cli.simulator.orders import Execution, Order
from v6cli.simulator.sessions import day_of
from v6cli.simulator.ticket import Ticket
from v6cli.simulator.uplink import Uplink

logger = logging.getLogger(__name__)

Parameters = Mapping[str, Parameter]


class Outside:
    """Lets the moments among the faults happen. ``binds`` says whether client 0 takes over what is entered by hand."""

    def __init__(
        self, account: Account, market: Market, floor: Floor, desk: Desk, uplink: Uplink, tell: Listener, binds: Callable[[], bool]
    ) -> None:
        self._account = account
        self._market = market
        self._floor = floor
        self._desk = desk
        self._uplink = uplink
        self._tell = tell
        self._binds = binds
        self._acts: dict[str, Callable[[Parameters], None]] = {
            "corrected-executions": self._correct,
            "orders-by-hand": self._enter,
            "fills-by-hand": self._trade,
            "early-assignment": self._assign,
            "liquidation": self._liquidate,
        }

    def happens(self, name: str, parameters: Parameters) -> None:
        """Let it happen now, if it is one of these moments; while IB cannot be reached, the gateway learns of it later.

        Raises BadConfiguration when it cannot happen.
        """
        act = self._acts.get(name)
        if act is None:
            return
        if self._uplink.lost:
            self._uplink.ask(lambda _now: self._happens_late(act, parameters), clock.now())
            return
        self._floor.advance(clock.now())
        act(parameters)

    def _happens_late(self, act: Callable[[Parameters], None], parameters: Parameters) -> None:
        try:
            act(parameters)
        except BadConfiguration as error:
            logger.warning("a fault did not happen: %s", error.message)

    def _held(self, parameters: Parameters, fits: Callable[[Holding], bool] = lambda _holding: True) -> list[Holding]:
        found = [holding for holding in self._account.holdings.values() if concerns(parameters, holding.contract, holding.order_ref)]
        fitting = [holding for holding in found if fits(holding)]
        if not fitting:
            raise BadConfiguration(f"nothing is held of {', '.join(names(parameters.get('of'))) or 'anything'} to which that could happen")
        return fitting

    # By hand.

    def _enter(self, parameters: Parameters) -> None:
        limit = number(parameters, "limit") if "limit" in parameters else None
        order = _ticket(self._contract(parameters), number(parameters, "quantity"), limit)
        try:
            self._desk.place_by_hand(order, clock.now(), bound=self._binds())
        except Refused as refusal:
            raise BadConfiguration(f"the order by hand is refused: {refusal.code} {refusal.text}") from None

    def _contract(self, parameters: Parameters) -> Contract:
        for symbol in names(parameters.get("of")):
            listing = self._market.listings.get(symbol)
            if listing is not None:
                return listed(listing)
        return self._held(parameters)[0].contract

    def _trade(self, parameters: Parameters) -> None:
        holding = self._held(parameters)[0]
        self._close(holding, _part(holding, number(parameters, "quantity")))

    def _liquidate(self, parameters: Parameters) -> None:
        for holding in self._held(parameters):
            self._close(holding, abs(holding.quantity), liquidation=1)

    def _close(self, holding: Holding, quantity: float, liquidation: int = 0) -> None:
        """Trade so much of a position away at the market, whatever the hour."""
        now, action = clock.now(), "SELL" if holding.quantity > 0 else "BUY"
        perm_id = self._floor.book.numbers.next_perm_id(day_of(now))
        order = Order(0, 0, perm_id, self._account.id, holding.contract, action, quantity, "MKT", liquidation=liquidation)
        quotes = self._floor.quotes([order], now)
        market = matching.sides(order, quotes)
        side = market.ask if order.sign > 0 else market.bid
        price = next(price for price in (side, market.middle, market.last, matching.step(order, 0.0)) if price is not None)
        self._floor.book.add(order)
        self._tell.order(order)
        self._floor.fill(order, quantity, price, quotes, now)

    # By IB.

    def _assign(self, parameters: Parameters) -> None:
        holding = self._held(parameters, self._is_assignable)[0]
        assigned = _part(holding, number(parameters, "quantity") if "quantity" in parameters else abs(holding.quantity))
        self._tell.positions(deliver(self._account, self._market, holding.contract, -assigned))

    def _is_assignable(self, holding: Holding) -> bool:
        # Options on indices are European.
        return holding.contract.is_option and holding.quantity < 0 and not self._market.listings[holding.contract.symbol].is_index

    def _correct(self, parameters: Parameters) -> None:
        fills = [fill for fill in self._account.own_fills if self._is_correctable(fill, parameters)]
        if not fills:
            raise BadConfiguration("no execution of today, of a single contract, can be corrected")
        old = fills[-1]
        new = self._account.correct(old, round(max(0.0, old.price + number(parameters, "by")), 6))
        order = next(order for order in [*self._floor.book.alive, *self._floor.book.ended] if order.perm_id == old.perm_id)
        order.average_price = round(order.average_price + (new.price - old.price) * new.quantity / order.filled, 8)
        order.last_price = new.price
        self._tell.fills(order, [new])
        self._tell.positions([new.contract])

    def _is_correctable(self, fill: Execution, parameters: Parameters) -> bool:
        book = self._floor.book
        known = next((order for order in [*book.alive, *book.ended] if order.perm_id == fill.perm_id), None)
        return known is not None and not known.legs and concerns(parameters, fill.contract, fill.order_ref)


def _part(holding: Holding, most: float) -> float:
    """So many of a position, whole contracts or all of it, and one at least."""
    return min(abs(holding.quantity), max(1, int(abs(most))))


def _ticket(contract: Contract, quantity: float, limit: float | None) -> Ticket:
    return Ticket(
        order_id=0,
        client_id=0,
        contract=contract,
        legs=(),
        action="BUY" if quantity >= 0 else "SELL",
        quantity=abs(quantity),
        type="MKT" if limit is None else "LMT",
        limit=limit,
        stop=None,
        tif="DAY",
        account="",
        order_ref="",
        outside_rth=False,
        parent_id=0,
        oca_group="",
        oca_type=0,
        transmit=True,
    )
