"""A bundle's archive: the one way into it leads through the redaction, and each member is in the manifest."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from datetime import datetime
from typing import Any, BinaryIO, Literal, Self

from msgspec import Struct

from v6cli.files import FILE_MODE, FOLDER_MODE
from v6cli.runbook.redaction import Redaction


class Member(Struct, frozen=True):
    """One part of a bundle: ``state`` is ok, cut (not all of it) or missing; ``how`` it was gained; ``note`` why it is not whole."""

    name: str
    state: Literal["ok", "cut", "missing"]
    how: str
    note: str = ""
    bytes: int = 0
    sha256: str = ""


class Archive:
    """A ``.tar.gz`` of text with one top folder: files 0600, nobody's, of the moment ``at``. Nothing enters it unredacted."""

    def __init__(self, file: BinaryIO, folder: str, at: datetime, redaction: Redaction) -> None:
        self.members: list[Member] = []
        self._folder = folder
        self._at = int(at.timestamp())
        self._redaction = redaction
        self._packed = gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=self._at)
        self._tar = tarfile.open(fileobj=self._packed, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115  closed with the archive
        top = self._entry("", FOLDER_MODE)
        top.type = tarfile.DIRTYPE
        self._tar.addfile(top)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._tar.close()
        self._packed.close()

    def add(self, name: str, lines: Iterable[str], how: str, *, note: str = "") -> None:
        """Add a text; with a ``note`` it is one that is not whole."""
        content = io.BytesIO()
        for line in lines:
            content.write(self._redaction.text(line).encode("utf-8", "backslashreplace") + b"\n")
        with content.getbuffer() as written:  # a view that outlives its buffer, in a traceback for instance, keeps it from being closed
            self._put(name, written, Member(name, "cut" if note else "ok", how, note))

    def add_json(self, name: str, found: Any, how: str) -> None:
        """Add what JSON can say."""
        text = json.dumps(self._redaction.tree(found), indent=1, ensure_ascii=False, default=str)
        self.add(name, text.split("\n"), how)

    def miss(self, name: str, how: str, why: str) -> None:
        """Note a part that could not be gained."""
        self.members.append(self._said(Member(name, "missing", how, why)))

    def _put(self, name: str, content: memoryview, member: Member) -> None:
        said = self._said(member)
        entry = self._entry(f"/{said.name}", FILE_MODE)
        entry.size = len(content)
        self._tar.addfile(entry, io.BytesIO(content))
        self.members.append(Member(said.name, said.state, said.how, said.note, len(content), hashlib.sha256(content).hexdigest()))

    def _said(self, member: Member) -> Member:
        """The member with its own words redacted: they stand in the manifest, and on the screen of whoever looks over a shoulder."""
        words = [self._redaction.text(text) for text in (member.name, member.how, member.note)]
        return Member(words[0], member.state, words[1], words[2])

    def _entry(self, below: str, mode: int) -> tarfile.TarInfo:
        entry = tarfile.TarInfo(self._folder + below)
        entry.mode, entry.mtime = mode, self._at
        return entry
