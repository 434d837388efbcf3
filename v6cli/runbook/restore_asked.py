"""What is asked of a restore, and whether it may be: which backup and how, or what becomes of the restore that there was. Nothing is written."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from v6cli.backup import exchange, names, restoration, staging
from v6cli.backup.errors import NoManifest
from v6cli.backup.restoration import Restoration
from v6cli.backup.staging import Staged
from v6cli.errors import BadInput, Refused, UsageError
from v6cli.events import Report
from v6cli.home import Home
from v6cli.lake import contents
from v6cli.lake.errors import LakeUnreadable
from v6cli.lake.schemas import TABLES

if TYPE_CHECKING:
    from v6cli.settings import Settings

End = Literal["continue", "rollback", "discard"]

QUESTION = "Stop every service and put this lake in the place of the one there is?"
QUESTIONS: dict[End, str] = {
    "continue": "Go on with the restore of {archive}, which came to the step {phase!r}?",
    "rollback": "Stop every service and bring back the lake from before the restore of {archive}?",
    "discard": "Let the lake from before the restore of {archive} go for good?",
}


class Wish(Struct, frozen=True):
    """What is to be restored: ``only`` names tables (all when empty); ``config`` takes the settings too; ``start`` starts services after it."""

    archive: Path
    only: tuple[str, ...] = ()
    config: bool = False
    start: bool = True


@contextlib.contextmanager
def looked(home: Home, wish: Wish, own: Settings, report: Report) -> Iterator[Staged]:
    """What a backup would bring, for a dry run: nothing of the home is written.

    One without a manifest is taken out to a folder outside of the home, which is removed again. Raises as ``Restore.staged``.
    """
    exchange.check_exchangeable(home.lake)
    check_rest(home, wish)
    try:
        staged = staging.look(wish.archive, report, only=wish.only)
    except NoManifest:
        with tempfile.TemporaryDirectory(prefix="v6-restore-") as folder:
            yield staging.stage(wish.archive, Path(folder) / names.TOP, report, only=wish.only)
        return
    check_account(staged, own)
    yield staged


def instead(which: str, **asked: bool) -> End | None:
    """What is asked for in place of a restore, None where it is a restore. Raises UsageError for two things at once."""
    flags: dict[str, End] = {"go_on": "continue", "rollback": "rollback", "discard": "discard"}
    chosen = [end for flag, end in flags.items() if asked[flag]]
    if len(chosen) > 1 or (chosen and which):
        raise UsageError(f"--{chosen[0]} is about the restore that there was: it goes alone")
    return chosen[0] if chosen else None


def last(home: Home, how: End, *, start: bool = True) -> Restoration:
    """The restore that is to be ended so, services started after it or not.

    Raises BadInput where there is none, UsageError or Refused where that is not the way to end it, BadConfiguration.
    """
    found = restoration.recorded(home)
    if found is None or (how == "continue" and found.phase == "done"):
        raise BadInput(f"there is no restore to {'go on with' if how == 'continue' else f'be ended by --{how}'} in {home}")
    if how == "continue" and found.phase == "rolling back":
        raise UsageError("this restore is being rolled back", next_step="v6 restore --rollback")
    if how == "rollback" and found.phase == "rolled back":
        raise UsageError("this restore was rolled back already, but for starting the services", next_step="v6 restore --continue")
    if how == "discard" and found.phase != "done":
        raise Refused(f"{restoration.UNFINISHED}: the earlier lake may still be needed", next_step=restoration.NEXT)
    return found.at(found.phase, start=found.start and start)


def question(how: End, own: Restoration) -> str:
    """What is asked before it is ended so."""
    return QUESTIONS[how].format(archive=Path(own.archive).name, phase=own.phase)


def check_rest(home: Home, wish: Wish) -> None:
    """With some tables alone the others stay, so they must be there and open: a lake that lacks one names no versions. Raises Refused."""
    if not wish.only:
        return
    try:
        with contents.look(home.lake, 0, patience=1.0) as live:
            whole = {table.name for table in live.tables}
    except LakeUnreadable:
        whole = set()
    if lacking := sorted(TABLES.keys() - whole - set(wish.only)):
        raise Refused(
            f"not these tables alone: in the lake {', '.join(lacking)} cannot be read either",
            next_step="leave --only out: all of it comes back",
        )


def check_account(staged: Staged, own: Settings) -> None:
    """A backup of another account is not restored here. Raises Refused."""
    if staged.manifest is not None and staged.manifest.account != (own.account or ""):
        theirs, ours = staged.manifest.account or "none", own.account or "none"
        raise Refused(
            f"{staged.archive.name} is of account {theirs}, this home of {ours}", next_step="restore it in a home of that account"
        )
