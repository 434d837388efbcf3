"""The journal as it is shown: what was typed, how it ended, and what was interrupted."""

from __future__ import annotations

import json

from v6cli import locks
from v6cli.home import Home
from v6cli.state import journal
from v6cli.state.database import open_state


def rows(v6, home: Home, *options: str) -> list[dict]:
    return json.loads(v6("journal", *options, "-o", "json", cwd=home.root, check=0).stdout)["rows"]


def test_acts_are_named_by_their_command_wherever_its_options_stand(v6, demo_home: Home) -> None:
    v6("--home", demo_home.root, "-q", "config", "set", "limits.delta", "150", check=0)
    v6("config", "set", "limits.dlta", "1", cwd=demo_home.root, check=64)
    v6("halt", cwd=demo_home.root, check=0)
    assert [row["outcome"] for row in rows(v6, demo_home)] == ["done", "failed", "done"]
    assert [row["exit"] for row in rows(v6, demo_home, "--command", "config set")] == [64, 0]
    (failed,) = rows(v6, demo_home, "--failed")
    assert failed["command_line"] == "v6 config set limits.dlta 1"
    shown = v6("journal", failed["id"], cwd=demo_home.root, check=0).stdout
    assert "limits.dlta" in shown and "is no setting" in shown
    v6("journal", "999", cwd=demo_home.root, check=65)


def test_what_never_said_how_it_ended_was_interrupted_unless_it_still_runs(v6, demo_home: Home) -> None:
    run = locks.begin_run(demo_home, "a long act")
    with open_state(demo_home) as state:
        journal.begin(state, run.identity, "restore", ["restore", "latest"])
    assert [row["outcome"] for row in rows(v6, demo_home, "--failed")] == ["running"]
    run.end()
    assert [row["outcome"] for row in rows(v6, demo_home, "--failed")] == ["interrupted"]
    with open_state(demo_home) as state:
        (entry,) = journal.entries(state)
    assert entry.outcome is None, "looking changed nothing"


def test_acts_beside_the_journal_are_pointed_to(v6, demo_home: Home) -> None:
    v6("halt", cwd=demo_home.root, check=0)
    journal.note_beside(demo_home, ["halt"])
    told = json.loads(v6("journal", "-o", "json", cwd=demo_home.root, check=0).stdout)["notes"]
    assert told == [f"1 act beside it, from when the journal could not be written: {demo_home.spare_journal}"]
