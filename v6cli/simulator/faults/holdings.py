"""Faults of the account: positions, executions and commissions, and what IB itself does to them."""

from __future__ import annotations

from v6cli.simulator.faults.fault import Fault

FAULTS: dict[str, Fault] = {}
