"""Faults of the connection: between a client and the gateway, and between the gateway and IB."""

from __future__ import annotations

from v6cli.simulator.faults.fault import Fault

FAULTS: dict[str, Fault] = {}
