"""The root group, the registry of every command, and the one exit boundary.

The registry is static, so `v6 --help`, a typo and the shell's completion are answered without importing a single command.
"""

from __future__ import annotations

import gc

# Collecting cycles is tuned for a process that makes many objects and soon ends: the imports below already count.
gc.set_threshold(20_000)

import errno  # noqa: E402
import io  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from importlib import import_module  # noqa: E402
from typing import TextIO, cast  # noqa: E402

import click  # noqa: E402

from v6cli import __version__  # noqa: E402
from v6cli.app import App  # noqa: E402
from v6cli.console.output import Aside, NobodyReads  # noqa: E402
from v6cli.errors import CannotWrite, V6Error  # noqa: E402
from v6cli.options import Shared  # noqa: E402

SECTIONS = ("Daily", "Incidents", "Emergency", "Maintenance", "System")


class Entry:
    """One name of the command line: a command with its module in ``v6cli.commands``, or a group with its ``children``.

    ``default`` is the child that the bare name of a group runs, ``means`` the module of another command of which this is a second
    name.
    """

    def __init__(
        self, name: str, text: str, section: str = "", children: tuple[Entry, ...] = (), default: str = "", means: str = ""
    ) -> None:
        self.name = name
        self.text = text
        self.section = section
        self.children = children
        self.default = default
        self.means = means


REGISTRY = (
    Entry("morning-check", "Morning checklist: is everything ready to trade?", "Daily"),
    Entry("status", "One screen of everything", "Daily"),
    Entry("health", "Judge gateway, sync, services and machine", "Daily"),
    Entry("account", "Net liquidation, cash, buying power, margin", "Daily"),
    Entry("positions", "Open positions by underlying and strategy", "Daily"),
    Entry("greeks", "Greeks by symbol, expiry or strategy", "Daily"),
    Entry("risk", "Portfolio against its limits", "Daily"),
    Entry("logs", "Logs of the services", "Incidents"),
    Entry(
        "alerts",
        "Alerts: list and acknowledge",
        "Incidents",
        (Entry("list", "Open and recent alerts"), Entry("ack", "Acknowledge alerts")),
        default="list",
    ),
    Entry("sync", "Bring positions from IB into lake and state", "Incidents"),
    Entry(
        "services",
        "Start, stop and look at the services",
        "Incidents",
        (
            Entry("status", "State, uptime, restarts and last log line"),
            Entry("start", "Start services in dependency order"),
            Entry("stop", "Stop services, dependants first"),
            Entry("restart", "Stop, then start services"),
        ),
        default="status",
    ),
    Entry(
        "orders",
        "Orders: working, recent, rejected and why; cancel, settle",
        "Incidents",
        (
            Entry("list", "Working orders of every client, and v6's own recent ones"),
            Entry("cancel", "Cancel one order, or all"),
            Entry("settle", "Say what became of an order nobody can find any more"),
            Entry("reentry", "What an emergency shutdown cancelled, to enter it again"),
        ),
        default="list",
    ),
    Entry("journal", "What was done: who typed what, and how it ended", "Incidents"),
    Entry(
        "emergency",
        "Shut down: halt, cancel every order, prove it",
        "Emergency",
        (
            Entry("shutdown", "Halt, cancel every order, stop trading, and prove it"),
            Entry("close-all", "The same as v6 close-all", means="close_all"),
        ),
    ),
    Entry("close-all", "Close every position, and prove it", "Emergency"),
    Entry("close", "Close one position, or one symbol", "Emergency"),
    Entry("emergency-stop", "The same as v6 emergency shutdown", "Emergency", means="emergency.shutdown"),
    Entry("halt", "Halt trading: nothing leaves but cancels", "Emergency"),
    Entry("reduce-only", "Allow closing orders only", "Emergency"),
    Entry("resume", "Loosen the trading state again", "Emergency"),
    Entry("trading-state", "ACTIVE, REDUCING or HALTED, and why", "Emergency"),
    Entry("support-bundle", "What a supporter needs to see, in one archive", "Emergency"),
    Entry(
        "backup",
        "Backups: make, prove, list, prune",
        "Maintenance",
        (
            Entry("create", "Back up lake, state and settings"),
            Entry("list", "Backups with age, size, rows; gaps"),
            Entry("verify", "Prove that a backup can be restored"),
            Entry("prune", "Remove backups that are old enough"),
            Entry("diff", "What changed between two backups"),
            Entry("drill", "Rehearse a restore, and time it"),
        ),
        default="create",
    ),
    Entry("restore", "Put the lake of a backup in the place of this one", "Maintenance"),
    Entry("demo", "A running system to try things in", "System"),
    Entry("init", "Make a new home", "System"),
    Entry(
        "config",
        "Settings: show, set, validate",
        "System",
        (
            Entry("show", "Every setting and where it came from"),
            Entry("set", "Change one setting of this home"),
            Entry("validate", "Check the settings of this home"),
            Entry("path", "Which files the settings are read from"),
        ),
        default="show",
    ),
    Entry(
        "gateway",
        "The simulated IB gateway",
        "System",
        (Entry("simulate", "Run the simulated IB gateway"), Entry("fault", "Let things go wrong at the simulated gateway")),
    ),
    Entry("scheduler", "The services' own work", "System", (Entry("run", "Be a service, for ever"),)),
    Entry("completion", "Shell completion for bash, zsh and fish", "System"),
)


