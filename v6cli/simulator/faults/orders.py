"""Faults of orders: what happens to them, and what clients hear of it."""

from __future__ import annotations

from v6cli.simulator.faults.fault import Fault

FAULTS: dict[str, Fault] = {}
