"""A hostile test is worth its name once it has found a bug: each of these is planted in the restore, and its tests must find it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from v6cli.errors import V6Error
from v6cli.latch import TradingState

from . import test_restore as tests
from .restore_bugs import BUGS
from .test_restore import later

__all__ = ["later"]

Hunt = Callable[[Any, pytest.MonkeyPatch], None]


def of(test: Any, *how: Any) -> Hunt:
    """A test of a home with a backup and what came after it."""
    return lambda later, _patch: test(later, *how)


def killed(how: str, phase: int, *, before: bool) -> Hunt:
    test = tests.test_killed_at_any_phase_it_is_the_one_lake_or_the_other_and_can_go_on_or_back
    return lambda later, patch: test(later, patch, how, phase, before)


def of_home(test: Any, *how: Any) -> Hunt:
    return lambda later, _patch: test(later[0], *how)


HUNTS: dict[str, Hunt] = {
    "records the exchange after it": killed("rollback", 2, before=True),
    "believes the phase and not the disk": killed("continue", 3, before=True),
    "believes what a killed process took out": of(tests.test_what_was_taken_out_and_torn_by_a_crash_is_taken_out_again),
    "takes open intents of the archive for open": of_home(
        tests.test_an_open_intent_of_another_day_comes_back_unknown_and_keeps_its_claim, 7, "unknown"
    ),
    "opens again what has ended": of_home(tests.test_what_has_ended_since_stays_ended),
    "forgets the claims of the archive": of_home(
        tests.test_an_open_intent_of_another_day_comes_back_unknown_and_keeps_its_claim, 7, "unknown"
    ),
    "loosens the latch as it was in the archive": of_home(
        tests.test_the_tighter_trading_state_stands, TradingState.HALTED, TradingState.ACTIVE
    ),
    "gives no settings back": of(tests.test_settings_come_back_where_that_is_asked_for_and_go_again),
    "exchanges without the writers' lock": lambda later, patch: tests.test_the_lakes_never_change_places_under_somebody_who_writes(
        later, patch, "begun"
    ),
    "throws the earlier lake away": of(tests.test_the_lake_of_the_backup_takes_the_place_of_the_one_there_is_and_can_give_it_back),
    "goes back without a record": lambda later, patch: tests.test_killed_on_the_way_back_it_can_only_go_back(later, patch, True),
    "drops the tables that stay": of(tests.test_one_table_in_a_folder_of_several_leaves_the_others_there),
    "goes on while services run": of(tests.test_a_service_that_does_not_stop_leaves_the_lake_as_it_is),
    "asks for no account": of(tests.test_a_backup_of_another_account_is_refused),
    "begins over one that is kept": of(tests.test_the_earlier_lake_is_kept_until_it_is_let_go),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(later: Any, bug: str) -> None:
    with pytest.MonkeyPatch.context() as planting:
        planting.setattr(*BUGS[bug]())
        with pytest.raises((AssertionError, KeyError, V6Error, pytest.fail.Exception)):
            HUNTS[bug](later, planting)
