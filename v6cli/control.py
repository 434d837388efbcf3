"""Requests to a running v6 process: one question and its answer over a unix socket that only its owner can open.

A connection carries one request, ``{"verb": ..., "arguments": {...}}``, and line by line what happens: events while the work
goes on, then one answer or one error. Lines are JSON and at most 1 MB long. What a verb returns arrives as plain lists,
dictionaries, texts and numbers. An error that a verb raises is raised again at the caller, with its exit code and next step.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from v6cli import clock, errors, events
from v6cli.errors import BadConfiguration, BadInput, OutcomeUnknown, Refused, ServiceUnavailable, UsageError, V6Error
from v6cli.files import private_folder

if TYPE_CHECKING:
    import asyncio

LONGEST_LINE = 1 << 20
LONGEST_SOCKET_PATH = 107
REQUEST_WITHIN = 10.0  # wall seconds a connection has to say what it wants

Verb = Callable[..., Awaitable[object]]


class Server:
    """A process that answers. Closing it ends the verbs that still run and removes the socket."""

    def __init__(self, path: Path, verbs: Mapping[str, Verb]) -> None:
        self.path = path
        self._verbs = dict(verbs)
        self._server: asyncio.Server | None = None
        self._inode = (0, 0)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Server:  # noqa: PYI034  nothing inherits from it
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Begin to listen. Raises Refused where another process does, BadConfiguration for a path that is too long."""
        import asyncio

        listening = await _bind(self.path)
        status = self.path.stat()
        self._inode = (status.st_dev, status.st_ino)
        self._server = await asyncio.start_unix_server(self._connected, sock=listening, limit=LONGEST_LINE)

    async def close(self) -> None:
        """Stop listening. A socket that another process has put in its place stays."""
        import asyncio

        if self._server is None:
            return
        self._server.close()
        self._server = None
        with contextlib.suppress(FileNotFoundError):
            status = self.path.stat()
            if (status.st_dev, status.st_ino) == self._inode:
                self.path.unlink()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        import asyncio

        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            # Whoever asked has gone: nobody to tell. Or this server closes: whoever asked sees the connection end, and a task that
            # ended as cancelled would be an error in the log of the event loop.
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                _write(writer, await self._answer(reader, writer))
                await writer.drain()
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> dict[str, object]:
        try:
            name, arguments = await _request(reader)
            return {"answer": await self._perform(name, arguments, writer)}
        except V6Error as error:
            return _told(error)
        except Exception as error:  # a bug in a verb must reach both its caller and the log of this process
            import logging

            logging.getLogger(__name__).exception("a request on %s failed", self.path.name)
            return _told(
                V6Error(f"a bug in {self.path.stem}: {type(error).__name__}: {error}", next_step=f"v6 logs --service {self.path.stem}")
            )

    async def _perform(self, name: str, arguments: dict[str, object], writer: asyncio.StreamWriter) -> object:
        import inspect

        verb = self._verbs.get(name)
        if verb is None:
            raise UsageError(f"{self.path.stem} knows no {name!r}", next_step=f"it knows {', '.join(sorted(self._verbs))}")
        signature = inspect.signature(verb)
        if "report" in signature.parameters:
            arguments = {**arguments, "report": lambda event: _write(writer, {"event": type(event).__name__, "of": event})}
        try:
            signature.bind(**arguments)
        except TypeError as error:
            raise UsageError(f"{name!r} of {self.path.stem} cannot be asked like this: {error}") from None
        return await verb(**arguments)


async def serve(path: Path, verbs: Mapping[str, Verb]) -> Server:
    """Answer requests at ``path``: ``async with await serve(...)``.

    A verb is an async function that takes the request's arguments by name. One that has a parameter ``report`` is given a
    Report, whose events the caller sees while the work goes on. Raises Refused where another process answers there already,
    BadConfiguration for a path that is too long for a socket.
    """
    server = Server(path, verbs)
    await server.open()
    return server


def call(path: Path, verb: str, timeout: float = 10.0, report: events.Report | None = None, **arguments: object) -> object:
    """Ask the process that listens at ``path`` and wait for its answer, up to ``timeout`` wall seconds for each line of it.

    Raises ServiceUnavailable where nobody listens, so that nothing was asked; OutcomeUnknown where the request went out and no
    answer came; and whatever the verb raised.
    """
    request = _encode({"verb": verb, "arguments": arguments})
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(_checked(path))
        except OSError as error:
            raise _nobody(path, error) from error
        try:
            connection.sendall(request)
            with connection.makefile("rb") as lines:
                while True:
                    done, answer = _understood(lines.readline(LONGEST_LINE + 1), path, verb, report)
                    if done:
                        return answer
        except OSError as error:
            raise _silent(path, verb, "no answer in time" if isinstance(error, TimeoutError) else str(error)) from error


