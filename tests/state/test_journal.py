from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from v6cli import clock, locks
from v6cli.errors import BadInput
from v6cli.home import Home
from v6cli.state import journal
from v6cli.state.database import State, open_state

START = datetime(2026, 11, 24, 14, 30, tzinfo=UTC)


@pytest.fixture
def moving(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock finds it a second later."""
    ticks = iter(range(10_000))
    monkeypatch.setattr(clock, "now", lambda: START + timedelta(seconds=next(ticks)))


def test_an_act_is_recorded_before_and_after(state: State, moving: None) -> None:
    begun = journal.begin(state, "run-1", "emergency shutdown", ["emergency", "shutdown", "--yes"])
    assert (begun.began, begun.outcome, begun.ended, begun.steps) == (START, None, None, [])
    assert begun.user
    assert begun.host
    journal.step(state, begun, "latch is HALTED")
    journal.step(state, begun, 'global cancel: "sent"')
    journal.end(state, begun, "unknown", 75, "no End within 2 s")
    found = journal.entry(state, begun.id)
    assert found.steps == [
        journal.Step(START + timedelta(seconds=1), "latch is HALTED"),
        journal.Step(START + timedelta(seconds=2), 'global cancel: "sent"'),
    ]
    assert (found.outcome, found.exit_code, found.error, found.duration) == ("unknown", 75, "no End within 2 s", 3.0)
    assert found.argv == ["emergency", "shutdown", "--yes"]


def test_an_act_is_on_disk_once_it_has_begun(home: Home, state: State) -> None:
    begun = journal.begin(state, "run-1", "halt", ["halt"])
    with open_state(home) as other:
        assert journal.entries(other) == [begun]


def test_acts_whose_run_is_dead_are_interrupted(home: Home, state: State) -> None:
    living, dead = locks.begin_run(home, "living"), locks.begin_run(home, "dead")
    running = journal.begin(state, living.identity, "sync", [])
    stopped = [journal.begin(state, dead.identity, "close-all", []), journal.begin(state, dead.identity, "sync", [])]
    ended = journal.begin(state, dead.identity, "halt", [])
    journal.end(state, ended, "done", 0)
    dead.end()
    marked = journal.mark_interrupted(state, lambda run: locks.lives(home, run))
    assert [entry.id for entry in marked] == [entry.id for entry in stopped]
    assert journal.mark_interrupted(state, lambda run: locks.lives(home, run)) == []
    outcomes = {entry.id: (entry.outcome, entry.ended) for entry in journal.entries(state)}
    assert outcomes[running.id] == (None, None)
    assert outcomes[stopped[0].id] == ("interrupted", None)
    assert outcomes[ended.id][0] == "done"
    living.end()


def test_entries_can_be_narrowed(state: State, moving: None) -> None:
    first = journal.begin(state, "1", "backup create", [])
    journal.end(state, first, "done", 0)
    second = journal.begin(state, "2", "backup", [])
    journal.end(state, second, "failed", 74, "disk")
    third = journal.begin(state, "3", "backups", [])

    def ids(**narrowed: object) -> list[int]:
        return [entry.id for entry in journal.entries(state, **narrowed)]  # type: ignore[arg-type]

    assert ids() == [third.id, second.id, first.id]
    assert ids(command="backup") == [second.id, first.id]
    assert ids(command="backup create") == [first.id]
    assert ids(failed=True) == [third.id, second.id], "what has not ended has not ended well"
    assert ids(since=second.began) == [third.id, second.id]
    assert ids(limit=1) == [third.id]


def test_an_unknown_entry_is_bad_input(state: State) -> None:
    with pytest.raises(BadInput, match="no entry 12"):
        journal.entry(state, 12)
