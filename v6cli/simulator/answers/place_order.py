"""Reading a placeOrder message: some hundred fields, of which the simulator heeds the first thirty and whether it is a what-if."""

from __future__ import annotations

import math

from v6cli import clock
from v6cli.models import Contract
from v6cli.simulator.answers.contracts import read_wanted
from v6cli.simulator.chains import Chains, Wanted
from v6cli.simulator.checks import Refused
from v6cli.simulator.orders import ComboLeg, combo
from v6cli.simulator.sessions import day_of
from v6cli.simulator.ticket import Ticket
from v6cli.simulator.wire import BadField, Request

MOST_LEGS = 4
_LONGEST_LIST = 100
#: IB's marks for a number that is not set, as its different clients send them.
_UNSET = 1e300


class Placed:
    """A placeOrder message: what is wanted, of which contract, and whether it only asks what would happen."""

    def __init__(self, request: Request, client_id: int) -> None:
        self._request = request
        self._client_id = client_id
        self.order_id = request.identify()
        self.wanted: Wanted = read_wanted(request)
        request.skip(2)  # other ids of the contract
        self._action, self._quantity, self._type = request.text().upper(), _number(request) or 0.0, request.text().upper()
        self._limit, self._stop = _number(request), _number(request)
        self._tif, self._oca_group, self._account = request.text().upper(), request.text(), request.text()
        request.skip(2)  # open or close, origin
        self._order_ref, self._transmit, self._parent_id = request.text(), request.boolean(), request.integer()
        request.skip(4)  # block, sweep, display size, trigger method
        self._outside_rth = request.boolean()
        request.skip(1)  # hidden
        self._legs = self._read_legs() if self.wanted.kind == "BAG" else ()
        request.skip(12)  # from the obsolete allocation to the exempt code
        self._oca_type = request.integer()
        self.what_if = self._read_what_if()

    def _read_legs(self) -> tuple[ComboLeg, ...]:
        request = self._request
        legs = []
        for _ in range(_count(request)):
            legs.append(ComboLeg(request.integer(), request.integer(), request.text().upper(), request.text()))
            request.skip(4)  # open or close, short sale slot, location, exempt code
        request.skip(_count(request))  # prices of single legs
        request.skip(2 * _count(request))  # how it is routed
        return tuple(legs)

    def _read_what_if(self) -> bool:
        """Pass over what the simulator does not heed, up to the flag."""
        request = self._request
        request.skip(16)  # from rule 80A to the volatility's type
        if request.text():  # a delta-neutral order
            request.skip(9)
        else:
            request.skip(1)
        request.skip(6)  # from continuous update to the scale's second size
        scale = _number(request)
        if scale is not None and scale > 0:
            request.skip(7)
        request.skip(3)  # the scale's table and times
        if request.text():  # a hedge
            request.skip(1)
        request.skip(4)  # from smart routing to not held
        if request.boolean():  # a delta-neutral contract
            request.skip(3)
        if request.text():  # an algorithm
            request.skip(2 * _count(request))
        request.skip(1)
        return request.boolean()

    def ticket(self, chains: Chains) -> Ticket:
        """The order with its contract looked up. Raises Refused for a contract that is missing, ambiguous or expired."""
        if not self.wanted.exchange:
            raise Refused(321, "Error validating request.-'bA' : cause - Missing order exchange")
        return Ticket(
            self.order_id,
            self._client_id,
            self._combo(chains) if self.wanted.kind == "BAG" else self._single(chains),
            self._legs,
            self._action,
            self._quantity,
            self._type,
            self._limit,
            self._stop,
            self._tif,
            self._account,
            self._order_ref,
            self._outside_rth,
            self._parent_id,
            self._oca_group,
            self._oca_type,
            self._transmit,
        )

    def _single(self, chains: Chains) -> Contract:
        found = chains.matching(self.wanted, day_of(clock.now()))
        if len(found) > 1:
            raise Refused(200, "The contract description specified is ambiguous.")
        if not found:
            raise Refused(200, "No security definition has been found for the request")
        return found[0]

    def _combo(self, chains: Chains) -> Contract:
        legs = [chains.by_id(leg.con_id) for leg in self._legs]
        if not 2 <= len(legs) <= MOST_LEGS or any(leg.ratio < 1 or leg.action not in {"BUY", "SELL"} for leg in self._legs):
            raise Refused(321, "Error validating request.-'bW' : cause - Invalid combo legs")
        known = [leg for leg in legs if leg is not None and leg.is_option]
        if len(known) < len(legs):
            raise Refused(200, "No security definition has been found for the request")
        if len({leg.symbol for leg in known}) > 1 or len({leg.con_id for leg in known}) < len(known):
            raise Refused(321, "Error validating request.-'bW' : cause - Combo legs are of several underlyings, or name a contract twice")
        return combo(known[0].symbol)


def _number(request: Request) -> float | None:
    """The next field as a number; None where the client left it out in one of IB's ways."""
    text = request.text()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        raise BadField(f"{text[:40]!r} is not a number") from None
    if not math.isfinite(value):
        raise BadField(f"{text[:40]!r} is not a finite number")
    return None if value >= _UNSET else value


def _count(request: Request) -> int:
    count = request.integer()
    if not 0 <= count <= _LONGEST_LIST:
        raise BadField(f"a list of {count}")
    return count
