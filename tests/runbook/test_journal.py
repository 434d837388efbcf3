"""The journal as it is shown: what was typed, how it ended, and what was interrupted."""

from __future__ import annotations

import json

import pytest

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


TYPED = "a\x1b[2J\x1b]0;x\x07b\rc\nv6 d\x9be\u202ef"
SHOWN = r"a\x1b[2J\x1b]0;x\x07b\rc\nv6 d\x9be\u202ef"


@pytest.mark.parametrize("form", ["plain", "table", "markdown"])
@pytest.mark.parametrize("one", [True, False])
def test_what_was_typed_commands_no_terminal(v6, demo_home: Home, form: str, one: bool) -> None:
    with open_state(demo_home) as state:
        run = locks.begin_run(demo_home, "an act")
        entry = journal.begin(state, run.identity, "halt", ["halt", "--reason", TYPED])
        journal.end(state, entry, "failed", 70, f"of {TYPED}")
        run.end()
    words = ["journal", *([str(entry.id)] if one else []), "-o", form]
    told = v6(*words, cwd=demo_home.root, check=0, environment={"COLUMNS": "200"}).stdout
    assert SHOWN in told and all(letter.isprintable() or letter == "\n" for letter in told), repr(told)
    if one:
        assert f"of {SHOWN}" in told


def test_machines_get_what_was_typed(v6, demo_home: Home) -> None:
    with open_state(demo_home) as state:
        run = locks.begin_run(demo_home, "an act")
        journal.end(state, journal.begin(state, run.identity, "halt", ["halt", TYPED]), "done", 0)
        run.end()
    assert TYPED in rows(v6, demo_home)[0]["command_line"]


def test_acts_beside_the_journal_are_pointed_to(v6, demo_home: Home) -> None:
    v6("halt", cwd=demo_home.root, check=0)
    journal.note_beside(demo_home, ["halt"])
    told = json.loads(v6("journal", "-o", "json", cwd=demo_home.root, check=0).stdout)["notes"]
    assert told == [f"1 act beside it, from when the journal could not be written: {demo_home.spare_journal}"]
