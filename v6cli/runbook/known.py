"""What this home knows of accounts, people, machines and secrets, so that a support bundle can leave them out.

Each place is looked at on its own: one that is broken is skipped, for it tells nobody else anything either.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from v6cli import latch, secrets
from v6cli.errors import V6Error
from v6cli.home import Home
from v6cli.runbook.redaction import Redaction
from v6cli.state import alerts, journal, mirror
from v6cli.state.database import open_read_only

_LARGEST_SECRET = 65_536  # bytes of a file that holds one
_ASSIGNED = re.compile(r"^\s*[\"']?([\w.-]+)[\"']?\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_SECRET_WORDS = frozenset({"PASS", "PWD", "KEY", "COOKIE", "AUTH", "DSN", "WEBHOOK", "CREDENTIALS", "PRIVATE"})
_IN_FILE = re.compile(r"(?i)[_-](file|path)$")


def tell(hidden: Redaction, home: Home, account: str) -> None:
    """Tell the redaction all that is known."""
    hidden.know("ACCOUNT", account)
    looks: tuple[Callable[[Redaction, Home], None], ...] = (_people, _variables, _credentials, _settings_file, _marks, _spare, _recorded)
    for look in looks:
        with contextlib.suppress(OSError, V6Error, msgspec.MsgspecError):
            look(hidden, home)


def _people(hidden: Redaction, _home: Home) -> None:
    for name in (journal.operator(), *(os.environ.get(name, "") for name in ("USER", "LOGNAME", "SUDO_USER"))):
        hidden.know("USER", name)
    with contextlib.suppress(RuntimeError):
        hidden.know("USER", Path.home().name)
    for host in (os.uname().nodename, socket.gethostname()):
        hidden.know("HOST", host)
        hidden.know("HOST", host.partition(".")[0])


def _variables(hidden: Redaction, _home: Home) -> None:
    for name, value in os.environ.items():
        if secrets.is_secret(name):
            hidden.know_secret(value)
        elif secrets.is_secret(_IN_FILE.sub("", name)):
            _file(hidden, Path(value))
        elif (
            _SECRET_WORDS & set(name.upper().split("_")) and name not in {"PWD", "OLDPWD"} and not value.startswith("/") and len(value) >= 8
        ):
            hidden.know_secret(value)
        elif name.startswith("V6_") and name.endswith("ACCOUNT"):
            hidden.know("ACCOUNT", value)


def _credentials(hidden: Redaction, _home: Home) -> None:
    """What a service manager hands over: a folder with one secret a file."""
    if folder := os.environ.get("CREDENTIALS_DIRECTORY"):
        for path in sorted(Path(folder).iterdir()):
            _file(hidden, path)


def _settings_file(hidden: Redaction, home: Home) -> None:
    """Line by line, since the file may be broken: accounts, secrets, and files that hold some."""
    for key, value in _assigned(home.settings_file.read_text("utf-8", errors="replace")):
        if secrets.is_secret(key):
            hidden.know_secret(value)
        elif secrets.is_secret(_IN_FILE.sub("", key)):
            _file(hidden, home.root / Path(value).expanduser())
        elif key.rsplit(".", 1)[-1] == "account":
            hidden.know("ACCOUNT", value)


def _marks(hidden: Redaction, home: Home) -> None:
    for mark in latch.read(home).marks:
        hidden.know("USER", mark.who)


def _spare(hidden: Redaction, home: Home) -> None:
    for line in home.spare_journal.read_bytes().splitlines():
        with contextlib.suppress(msgspec.MsgspecError):
            hidden.learn(msgspec.json.decode(line))


def _recorded(hidden: Redaction, home: Home) -> None:
    """The state file's own words; those of the parts that are shown are learned from these."""
    with open_read_only(home) as state:
        seen = mirror.read(state)
        if seen is not None:
            hidden.learn(msgspec.to_builtins([seen.account, seen.positions]))
        hidden.learn(msgspec.to_builtins(journal.entries(state, limit=5000)))
        hidden.learn(msgspec.to_builtins(alerts.open_alerts(state)))


def _file(hidden: Redaction, path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_file():
            with path.open("rb") as file:
                hidden.know_secret(file.read(_LARGEST_SECRET).decode("utf-8", "replace"))


def _assigned(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if match := _ASSIGNED.match(line.lstrip("# ")):
            yield match[1], match[2] if match[2] is not None else match[3]
