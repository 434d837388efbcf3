"""Every benchmark, in one table; exit 1 where a bound is missed. `make bench`."""

from __future__ import annotations

import sys

import backup
import emergency
import simulator
import startup
import sync
from measuring import judged

if __name__ == "__main__":
    sys.exit(judged([*startup.measure(), *emergency.measure(), *sync.measure(), *simulator.measure(), *backup.measure()]))
