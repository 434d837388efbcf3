"""Faults of market data: farms, subscriptions, greeks, quotes."""

from __future__ import annotations

from v6cli.simulator.faults.fault import Fault

FAULTS = {
    "missing-greeks": Fault(
        "Quotes arrive without computations of the option model.",
        {"of": "symbols, trading classes, local symbols or order references of the contracts"},
    ),
    "farm-broken": Fault(
        "A data farm is down: told to every client when it happens and when one connects, and taken back when it is cleared.",
        {"farm": "the farm's name, such as usopt or ushmds", "code": "2103 market data (the default) or 2105 historical data"},
        {"code": ("2103", "2105")},
    ),
    "no-market-data": Fault(
        "Market data is refused for lack of a subscription, or answered with delayed data.",
        {
            "of": "symbols; all when left out",
            "code": "354 or 10089 refused, 10168 refused, 10167 delayed data instead (the default is 354)",
        },
        {"code": ("354", "10089", "10167", "10168")},
    ),
}
