"""A process that halts on request, so that no start-up blurs the instant: `halter.py HOME [PLANT]`.

For each line of its standard input it halts, and answers with a JSON object: the monotonic second at which the halt had returned,
and who was left in the gate. PLANT ``no-barrier`` leaves the wait for the gate out.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from v6cli import barrier
from v6cli.home import Home
from v6cli.latch import TradingState
from v6cli.runbook import halt

if __name__ == "__main__":
    if sys.argv[2:] == ["no-barrier"]:
        barrier.shut = lambda home: []
    for _ in sys.stdin:
        kept = halt.tighten(Home(Path(sys.argv[1])), TradingState.HALTED, "a round", "ann", lambda: "nothing was ended").kept
        print(json.dumps({"returned": time.monotonic(), "kept": kept}), flush=True)
