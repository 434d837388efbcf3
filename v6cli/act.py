"""The act of a command that changes something: its run, and its entry in the journal, begun before it and ended however it ends."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from v6cli.errors import CannotWrite, Refused, V6Error

if TYPE_CHECKING:
    from v6cli.app import App
    from v6cli.locks import Run
    from v6cli.state.journal import Entry


class Act:
    """What this process does in the home of an App. ``entry`` is its entry in the journal, None where it has none; ``words`` what was
    typed, the command line of this process unless given.
    """

    def __init__(self, app: App, words: Sequence[str] | None = None) -> None:
        self.entry: Entry | None = None
        self._app = app
        self._words = sys.argv[1:] if words is None else words
        self._entries = contextlib.ExitStack()  # the entry, once it could be written
        self._unwritten: Exception | None = None  # why it could not
        self._run: Run | None = None

    @contextlib.contextmanager
    def journaled(self, *, emergency: bool = False) -> Iterator[None]:
        """Write the journal before and after an act. Raises CannotWrite before anything is done, Refused in a home of another user's.

        An ``emergency`` is not stopped by a journal that cannot be written: it says so, and is noted in a file beside it.
        """
        from v6cli import owner
        from v6cli.state import journal

        owner.check_may_write(self._app.home)
        self._app.output.acts = True
        if emergency:
            self._app.output.hurry()

        with self._entries:
            try:
                self._entries.enter_context(self._entered(emergency=emergency))
            except Exception as error:  # whatever is wrong with the journal, an emergency goes on
                if not emergency:
                    raise
                self._unwritten = error
                self._app.output.note(f"the journal cannot be written: {error}")
                self._app.output.note(journal.note_beside(self._app.home, self._argv()))
            yield

    @property
    def run(self) -> str:
        """The run of this act: the one that is being journaled, else one begun for it. Raises CannotWrite."""
        from v6cli import locks

        if self.entry is not None:
            return self.entry.run
        if self._run is None:
            self._run = locks.begin_run(self._app.home, f"v6 {command_words()}")
        return self._run.identity

    def check_recordable(self) -> None:
        """Raise CannotWrite where no order could be recorded before it is sent. A damaged state file is renewed before that is tried."""
        from v6cli.state import renewal

        if isinstance(self._unwritten, CannotWrite) and not renewal.damage(self._app.home):
            raise CannotWrite(self._unwritten.message, next_step=self._unwritten.next_step)

    def renew_state(self) -> None:
        """Where the state file is damaged, begin it anew, and with it this act's entry in the journal. Raises CannotWrite."""
        from v6cli import clock
        from v6cli.runbook import state_file

        self._app.close_state()
        if text := state_file.renew(self._app.home, self._app.services_in_need(), f"{clock.wall():%Y%m%d_%H%M%S}", self._app.output.report):
            self._app.output.note(text)
        if self.entry is None:
            with contextlib.suppress(Exception):  # it has been said that the journal cannot be written, and noted beside it
                self._entries.enter_context(self._entered(emergency=True))

    def _argv(self) -> list[str]:
        from v6cli.files import legible
        from v6cli.secrets import redact_words

        return redact_words([legible(word) for word in self._words])

    @contextlib.contextmanager
    def _entered(self, *, emergency: bool) -> Iterator[None]:
        from v6cli import locks
        from v6cli.secrets import redact
        from v6cli.state import journal

        argv = self._argv()
        run = locks.begin_run(self._app.home, "v6 " + " ".join(argv))
        try:
            journal.mark_interrupted(self._app.state, lambda identity: locks.lives(self._app.home, identity))
            self.entry = journal.begin(self._app.state, run.identity, command_words(), argv)
            outcome: journal.Outcome = "interrupted"
            code, text = 130, None
            try:
                yield
                outcome, code = "done", 0
            except V6Error as error:
                outcome, code, text = ("refused" if isinstance(error, Refused) else "failed"), error.exit_code, redact(error.message)
                raise
            except SystemExit as stop:
                outcome, code = "done", stop.code if isinstance(stop.code, int) else 1
                raise
            except Exception as error:
                outcome, code, text = "failed", 70, redact(f"{type(error).__name__}: {error}")
                raise
            finally:
                try:
                    journal.end(self._app.state, self.entry, outcome, code, text)
                except V6Error as error:
                    if not emergency:
                        raise
                    self._app.output.note(f"the journal does not say how it ended: {error.message}")
        finally:
            run.end()

    def close(self) -> None:
        """End the run that was begun for it."""
        if self._run is not None:
            self._run.end()
            self._run = None


def command_words() -> str:
    """The command that runs, as its words: ``services stop``."""
    import click

    return click.get_current_context().command_path.removeprefix("v6 ")
