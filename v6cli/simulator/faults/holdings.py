"""Faults of the account: positions, executions and commissions, and what IB itself does to them."""

from __future__ import annotations

from v6cli.simulator.faults.fault import Fault

_OF = {"of": "of which contracts: symbols, trading classes, local symbols or order references; all when left out"}

_LAST = {
    "positions-lag": Fault(
        "Positions and account values show what fills change late: pushed ones and those that are asked for.",
        {"by": "seconds of home time"},
        numbers=("by",),
        defaults={"by": 10},
    ),
    "duplicate-executions": Fault("Each execDetails is sent twice, under the same execution id.", _OF),
    "late-commissions": Fault("Commission reports come late.", {**_OF, "by": "seconds of home time"}, numbers=("by",), defaults={"by": 5}),
    "unset-commissions": Fault(
        "What fills cost and realize is never known.",
        {**_OF, "report": "unset for a report without numbers, none for no report"},
        {"report": ("unset", "none")},
        defaults={"report": "unset"},
    ),
}

_HAPPEN = {
    "corrected-executions": Fault(
        "The last execution of a single contract is corrected: the same again under the next execution id, at another price.",
        {**_OF, "by": "how much higher the price is, per share"},
        moment=True,
        numbers=("by",),
        signed=("by",),
        defaults={"by": 0.01},
    ),
    "orders-by-hand": Fault(
        "Somebody enters an order in TWS: of client 0, without an order id until client 0 binds it.",
        {
            "of": "a held contract, by any of its names or its order reference, or a stock's symbol",
            "quantity": "how many, negative to sell",
            "limit": "its limit; a market order when left out",
        },
        moment=True,
        numbers=("quantity", "limit"),
        signed=("quantity",),
        defaults={"quantity": 1},
    ),
    "fills-by-hand": Fault(
        "Somebody trades a held contract in TWS: the position shrinks, by executions of client 0.",
        {**_OF, "quantity": "how many at most"},
        moment=True,
        numbers=("quantity",),
        defaults={"quantity": 1},
    ),
    "early-assignment": Fault(
        "A short option on a stock is assigned now: it is gone, and shares are delivered at its strike, without order or execution.",
        {**_OF, "quantity": "how many at most; all of one contract when left out"},
        moment=True,
        numbers=("quantity",),
    ),
    "liquidation": Fault("IB closes positions by itself: by executions that are marked as liquidation.", _OF, moment=True),
}

FAULTS: dict[str, Fault] = {**_LAST, **_HAPPEN}
