"""Archives that no v6 wrote: each a good one with one thing wrong. ``CORPUS`` is every one by its name, with a word of its refusal."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from v6cli.backup import tar
from v6cli.backup.tar import BLOCK, END, padding

FILES = {
    "config/v6.toml": b'profile = "demo"\n',
    "data/lake/t/_delta_log/00000000000000000000.json": b"{}\n",
    "data/lake/t/part-1.parquet": b"PAR1" + bytes(range(256)) * 8 + b"PAR1",
    "data/state/v6.sqlite": b"SQLite format 3\0",
}
SCHEMA = {"type": "struct", "fields": []}


def manifest(files: dict[str, bytes], **changes: object) -> bytes:
    """A manifest of these files, as v6 writes it."""
    table = {"name": "t", "version": 0, "rows": 0, "files": 2, "bytes": 1, "schema": SCHEMA, "known": False, "named": False}
    said = {
        "format": "v6.backup/1",
        "taken": "2026-11-24T21:30:00Z",
        "home": "/h",
        "profile": "demo",
        "account": "",
        "trading_state": "ACTIVE",
        "trading_reason": "",
        "software": {},
        "sync": None,
        "tables": [table],
        "left_out": [],
        "strays": [],
        "secrets": False,
        "files": [{"path": path, "size": len(content)} for path, content in files.items()],
    }
    return json.dumps(said | changes).encode()


def member(path: str, content: bytes, head: bytes | None = None) -> bytes:
    return (head or tar.header(path, len(content), 0)) + content + bytes(padding(len(content)))


def sums(files: dict[str, bytes], own: bytes) -> bytes:
    return b"".join(
        f"{hashlib.sha256(content).hexdigest()}  {path}\n".encode() for path, content in ({"manifest.json": own} | files).items()
    )


def archive(
    files: dict[str, bytes] = FILES,
    *,
    said: bytes | None = None,
    members: list[bytes] | None = None,
    more: list[bytes] | None = None,
    last: bytes | None = None,
    end: bytes = END,
) -> bytes:
    """The tar of a good archive, or of one with these parts in place of its own; ``more`` comes before the sums."""
    own = manifest(files) if said is None else said
    parts = [member("backup/manifest.json", own)]
    parts += [member(f"backup/{path}", content) for path, content in files.items()] if members is None else members
    parts += more or []
    parts.append(member("backup/SHA256SUMS", sums(files, own) if last is None else last))
    return b"".join(parts) + end


def special(path: str, kind: bytes, link: str = "", size: int = 0) -> bytes:
    """The header of a member of another kind, its sum right."""
    block = bytearray(tar.header(path, size, 0)[-BLOCK:])
    block[156:157] = kind
    block[157 : 157 + len(link)] = link.encode()
    return summed(block)


def summed(block: bytearray) -> bytes:
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def field(at: int, value: bytes, path: str = "backup/data/lake/t/part-1.parquet") -> bytes:
    """A file's header with one field overwritten, its sum right."""
    block = bytearray(tar.header(path, len(FILES["data/lake/t/part-1.parquet"]), 0))
    block[at : at + len(value)] = value
    return summed(block)


def pax(*records: bytes, claimed: int | None = None) -> bytes:
    content = b"".join(records)
    return special("x", b"x", size=len(content) if claimed is None else claimed) + content + bytes(padding(len(content)))


def record(key: str, value: str) -> bytes:
    rest = f" {key}={value}\n".encode()
    length = next(n for n in range(len(rest), len(rest) + 9) if n == len(rest) + len(str(n)))
    return str(length).encode() + rest


def named(path: str) -> bytes:
    """An archive one of whose files, in its manifest and everywhere, has this name."""
    files = FILES | {path: b"x"}
    own = manifest(files)
    members = [member(f"backup/{name}", content) for name, content in FILES.items()]
    raw = path.encode("utf-8", "surrogateescape")
    members.append(
        pax(record("path", f"backup/{path}")) + member("x", b"x") if len(raw) > 80 or not raw.isascii() else member(f"backup/{path}", b"x")
    )
    return archive(files, said=own, members=members)


def instead(head: bytes) -> bytes:
    """An archive in which this stands in place of the header of the data file."""
    content = FILES["data/lake/t/part-1.parquet"]
    members = [member(f"backup/{path}", known, head if path.endswith("part-1.parquet") else None) for path, known in FILES.items()]
    assert content in b"".join(members)
    return archive(members=members)