#: What to suggest for words of an emergency that are near no command, or near a wrong one.
MEANT = {
    **dict.fromkeys(("stop", "kill", "panic", "freeze", "abort"), ("halt", "emergency shutdown", "shutdown")),
    **dict.fromkeys(("flatten", "flat", "exit", "liquidate"), ("close-all",)),
}
HALTING = {"halt", "reduce-only", "emergency", "emergency-stop", "close-all"}  # commands that tighten the trading state before all else


class LazyGroup(Shared, click.Group):
    """A group over registry entries; a command's module is imported when that command runs."""

    def __init__(self, entries: tuple[Entry, ...], package: str, default: str = "", **options: object) -> None:
        super().__init__(**options)
        self.entries = {entry.name: entry for entry in entries}
        self.package = package
        self.default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Let the bare name of the group, with whatever options, be its default command."""
        return super().parse_args(ctx, args if ctx.resilient_parsing else self.with_default(args))

    def with_default(self, args: list[str]) -> list[str]:
        """The words with the default command before them, where they name none."""
        named = any(word in self.entries for word in args)
        asked_for_help = any(word in {"-h", "--help"} for word in args)
        if self.default and not named and not asked_for_help and all(word.startswith("-") for word in args[:1]):
            return [self.default, *args]
        return args

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        module = f"v6cli.commands.{entry.means}" if entry.means else f"{self.package}.{entry.name.replace('-', '_')}"
        if entry.children:
            text = f"{entry.text}." + (f"\n\nWithout a command: {entry.default}." if entry.default else "")
            return LazyGroup(entry.children, module, entry.default, name=entry.name, help=text, short_help=entry.text)
        command = import_module(module).command
        assert isinstance(command, click.Command)
        if entry.means:
            from copy import copy

            command = copy(command)
        command.name = entry.name
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self.entries and not ctx.resilient_parsing and not name.startswith("-"):
            from difflib import get_close_matches

            near = [line for line in MEANT.get(name, ()) if line.split()[0] in self.entries]
            # Who asks for help is not to be offered a halt.
            near = near or ([] if name == "help" else get_close_matches(name, self.entries, n=3, cutoff=0.5))
            hint = f" Did you mean {' or '.join(near)}?" if near else f" See: {ctx.command_path} --help"
            raise click.UsageError(f"there is no command {name!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections = [section for section in SECTIONS if any(entry.section == section for entry in self.entries.values())]
        for section in sections or [""]:
            with formatter.section(section or "Commands"):
                formatter.write_dl([(entry.name, entry.text) for entry in self.entries.values() if not section or entry.section == section])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[click.shell_completion.CompletionItem]:
        from click.shell_completion import CompletionItem

        names = [CompletionItem(entry.name, help=entry.text) for entry in self.entries.values() if entry.name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)


def command_lines(entries: tuple[Entry, ...] = REGISTRY, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command of the registry as the words that name it."""
    for entry in entries:
        words = (*prefix, entry.name)
        if entry.children:
            yield from command_lines(entry.children, words)
        else:
            yield words


def _show_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"v6 {__version__}")
        ctx.exit()


