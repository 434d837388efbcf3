from __future__ import annotations

from v6cli.state import runs
from v6cli.state.database import State


def test_a_run_and_its_evidence(state: State) -> None:
    assert runs.last(state, "morning-check") is None
    runs.begun(state, "r1", "morning-check")
    running = runs.last(state, "morning-check")
    assert running is not None
    assert (running.outcome, running.ended, running.evidence) == (None, None, None)
    runs.ended(state, "r1", "degraded", 1, {"steps": [{"gateway": "ok"}], "age": 3.5})
    runs.begun(state, "r2", "weekly-check")
    runs.begun(state, "r3", "morning-check")
    assert [run.run for run in runs.recent(state, "morning-check")] == ["r3", "r1"]
    assert [run.run for run in runs.recent(state, "morning-check", 1)] == ["r3"]
    found = runs.recent(state, "morning-check")[1]
    assert (found.outcome, found.exit_code, found.evidence) == ("degraded", 1, {"steps": [{"gateway": "ok"}], "age": 3.5})
    assert found.ended is not None
    assert found.ended >= found.began
