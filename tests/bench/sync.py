"""A forced sync of a thousand positions over a real socket: where its time goes, and what its write costs beyond deltalake's own.

The yardstick writes the same rows to tables of the same schema, one call of deltalake a table, opened by path, from Arrow batches
that lie ready. v6's own part is making those batches, one lock, fsync of every file before what names it, the version of each
table named in ``sync_runs``, and the mirror in SQLite.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
from deltalake import write_deltalake
from measuring import V6, Bound, judged, spread

from v6cli import clock, events, settings
from v6cli.broker.connection import connect
from v6cli.errors import GatewayUnavailable
from v6cli.home import Home
from v6cli.install import new_home
from v6cli.lake import arrow, rows, tables
from v6cli.lake.rows import SyncRunRecord
from v6cli.lake.schemas import TABLES
from v6cli.state import mirror
from v6cli.state.database import State, open_state
from v6cli.sync.reconcile import Syncer, SyncRun

SYNCS = 7
SHARE = 30  # messages a second instead of the sync's usual 15: the greeks' pace is the login's, not v6's, and would only be waited for


def measure() -> list[Bound]:
    """The write against its yardstick, and the split of a sync as a note."""
    with tempfile.TemporaryDirectory(prefix="v6-bench-", dir="/tmp") as name:
        home, gateway = _gateway(Path(name))
        try:
            done, bare = asyncio.run(_syncs(home, Path(name) / "bare"))
        finally:
            gateway.terminate()
            gateway.wait()
    positions = done[-1].positions
    split = ", ".join(f"{part} {spread([getattr(one, part) for one in done])} ms" for part in ("fetch", "greeks", "write"))
    note = f"{positions} positions, each sync: {split}; greeks of {done[-1].greeks_known} known at {SHARE} messages a second, at most 10 s a sync"
    return [Bound(f"write of a sync, {positions:,}", "bare deltalake writes", 3.0, [one.write for one in done], bare, note)]


def _gateway(folder: Path) -> tuple[Home, subprocess.Popen[str]]:
    home = new_home.make(folder / "home", "demo", port=_free_port())
    argv = [V6, "--home", str(home.root), "gateway", "simulate", "--scenario", "thousand"]
    return home, subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _syncs(home: Home, bare: Path) -> tuple[list[SyncRun], list[float]]:
    """Syncs and bare writes in turns; the first of each is not counted."""
    own = settings.load(home)
    own = msgspec.structs.replace(own, messages=msgspec.structs.replace(own.messages, trading=1, sync=SHARE))
    tables.create(home.lake)
    tables.create(bare)
    done, seconds = [], []
    with open_state(home) as state:
        connection = await _connected(own, home)
        syncer = Syncer(connection, home, state, own)
        for number in range(SYNCS + 1):
            one = await syncer.sync(f"bench-{number}", events.ignore)
            taken = _write_bare(bare, state, one)
            if number:
                done.append(one)
                seconds.append(taken)
        await connection.close()
    return done, seconds


async def _connected(own: settings.Settings, home: Home):
    for _ in range(100):
        try:
            return await connect(own, home, "sync", events.ignore)
        except GatewayUnavailable:
            await asyncio.sleep(0.1)
    return await connect(own, home, "sync", events.ignore)


def _write_bare(lake: Path, state: State, one: SyncRun) -> float:
    """The rows of the last sync, written by deltalake alone."""
    seen = mirror.read(state)
    assert seen is not None
    held = [rows.position_row(one.run, one.at, position) for position in seen.positions]
    symbols = {position.contract.con_id: position.contract.symbol for position in seen.positions}
    record = SyncRunRecord(one.run, clock.now(), "done", one.account, at=one.at, ended=clock.now())
    written = {
        "positions": held,
        "position_history": held,
        "greeks_history": [
            rows.greeks_row(one.run, one.at, one.account, symbols[con_id], greeks) for con_id, greeks in seen.greeks.items()
        ],
        "account_history": [rows.account_row(one.run, one.at, seen.account)],
        "sync_runs": [rows.sync_run_row(record)],
    }
    assert set(written) <= set(one.versions) | {"executions"}, "the same tables that the sync wrote"
    batches = {name: arrow.record_batch(TABLES[name], values) for name, values in written.items()}
    began = time.perf_counter()
    for name, batch in batches.items():
        write_deltalake(str(lake / name), batch, mode="overwrite" if TABLES[name].kind == "current" else "append")
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(judged(measure()))
