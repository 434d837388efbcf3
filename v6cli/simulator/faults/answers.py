"""Faults of single answers: their End is withheld, or they are refused."""

from __future__ import annotations

from v6cli.simulator.faults.fault import Fault

ANSWERS = (
    "positions",
    "open-orders",
    "completed-orders",
    "account",
    "account-multi",
    "summary",
    "executions",
    "contract-details",
    "chains",
    "snapshot",
)

FAULTS = {
    "withhold-end": Fault(
        "An answer arrives, and the message that says it is complete never does.",
        {"answer": "which answer; every one when left out"},
        {"answer": ANSWERS},
    ),
    "read-only": Fault("The gateway is in read-only mode: open and completed orders are refused with 321, and no End follows.", state=True),
}
