"""Where what v6 logs goes. The code logs through the standard library; a record becomes one JSON object on one line.

``{"time": "2026-11-24T14:31:05.120000+00:00", "level": "ERROR", "logger": "v6cli.sync.watch", "message": "...", "exception": "..."}``

``time`` is the machine's, in UTC. Where home time differs from it, ``home_time`` is given, too. Daemons write
``logs/<service>.log`` by loguru; a command writes ``logs/v6.log``, and only once there is something to tell: looking changes
nothing. Files are 0600, 100 MB at most, with ten older ones kept.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from v6cli import clock
from v6cli.files import FILE_MODE, private_folder
from v6cli.home import Home
from v6cli.secrets import redact

if TYPE_CHECKING:
    import logging
    from types import TracebackType

LONGEST_FILE = 100_000_000  # bytes
KEPT = 10  # rotated files


def as_daemon(home: Home, service: str, level: str = "INFO") -> None:
    """Log everything of this process from ``level`` on into ``logs/<service>.log``, uncaught exceptions included.

    Raises CannotWrite where the log cannot be opened: a daemon that cannot say what it does must not do it.
    """
    from loguru import logger

    from v6cli.errors import CannotWrite

    private_folder(home.logs)
    logger.remove()
    path = home.logs / f"{service}.log"
    try:
        logger.add(
            path,
            level=0,
            format=_format,
            rotation=LONGEST_FILE,
            retention=_retire(path),
            opener=_open_private,
            encoding="utf-8",
            catch=True,
        )
    except OSError as error:
        raise CannotWrite(f"cannot write {path}: {error.strerror}") from error
    _take_over(_daemon_handler(), level)
    _log_uncaught()


def to_file(place: Home | Path, note: Callable[[str], None] | None = None) -> None:
    """Log warnings and worse of this process into ``logs/v6.log`` of a home, or into a file given by its path.

    Nothing is created before the first such record. A log that cannot be written is told to ``note`` once and else ignored.
    """
    _take_over(_file_handler(place.log if isinstance(place, Home) else place, note), "WARNING")


def bug(place: Home | Path | None, error: BaseException) -> str:
    """Write down an exception that nobody expected, with its traceback, and return where: a path, or why there is none.

    Without a home, or where its log cannot be written, a file in the temporary folder takes it.
    """
    import tempfile

    text = _json(clock.wall(), "CRITICAL", "v6cli", f"{type(error).__name__}: {error}", (type(error), error, error.__traceback__))
    log = place.log if isinstance(place, Home) else place
    own = Path(tempfile.gettempdir()) / f"v6-{os.getuid()}" / f"v6-bug-{clock.wall():%Y%m%dT%H%M%S.%f}.log"
    why = "nowhere"
    for path in (log, own):
        if path is None:
            continue
        try:
            private_folder(path.parent)
            if path is own and path.parent.stat().st_uid != os.getuid():
                raise PermissionError(f"{path.parent} belongs to somebody else")
            _append(path, text)
        except Exception as refusal:  # noqa: BLE001  whatever is wrong with the disk, the bug itself must still be told
            why = f"nowhere: {refusal}"
        else:
            return str(path)
    return why


def _json(at: datetime, level: str, logger: str, message: str, exception: tuple[Any, Any, TracebackType | None] | None) -> str:
    import json

    record = {
        "time": at.astimezone(UTC).isoformat(timespec="microseconds"),
        "level": level,
        "logger": logger,
        "message": _without_secrets(message),
    }
    if clock.rate() != 1.0:
        record["home_time"] = clock.now().isoformat(timespec="microseconds")
    if exception and exception[0] is not None:
        import traceback

        record["exception"] = _without_secrets("".join(traceback.format_exception(*exception)))
    return json.dumps(record, ensure_ascii=False) + "\n"


def _without_secrets(text: str) -> str:
    try:
        return redact(text)
    except Exception as error:  # noqa: BLE001  what cannot be redacted must not be written
        return f"(withheld: it could not be redacted: {type(error).__name__})"


def _format(record: Any) -> str:
    """A loguru format: the line itself is passed through ``extra``, where nothing in it is taken for a placeholder."""
    exception = record["exception"]
    record["extra"]["line"] = _json(
        record["time"],
        record["level"].name,
        record["extra"].get("logger") or record["name"] or "",
        record["message"],
        (exception.type, exception.value, exception.traceback) if exception else None,
    )
    return "{extra[line]}"


def _retire(path: Path) -> Callable[[Iterable[str]], None]:
    """Delete the oldest rotated files beyond KEPT. loguru's own count would take ``x.out.log``, too, for a rotated ``x.log``."""
    import re

    rotated = re.compile(re.escape(path.stem) + r"\.\d{4}-\d\d-\d\d_[\d_-]+" + re.escape(path.suffix))

    def retire(files: Iterable[str]) -> None:
        old = sorted(Path(file) for file in files if rotated.fullmatch(Path(file).name))
        for file in old[:-KEPT]:
            file.unlink(missing_ok=True)

    return retire


