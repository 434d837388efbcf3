"""An emergency shutdown that goes on to close every position: one question, a record of each, the worse exit code."""

from __future__ import annotations

import pytest

from v6cli import latch, permits
from v6cli.errors import CannotWrite, OutcomeUnknown, Refused, UsageError, V6Error
from v6cli.latch import TradingState
from v6cli.runbook import emergency_record, shutdown
from v6cli.runbook.shutdown import worse
from v6cli.runbook.shutdown_wish import Wish
from v6cli.state import intents, journal, runs
from v6cli.state.database import open_read_only

from ..conftest import Demo
from .terminal import at_a_terminal

pytestmark = pytest.mark.timeout(300)


def test_one_question_shows_both_and_everything_is_closed(closing_demo: Demo) -> None:
    home, held = closing_demo.home, closing_demo.held()
    done = closing_demo.v6("emergency", "shutdown", "--close-all", check=77)
    assert "nobody to ask" in done.stderr and closing_demo.held() == held
    code, shown = at_a_terminal(home, "emergency", "shutdown", "--close-all", "--reason", "storm", ahead="y")
    asked = shown.index("then CLOSES EVERY POSITION")
    left = closing_demo.held()
    assert code == (75 if left else 0) and shown.count("[y/N]") == 1 and len(left) <= 4, shown
    assert shown.partition("v6 close-all: the plan")[2] and "all proven" in shown and asked > 0
    assert latch.read(home).state is TradingState.HALTED and permits.standing(home) == []
    record = emergency_record.read(max(home.logs.glob("emergency_*.json")))
    assert record.options == ["--close-all"] and record.exit_code == 0
    with open_read_only(home) as state:
        assert intents.unsettled(state) == []
        shutdown, closing = runs.last(state, "emergency-shutdown"), runs.last(state, "close-all")
        (entry, _) = journal.entries(state, command="emergency shutdown")
    assert shutdown is not None and shutdown.exit_code == 0
    assert closing is not None and closing.exit_code == code and len(closing.evidence) == len(left)
    assert entry.exit_code == code and entry.command == "emergency shutdown"
    for one in closing.evidence:
        assert one["contract"] in shown and one["why"]


def test_without_a_gateway_nothing_is_closed_and_that_is_said(closing_demo: Demo) -> None:
    closing_demo.v6("services", "stop", "ib-gateway", check=0)
    done = closing_demo.v6("emergency-stop", "--close-all", "--yes")
    assert done.returncode == 69 and "NOT PROVEN" in done.stderr and "nothing listens" in done.stderr, done.stderr
    assert latch.read(closing_demo.home).state is TradingState.HALTED


def test_kept_orders_and_closing_exclude_each_other(v6, demo_home) -> None:
    with pytest.raises(UsageError, match="exclude each other"):
        Wish(keep_orders=True, close_all=True).check()
    refused = v6("--home", demo_home, "emergency", "shutdown", "--keep-orders", "--close-all", check=64)
    assert latch.read(demo_home).state is TradingState.HALTED and "trading state HALTED" in refused.stderr
    problem = CannotWrite("the halt is not recorded")
    with pytest.raises(CannotWrite, match="not recorded"):
        shutdown.check(Wish(keep_orders=True, close_all=True), shutdown.Latched(problem=problem))


@pytest.mark.parametrize(("errors", "code"), [
    ([], None),
    ([CannotWrite("a")], 74),
    ([CannotWrite("a"), OutcomeUnknown("b")], 75),
    ([Refused("a", next_step="n"), OutcomeUnknown("b")], 77),
    ([OutcomeUnknown("a"), OutcomeUnknown("b")], 75),
])  # fmt: skip
def test_the_worse_exit_code_wins_and_nothing_is_left_unsaid(errors: list[V6Error], code: int | None) -> None:
    found = worse(errors)
    assert (found.exit_code if found else None) == code
    assert found is None or all(error.message in found.message for error in errors)
