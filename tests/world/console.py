"""v6's own commands in a world: as typed, each a process of its own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import click
import click.globals

from v6cli import events, logs
from v6cli.act import Act
from v6cli.app import App
from v6cli.commands import close, close_all, halt, reduce_only
from v6cli.commands.emergency import shutdown
from v6cli.commands.orders import cancel
from v6cli.console.output import Output
from v6cli.errors import V6Error
from v6cli.home import Home
from v6cli.results import Result, Table
from v6cli.runbook import emergency_logs, other_homes, sync
from v6cli.settings import Settings
from v6cli.simulator.world import Process, World
from v6cli.simulator.world.processes import running

from .machine import Machine

COMMANDS: dict[str, click.Command] = {
    "close-all": close_all.command,
    "close": close.command,
    "halt": halt.command,
    "reduce-only": reduce_only.command,
    "emergency shutdown": shutdown.command,
    "orders cancel": cancel.command,
}


class Typed:
    """One command line: ``code`` is its exit code once it has ended, ``said`` and ``shown`` what it told, ``asked`` what it asked."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self.code: int | None = None
        self.error: V6Error | None = None
        self.said: list[str] = []
        self.shown: list[Result] = []
        self.asked: list[str] = []
        self.process: Process

    @property
    def whys(self) -> str:
        """Why it left something open."""
        tables = [one for one in self.shown if isinstance(one, Table) and one.schema == "v6.close-outcome/1"]
        return "; ".join(str(row[-1]) for one in tables for row in one.rows)


class _Told(Output):
    """Keeps what is told. ``answer`` is what somebody types, a letter a question; nobody is there where it is None."""

    def __init__(self, typed: Typed, answer: str | None) -> None:
        super().__init__("plain", color=False, quiet=False, verbose=False)
        self._said = typed.said
        self._shown = typed.shown
        self._asked = typed.asked
        self._answer = answer

    def show(self, result: Result) -> None:
        self._shown.append(result)

    def text(self, text: str) -> None:
        self._said.append(text)

    def note(self, text: str) -> None:
        self._said.append(text)

    @contextmanager
    def live(self, title: str) -> Iterator[events.Report]:
        yield self.report

    @property
    def ask(self) -> Callable[[str], str] | None:
        return None if self._answer is None else self._answers

    def _answers(self, question: str) -> str:
        assert self._answer
        self._asked.append(question)
        return self._answer[min(len(self._asked), len(self._answer)) - 1]


class _App(App):
    """What a command works with here: this home, settings with short waits, this machine's services."""

    def __init__(self, home: Home, own: Settings, machine: Machine, typed: Typed, answer: str | None) -> None:
        super().__init__()
        self.__dict__.update(home=home, settings=own, services=machine, output=_Told(typed, answer), act=Act(self, typed.words))

    def outlive_terminal(self) -> None:
        """There is none."""


class Console:
    """Where commands are typed."""

    def __init__(self, world: World, home: Home, own: Settings, machine: Machine, dies_at: Callable[[str], bool]) -> None:
        self._world = world
        self._home = home
        self._settings = own
        self._machine = machine
        self._dies_at = dies_at

    def type(self, *words: str, answer: str | None = None) -> Typed:
        """Start ``v6`` with these words."""
        typed = Typed(words)
        name = next(name for name in COMMANDS if " ".join(words).startswith(f"{name} ") or " ".join(words) == name)
        rest = words[len(name.split()) :]

        def act() -> None:
            app = _App(self._home, self._settings, self._machine, typed, answer)
            try:
                COMMANDS[name].main(list(rest), prog_name=f"v6 {name}", standalone_mode=False, obj=app)
                typed.code = 0
            except V6Error as error:
                typed.error, typed.code = error, error.exit_code
            except (click.Abort, KeyboardInterrupt):
                typed.code = 130
            finally:
                app.close()

        typed.process = self._world.command(" ".join(words), act, dies_at=self._dies_at)
        return typed

    @contextmanager
    def open(self) -> Iterator[None]:
        """Within the block commands can be typed. What they do beside orders (a sync, an archive of logs) is left out."""

        async def nothing(*_of: Any, **_how: Any) -> None:
            return None

        with contextlib.ExitStack() as stack:
            for owner, name, instead in (
                (click.globals, "_local", _OfEachProcess()),
                (logs, "to_file", lambda *_of: None),
                (sync, "once", nothing),
                (emergency_logs, "collect", lambda *_of: "no logs"),
                (other_homes, "find", lambda *_of: []),
            ):
                stack.enter_context(patch.object(owner, name, instead))
            yield


class _OfEachProcess:
    """What click keeps once for each thread, for each process: they take turns in one."""

    def __init__(self) -> None:
        object.__setattr__(self, "_kept", {})

    def __getattribute__(self, name: str) -> Any:
        process = running()
        own = object.__getattribute__(self, "_kept").setdefault(os.getpid() if process is None else process.pid, {})
        if name == "__dict__":
            return own
        try:
            return own[name]
        except KeyError:
            raise AttributeError(name) from None
