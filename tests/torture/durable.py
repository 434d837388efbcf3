"""Acts that must be durable, on a disk that fails: `durable.py ACT FOLDER CODE ON FIRST STEP [PLANT]`, with disk.c preloaded.

ACT is halt, intent, sync, replace or restore. It is done in a new home for each n from FIRST in steps of STEP, the n-th call that changes a file failing
with the errno CODE, until there are no more calls than that; each time a JSON object is printed: ``said`` is what came of the act, and
``found`` what is there when the home is opened anew. With a FIRST of 0 it is done once, nothing fails, and FOLDER/trace has each call.
PLANT ``no-folder-sync``, ``no-file-sync``, ``no-commit-sync`` and ``no-disk-sync`` leave one of them out.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import shutil
import stat
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from v6cli import clock, events, files, latch, main, settings
from v6cli.backup import create, exchange, restoration
from v6cli.errors import V6Error
from v6cli.home import Home
from v6cli.install import new_home
from v6cli.lake import durability, reader, tables
from v6cli.lake.rows import SyncRunRecord
from v6cli.lake.writer import Batch
from v6cli.models import Account, Contract, Fill, Order, Position
from v6cli.state import intents, journal, mirror
from v6cli.state.database import State, open_read_only, open_state
from v6cli.sync.reconcile import Syncer

LIBRARY = ctypes.CDLL(None)
START = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
ACCOUNT = "DU1234567"
SPY = Contract(1, "SPY", "STK")
OLD, NEW = b"old", b"new and longer"
Facts = dict[str, Any]
NOBODY: Any = SimpleNamespace(client=SimpleNamespace(listen=lambda _hear: None))  # a connection on which nothing is fetched
WELL = contextlib.nullcontext()


class Disk:
    """How the disk of one home fails, within a ``with`` block; ``calls`` is how many there were in it."""

    def __init__(self, home: Home, n: int, code: int, *, on: bool, trace: str) -> None:
        self._how = (os.fsencode(home.root), ctypes.c_long(n), code, int(on), os.fsencode(trace))
        self.calls = 0

    def __enter__(self) -> None:
        LIBRARY.disk_begin(*self._how)

    def __exit__(self, *exception: object) -> None:
        self.calls = LIBRARY.disk_end()


def halt(home: Home, disk: Disk) -> Facts:
    """The whole command, as it is typed."""
    screen = io.StringIO()
    with contextlib.redirect_stderr(screen), contextlib.redirect_stdout(io.StringIO()), disk:
        code = main.run(["--home", str(home.root), "halt", "--reason", "torture"])
    return {"code": code, "screen": screen.getvalue()}


def halt_found(home: Home) -> Facts:
    seen = latch.read(home)
    with open_state(home) as state:
        entries = [[entry.command, entry.outcome] for entry in journal.entries(state)]
    return {"state": seen.state.value, "reasons": [mark.reason for mark in seen.marks], "journal": entries}


def intent(home: Home, disk: Disk) -> Facts:
    """One closing order recorded, and another one after the disk is well again, over the same open file."""
    with open_state(home) as state:
        said: Facts = {}

        def record(con_id: int) -> str:
            order = Order(ACCOUNT, Contract(con_id, "SPY", "STK"), "SELL", 100.0)
            return intents.claim_close(state, order, "run", 90, con_id, "close", {con_id: 100.0}, intents.turn(state)).order_ref

        with disk:
            try:
                said["recorded"] = record(1)
            except V6Error as error:
                said["refused"] = error.message
        said["afterwards"] = record(2)
    return said


def intent_found(home: Home) -> Facts:
    with open_state(home) as state:
        return {
            "whole": state.row("PRAGMA integrity_check")[0],
            "intents": [found.order_refs for found in intents.unsettled(state)],
            "claims": [row[0] for row in state.rows("SELECT con_id FROM claims WHERE NOT released ORDER BY con_id")],
        }


def batch(number: int) -> Batch:
    """The batch of sync ``number``: whatever it holds is that number."""
    at = START + timedelta(minutes=number)
    held = [Position(ACCOUNT, Contract(con_id, "SPY", "STK"), float(number), 1.0) for con_id in range(5)]
    fill = Fill(f"e{number}", ACCOUNT, SPY, "BOT", 1.0, 2.5, at, 7, 70, 1)
    return Batch(SyncRunRecord(f"r{number}", at, "done", ACCOUNT, at=at), held, (), Account(ACCOUNT, "USD", at, float(number)), (fill,))


def syncs(home: Home, number: int, disk: contextlib.AbstractContextManager[None] = WELL) -> dict[str, int]:
    """Lake and mirror, written as a sync does it that has fetched."""
    with open_state(home) as state, disk:
        return Syncer(NOBODY, home, state, settings.builtin("demo"))._write(batch(number), (), force=False)[0]


def sync(home: Home, disk: Disk) -> Facts:
    try:
        return {"versions": syncs(home, 2, disk)}
    except V6Error as error:
        return {"refused": error.message}


def sync_found(home: Home) -> Facts:
    """What lake and mirror hold, each as the number of its sync; then whether another sync can be written."""
    last = reader.last_run(home.lake)
    account = reader.account(home.lake)
    with open_read_only(home) as state:
        seen = mirror.read(state)
    assert last is not None and account is not None and seen is not None
    found = {
        "lake": sorted({float(last.run[1:]), account.net_liquidation, *(one.quantity for one in reader.positions(home.lake))}),
        "executions": sorted(fill.exec_id for fill in reader.executions(home.lake)),
        "mirror": sorted({float(seen.run[1:]), seen.account.net_liquidation, *(one.quantity for one in seen.positions)}),
        "readable": reader.readable(home.lake),
    }
    syncs(home, 3)
    after = reader.last_run(home.lake)
    assert after is not None
    return found | {"after": after.run, "afterwards": len(reader.executions(home.lake))}


def replace(home: Home, disk: Disk) -> Facts:
    """A file replaced by a longer one."""
    with disk:
        try:
            files.write_durably(home.config / "file", NEW)
        except V6Error as error:
            return {"refused": error.message}
    return {}


def replace_found(home: Home) -> Facts:
    return {
        "new": {OLD: False, NEW: True}[(home.config / "file").read_bytes()],
        "names": sorted(path.name for path in home.config.iterdir()),
    }


def restore(home: Home, disk: Disk) -> Facts:
    """The whole command, as it is typed; there is no gateway to reconcile with."""
    screen = io.StringIO()
    with contextlib.redirect_stderr(screen), contextlib.redirect_stdout(io.StringIO()), disk:
        code = main.run(["--home", str(home.root), "restore", "latest", "--yes", "--no-start"])
    return {"code": code, "screen": screen.getvalue()}


def restore_found(home: Home) -> Facts:
    """Which lake there is, and what the next command says; then the end of a restore that is unfinished, forth or back in turn."""

    def lake() -> str:
        last = reader.last_run(home.lake)
        assert last is not None and reader.readable(home.lake) == []
        return last.run

    def typed(*argv: str) -> tuple[int, str]:
        screen = io.StringIO()
        with contextlib.redirect_stderr(screen), contextlib.redirect_stdout(io.StringIO()):
            code = main.run(["--home", str(home.root), *argv])
        return code, screen.getvalue()

    found: Facts = {"lake": lake(), "unfinished": restoration.unfinished(home) is not None, "state": latch.read(home).state.value}
    found["told"] = "a restore is unfinished" in typed("trading-state")[1]
    if found["unfinished"]:
        how = "--continue" if int(home.root.name) % 2 else "--rollback"
        found |= {
            "how": how,
            "ended": typed("restore", how, "--yes")[0],
            "after": lake(),
            "still": restoration.unfinished(home) is not None,
        }
    return found


def template(act: str, folder: Path) -> Home:
    home = new_home.make(folder, "paper" if act == "restore" else "demo", ACCOUNT, port=9)  # nobody listens there
    if act in {"sync", "restore"}:
        tables.create(home.lake)
        syncs(home, 1)
    if act == "restore":
        with open_state(home) as state:
            create.create(home, settings.load(home), state, events.ignore)
        syncs(home, 2)
    open_state(home).close()
    (home.config / "file").write_bytes(OLD)
    return home


def plant(which: str) -> None:
    real, transaction = os.fsync, State.transaction

    def folders_only(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            real(descriptor)

    def hasty(state: State) -> contextlib.AbstractContextManager[None]:
        if not state._depth:
            state.write("PRAGMA synchronous = NORMAL")
        return transaction(state)

    if which == "no-file-sync":
        os.fsync = folders_only
    elif which == "no-commit-sync":
        State.transaction = hasty  # type: ignore[method-assign]
    elif which == "no-disk-sync":
        exchange.sync_everything = lambda folder: None
    elif which == "no-folder-sync":
        files.sync_folder = latch.sync_folder = durability.sync_folder = lambda path: None


def torture(act: str, folder: Path, code: int, *, on: bool, first: int, step: int) -> None:
    does, finds = {
        "halt": (halt, halt_found),
        "intent": (intent, intent_found),
        "sync": (sync, sync_found),
        "replace": (replace, replace_found),
        "restore": (restore, restore_found),
    }[act]
    made = template(act, folder / "template")
    n = first
    while True:
        home = Home(folder / f"{n}")
        shutil.copytree(made.root, home.root)
        disk = Disk(home, n, code, on=on, trace="" if first else str(folder / "trace"))
        said, found = does(home, disk), finds(home)
        shutil.rmtree(home.root)
        print(json.dumps({"n": n, "calls": disk.calls, "said": said, "found": found}), flush=True)
        if not first or disk.calls < n:
            return
        n += step


if __name__ == "__main__":
    clock.start()
    plant(*sys.argv[7:] or [""])
    torture(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), on=sys.argv[4] == "on", first=int(sys.argv[5]), step=int(sys.argv[6]))