async def acall(
    path: Path,
    verb: str,
    timeout: float = 10.0,  # noqa: ASYNC109  for each line
    report: events.Report | None = None,
    **arguments: object,
) -> object:
    """As `call`, within an event loop."""
    import asyncio

    request = _encode({"verb": verb, "arguments": arguments})
    try:
        async with clock.timeout(timeout):
            reader, writer = await asyncio.open_unix_connection(_checked(path), limit=LONGEST_LINE)
    except OSError as error:
        raise _nobody(path, error) from error
    try:
        writer.write(request)
        while True:
            async with clock.timeout(timeout):
                line = await reader.readline()
            done, answer = _understood(line, path, verb, report)
            if done:
                return answer
    except (OSError, ValueError) as error:  # ValueError: a line beyond the limit
        raise _silent(path, verb, "no answer in time" if isinstance(error, TimeoutError) else str(error)) from error
    finally:
        writer.close()


async def _bind(path: Path) -> socket.socket:
    """A listening socket of mode 0600. One that lies there already is removed once nobody answers at it.

    The folder is locked meanwhile: of two processes that find the same stale socket, one would remove the other's new one.
    """
    folder = os.open(private_folder(path.parent), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        while True:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return _bind_alone(path, _checked(path))
            except BlockingIOError:
                await clock.pause(0.01)
    finally:
        os.close(folder)


def _bind_alone(path: Path, address: str) -> socket.socket:
    if _somebody_answers(address):
        raise Refused(f"{path.stem} runs already: somebody answers at {path}", next_step="v6 services status")
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(address)
        path.chmod(0o600)  # nobody can connect before it listens
        listening.listen(64)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


def _somebody_answers(address: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(address)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:  # it listens, and its queue is full
            return True
    return True


def _checked(path: Path) -> str:
    address = str(path)
    if len(address.encode("utf-8", "surrogateescape")) > LONGEST_SOCKET_PATH:
        raise BadConfiguration(
            f"{path} is longer than the {LONGEST_SOCKET_PATH} bytes of a socket's path", next_step="choose a shorter home"
        )
    return address


async def _request(reader: asyncio.StreamReader) -> tuple[str, dict[str, object]]:
    import msgspec

    try:
        async with clock.timeout(REQUEST_WITHIN):
            line = await reader.readline()
        found = msgspec.json.decode(line)
        return str(found["verb"]), {str(name): value for name, value in found["arguments"].items()}
    except TimeoutError:
        raise BadInput("no request came") from None
    except (ValueError, msgspec.MsgspecError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"not a request: {error}") from None


def _encode(message: object) -> bytes:
    import msgspec

    line: bytes = msgspec.json.encode(message)
    if len(line) >= LONGEST_LINE:
        raise BadInput(f"a message of {len(line)} bytes is longer than the {LONGEST_LINE} that pass through a control socket")
    return line + b"\n"


def _write(writer: asyncio.StreamWriter, message: dict[str, object]) -> None:
    try:
        line = _encode(message)
    except (BadInput, TypeError) as error:
        line = _encode(_told(V6Error(f"the answer cannot be sent: {error}")))
    writer.write(line)


def _told(error: V6Error) -> dict[str, object]:
    kind = next(kind for kind in type(error).__mro__ if getattr(errors, kind.__name__, None) is kind)  # the nearest that the caller knows
    return {"error": kind.__name__, "exit_code": error.exit_code, "message": error.message, "next_step": error.next_step}


def _understood(line: bytes, path: Path, verb: str, report: events.Report | None) -> tuple[bool, object]:
    """What one line of an answer means: whether it is the last, and what was returned. Raises what it tells of."""
    import msgspec

    if not line.endswith(b"\n"):
        raise _silent(path, verb, "its answer is too long" if len(line) > LONGEST_LINE else "it ended before it answered")
    try:
        found: dict[str, Any] = msgspec.json.decode(line)
    except msgspec.MsgspecError as error:
        raise _silent(path, verb, f"its answer cannot be read: {error}") from error
    if "error" in found:
        raise _raised(found)
    if "event" in found:
        kind = getattr(events, found["event"], None)
        if report is not None and kind is not None:
            report(msgspec.convert(found["of"], kind))
        return False, None
    return True, found.get("answer")


def _raised(found: Mapping[str, Any]) -> V6Error:
    kind = getattr(errors, found["error"], None)
    error = (kind if isinstance(kind, type) and issubclass(kind, V6Error) else V6Error)(found["message"], next_step=found["next_step"])
    error.exit_code = found["exit_code"]
    return error


def _nobody(path: Path, error: OSError) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"{path.stem} does not answer at {path}: {error.strerror or error}", next_step=f"v6 services start {path.stem}"
    )


def _silent(path: Path, verb: str, why: str) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"{path.stem} was asked to {verb!r} and did not say what came of it: {why}", next_step=f"v6 logs --service {path.stem}"
    )