root = LazyGroup(
    REGISTRY,
    "v6cli.commands",
    name="v6",
    help="""The operator's console of an options-trading bot on Interactive Brokers.

    Try it with nobody's money: v6 demo. In a home of your own: v6 morning-check.

    \b
    Exit codes
      checks: 0 healthy, 1 degraded, 2 unhealthy
      64 usage, 65 bad input, 69 gateway or service unavailable, 70 a bug,
      74 cannot write, 75 outcome unknown, 77 refused, 78 bad configuration,
      130 interrupted
    """,
    params=[click.Option(["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version.")],
)


def completion_script(shell: str) -> str:
    """The completion script of bash, zsh or fish, as ``completions/`` ships it."""
    from click.shell_completion import get_completion_class

    generator = get_completion_class(shell)
    assert generator is not None
    return generator(root, {}, "v6", "_V6_COMPLETE").source().strip() + "\n"


def main(argv: list[str] | None = None) -> None:
    """Run one command line and end the process with its exit code."""
    gc.freeze()  # what is loaded by now stays, and does not count towards a first collection
    _whole_streams()
    try:
        code = run(argv)
    except KeyboardInterrupt:  # one more, while it ended
        code = 130
    _let_go_of_what_nobody_reads()
    gc.freeze()  # nothing is collected once more at exit
    sys.exit(code)


def _whole_streams() -> None:
    """Stand in for a standard stream that the caller closed: what is opened next would take its place.

    Where the locale lacks a letter of ours, a terminal gets its code (a ``?`` would mean unknown), and a pipe gets UTF-8. Bytes that were
    typed and are no UTF-8 are written out.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115  it lives as long as the process
    sys.stderr = cast("TextIO", Aside(sys.stderr))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding=None if sys.stdout.isatty() else "utf-8", errors="backslashreplace")


def _let_go_of_what_nobody_reads() -> None:
    """What could not be written is still held, and trying again at exit would end in a code of Python's own (120)."""
    for stream, descriptor in ((sys.__stdout__, 1), (sys.stdout, 1), (sys.__stderr__, 2)):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def run(argv: list[str] | None = None) -> int:
    """Run one command line and return its exit code; every failure has one line on stderr."""
    app = App()
    os.umask(0o077)  # whatever v6 or a library writes is the owner's alone
    try:
        code = root.main(argv, prog_name="v6", standalone_mode=False, obj=app)
        app.finish()
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.UsageError as error:
        return _usage(error)
    except click.ClickException as error:
        return _fail(app, error.format_message(), None, 65)
    except CannotWrite as error:
        return _fail(app, error.message, error.next_step or _way_out(app), error.exit_code)
    except V6Error as error:
        return _fail(app, error.message, error.next_step, error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return _fail(app, "interrupted", None, 130)
    except NobodyReads:
        return 0
    except OSError as error:
        return _full(app, error) if error.errno in {errno.ENOSPC, errno.EDQUOT} else _bug(app, error)
    except Exception as error:  # noqa: BLE001  the boundary: a bug gets a place in the log and one line on the screen
        return _bug(app, error)
    finally:
        app.close()
    return code if isinstance(code, int) else 0


def _usage(error: click.UsageError) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        print(error.format_message(), file=sys.stderr)  # noqa: T201  before any output is set up
        return 64
    path = error.ctx.command_path if error.ctx else "v6"
    print(f"v6: {error.format_message()}", file=sys.stderr)  # noqa: T201  before any output is set up
    if isinstance(error, click.NoSuchOption) and (line := _with_values_apart(error)):
        print(f"next: {line} (behind -- a word that begins with - is a value)", file=sys.stderr)  # noqa: T201
    elif "--help" not in error.format_message():
        print(f"see: {path} --help", file=sys.stderr)  # noqa: T201
    if path.split()[1:2] and path.split()[1] in HALTING:
        print("NOTHING WAS HALTED; next: v6 halt", file=sys.stderr)  # noqa: T201
    return 64


def _with_values_apart(error: click.NoSuchOption) -> str:
    """How a negative number that was taken for an option is typed as the value it is; empty where the command takes no value."""
    if error.ctx is None or not error.option_name.lstrip("-")[:1].isdecimal():
        return ""
    arguments = [parameter.make_metavar(error.ctx) for parameter in error.ctx.command.params if isinstance(parameter, click.Argument)]
    return " ".join([error.ctx.command_path, "--", *arguments]) if arguments else ""


def _fail(app: App, message: str, next_step: str | None, code: int) -> int:
    app.output.error(message, next_step)
    return code


def _way_out(app: App) -> str | None:
    from v6cli.files import way_out

    home = app.home_if_any()
    return way_out(home.root) if home else None


def _full(app: App, error: OSError) -> int:
    """A disk is full, be it the one that our output goes to."""
    where = f" {error.filename}" if error.filename else ""
    return _fail(app, f"cannot write{where}: {error.strerror}", "free that disk: df -h shows which ones are full", 74)


def _bug(app: App, error: Exception) -> int:
    from v6cli import logs

    place = logs.bug(app.home_if_any(), error)
    return _fail(app, f"a bug in v6: {type(error).__name__}: {error}", f"the traceback is at the end of {place}", 70)
