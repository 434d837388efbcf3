"""Bugs that are planted in the way of a restore, each to be found by its tests."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from typing import Any

from v6cli import latch
from v6cli.backup import exchange, names, restoration
from v6cli.backup.restoration import Restoration
from v6cli.latch import TradingState
from v6cli.runbook import restore_asked, restore_settings
from v6cli.runbook.restore import Restore
from v6cli.state import union

Patch = tuple[Any, str, Any]


def _records_after_the_exchange() -> Patch:
    def late(self: Restore, own: Restoration) -> Restoration:
        staged = own.folder(self.home) / names.LAKE
        came, was = exchange.identity(staged), exchange.identity(self.home.lake)
        if own.phase == "begun":
            self._swap(own.folder(self.home))
            own = restoration.keep(self.home, own.at("exchanging", came=came, was=was))
        return restoration.keep(self.home, own.at("exchanged"))

    return Restore, "_exchange", late


def _believes_the_phase_alone() -> Patch:
    def again(self: Restore, own: Restoration) -> Restoration:
        if own.phase == "begun":
            staged = own.folder(self.home) / names.LAKE
            own = restoration.keep(self.home, own.at("exchanging", came=exchange.identity(staged), was=exchange.identity(self.home.lake)))
        self._swap(own.folder(self.home))
        return restoration.keep(self.home, own.at("exchanged"))

    return Restore, "_exchange", again


def _believes_what_was_taken_out() -> Patch:
    return Restore, "_take_out_again", lambda self, own: None


def _takes_open_intents_for_open() -> Patch:
    return union, "_take_intents", lambda state, other, zone: (_take_all(state, other), 0)


def _take_all(state: Any, other: Any) -> int:
    taken = union._take(state, other, "intents", union._INTENTS, "intent")
    union._take(state, other, "attempts", union._ATTEMPTS, "order_ref")
    union._take(state, other, "claims", union._CLAIMS, "intent")
    return taken


def _reopens_what_has_ended() -> Patch:
    real = union.unite

    def unite(state: Any, other: Any, zone: Any) -> union.United:
        for (intent,) in other.rows("SELECT intent FROM intents WHERE state = 'open'"):
            state.write("UPDATE intents SET state = 'open', ended = NULL, turn = NULL WHERE intent = ?", (intent,))
        return real(state, other, zone)

    return union, "unite", unite


def _forgets_claims() -> Patch:
    real = union._take
    return union, "_take", lambda state, other, table, *how: 0 if table == "claims" else real(state, other, table, *how)


def _loosens_the_latch() -> Patch:
    follow = Restore._follow

    def as_then(self: Restore, own: Restoration) -> Restoration:
        latch.resume(self.home, latch.read(self.home), TradingState.ACTIVE, "as in the backup", "restore")
        return follow(self, own)

    return Restore, "_follow", as_then


def _gives_no_settings_back() -> Patch:
    return restore_settings, "give_back", lambda home, own: None


def _takes_no_lock() -> Patch:
    return Restore, "_nobody_writes", lambda self: contextlib.nullcontext()


def _throws_the_earlier_lake_away() -> Patch:
    start = Restore._start

    def tidy(self: Restore, own: Restoration) -> None:
        shutil.rmtree(own.folder(self.home) / names.LAKE, ignore_errors=True)
        start(self, own)

    return Restore, "_start", tidy


def _goes_back_without_a_record() -> Patch:
    def roll_back(self: Restore, own: Restoration) -> None:
        self._reduce(own)
        self._swap(own.folder(self.home))
        restore_settings.give_back(self.home, own)
        restoration.forget(self.home)
        self._start(own)

    return Restore, "_roll_back", roll_back


def _drops_the_tables_that_stay() -> Patch:
    return Restore, "_complete", lambda self, staged, own: None


def _goes_on_while_services_run() -> Patch:
    def stop(self: Restore) -> None:
        with contextlib.suppress(Exception):
            self._rooms.services.shutdown(self._report)

    return Restore, "_stop_everything", stop


def _asks_for_no_account() -> Patch:
    return restore_asked, "check_account", lambda staged, own: None


def _begins_over_an_unfinished_one() -> Patch:
    return Restore, "_check_free", lambda self: None


#: What the restore does wrong, and how it is made to.
BUGS: dict[str, Callable[[], Patch]] = {
    "records the exchange after it": _records_after_the_exchange,
    "believes the phase and not the disk": _believes_the_phase_alone,
    "believes what a killed process took out": _believes_what_was_taken_out,
    "takes open intents of the archive for open": _takes_open_intents_for_open,
    "opens again what has ended": _reopens_what_has_ended,
    "forgets the claims of the archive": _forgets_claims,
    "loosens the latch as it was in the archive": _loosens_the_latch,
    "gives no settings back": _gives_no_settings_back,
    "exchanges without the writers' lock": _takes_no_lock,
    "throws the earlier lake away": _throws_the_earlier_lake_away,
    "goes back without a record": _goes_back_without_a_record,
    "drops the tables that stay": _drops_the_tables_that_stay,
    "goes on while services run": _goes_on_while_services_run,
    "asks for no account": _asks_for_no_account,
    "begins over one that is kept": _begins_over_an_unfinished_one,
}
