"""Faults of orders: what happens to them, and what clients hear of it."""

from __future__ import annotations

from v6cli.simulator.faults.fault import Fault

_OF = {"of": "whose orders: symbols, trading classes, local symbols or order references; all when left out"}

_HAPPEN = {
    "reject-orders": Fault(
        "New orders are rejected: an error, and the status Inactive.",
        {
            **_OF,
            "code": "the error's code",
            "text": "its text",
            "first": "which of the two is told first",
        },
        {"first": ("status", "error")},
        numbers=("code",),
        defaults={"code": 201, "text": "Order rejected - reason:The exchange does not accept this order.", "first": "status"},
    ),
    "warn-orders": Fault(
        "New orders get a message with a code that client libraries may take for their end, and live.",
        {**_OF, "code": "the message's code", "text": "its text"},
        numbers=("code",),
        defaults={"code": 10349, "text": "Order TIF was set to DAY based on order preset."},
    ),
    "held-for-locate": Fault(
        "New orders are held while securities are located: 404, and a status with whyHeld until it is healed.",
        {**_OF, "status": "which status"},
        {"status": ("PreSubmitted", "Inactive")},
        defaults={"status": "PreSubmitted"},
    ),
    "stuck-submitting": Fault("New orders stay PendingSubmit and do not work.", _OF),
    "stuck-cancelling": Fault(
        "Cancels are taken and nothing more comes of them: the order stays PendingCancel.",
        {**_OF, "fills": "whether it may still fill"},
        {"fills": ("true", "false")},
        defaults={"fills": False},
    ),
    "cancels-unanswered": Fault(
        "Cancels are answered at the market's next open only; until then the order is PendingCancel and works.", _OF
    ),
    "cancels-cross-fills": Fault("A cancel crosses a fill: the order fills in full, and the cancel is answered with 10148.", _OF),
    "combos-rest": Fault("Combos rest unfilled, even at the price that their legs' own markets give.", _OF),
    "partial-then-drop": Fault(
        "An order fills by half and its client loses the connection before it hears of that; the rest goes on resting.",
        {**_OF, "rest": "seconds of home time in which the rest does not fill"},
        numbers=("rest",),
        defaults={"rest": 60},
    ),
}

_HEARD = {
    "lose-acknowledgements": Fault(
        "New orders live, and their client hears neither openOrder nor orderStatus of them.",
        {**_OF, "until": "the order's next change, or ever for nothing at all"},
        {"until": ("change", "ever")},
        defaults={"until": "change"},
    ),
    "fills-first": Fault("Of orders that fill at once, the executions are told before openOrder and orderStatus.", _OF),
    "statuses-missing": Fault(
        "Changes of orders are not told by orderStatus; openOrder still comes.",
        {**_OF, "status": "which statuses, such as Filled; all when left out"},
    ),
    "statuses-repeated": Fault("Each orderStatus is sent twice.", _OF),
}

FAULTS: dict[str, Fault] = {**_HAPPEN, **_HEARD}
