"""Headers of a tar archive: POSIX ustar, with PAX records where a name or a size does not fit (IEEE Std 1003.1, pax).

Written by hand because ``tarfile`` needs 0.4 ms a member, which is more than reading, summing and compressing a small file. What is
read back is only what is written here: plain files and folders, decimal PAX records of ``path`` and ``size``, sums that fit.
"""

from __future__ import annotations

import re

from msgspec import Struct

from v6cli.backup.errors import BadArchive
from v6cli.files import FILE_MODE, FOLDER_MODE

BLOCK = 512
END = bytes(2 * BLOCK)
FILE, FOLDER = "file", "folder"

_LARGEST = 8**11 - 1  # what eleven octal digits say
_LARGEST_PAX = 1 << 16
_NAME, _PREFIX = 100, 155
_KINDS = {b"0": FILE, b"5": FOLDER}
_REFUSED_KINDS = {
    b"1": "a hard link",
    b"2": "a link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a pipe",
    b"g": "a PAX header for all that follows",
    b"L": "a GNU long name",
    b"K": "a GNU long link",
    b"S": "a sparse file",
}
_OCTAL = re.compile(rb" *([0-7]+)[ \0]")
_PAX_RECORD = re.compile(rb"(\d{1,6}) ([a-zA-Z.]{1,64})=")


class Header(Struct, frozen=True):
    """What a header says: ``kind`` is file, folder or pax (records for the header behind it); ``modified`` in seconds since 1970."""

    name: str
    kind: str
    size: int
    modified: int


def padding(size: int) -> int:
    """Bytes that follow a content of ``size`` bytes to fill its last block."""
    return -size % BLOCK


def header(name: str, size: int, modified: int, *, folder: bool = False) -> bytes:
    """The header of a member, with the PAX header before it where one is needed."""
    raw = name.encode() + (b"/" if folder else b"")
    kind, mode = (b"5", FOLDER_MODE) if folder else (b"0", FILE_MODE)
    split = _split(raw) if raw.isascii() else None
    records = {}
    if split is None:
        records["path"] = raw
        split = raw[-_NAME:], b""
    if size > _LARGEST:
        records["size"] = b"%d" % size
    extra = _pax(records, modified) if records else b""
    return extra + _ustar(split[1], split[0], kind, mode, size if size <= _LARGEST else 0, modified)


def parse(block: bytes) -> Header | None:
    """What a block of 512 bytes says, None for one of zeros. Raises BadArchive."""
    if not any(block):
        return None
    if block[257:265] != b"ustar\x0000":
        raise BadArchive("a header is damaged, or not of the format that v6 writes")
    said = _number(block[148:156], "sum")
    if said != sum(block) - sum(block[148:156]) + 8 * 32:
        raise BadArchive("a header's checksum is wrong")
    name = _text(block[0:100])
    if prefix := _text(block[345:500]):
        name = f"{prefix}/{name}"
    kind = block[156:157]
    size, modified = _number(block[124:136], "size"), _number(block[136:148], "time")
    if kind == b"x":
        if size > _LARGEST_PAX:
            raise BadArchive(f"a PAX header of {size:,} bytes")
        return Header(name, "pax", size, modified)
    if kind not in _KINDS:
        raise BadArchive(f"{name!r} is {_REFUSED_KINDS.get(kind, 'of an unknown kind')}")
    if any(block[157:257]):
        raise BadArchive(f"{name!r} is a link")
    return _checked(Header(name, _KINDS[kind], size, modified))


def with_records(plain: Header, content: bytes) -> Header:
    """The header with what the PAX header before it says. Raises BadArchive."""
    records = _records(content)
    name, size = plain.name, plain.size
    if "path" in records:
        name = _decoded(records["path"])
    if "size" in records:
        if not re.fullmatch(rb"[0-9]{1,18}", records["size"]):
            raise BadArchive(f"{name!r} has no size that can be: {records['size'][:30]!r}")
        size = int(records["size"])
    return _checked(Header(name, plain.kind, size, plain.modified))


def _checked(found: Header) -> Header:
    if found.kind == FOLDER and found.size:
        raise BadArchive(f"the folder {found.name!r} has a content")
    return found


def _ustar(prefix: bytes, name: bytes, kind: bytes, mode: int, size: int, modified: int) -> bytes:
    block = b"".join(
        (
            name.ljust(_NAME, b"\0"),
            b"%07o\0%07o\0%07o\0%011o\0%011o\0        " % (mode, 0, 0, size, modified),
            kind.ljust(101, b"\0"),
            b"ustar\x0000".ljust(88, b"\0"),
            prefix.ljust(_PREFIX + 12, b"\0"),
        )
    )
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _split(name: bytes) -> tuple[bytes, bytes] | None:
    """The name as ustar keeps it, its end and the folders before it; None where it does not fit."""
    if len(name) <= _NAME:
        return name, b""
    cut = name.rfind(b"/", 0, min(_PREFIX + 1, len(name) - 1))
    if cut <= 0 or len(name) - cut - 1 > _NAME:
        return None
    return name[cut + 1 :], name[:cut]


def _pax(records: dict[str, bytes], modified: int) -> bytes:
    content = b"".join(_record(key.encode(), value) for key, value in records.items())
    return _ustar(b"", b"PaxHeaders/v6", b"x", FILE_MODE, len(content), modified) + content + bytes(padding(len(content)))


def _record(key: bytes, value: bytes) -> bytes:
    """One record; the length that it begins with counts itself."""
    rest = b" %s=%s\n" % (key, value)
    length = len(rest) + 1
    while len(b"%d" % length) + len(rest) != length:
        length += 1
    return b"%d" % length + rest


def _records(content: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    at = 0
    while at < len(content):
        match = _PAX_RECORD.match(content, at)
        end = at + int(match[1]) if match else 0
        if match is None or end > len(content) or end <= match.end() or content[end - 1 : end] != b"\n":
            raise BadArchive("a PAX header is damaged")
        key = match[2].decode()
        if key not in {"path", "size"} or key in found:
            raise BadArchive(f"a PAX header sets {key} {'twice' if key in found else ', which v6 never does'}".replace(" ,", ","))
        found[key] = content[match.end() : end - 1]
        at = end
    return found


def _number(field: bytes, what: str) -> int:
    match = _OCTAL.match(field)
    if match is None or any(field[match.end() :].strip(b" \0")):
        raise BadArchive(f"a header's {what} is no number: {field!r}")
    return int(match[1], 8)


def _text(field: bytes) -> str:
    text, _, rest = field.partition(b"\0")
    if any(rest):
        raise BadArchive("a header's name goes on behind its end")
    return _decoded(text)


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise BadArchive(f"a name is not UTF-8: {raw[:80]!r}") from None
