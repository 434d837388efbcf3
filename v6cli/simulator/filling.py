"""What a fill changes: the one way in which orders move positions and cash, and executions come to be."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from v6cli.models import Contract
from v6cli.simulator import fees
from v6cli.simulator.account import Account
from v6cli.simulator.book import Book
from v6cli.simulator.orders import Execution, Order
from v6cli.simulator.sessions import day_of


def fill(
    account: Account, book: Book, order: Order, quantity: float, price: float, legs: Sequence[tuple[Contract, float, float]], at: datetime
) -> list[Execution]:
    """Fill ``quantity`` of ``order`` at ``price``: book it, and return its executions.

    ``legs`` are a combo's: contract, signed ratio when the combo is bought, price per share. A combo yields a line that sums
    it up, and one for each leg; only those move positions and cash.
    """
    before = order.filled
    order.average_price = _average(order.average_price, before, price, quantity)
    order.last_price = price
    order.filled += quantity
    number = book.numbers.next_execution(day_of(at))
    made: list[Execution] = []

    def execute(contract: Contract, signed: float, at_price: float, cumulative: float, average: float) -> None:
        fee, realized = 0.0, None
        if contract.kind != "BAG":
            fee = fees.charge(order, contract, signed)
            realized = account.trade(contract, signed, at_price, fee, order.order_ref)
        made.append(
            Execution(
                f"0000e1a7.{number:08x}.{len(made) + 1:02d}.01",
                order.order_id,
                order.client_id,
                order.perm_id,
                order.account,
                contract,
                "BOT" if signed > 0 else "SLD",
                abs(signed),
                at_price,
                at,
                order.order_ref,
                fee,
                realized,
                cumulative,
                average,
                order.liquidation,
            )
        )

    execute(order.contract, order.sign * quantity, price, order.filled, order.average_price)
    for contract, ratio, at_price in legs:
        average = _average(order.leg_averages.get(contract.con_id, 0.0), before, at_price, quantity)
        order.leg_averages[contract.con_id] = average
        execute(contract, order.sign * ratio * quantity, at_price, order.filled * abs(ratio), average)
    account.own_fills += made
    return made


def _average(earlier: float, filled: float, price: float, quantity: float) -> float:
    """The price per share of all that is filled, once ``quantity`` at ``price`` has come to ``filled`` at ``earlier``."""
    return round((earlier * filled + price * quantity) / (filled + quantity), 8)
