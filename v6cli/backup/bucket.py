"""A bucket at Amazon, Google, Azure, or whoever speaks S3, as a place for copies.

Who may is asked of the environment and of the files that the cloud's own tools read; nothing of it passes a command line, and what a
server answers is cut before it could be shown with it.
"""

from __future__ import annotations

import configparser
import contextlib
import os
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

from v6cli.backup.place import CHUNK
from v6cli.errors import BadConfiguration, Unavailable
from v6cli.secrets import redact

MISSING = "pip install 'v6[remote]'"
RETRIES = 6
GIVE_UP = timedelta(seconds=60)  # for one request and all its repetitions
CONNECT = timedelta(seconds=10)
STALLED = timedelta(seconds=120)  # for one request
_MOST_PARTS = 5_000  # of the 10,000 that S3 takes
_AT_ONCE = 3  # parts in memory and on the wire
_REFUSED = re.compile(r"status code: 40[13]\b")  # what a list or a removal answers is of no kind of its own
_LONGEST = 200  # letters of what a server says


class Bucket:
    """Files below the prefix of a bucket."""

    def __init__(self, url: str) -> None:
        """Nothing is asked of the server yet. Raises BadConfiguration."""
        try:
            import obstore
            from obstore import exceptions, store
        except ImportError as error:
            raise BadConfiguration(f"copies in {url} need the package obstore, which is not installed", next_step=MISSING) from error
        self._url = url
        self._api: Any = obstore
        self._refusals = (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)
        self._errors = (exceptions.BaseError, ValueError, OSError)
        config = _amazon() | {"checksum_algorithm": "sha256"} if url.startswith("s3://") else {}
        how: Any = {
            "config": config,
            "retry_config": {"max_retries": RETRIES, "retry_timeout": GIVE_UP},
            "client_options": {"connect_timeout": CONNECT, "timeout": STALLED, "allow_http": _plain_http()},
        }
        try:
            self._store: Any = store.from_url(url, **how)
        except self._errors as error:
            raise BadConfiguration(f"{url} cannot be used: {said(error)}", next_step=CREDENTIALS) from error

    def sizes(self) -> dict[str, int]:
        """Every file by its name."""
        with self._reached():
            found = self._api.list_with_delimiter(self._store)["objects"]
            return {one["path"].rpartition("/")[2]: one["size"] for one in found}

    def put(self, name: str, file: BinaryIO, size: int) -> None:
        """Send the file, in parts where it is long; it gets its name at the end, whole."""
        with self._reached():
            self._api.put(self._store, name, file, chunk_size=max(CHUNK, -(-size // _MOST_PARTS)), max_concurrency=_AT_ONCE)

    def get(self, name: str) -> Iterator[bytes]:
        """The content as it arrives."""
        with self._reached():
            for chunk in self._api.get(self._store, name).stream(min_chunk_size=1 << 20):
                yield bytes(chunk)

    def remove(self, name: str) -> None:
        """Remove the file."""
        with contextlib.suppress(FileNotFoundError), self._reached():
            self._api.delete(self._store, name)

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except self._refusals as error:
            raise BadConfiguration(f"{self._url} lets nobody in with these credentials", next_step=CREDENTIALS) from error
        except self._errors as error:
            if _REFUSED.search(str(error)):
                raise BadConfiguration(f"{self._url} lets nobody in with these credentials", next_step=CREDENTIALS) from error
            raise Unavailable(f"{self._url}: {said(error)}") from error


CREDENTIALS = "set AWS_…, GOOGLE_… or AZURE_… (the account, too) in the environment of v6, or log in with the cloud's own tool"


def said(error: Exception) -> str:
    """What a client library says, in one short line: neither a server's own words nor what stands in an address behind its question mark."""
    line = " ".join(str(error).split("\n\nDebug source:")[0].split("<")[0].split())
    line = re.sub(r"\?[^\s\"']*", "", redact(line))
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def _plain_http() -> bool:
    """Whether the environment lets a store in the own network be spoken to in the clear."""
    return os.environ.get("AWS_ALLOW_HTTP", "").lower() in {"1", "true", "yes"}


def _amazon() -> dict[str, str]:
    """Key and region from the files of Amazon's tools, where the environment names none: obstore reads the environment alone."""
    found: dict[str, str] = {}
    if "AWS_ACCESS_KEY_ID" not in os.environ and "AWS_WEB_IDENTITY_TOKEN_FILE" not in os.environ:
        keys = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        found |= _of_profile("AWS_SHARED_CREDENTIALS_FILE", "credentials", keys, "")
    if not {"AWS_REGION", "AWS_DEFAULT_REGION"} & os.environ.keys():
        found |= _of_profile("AWS_CONFIG_FILE", "config", ("region",), "profile ")
    return found


def _of_profile(variable: str, name: str, keys: tuple[str, ...], prefix: str) -> dict[str, str]:
    profile = os.environ.get("AWS_PROFILE", "default")
    parser = configparser.RawConfigParser()
    with contextlib.suppress(OSError, configparser.Error, UnicodeDecodeError):
        parser.read(os.environ.get(variable) or Path.home() / ".aws" / name, encoding="utf-8")
    section = profile if profile == "default" else f"{prefix}{profile}"
    return {key: parser[section][key] for key in keys if parser.has_option(section, key)}
