"""A valid request of every kind that the gateway knows, as fields; where its id belongs stands ID. The market knows these options in November 2026."""

from __future__ import annotations

ID = 77
ACCOUNT = "DU1234567"
STOCK = [0, "SPY", "STK", "", 0, "", "", "SMART", "", "USD", "", ""]
OPTION = [0, "SPY", "OPT", "20261218", 650, "P", "100", "SMART", "", "USD", "", "SPY"]
BAG = [0, "SPY", "BAG", "", 0, "", "", "SMART", "", "USD", "", ""]


def order(contract: list, quantity: int, kind: str, limit: object, legs: list = (), what_if: int = 0) -> list:
    """A placeOrder message as ib_insync sends it."""
    return [
        *(3, ID, *contract, "", "", "BUY", quantity, kind, limit, "", "DAY", "", "", "", 0, "ref", 1, 0, 0, 0, "", 0, 0, 0),
        *legs,
        *("",) * 9,
        *(0, "", -1, 0),
        *("",) * 16,
        *("", ""),
        *("",) * 6,
        *("", "", "", "", "", "", 0, "", "", 0, 0, "", "", what_if),
        *("",) * 20,
    ]


def _leg(con_id: int, action: str) -> list:
    return [con_id, 1, action, "SMART", 0, 0, "", -1]


def _bars(contract: list, size: str, duration: str, keep: int) -> list:
    return [20, ID, *contract, 0, "", size, duration, 1, "TRADES", 1, keep, ""]


#: 58 is missing: it cancels everybody's orders, and is meant to.
REQUESTS: list[list] = [
    [1, 11, ID, *STOCK, 0, "101,106,221", 0, 0, ""],
    [1, 11, ID, *OPTION, 0, "", 1, 0, ""],
    [1, 11, ID, *BAG, 2, 756733, 1, "BUY", "SMART", 320227571, 1, "SELL", "SMART", 0, "", 0, 0, ""],
    [2, 2, ID],
    order(STOCK, 1, "LMT", 500),
    order(OPTION, 1, "MKT", "", what_if=1),
    order(BAG, 1, "LMT", 0.01, [2, *_leg(881276097, "BUY"), *_leg(2104578777, "SELL"), 0, 0], what_if=1),
    [4, 1, ID],
    [5, 1],
    [6, 2, 1, ACCOUNT],
    [7, 3, ID, 0, "", "20261124 09:30:00", "SPY", "STK", "", "BUY"],
    [8, 1, 1],
    [9, 8, ID, *OPTION, 0, "", ""],
    [15, 1, 1],
    [16, 1],
    [17, 1],
    _bars(STOCK, "1 day", "5 D", 0),
    _bars(OPTION, "1 min", "600 S", 1),
    [25, 1, ID],
    [49, 1],
    [59, 1, 3],
    [61, 1],
    [62, 1, ID, "All", "NetLiquidation,$LEDGER:ALL"],
    [63, 1, ID],
    [64, 1],
    [71, 2, 9, ""],
    [74, 1, ID, ACCOUNT, ""],
    [75, 1, ID],
    [76, 1, ID, ACCOUNT, "", 1],
    [77, 1, ID],
    [78, ID, "SPY", "", "STK", 756733],
    [81, ID, "SP"],
    [87, ID, *STOCK, 0, "TRADES", 1, 1],
    [91, 26],
    [92, ID, ACCOUNT, ""],
    [93, ID],
    [94, ID, ACCOUNT, "", 756733],
    [95, ID],
    [99, 0],
    *([kind, 1, ID] for kind in (11, 13, 14, 23, 51, 53, 56, 57, 70, 89, 90, 98, 101, 103)),
    *([kind, 1, ID, *STOCK] for kind in (10, 22, 50, 52, 54, 55, 67, 79, 83, 84, 86, 88, 96, 97, 100, 102, 104)),
]
