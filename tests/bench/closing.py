"""How long v6 close-all takes for two hundred option positions, beyond what its share of messages and the market's dwell take.

The whole command is measured, from the start of its process to its end, beside the services of a demo. What it really needed is
counted from the orders that it recorded, not from what it sent: each order's quotes, itself, its moves and its cancel; one question
for each class and expiry; for the part with most orders and moves one look at positions (three messages) an order and one proof of the
link (two) a move, which serve every other part as well; and before and after it all what is held and works (four), thrice. Executions
are asked for every second, which takes one message a second of the share. Everything else that is sent, and every moment in which the
share lies idle, is v6's own. The dwell is that of the part which rested longest at its prices.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import measuring
import msgspec
from measuring import V6, Bound, program

from v6cli import settings
from v6cli.home import Home
from v6cli.install import new_home
from v6cli.runbook.demo import free_port
from v6cli.state import intents
from v6cli.state.database import open_read_only

SCENARIO = Path(__file__).with_name("two_hundred.toml")
POSITIONS = 200
SETTINGS = {"closing.dwell": "0.5", "closing.percent": "1.0", "gateway.scenario": str(SCENARIO)}
CLASSES = 4  # of options, each with its expiry
PICTURE = 4  # messages: positions, open orders, and two that prove the link; one before the question at the pace of a look, two after it
PLACE, CANCEL = "3", "4"  # message ids

#: v6 close-all as its entry point runs it, with what it sends and how long each part rests written down.
CLOSE = """
import asyncio, json, sys, time
from collections import defaultdict
from v6cli.broker import ib
from v6cli.main import main
from v6cli.trading.execution import Working
from v6cli.trading.flatten import Flatten
sent, parts = [], defaultdict(lambda: [0.0, 0, 0])
library = sys.modules[ib._library().__name__ + ".client"].Client
send, rest, offer, reprice = library.send, Flatten._rest, Flatten._offer, Working.reprice
def sending(self, *fields):
    sent.append((self.clientId, str(fields[0])))
    return send(self, *fields)
async def resting(self, *what):
    began = time.monotonic()
    try:
        return await rest(self, *what)
    finally:
        parts[asyncio.current_task()][0] += min(time.monotonic() - began, self._how.own.dwell)
async def offering(self, *what):
    parts[asyncio.current_task()][1] += 1
    return await offer(self, *what)
async def repricing(self, limit):
    parts[asyncio.current_task()][2] += 1
    return await reprice(self, limit)
library.send, Flatten._rest, Flatten._offer, Working.reprice = sending, resting, offering, repricing
try:
    main(["close-all", "--market", "--yes"])
finally:
    with open(sys.argv[1], "w") as file:
        json.dump({"sent": sent, "parts": list(parts.values())}, file)
"""


class Record(msgspec.Struct):
    """What one close-all did: each message by client id and kind; of each part its seconds of rest, its orders and their moves."""

    sent: list[tuple[int, str]]
    parts: list[tuple[float, int, int]]


def measure() -> list[Bound]:
    """The bound of this module, measured once: it takes a minute."""
    with tempfile.TemporaryDirectory(prefix="v6-bench-", dir="/tmp") as name:
        home = new_home.make(Path(name) / "home", "demo", port=free_port(0))
        for key, value in SETTINGS.items():
            program([V6, "--home", str(home.root), "config", "set", key, value])()
        subprocess.run([V6, "demo", str(home.root)], capture_output=True, check=False)
        try:
            seconds, record = _closed(home, Path(name) / "record")
            return [_judged(home, seconds, record)]
        finally:
            subprocess.run([V6, "demo", "--stop", str(home.root)], capture_output=True, check=True)


def _closed(home: Home, record: Path) -> tuple[float, Record]:
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", CLOSE, str(record)], cwd=home.root, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    assert done.returncode == 0, done.stdout + done.stderr
    return seconds, msgspec.convert(json.loads(record.read_bytes()), Record)


def _judged(home: Home, seconds: float, record: Record) -> Bound:
    own = settings.load(home)
    share = own.messages.closing + own.messages.trading
    with open_read_only(home) as state:
        orders = [one.order for one in intents.recent(state, 10_000)]
    kinds = Counter(kind for client_id, kind in record.sent if client_id == 90)
    quotes = 2 * sum(max(1, len(order.legs)) for order in orders)
    looks = 3 * (1 + max(offers for _, offers, _ in record.parts))
    proofs = 2 * max(moves for _, _, moves in record.parts)
    needed = quotes + kinds[PLACE] + kinds[CANCEL] + looks + proofs + CLASSES + 2 * PICTURE
    pace, dwell = PICTURE / own.messages.look + needed / (share - 1), max(rest for rest, _, _ in record.parts)
    note = (
        f"{needed} messages needed of {sum(kinds.values())} sent "
        f"({len(orders)} orders, {kinds[PLACE] - len(orders)} moves, {quotes} for quotes) "
        f"{pace:.1f} s, dwell {dwell:.1f} s, rest {seconds - pace - dwell:.1f} s"
    )
    return Bound(f"v6 close-all, {POSITIONS} options", "messages and dwell", 1.15, [seconds], [pace + dwell], note)


if __name__ == "__main__":
    sys.exit(measuring.judged(measure()))
