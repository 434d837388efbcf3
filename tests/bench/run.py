"""Every benchmark, in one table; exit 1 where a bound is missed. `make bench`. Each file beside this one runs alone, too."""

from __future__ import annotations

import argparse
import sys

import backup
import emergency
import simulator
import startup
import sync
from measuring import judged

if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    sys.exit(judged([*startup.measure(), *emergency.measure(), *sync.measure(), *simulator.measure(), *backup.measure()]))
