"""Faults of the account: positions, executions and commissions, and what IB itself does to them."""

from __future__ import annotations

from v6cli.simulator.faults.fault import Fault

_OF = {"of": "of which contracts: symbols, trading classes, local symbols or order references; all when left out"}

_LAST = {
    "duplicate-executions": Fault("Each execDetails is sent twice, under the same execution id.", _OF),
    "late-commissions": Fault("Commission reports come late.", {**_OF, "by": "seconds of home time (5)"}, numbers=("by",)),
    "unset-commissions": Fault(
        "What fills cost and realize is never known.",
        {**_OF, "report": "unset (the default) for a report without numbers, none for no report"},
        {"report": ("unset", "none")},
    ),
}

FAULTS: dict[str, Fault] = {**_LAST}
