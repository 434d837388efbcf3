"""What the shell completes beyond command names: values read from files and SQLite only, never from the network.

A completion that fails answers with nothing: there is no place to show an error while a person presses Tab.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import click

from v6cli.app import App
from v6cli.errors import V6Error

SHELLS = ("bash", "zsh", "fish")


def setting_keys(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Dotted keys of the settings."""
    from v6cli import settings

    return [key for key in settings.all_keys() if key.startswith(incomplete)]


def setting_values(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """What the setting that is named before it can be, where that is one of a few values."""
    from v6cli import settings

    return [value for value in settings.choices(ctx.params.get("key") or "") if value.startswith(incomplete)]


def services(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of the services."""
    from v6cli.services.catalogue import SERVICES

    return [service.name for service in SERVICES if service.name.startswith(incomplete)]


def symbols(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Symbols of the positions that the last sync saw; of several, separated by commas, the last one is completed."""
    from v6cli.state.database import open_read_only
    from v6cli.state.mirror import symbols as held

    before, comma, last = incomplete.upper().rpartition(",")
    with contextlib.suppress(V6Error), open_read_only((ctx.find_object(App) or App()).home) as state:
        return [f"{before}{comma}{symbol}" for symbol in held(state) if symbol.startswith(last)]
    return []


def backups(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of the home's backups."""
    from v6cli.backup import catalogue

    with contextlib.suppress(V6Error):
        found = catalogue.backups((ctx.find_object(App) or App()).home)
        return [name for name in (*(one.name for one in found), catalogue.LATEST) if name.startswith(incomplete)]
    return []


def scenarios(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of the packaged scenarios of the simulated gateway."""
    folder = Path(__file__).parent / "config" / "scenarios"
    return sorted(path.stem for path in folder.glob("*.toml") if path.stem.startswith(incomplete))


def faults(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of the faults of the simulated gateway."""
    from v6cli.simulator.faults import FAULTS

    return [name for name in FAULTS if name.startswith(incomplete)]


def fault_parameters(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Parameters of the fault that is named before them, with the values they can take."""
    from v6cli.simulator.faults import FAULTS

    fault = FAULTS.get(ctx.params.get("name") or "")
    if fault is None:
        return []
    # Bash breaks words at "=": key and value arrive as words of their own there, and the value alone is completed.
    before = [word for word in ctx.params.get("values") or () if word != "="]
    if before and "=" not in before[-1]:
        return [choice for choice in fault.choices.get(before[-1], ()) if choice.startswith(incomplete)]
    offered = [f"{key}={choice}" for key in fault.all_parameters for choice in fault.choices.get(key, ("",))]
    return [word for word in offered if word.startswith(incomplete)]


def packaged(shell: str) -> Path:
    """The generated file of one shell, as shipped."""
    return Path(__file__).parent / "completions" / f"v6.{shell}"


def place(shell: str) -> Path:
    """Where a shell looks for completions of this user."""
    data, config = _folder("XDG_DATA_HOME", ".local/share"), _folder("XDG_CONFIG_HOME", ".config")
    return {
        "bash": data / "bash-completion/completions/v6",
        "zsh": data / "zsh/site-functions/_v6",
        "fish": config / "fish/completions/v6.fish",
    }[shell]


def _folder(variable: str, usual: str) -> Path:
    """A folder of this user's by the XDG Base Directory Specification, which ignores a path that is relative."""
    named = os.environ.get(variable, "")
    return Path(named) if os.path.isabs(named) else Path.home() / usual  # noqa: PTH117  of a text that may be empty
