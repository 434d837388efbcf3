"""Restoring a home and rehearsing it, as their commands tell it, over what the App wires."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from v6cli.app import App
    from v6cli.runbook.restore import Restore


class Restores:
    """The way back from a backup, in the home of an App."""

    def __init__(self, app: App) -> None:
        self._app = app

    def archive(self, wanted: str, *, dry_run: bool) -> Path:
        """The archive of a name, a path, an address or ``latest``; what was fetched for it goes when the command ends.

        A dry run fetches to a folder outside of the home. Raises BadInput, Unavailable, BadConfiguration, CannotWrite.
        """
        import click

        from v6cli.backup import carrying

        into = None if dry_run else self._app.home.backups
        with self._app.output.live("finding the backup") as report:
            found = carrying.archive_of(self._app.home, self._app.settings.backup, wanted, into, report)
            return click.get_current_context().with_resource(found)

    def rehearse(self, kind: str, wanted: str) -> int:
        """A drill of a restore, shown and recorded; 0 healthy, 1 degraded, 2 unhealthy."""
        import msgspec

        from v6cli.runbook import restore_drill

        archive = self.archive(wanted, dry_run=False)
        with self._app.output.live("restore drill") as report:
            drill = restore_drill.rehearse(self._app.home, self._app.settings, archive, report)
            asked = self._app.run(restore_drill.reconciled(drill, lambda: self._app.gateway("look")))
        drill = msgspec.structs.replace(drill, findings=[*drill.findings, *asked])
        self._app.output.show(restore_drill.table(drill))
        self._app.record(kind, drill.code, restore_drill.evidence(drill))
        return drill.code

    @contextlib.contextmanager
    def restoring(self, title: str) -> Iterator[Restore]:
        """A restore of this home, or the way back from one; what it did is shown, however it ends."""
        from v6cli.runbook import restore_tables
        from v6cli.runbook.restore import Restore, Rooms

        rooms = Rooms(
            self._app.settings, self._app.services, self._app.state, self._app.operator, self._app.halts.silence, self._app.output.live
        )
        restoring = Restore(self._app.home, rooms)
        try:
            yield restoring
        finally:
            if restoring.done:
                self._app.output.show(restore_tables.steps(title, restoring.done))
