"""A restore rehearsed: on its own lake, on another's, on one with another history; with IB, and without."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from pathlib import Path

import pytest

from v6cli import events, settings
from v6cli.home import Home
from v6cli.lake import lineage, tables
from v6cli.lake.writer import Writer
from v6cli.models import Position
from v6cli.procedure import Status
from v6cli.runbook import restore_drill
from v6cli.runbook.restore_drill import Book, Drill
from v6cli.state import runs
from v6cli.state.database import open_read_only

from ..lake.conftest import START, call, fill
from .conftest import back_up, everything

TODAY = date(2026, 11, 24)


def rehearse(home: Home, archive: Path) -> Drill:
    return restore_drill.rehearse(home, settings.load(home), archive, events.ignore)


def wrong(drill: Drill) -> dict[str, Status]:
    return {one.subject: one.status for one in drill.findings if one.status is not Status.OK}


def test_a_backup_of_this_lake_is_an_earlier_version_of_it(home: Home, batch) -> None:
    made = back_up(home)
    Writer(home.lake).commit(batch(6, executions=(fill(6),)))
    before = everything(home.root)
    drill = rehearse(home, made.path)
    assert (drill.code, wrong(drill)) == (0, {})
    assert [one.exec_id for one in drill.since] == ["e6"]
    assert drill.then is not None and len(drill.then.positions) == 5 and drill.seconds > 0
    assert everything(home.root) == before


def test_shown_a_backup_of_another_lake_it_says_no(home: Home, batch) -> None:
    """The other lake was fed the very same syncs: only their ids tell the tables apart."""
    made = back_up(home)
    shutil.rmtree(home.lake)
    tables.create(home.lake)
    for number in range(1, 6):
        Writer(home.lake).commit(batch(number, executions=(fill(number),)))
    drill = rehearse(home, made.path)
    assert drill.code == 2
    assert {wrong(drill)[name] for name in tables.TABLES} == {Status.UNHEALTHY}
    assert any("of another lake" in one.text for one in drill.findings)


def test_a_lake_with_another_past_than_the_backup_is_found(home: Home, batch, tmp_path: Path) -> None:
    shutil.copytree(home.lake, tmp_path / "lake")
    Writer(home.lake).commit(batch(6))
    made = back_up(home)
    ahead = {name for name in tables.TABLES if lineage.compare(tmp_path / "lake", home.lake, name).relation == "ahead"}
    assert "positions" in ahead
    shutil.rmtree(home.lake)
    shutil.copytree(tmp_path / "lake", home.lake)
    drill = rehearse(home, made.path)
    assert drill.code == 1 and wrong(drill)["positions"] is Status.DEGRADED
    Writer(home.lake).commit(batch(7))
    drill = rehearse(home, made.path)
    assert drill.code == 2 and any("another history" in one.text for one in drill.findings)


def test_what_it_cannot_compare_is_not_green(home: Home) -> None:
    made = back_up(home)
    shutil.rmtree(home.lake / "executions")
    assert wrong(rehearse(home, made.path)) == {"executions": Status.UNKNOWN}
    made.path.write_bytes(made.path.read_bytes()[:-100])
    assert rehearse(home, made.path).code == 2


def test_the_command_shows_and_records_and_says_that_ib_was_not_asked(home: Home, v6) -> None:
    v6("--home", home.root, "backup", "drill", check=65)
    back_up(home)
    shown = v6("--home", home.root, "backup", "drill", "-o", "table", check=1).stdout
    assert "not reconciled with IB" in " ".join(shown.split()) and all(len(line) <= 80 for line in shown.splitlines())
    with open_read_only(home) as state:
        recorded = runs.last(state, restore_drill.NAME)
    assert recorded is not None and (recorded.exit_code, recorded.outcome) == (1, "done")
    assert recorded.evidence["seconds"] > 0
    assert list(home.backups.glob(".*")) == []


def held(**quantities: float) -> list[Position]:
    return [Position("DU1", call(int(name[1:])), quantity, 1.0) for name, quantity in quantities.items()]


@pytest.mark.parametrize(
    ("since", "now", "status"),
    [
        ((), held(c1=2, c2=-1), Status.OK),
        ((fill(3), fill(3)), held(c1=2, c2=-1, c3=1), Status.OK),  # told by the lake and by IB
        ((fill(9),), held(c1=2, c2=-1), Status.DEGRADED),
        ((), held(c1=2), Status.DEGRADED),
        ((), held(c1=3, c2=-1), Status.DEGRADED),
        ((fill(1),), held(c1=2, c2=-1), Status.OK),  # the backup knew it
    ],
)
def test_positions_are_those_of_the_backup_and_what_was_executed_since(since, now, status: Status) -> None:
    then = Book(held(c1=2, c2=-1), [fill(1)])
    (finding,) = restore_drill.against_ib(then, since, now, TODAY)
    assert finding.status is status, finding.text


def test_what_has_expired_may_be_gone() -> None:
    (finding,) = restore_drill.against_ib(Book(held(c1=2), []), (), (), START.date() + timedelta(days=60))
    assert finding.status is Status.OK


def test_in_a_demo_ib_agrees(demo) -> None:
    demo.v6("sync", "--force", check=0)
    demo.v6("backup", check=0)
    assert "that IB has" in " ".join(demo.v6("backup", "drill").stdout.split())
