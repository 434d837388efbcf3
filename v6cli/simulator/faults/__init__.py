"""What can be made to go wrong, by name: in a scenario file, or while the gateway runs.

``FAULTS`` says of each what it means. What a fault does stands where it bites, which asks ``gateway.faults`` whether it holds.
"""

from __future__ import annotations

from v6cli.simulator.faults.answers import ANSWERS
from v6cli.simulator.faults.fault import Fault, Parameter, concerns, names, word
from v6cli.simulator.faults.held import FAULTS, Faults, check

__all__ = ["ANSWERS", "FAULTS", "Fault", "Faults", "Parameter", "check", "concerns", "names", "word"]
