"""Faults of the connection: between a client and the gateway, and between the gateway and IB."""

from __future__ import annotations

from v6cli.simulator.faults.fault import Fault

_CLIENTS = {"client": r"\d{1,9}"}
_ACCOUNT = {"id": r"[A-Z]{1,3}\d{4,12}"}

FAULTS = {
    "drop-connections": Fault(
        "Connections are dropped, once.",
        {"client": "client ids; every connection when left out"},
        moment=True,
        patterns=_CLIENTS,
    ),
    "refuse-logins": Fault(
        "New connections come to nothing; those there are stay.",
        {"how": "closed at once, closed after the greeting, or left without an answer"},
        {"how": ("close", "greeting", "silent")},
        defaults={"how": "close"},
    ),
    "competing-login": Fault(
        "The user has logged in elsewhere: market data stops with 10197.",
        {"takes-over": "whether connections are dropped as well, and logins refused until it is healed"},
        {"takes-over": ("true", "false")},
        defaults={"takes-over": False},
        state=True,
    ),
    "silent": Fault("The gateway reads and obeys, and says nothing; what it would have said is sent when it is healed.", state=True),
    "stop-reading": Fault(
        "What clients send is read and obeyed only when it is healed, even of one that has died since; its id stays taken.",
        {"client": "client ids; every client when left out"},
        patterns=_CLIENTS,
        state=True,
    ),
    "link-lost": Fault(
        "The gateway has lost IB (1100): quotes stand still, orders, cancels and questions wait until it is back.",
        {
            "restored": "how it comes back: 1102, or 1101 with market-data subscriptions lost",
            "modifications": "what becomes of one sent meanwhile: it waits too, or lives as a second order beside the original",
        },
        {"restored": ("1101", "1102"), "modifications": ("wait", "doubled")},
        defaults={"restored": 1102, "modifications": "wait"},
        state=True,
    ),
    "delay": Fault(
        "Whatever the gateway says arrives late, in order.",
        {"by": "wall seconds"},
        numbers=("by",),
        defaults={"by": 0.5},
        state=True,
    ),
    "nightly-restart": Fault(
        "The gateway restarts: connections are dropped and logins refused for some minutes of home time; orders and ids are kept.",
        {"minutes": "how long it takes"},
        numbers=("minutes",),
        defaults={"minutes": 5},
        state=True,
    ),
    "ids-roll-back": Fault("A login is given low order ids again: the gateway has forgotten which ones this client had used."),
    "second-account": Fault(
        "The login manages a second account, which holds a little.",
        {"id": "an account id"},
        patterns=_ACCOUNT,
        defaults={"id": "DU7654321"},
        state=True,
    ),
    "other-account": Fault(
        "The login manages somebody else's account instead.",
        {"id": "an account id"},
        patterns=_ACCOUNT,
        defaults={"id": "DU9999999"},
        state=True,
    ),
}
