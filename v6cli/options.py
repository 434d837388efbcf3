"""Options that commands share, and ``changes``: what makes a command one that changes something.

The shared options are accepted before and after the command (``v6 -o json positions``, ``v6 positions -o json``); given twice
with two values they are a usage error.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from math import isnan
from typing import Any, TypeVar

import click
from click.core import ParameterSource, augment_usage_errors

from v6cli.app import FORMATS, App

R = TypeVar("R")


class Range(click.FloatRange):
    """As click's own, which takes nan for a number within every range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number. Raises UsageError."""
        found = super().convert(value, param, ctx)
        if isnan(found):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return found


def _keep(ctx: click.Context, parameter: click.Parameter, value: object) -> None:
    if value is None or value is False:
        return
    name = parameter.name or ""
    given = ctx.find_object(App)
    if given is None:
        return
    if given.flags.setdefault(name, value) != value:
        raise click.UsageError(f"{parameter.opts[-1]} is given twice with two values: {given.flags[name]} and {value}", ctx)


def _shared() -> list[click.Parameter]:
    def option(*names: str, **attributes: Any) -> click.Option:
        return click.Option(list(names), expose_value=False, callback=_keep, is_eager=True, **attributes)

    return [
        option("--home", metavar="DIR", type=click.Path(readable=False), help="The home to work in."),
        option("-o", "--output", type=click.Choice(FORMATS), help="Format; a pipe gets plain."),
        option("--no-color", is_flag=True, help="No colour."),
        option("-q", "--quiet", is_flag=True, help="Data and errors only."),
        option("-v", "--verbose", is_flag=True, help="More about each step."),
    ]


class Shared(click.Command):
    """A command or group that takes the shared options and lists them apart from its own."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.shared = _shared()
        self.params = [*self.params, *self.shared]
        self.context_settings = {"help_option_names": ["-h", "--help"], **self.context_settings}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Click's own, whose parser does not say which command an option lacks its value in. Raises UsageError."""
        with augment_usage_errors(ctx):
            return super().parse_args(ctx, args)

    def make_parser(self, ctx: click.Context) -> Any:
        """Click's own, which finds ``-o`` at once: it looks among the long ones first, and imports difflib to suggest one of them."""
        parser: Any = super().make_parser(ctx)
        parser._long_opt |= parser._short_opt
        return parser

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The command's own options first, the ones every command has after them."""
        own: list[tuple[str, str]] = []
        everywhere: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                (everywhere if parameter in self.shared or parameter.name == "help" else own).append(record)
        for title, records in (("Options", own), ("Everywhere", everywhere)):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)
        if isinstance(self, click.Group):
            self.format_commands(ctx, formatter)


def command(**attributes: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """``click.command`` with the shared options; the function takes the App first."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        @functools.wraps(function)
        def call(**arguments: Any) -> Any:
            app = click.get_current_context().find_object(App)
            assert app is not None
            return function(app, **arguments)

        return click.command(cls=Shared, **attributes)(call)

    return decorate


def changes(
    *, dry_run: bool = True, asks: bool = False, emergency: bool = False, mends_settings: bool = False
) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Mark a command that changes something: it says where it works, and journals itself before it begins and after it ends.

    Adds ``--dry-run`` unless the act has nothing to preview, and ``--yes`` where it asks. A dry run is not journaled. An
    ``emergency`` is stopped neither by settings that cannot be read nor by a journal that cannot be written; what ``mends_settings`` is
    not stopped by a file of the home that is refused.
    """

    def decorate(function: Callable[..., R]) -> Callable[..., R]:
        @functools.wraps(function)
        def call(app: App, **arguments: Any) -> R:
            if emergency and not arguments.get("dry_run"):
                app.output.hurry()
            app.say_where(emergency=emergency, mends_settings=mends_settings)
            if arguments.get("dry_run"):
                return function(app, **arguments)
            with app.act.journaled(emergency=emergency):
                return function(app, **arguments)

        decorated: Callable[..., R] = call
        if dry_run:
            decorated = click.option("--dry-run", is_flag=True, help="Show what would happen; change nothing.")(decorated)
        if asks:
            decorated = click.option("-y", "--yes", is_flag=True, help="Do not ask.")(decorated)
        return decorated

    return decorate


def excludes(option: str, *others: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Refuse ``option`` together with any of ``others``, which it would leave no meaning, before anything is done or journaled.

    Each is named as it is typed, an argument as its usage shows it.
    """

    def decorate(function: Callable[..., R]) -> Callable[..., R]:
        @functools.wraps(function)
        def call(app: App, **arguments: Any) -> R:
            ctx = click.get_current_context()
            typed = _typed(ctx)
            if option in typed and (clash := [other for other in others if other in typed]):
                raise click.UsageError(f"{option} and {clash[0]} exclude each other.", ctx)
            return function(app, **arguments)

        return call

    return decorate


def _typed(ctx: click.Context) -> set[str]:
    """The options and arguments that stand on the command line."""
    given = [one for one in ctx.command.params if one.name and ctx.get_parameter_source(one.name) is ParameterSource.COMMANDLINE]
    return {name for one in given for name in (one.opts if isinstance(one, click.Option) else [one.make_metavar(ctx).strip("[]")])}


def in_a_hurry(function: Callable[..., R]) -> Callable[..., R]:
    """Take what people type in a hurry: the reason without ``--reason``, and a ``--yes`` to a command that asks nothing.

    It waits for no terminal that stands still, from its first word on.
    """

    @functools.wraps(function)
    def call(app: App, words: tuple[str, ...], reason: str, **arguments: Any) -> R:
        app.output.hurry()
        return function(app, reason=reason or " ".join(words), **arguments)

    words = click.argument("words", nargs=-1, metavar="[REASON]")
    return words(click.option("-y", "--yes", is_flag=True, hidden=True, expose_value=False)(call))


def closing(function: Callable[..., R]) -> Callable[..., R]:
    """The options of commands that close positions, which wait for no terminal that stands still, unless it is a dry run."""

    @functools.wraps(function)
    def call(app: App, dry_run: bool, **arguments: Any) -> R:
        if not dry_run:
            app.output.hurry()
        return function(app, dry_run=dry_run, **arguments)

    decorated: Callable[..., R] = call
    for option in reversed(
        (
            click.option("--cap", type=float, metavar="SHARE", help="Furthest a price may go, as a share of the legs' middles."),
            click.option("--market", is_flag=True, help="Single legs that nobody takes at the cap go at the market."),
            click.option("--queue", is_flag=True, help="Send also what does not trade now: it waits for the open."),
            click.option("--timeout", type=float, metavar="SECONDS", help="Longest it goes on."),
            click.option("--limit", "limits", multiple=True, metavar="ID=PRICE", help="Your price for one leg, which then goes alone."),
            click.option("--account", default="", metavar="ID", help="The account, where one has to be typed."),
            click.option("-y", "--yes", is_flag=True, help="Do not ask. It replaces no account id."),
            click.option("--dry-run", is_flag=True, help="Show what would happen; change nothing."),
        )
    ):
        decorated = option(decorated)
    return decorated
