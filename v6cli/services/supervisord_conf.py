"""The configuration supervisord is started with: written anew at each start, never edited by hand."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from v6cli.errors import BadConfiguration
from v6cli.home import Home
from v6cli.services.catalogue import Service

# What a service may know of the shell that started it. No V6_* setting of a shell reaches a service.
PASSED_ON = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "XDG_RUNTIME_DIR", "CREDENTIALS_DIRECTORY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)
STAYS_DOWN = (0, 78)  # ended as asked; bad configuration, which no restart repairs


class Timing:
    """Seconds and attempts by which supervisord judges a service."""

    def __init__(self, start: int = 2, stop: int = 20, retries: int = 3) -> None:
        self.start = start
        self.stop = stop
        self.retries = retries

    @property
    def longest_start(self) -> float:
        """Wall seconds after which a service must have come up or been given up: all attempts and the pauses between them."""
        return (self.retries + 1) * (self.start + 1) + self.retries * (self.retries + 1) / 2 + 10

    @property
    def longest_stop(self) -> float:
        """Wall seconds after which a service must be gone, killed at the end of its own time."""
        return self.stop + 10


def launcher(home: Home) -> tuple[str, ...]:
    """How a service's v6 is run: this interpreter by absolute path, with no code of the working folder (``-P``)."""
    return (sys.executable, "-P", "-m", "v6cli", "--home", str(home.root))


def environment(around: Mapping[str, str]) -> dict[str, str]:
    """The variables supervisord and its services start with, drawn from ``around``."""
    chosen = {name: around[name] for name in PASSED_ON if name in around}
    chosen["PYTHONUNBUFFERED"] = "1"
    if folders := [folder for folder in around.get("PYTHONPATH", "").split(os.pathsep) if Path(folder).is_absolute()]:
        chosen["PYTHONPATH"] = os.pathsep.join(folders)
    return chosen


def capture_of(home: Home, service: str) -> Path:
    """The file that takes what a service prints: little, unless it crashes."""
    return home.logs / f"{service}.out.log"


def render(home: Home, services: Sequence[Service], command: Sequence[str], timing: Timing) -> str:
    """The text of ``run/supervisord.conf``. Raises BadConfiguration for a home whose path cannot be written into one."""
    head = {
        "unix_http_server": {"file": _value(home.run / "supervisor.sock"), "chmod": "0600"},
        "supervisord": {
            "logfile": _value(home.logs / "supervisord.log"),
            "logfile_maxbytes": "1MB",
            "logfile_backups": "4",
            "loglevel": "info",
            "pidfile": _value(home.run / "supervisord.pid"),
            "directory": _value(home.root),
            "umask": "077",
            "nocleanup": "true",
            "identifier": "v6",
        },
        "rpcinterface:supervisor": {"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
    }
    programs = {f"program:{service.name}": _program(home, service, command, timing) for service in services}
    sections = (f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in keys.items()) for name, keys in {**head, **programs}.items())
    return "; written by v6 at each start of the services; changes made here are lost\n" + "\n".join(sections)


def _program(home: Home, service: Service, command: Sequence[str], timing: Timing) -> dict[str, str]:
    return {
        "command": _value(shlex.join((*command, *service.argv))),
        "directory": _value(home.root),
        "autostart": "false",
        "autorestart": "unexpected",
        "exitcodes": ",".join(map(str, STAYS_DOWN)),
        "startsecs": str(timing.start),
        "startretries": str(timing.retries),
        "stopsignal": "TERM",
        "stopwaitsecs": str(timing.stop),
        "stopasgroup": "true",
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": _value(capture_of(home, service.name)).replace("%", "%%"),  # this one is expanded twice
        "stdout_logfile_maxbytes": "100MB",
        "stdout_logfile_backups": "10",
    }


def _value(text: str | Path) -> str:
    """``text`` as supervisord reads it back: % begins an expansion, and a ; or # behind a space a comment.

    In a command the latter can only stand within the single quotes of shlex, which may end and begin again in between.
    """
    unreadable = any(ord(character) < 32 for character in str(text)) or "%(here)s" in str(text)
    if unreadable or (isinstance(text, Path) and (" ;" in str(text) or " #" in str(text))):
        raise BadConfiguration(
            f"supervisord cannot read {str(text)!r}: it contains a control character, %(here)s, or a space followed by ; or #",
            next_step="choose another path for the home",
        )
    doubled = str(text).replace("%", "%%")
    return doubled if isinstance(text, Path) else doubled.replace(" ;", " '';").replace(" #", " ''#")