def _daemon_handler() -> logging.Handler:
    import logging

    from loguru import logger

    class ToLoguru(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            try:
                level: str | int = logger.level(record.levelname).name
            except ValueError:
                level = record.levelno
            try:
                logger.bind(logger=record.name).opt(exception=record.exc_info).log(level, "{}", record.getMessage())
            except Exception:  # noqa: BLE001  as every handler does: a record that cannot be written stops nothing
                self.handleError(record)

    return ToLoguru()


def _file_handler(path: Path, note: Callable[[str], None] | None) -> logging.Handler:
    from logging.handlers import RotatingFileHandler

    class ToFile(RotatingFileHandler):
        def __init__(self) -> None:
            super().__init__(path, maxBytes=LONGEST_FILE, backupCount=KEPT, encoding="utf-8", delay=True)
            self.refused = False

        def _open(self) -> Any:
            private_folder(path.parent)
            return open(path, "a", encoding="utf-8", opener=_open_private)  # Path.open takes no opener

        def emit(self, record: logging.LogRecord) -> None:
            if not self.refused:
                super().emit(record)

        def format(self, record: logging.LogRecord) -> str:
            at = datetime.fromtimestamp(record.created, UTC)
            return _json(at, record.levelname, record.name, record.getMessage(), record.exc_info or None).rstrip("\n")

        def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  the library's name
            import sys

            self.refused = True
            if note:
                note(f"nothing is logged: {sys.exception()}")

    return ToFile()


def _take_over(handler: logging.Handler, level: str) -> None:
    """Make this the only handler of the process."""
    import logging

    root = logging.getLogger()
    for former in root.handlers[:]:
        root.removeHandler(former)
        former.close()
    root.addHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(capture=True)


def _log_uncaught() -> None:
    """Exceptions that end the process or a thread are logged, and then shown as ever: supervisors capture what is shown."""
    import logging
    import sys
    import threading

    log = logging.getLogger("v6cli")
    shown, shown_of_thread = sys.excepthook, threading.excepthook

    def of_process(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            log.critical("%s: %s", kind.__name__, error, exc_info=(kind, error, trace))
        shown(kind, error, trace)

    def of_thread(arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is not None:
            name = arguments.thread.name if arguments.thread else "a thread"
            log.critical("%s ended: %s: %s", name, arguments.exc_type.__name__, arguments.exc_value, exc_info=arguments.exc_value)
        shown_of_thread(arguments)

    sys.excepthook, threading.excepthook = of_process, of_thread


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, FILE_MODE)


def _append(path: Path, text: str) -> None:
    descriptor = _open_private(str(path), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW)
    with contextlib.closing(os.fdopen(descriptor, "w", encoding="utf-8", errors="replace")) as file:
        file.write(text)
