"""XML-RPC to supervisord over its unix socket. The socket is 0600 in a folder that is 0700: no password is needed."""

from __future__ import annotations

import contextlib
import http.client
import socket
import xmlrpc.client
from pathlib import Path
from typing import Any

from v6cli.errors import ServiceUnavailable

TIMEOUT = 3.0  # wall seconds for one answer: supervisord answers in milliseconds or hangs

NO_SUCH_SERVICE = 10
ALREADY_STARTED = 60
NOT_RUNNING = 70
ALREADY_ADDED = 90


class Fault(Exception):
    """Supervisord refuses a request; ``code`` is one of its fault codes."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def call(path: Path, method: str, *arguments: str | bool, timeout: float = TIMEOUT) -> Any:
    """Ask the supervisord that listens at ``path``. Raises ServiceUnavailable where none answers, Fault where it refuses."""
    with contextlib.closing(_UnixConnection(path, timeout)) as connection:
        try:
            body = xmlrpc.client.dumps(arguments, f"supervisor.{method}").encode()
            connection.request("POST", "/RPC2", body, {"Content-Type": "text/xml"})
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ServiceUnavailable(f"no supervisor answers at {path}: {error}", next_step="v6 services start") from error
    if response.status != 200:
        raise ServiceUnavailable(f"the supervisor at {path} answers {response.status} {response.reason}", next_step="v6 services restart")
    try:
        (answer,), _ = xmlrpc.client.loads(content)
    except xmlrpc.client.Fault as fault:
        raise Fault(fault.faultCode, fault.faultString) from None
    return answer
