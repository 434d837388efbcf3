"""The deterministic world: virtual time, connections in memory, processes that can be killed, one seed for everything.

The unmodified client library and the simulated gateway run in it together. ``loop`` is its time, ``pipes`` its network,
``processes`` its programs, ``threads`` what of these may wait, ``files`` what they have open; a `World` plays them.
"""

from __future__ import annotations

from v6cli.simulator.world.loop import Deadlock
from v6cli.simulator.world.processes import Process
from v6cli.simulator.world.world import START, Blocked, World

__all__ = ["START", "Blocked", "Deadlock", "Process", "World"]
