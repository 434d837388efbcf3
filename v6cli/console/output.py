"""Where words go: data on stdout, notes, prompts and progress on stderr."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TextIO, cast

from v6cli.errors import Refused, UsageError

if TYPE_CHECKING:
    from v6cli import events
    from v6cli.console.stall import Unwaited
    from v6cli.results import Result


class Aside:
    """stderr. That nobody can read it any more, as after a hang-up, or that its disk is full, stops nothing that v6 is about to do."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


class NobodyReads(Exception):
    """Whoever read stdout went away, and nothing else is to be done than to write there."""


class Output:
    """The terminal as a command sees it.

    ``format`` is what was asked for with ``-o``; without it a terminal gets tables and a pipe plain text. Colour goes to
    terminals alone, and to none where NO_COLOR is set.

    ``acts`` is set once the command changes something: from then on nothing is stopped by what can be read no more.
    """

    def __init__(self, format: str | None, *, color: bool, quiet: bool, verbose: bool) -> None:
        self.format = format or ("table" if sys.stdout.isatty() else "plain")
        self.color = color and not os.environ.get("NO_COLOR")
        self.quiet = quiet
        self.verbose = verbose
        self.acts = False
        self._answered = False
        self._lost = False  # whether stdout can be written no more
        self._hurries = False
        self._stdout: Unwaited | None = None  # where they are not waited for
        self._stderr: Unwaited | None = None
        self._lines: list[str] = []

    def hurry(self) -> None:
        """From here to the end of the process a terminal or pipe that nobody reads stops nothing: what it does not take in a second is
        dropped, and that is said. For an emergency; any other command waits, so that a slow pager loses nothing.
        """
        if self._hurries:
            return
        self._hurries = True
        from v6cli.console import stall

        readers: dict[tuple[int, int], stall.Reader] = {}
        if reopened := stall.reopen(sys.stdout, 1, readers, tells=False):
            sys.stdout, self._stdout = reopened
        if reopened := stall.reopen(sys.stderr, 2, readers, tells=True):
            stream, self._stderr = reopened
            sys.stderr = cast("TextIO", Aside(stream))

    @property
    def width(self) -> int:
        """Columns of the terminal; COLUMNS is honoured. Without a terminal it is 80."""
        with contextlib.suppress(ValueError):
            if (asked := int(os.environ.get("COLUMNS", "0"))) > 0:
                return asked
        with contextlib.suppress(OSError):
            return os.get_terminal_size(sys.stdout.fileno()).columns or 80
        return 80

    @property
    def on_terminal(self) -> bool:
        """Whether a person looks at stdout."""
        return sys.stdout.isatty()

    def show(self, result: Result) -> None:
        """Show one answer in the format asked for."""
        from v6cli.console import tables

        self._answered = True
        self._write(lambda: tables.draw(result, self.format, color=self.color, width=self.width))

    def again(self, result: Result) -> None:
        """Show an answer in place of the last one: the screen is cleared on a terminal, never in a pipe."""
        if sys.stdout.isatty():
            self._write(lambda: print("\033[H\033[2J", end=""))  # noqa: T201
        self.show(result)
        self.settle()
        if self._lost:
            raise NobodyReads

    def text(self, text: str) -> None:
        """One line of data that is no table, such as a path. As JSON the lines are one answer of their own: see ``finish``."""
        if self.format == "json":
            self._lines.append(text)
        else:
            shown = _for_a_terminal(text) if sys.stdout.isatty() else text
            self._write(lambda: print(shown))  # noqa: T201
            if self._lost and not self.acts:
                raise NobodyReads

    def settle(self) -> None:
        """Bring everything to whoever reads stdout. Raises OSError as ``show`` does."""
        self._write(sys.stdout.flush)

    def _write(self, write: Callable[[], object]) -> None:
        """Write to stdout, which from the first failure on is nowhere. A full disk stops a look (OSError); nothing stops an act."""
        try:
            write()
            if self.acts:
                sys.stdout.flush()  # what an act says is to be seen before it goes on, or known not to be
        except OSError as error:
            self._lost = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if self.acts:
                self.note(f"what is shown can be read no more ({error.strerror}); the command goes on")
            elif error.errno not in {errno.EPIPE, errno.EIO}:
                raise
        if self._stdout is not None and self._stdout.missed:
            self._stdout.missed = False
            _aside("what is to be seen on stdout is not being read: some of it was dropped; what was done: v6 journal")

    def finish(self) -> None:
        """End an answer as JSON: what was said in lines is it where nothing else is, and stands beside it otherwise."""
        lines, self._lines = self._lines, []
        if not lines:
            return
        if self._answered:
            for line in lines:
                self.note(line)
            return
        from v6cli.results import Column, Table

        self.show(Table("v6.lines/1", "", (Column("line"),), [(line,) for line in lines]))

    def note(self, text: str) -> None:
        """One line beside the data."""
        if not self.quiet:
            _aside(text)

    def detail(self, text: str) -> None:
        """One line that only ``-v`` shows."""
        if self.verbose:
            _aside(text)

    def error(self, message: str, next_step: str | None = None) -> None:
        """What went wrong, and what to do next."""
        _aside(f"v6: {message}")
        if next_step:
            _aside(f"next: {next_step}")

    def report(self, event: events.Event) -> None:
        """A Report for work that runs without a live view."""
        from v6cli import events

        if isinstance(event, events.Note):
            self.note(event.text)
        elif isinstance(event, events.StepEnded):
            self.detail(f"{event.step}: {event.status}: {event.text}")

    @contextlib.contextmanager
    def live(self, title: str) -> Iterator[events.Report]:
        """Show the events of long work as they come: a live view on a terminal, notes elsewhere."""
        if self.quiet or not sys.stderr.isatty():
            yield self.report
            return
        from v6cli.console.live import view

        with view(title, color=self.color) as report:
            yield report

    def confirm(self, question: str, *, yes: bool) -> None:
        """Ask before something that can cost. Raises Refused where the answer is no, or where nobody can be asked."""
        if yes:
            return
        ask = self.ask
        if ask is None:
            raise Refused(f"nobody to ask: {question}", next_step="say --yes to do it without asking")
        if ask(f"{question} [y/N] ").lower() not in {"y", "yes"}:
            raise Refused("not confirmed: nothing was done")

    @property
    def ask(self) -> Callable[[str], str] | None:
        """How to ask whoever sits at the terminal: the question as it is shown gives the line that was typed. None where nobody does."""
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return None

        def ask(question: str) -> str:
            # Nothing is under way, and who has not seen a question cannot answer it.
            with self._stderr.waiting() if self._stderr is not None else contextlib.nullcontext():
                print(_for_a_terminal(question), end="", file=sys.stderr, flush=True)  # noqa: T201
            try:
                typed = sys.stdin.readline()
            except OSError:
                return ""  # nobody sits there any more
            if not typed.endswith("\n"):
                _aside("")  # ^D ends no line
            return typed.strip()

        return ask

    @property
    def ask_or_no(self) -> Callable[[str], str] | None:
        """As ``ask``, but ^C is a no, too: for acts that leave something behind where they are declined, and say so."""
        ask = self.ask
        if ask is None:
            return None

        def ask_or_no(question: str) -> str:
            try:
                return ask(question)
            except KeyboardInterrupt:
                _aside("")
                return ""

        return ask_or_no

    def require_format(self, *formats: str) -> None:
        """Refuse a format this command cannot give. Raises UsageError."""
        if self.format not in formats:
            raise UsageError(f"-o {self.format} is not possible here; there are: {', '.join(formats)}")


def _aside(text: str) -> None:
    print(_for_a_terminal(text), file=sys.stderr, flush=True)  # noqa: T201


def _for_a_terminal(text: str) -> str:
    """``text`` with what would command the terminal written out: a reason, a reference or a log line may be somebody else's."""
    if text.isprintable():
        return text
    from v6cli.results import visible_lines

    return visible_lines(text.expandtabs())
