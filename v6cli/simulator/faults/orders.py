"""Faults of orders: what happens to them, and what clients hear of it."""

from __future__ import annotations

from v6cli.simulator.faults.fault import Fault

_OF = {"of": "whose orders: symbols, trading classes, local symbols or order references; all when left out"}

_HAPPEN = {
    "reject-orders": Fault(
        "New orders are rejected: an error, and the status Inactive.",
        {
            **_OF,
            "code": "the error's code (201)",
            "text": "its text (Order rejected - reason:...)",
            "first": "which of the two is told first, status or error",
        },
        {"first": ("status", "error")},
        numbers=("code",),
    ),
    "warn-orders": Fault(
        "New orders get a message with a code that client libraries may take for their end, and live.",
        {**_OF, "code": "the message's code (10349)", "text": "its text"},
        numbers=("code",),
    ),
    "stuck-submitting": Fault("New orders stay PendingSubmit and do not work.", _OF),
    "stuck-cancelling": Fault(
        "Cancels are taken and nothing more comes of them: the order stays PendingCancel.",
        {**_OF, "fills": "whether it may still fill, yes or no (the default)"},
        {"fills": ("yes", "no")},
    ),
    "cancels-unanswered": Fault(
        "Cancels are answered at the market's next open only; until then the order is PendingCancel and works.", _OF
    ),
    "cancels-cross-fills": Fault("A cancel crosses a fill: the order fills in full, and the cancel is answered with 10148.", _OF),
    "combos-rest": Fault("Combos rest unfilled, even at the price that their legs' own markets give.", _OF),
    "partial-then-drop": Fault(
        "An order fills by half and its client loses the connection before it hears of that; the rest goes on resting.",
        {**_OF, "rest": "seconds of home time in which the rest does not fill (60)"},
        numbers=("rest",),
    ),
}

_HEARD = {
    "lose-acknowledgements": Fault(
        "New orders live, and their client hears neither openOrder nor orderStatus of them.",
        {**_OF, "until": "the order's next change (the default), or ever for nothing at all"},
        {"until": ("change", "ever")},
    ),
    "fills-first": Fault("Of orders that fill at once, the executions are told before openOrder and orderStatus.", _OF),
    "statuses-missing": Fault(
        "Changes of orders are not told by orderStatus; openOrder still comes.",
        {**_OF, "status": "which statuses, such as Filled; all when left out"},
    ),
    "statuses-repeated": Fault("Each orderStatus is sent twice.", _OF),
}

FAULTS: dict[str, Fault] = {**_HAPPEN, **_HEARD}
