"""Faults of market data: farms, subscriptions, greeks, quotes."""

from __future__ import annotations

from v6cli.simulator.faults.fault import Fault

_OF = "symbols, trading classes or local symbols of contracts; all when left out"

FAULTS = {
    "missing-greeks": Fault(
        "Quotes arrive without computations of the option model.",
        {"of": f"{_OF}; order references of positions, too"},
        state=True,
    ),
    "farm-broken": Fault(
        "A data farm is down: told to every client when it happens and when one connects, and taken back when it is cleared.",
        {"farm": "the farm's name, such as usopt or ushmds", "code": "2103 market data or 2105 historical data"},
        {"code": ("2103", "2105")},
        defaults={"farm": "usopt", "code": 2103},
        state=True,
    ),
    "no-market-data": Fault(
        "Market data is refused for lack of a subscription, or answered with delayed data.",
        {
            "of": _OF,
            "code": "354 or 10089 refused, 10168 refused, 10167 delayed data instead",
        },
        {"code": ("354", "10089", "10167", "10168")},
        defaults={"code": 354},
        state=True,
    ),
    "another-session": Fault("Market data stops with 10197: another session of the user takes it.", {"of": _OF}, state=True),
    "stale-quotes": Fault("Quotes stay as they are now, while the market goes on.", {"of": _OF}, state=True),
    "no-quotes": Fault("Nobody offers or wants anything: prices are -1 and sizes 0, and nothing fills.", {"of": _OF}, state=True),
    "no-bid": Fault(
        "Nobody wants it: there is an ask and no bid.",
        {"of": _OF, "shown": "the bid that is shown"},
        {"shown": ("-1", "0")},
        defaults={"shown": -1},
        state=True,
    ),
}