def without(path: str) -> bytes:
    return archive(members=[member(f"backup/{name}", content) for name, content in FILES.items() if name != path])


def swapped(text: bytes, other: bytes) -> bytes:
    whole = archive()
    assert whole.count(text) >= 1
    return whole.replace(text, other, 1)


def zipped(content: bytes) -> bytes:
    return gzip.compress(content, 1, mtime=0)


def _flip(raw: bytes, at: int) -> bytes:
    return raw[:at] + bytes([raw[at] ^ 4]) + raw[at + 1 :]


PART = "backup/data/lake/t/part-1.parquet"
GOOD = zipped(archive())
_BOMB = {"data/lake/t/part-1.parquet": bytes(64 << 20)}

TARS: dict[str, tuple[Callable[[], bytes], str]] = {
    "an absolute path": (lambda: named("/etc/cron.d/x"), "absolute"),
    "an absolute member beside the manifest": (lambda: archive(more=[member("/tmp/v6-hostile", b"x")]), "not below backup/"),
    "a path that leaves": (lambda: named("data/lake/../../../x"), "leaves"),
    "a member that leaves": (lambda: archive(more=[member("backup/../x", b"x")]), "not of its manifest"),
    "a path that leaves by PAX": (lambda: archive(more=[pax(record("path", "../../x")) + member(PART, b"x")]), "not below backup/"),
    "a path with a dot": (lambda: named("data/lake/./x"), "second way"),
    "a path with two slashes": (lambda: named("data/lake//x"), "second way"),
    "a path elsewhere in the home": (lambda: named("run/latch.lock"), "is neither in"),
    "a path that is only the beginning of an allowed one": (lambda: named("data/lakes/x"), "is neither in"),
    "a newline in an account": (lambda: archive(said=manifest(FILES, account="DU1\nforged")), "nonsense of its account"),
    "a newline in a name": (lambda: named("data/lake/a\nb"), "no name needs"),
    "a backslash in a name": (lambda: named("data/lake/..\\x"), "no name needs"),
    "a name too long": (lambda: named("data/lake/" + "x" * 256), "too long"),
    "a path too long": (lambda: named("data/lake/" + "x/" * 600 + "y"), "too long"),
    "names that differ in case": (lambda: named("data/lake/t/PART-1.parquet"), "one name on other"),
    "folders that differ in case": (lambda: named("data/lake/T/other"), "one name on other"),
    "names that differ in Unicode form": (
        lambda: archive(both := FILES | {"data/lake/\u00e9": b"x", "data/lake/e\u0301": b"y"}, said=manifest(both)),
        "one name on other",
    ),
    "a file that is a folder, too": (lambda: named("data/lake/t/part-1.parquet/x"), "one name on other"),
    "a link out": (lambda: archive(more=[special("backup/data/lake/out", b"2", "/etc")]), "is a link"),
    "a link in place of a file": (lambda: instead(special(PART, b"2", "/etc/passwd", 2056)), "is a link"),
    "a link within": (lambda: archive(more=[special("backup/data/lake/in", b"2", "t")]), "is a link"),
    "a hard link out": (lambda: archive(more=[special("backup/data/lake/out", b"1", "/etc/passwd")]), "is a hard link"),
    "a file with the target of a link": (lambda: instead(field(157, b"/etc/passwd")), "is a link"),
    "a character device": (lambda: archive(more=[special("backup/data/lake/d", b"3")]), "is a device"),
    "a block device": (lambda: archive(more=[special("backup/data/lake/d", b"4")]), "is a device"),
    "a pipe": (lambda: archive(more=[special("backup/data/lake/p", b"6")]), "is a pipe"),
    "a sparse file": (lambda: archive(more=[special("backup/data/lake/s", b"S")]), "is a sparse file"),
    "a GNU long name": (lambda: archive(more=[special("././@LongLink", b"L", size=0)]), "GNU long name"),
    "an unknown kind": (lambda: archive(more=[special("backup/data/lake/k", b"Z")]), "unknown kind"),
    "a member twice": (lambda: archive(more=[member(PART, FILES["data/lake/t/part-1.parquet"])]), "there twice"),
    "a manifest twice": (lambda: archive(more=[member("backup/manifest.json", manifest(FILES))]), "there twice"),
    "a folder twice": (lambda: archive(more=[tar.header("backup/config", 0, 0, folder=True)] * 2), "there twice"),
    "a folder of nothing": (lambda: archive(more=[tar.header("backup/data/lake/empty", 0, 0, folder=True)]), "not of its manifest"),
    "a folder with a content": (lambda: archive(more=[special("backup/config", b"5", size=512) + bytes(512)]), "has a content"),
    "a member that nobody lists": (lambda: archive(more=[member("backup/data/lake/t/more.parquet", b"x")]), "not of its manifest"),
    "a member missing": (lambda: without("data/state/v6.sqlite"), "are missing"),
    "a member longer than the manifest says": (
        lambda: instead(tar.header(PART, len(FILES["data/lake/t/part-1.parquet"]) + 512, 0)),
        "its manifest says",
    ),
    "a member shorter than the manifest says": (lambda: instead(tar.header(PART, 8, 0)), "its manifest says"),
    "a bomb behind a small size": (
        lambda: archive(members=[member(f"backup/{path}", _BOMB.get(path, content)) for path, content in FILES.items()]),
        "its manifest says",
    ),
    "a member of eight exabytes": (
        lambda: archive(said=manifest(FILES).replace(b'"size": 2056', b'"size": 9000000000000000000')),
        "nonsense",
    ),
    "a negative size in the manifest": (lambda: archive(said=manifest(FILES).replace(b'"size": 2056', b'"size": -2056')), "nonsense"),
    "a negative size in a header": (lambda: instead(field(124, b"\xff" * 12)), "is no number"),
    "a size in base 256": (lambda: instead(field(124, b"\x80" + bytes(9) + b"\x08\x08")), "is no number"),
    "a size with a sign": (lambda: instead(field(124, b"-0000004010\0")), "is no number"),
    "a negative size by PAX": (lambda: instead(pax(record("size", "-1")) + tar.header(PART, 0, 0)), "no size that can be"),
    "a huge size by PAX": (lambda: instead(pax(record("size", "9" * 30)) + tar.header(PART, 0, 0)), "no size that can be"),
    "another size by PAX": (lambda: instead(pax(record("size", "512")) + tar.header(PART, 2056, 0)), "its manifest says"),
    "another path by PAX": (lambda: instead(pax(record("path", "backup/config/v6.toml")) + tar.header(PART, 2056, 0)), "there twice"),
    "a link by PAX": (lambda: archive(more=[pax(record("linkpath", "/etc/passwd")) + member(PART, b"")]), "never does"),
    "a sparse map by PAX": (lambda: archive(more=[pax(record("GNU.sparse.major", "1")) + member(PART, b"")]), "never does"),
    "a PAX record twice": (lambda: archive(more=[pax(record("path", "a"), record("path", "b")) + member(PART, b"")]), "sets path twice"),
    "a PAX record longer than its header": (lambda: archive(more=[pax(b"99 path=x\n") + member(PART, b"")]), "PAX header is damaged"),
    "a PAX record of no length": (lambda: archive(more=[pax(b"0 path=x\n") + member(PART, b"")]), "PAX header is damaged"),
    "a PAX header of a gigabyte": (lambda: archive(more=[pax(record("path", "x"), claimed=1 << 30)]), "a PAX header of"),
    "a PAX header for all": (lambda: archive(more=[special("g", b"g")]), "for all that follows"),
    "a PAX header alone": (lambda: archive(more=[pax(record("path", "x")) + END]), "stands alone"),
    "two PAX headers": (lambda: archive(more=[pax(record("path", "x")) * 2]), "stands alone"),
    "a header's sum wrong": (
        lambda: instead(tar.header(PART, 2056, 0)[:148] + b"000000\0 " + tar.header(PART, 2056, 0)[156:]),
        "checksum is wrong",
    ),
    "a header of GNU": (lambda: instead(field(257, b"ustar  \0")), "not of the format"),
    "a name that goes on behind its end": (lambda: instead(field(60, b"hidden")), "goes on behind"),
    "a name that is not UTF-8": (lambda: instead(field(10, b"\xff")), "not UTF-8"),
    "a content changed": (lambda: swapped(b"PAR1" + bytes(range(8)), b"PAR2" + bytes(range(8))), "is damaged"),
    "the settings changed": (lambda: swapped(b'profile = "demo"\n' + bytes(9), b'profile = "live"\n' + bytes(9)), "is damaged"),
    "the manifest changed": (lambda: swapped(b'"account": ""', b'"account":"" '), "is damaged"),
    "sums of other files": (
        lambda: archive(last=sums({f"{path[:-1]}_": content for path, content in FILES.items()}, manifest(FILES))),
        "not of the files",
    ),
    "a sum wrong": (lambda: archive(last=sums(FILES, manifest(FILES)).replace(b"a", b"b", 1)), "is damaged"),
    "sums cut off": (lambda: archive(last=sums(FILES, manifest(FILES))[:-9]), "another size"),
    "sums that are none": (lambda: archive(last=b"\xff" * len(sums(FILES, manifest(FILES)))), "list of sums is damaged"),
    "no sums": (lambda: archive().split(tar.header("backup/SHA256SUMS", 1, 0)[:20])[0] + END, "without its list of sums"),
    "no end": (lambda: archive(end=b""), "cut off"),
    "half an end": (lambda: archive(end=bytes(BLOCK)), "cut off"),
    "a member behind the sums": (lambda: archive(end=member("backup/config/late.toml", b"x") + END), "behind SHA256SUMS"),
    "a member behind the end": (lambda: archive(end=END + member("backup/config/late.toml", b"x") + END), "behind its end"),
    "zeros without end": (lambda: archive(end=END + bytes(8 << 20)), "behind its end"),
    "something between two files": (lambda: swapped(b'profile = "demo"\n' + bytes(9), b'profile = "demo"\n' + b"hidden!!!"), "hidden"),
    "no manifest": (lambda: archive()[len(member("backup/manifest.json", manifest(FILES))) :], "does not begin with a manifest"),
    "a manifest of another format": (lambda: archive(said=manifest(FILES, format="v6.backup/2")), "this v6 knows"),
    "a manifest that is no JSON": (lambda: archive(said=b"{"), "manifest cannot be read"),
    "a manifest nested too deep": (lambda: archive(said=b'{"files":' + b"[" * 100_000), "manifest cannot be read"),
    "a manifest of a terabyte": (lambda: tar.header("backup/manifest.json", 1 << 32, 0) + END, "its manifest has"),
    "a manifest that lists a file twice": (
        lambda: archive(said=manifest(FILES).replace(b"data/state/v6.sqlite", b"config/v6.toml", 1)),
        "listed twice",
    ),
    "a table without files": (lambda: archive(said=manifest(FILES).replace(b'"name": "t"', b'"name": "u"')), "without files"),
    "a table out of the lake": (lambda: archive(said=manifest(FILES).replace(b'"name": "t"', b'"name": "../../.."')), "without files"),
    "a table twice": (lambda: archive(said=manifest(FILES, tables=json.loads(manifest(FILES))["tables"] * 2)), "a table twice"),
}

RAWS: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "is empty"),
    "no gzip": (archive, "is damaged"),
    "cut off in the middle": (lambda: GOOD[: len(GOOD) // 2], "cut off"),
    "cut off in the trailer": (lambda: GOOD[:-3], "cut off"),
    "a second stream behind the end": (lambda: GOOD + GOOD, "behind its end"),
    "an empty second stream": (lambda: GOOD + zipped(b""), "behind its end"),
    "zeros behind the end": (lambda: GOOD + bytes(512), "behind its end"),
    "a second stream far behind": (lambda: GOOD + bytes(1 << 20) + GOOD, "behind its end"),
    "the trailer's sum wrong": (lambda: _flip(GOOD, len(GOOD) - 6), "is damaged"),
    "the trailer's length wrong": (lambda: _flip(GOOD, len(GOOD) - 2), "is damaged"),
    "a bit flipped": (lambda: _flip(GOOD, len(GOOD) // 2), ""),
    "gigabytes of zeros": (lambda: zipped(bytes(256 << 20)), "does not begin with a manifest"),
}

CORPUS = {name: (lambda make=make: zipped(make()), word) for name, (make, word) in TARS.items()} | RAWS


def write(path: Path, raw: bytes) -> Path:
    path.write_bytes(raw)
    return path
