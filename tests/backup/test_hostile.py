"""Hostile archives are refused in one line, and nothing is written outside of the folder they were to be taken out to.

The corpus is proven by planted bugs: each takes one check out of the reader, and some archive must then get through.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from v6cli import events
from v6cli.backup import archive, extract, gzipped, manifest, names, tar, verify
from v6cli.backup.errors import BadArchive, NoManifest
from v6cli.backup.tar import Header

from . import hostile
from .conftest import everything
from .hostile import CORPUS, GOOD


@pytest.fixture
def place(folder: Path) -> Path:
    """A folder three levels down, so that what leaves it is seen."""
    made = folder / "a" / "b" / "c"
    made.mkdir(parents=True)
    return made


def outside(folder: Path, staging: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*") if not path.is_relative_to(staging)}


def test_the_good_one_is_good(place: Path) -> None:
    extract.extract(hostile.write(place / "good.tar.gz", GOOD), place / "out", events.ignore)
    assert everything(place / "out") == hostile.FILES


def test_there_are_enough_of_them() -> None:
    assert len(CORPUS) >= 90


@pytest.mark.parametrize("name", CORPUS)
def test_a_hostile_archive_is_refused_and_nothing_is_written_outside(folder: Path, place: Path, name: str) -> None:
    make, word = CORPUS[name]
    path = hostile.write(place / "h.tar.gz", make())
    before = outside(folder, place / "out")
    for act in (lambda: extract.extract(path, place / "out", events.ignore), lambda: extract.check(path, events.ignore)):
        with pytest.raises(BadArchive) as refused:
            act()
        assert word in refused.value.message, refused.value.message
        assert refused.value.message.startswith("h.tar.gz is refused: ")
        assert "\n" not in refused.value.message and len(refused.value.message) < 300
    assert outside(folder, place / "out") == before
    for path in (place / "out").rglob("*"):
        assert not path.is_symlink() and path.lstat().st_nlink == (path.lstat().st_nlink if path.is_dir() else 1)
    assert sum(map(len, everything(place / "out").values())) <= sum(map(len, hostile.FILES.values())) + 1
    assert verify.verify(hostile.write(place / "h.tar.gz", make()), place, events.ignore).code == 2


def test_the_verdict_is_one_line_on_the_screen(v6, demo_home, place: Path) -> None:
    path = hostile.write(place / "h.tar.gz", CORPUS["a link out"][0]())
    done = v6("--home", demo_home, "backup", "verify", path, "--scratch", place, check=2)
    assert "h.tar.gz is refused: 'backup/data/lake/out' is a link" in " ".join(done.stdout.split())
    assert "Traceback" not in done.stderr


def test_one_without_a_manifest_is_told_apart(place: Path) -> None:
    with pytest.raises(NoManifest):
        archive.head(hostile.write(place / "h.tar.gz", CORPUS["no manifest"][0]()))


@pytest.mark.seeds(4, 200)
def test_any_bytes_changed_are_refused_or_change_nothing(place: Path, seed: int) -> None:
    chance = random.Random(seed)
    for turn in range(25):
        raw = bytearray(hostile.archive())
        for _ in range(chance.choice((1, 1, 2, 8))):
            at = chance.randrange(len(raw))
            if chance.random() < 0.7:
                raw[at] = chance.choice((0, 255, raw[at] ^ 1 << chance.randrange(8), chance.randrange(256)))
            elif chance.random() < 0.5:
                del raw[at : at + chance.choice((1, 512, 1024))]
            else:
                raw[at:at] = raw[: chance.choice((1, 512, 1024))]
        path = hostile.write(place / f"{turn}.tar.gz", hostile.zipped(bytes(raw)))
        try:
            extract.extract(path, place / f"out{turn}", events.ignore)
        except BadArchive:
            continue
        assert everything(place / f"out{turn}") == hostile.FILES


def test_a_bomb_does_not_fill_memory_or_disk(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gigabyte that the manifest owns up to is refused for want of room before its first byte is written."""
    from v6cli.backup import scratch
    from v6cli.errors import CannotWrite

    said = hostile.manifest(hostile.FILES).replace(b'"size": 2056', b'"size": 1073741824')
    path = hostile.write(place / "h.tar.gz", hostile.zipped(hostile.archive(said=said)))
    monkeypatch.setattr(scratch, "free", lambda place: 1 << 29)
    with pytest.raises(CannotWrite, match="no room"):
        extract.extract(path, place / "out", events.ignore)
    assert everything(place / "out") == {}


def let_all_kinds_through(block: bytes) -> Header | None:
    found = tar.Header(block[:100].rstrip(b"\0").decode("utf-8", "replace"), tar.FILE, 0, 0)
    try:
        return REAL_PARSE(block)
    except BadArchive:
        return found


REAL_PARSE = tar.parse
BUGS: dict[str, tuple[object, str, Callable[..., object]]] = {
    "names are not checked": (names, "check_all", lambda paths: None),
    "names that leave are not seen": (names, "problem", lambda path: ""),
    "collisions are not seen": (names, "collision", lambda paths: None),
    "sums are not compared": (archive, "_check_sums", lambda *_: None),
    "the end is not looked at": (archive, "_check_end", lambda stream: None),
    "padding is skipped unseen": (archive, "_skip_padding", lambda stream, size: stream.exactly(tar.padding(size)) and None),
    "PAX records are believed": (tar, "_records", lambda content: {}),
    "PAX is taken as it is": (tar, "with_records", lambda plain, content: plain),
    "headers are not checked again": (tar, "_checked", lambda found: found),
    "numbers are guessed": (tar, "_number", lambda raw, what: int(bytes(c for c in raw if 48 <= c < 56) or b"0", 8)),
    "names may go on": (tar, "_text", lambda raw: raw.partition(b"\0")[0].decode("utf-8", "replace")),
    "any header is a file": (tar, "parse", let_all_kinds_through),
    "any format will do": (manifest, "_check_format", lambda found: None),
    "the manifest is not checked": (manifest, "decoded", lambda text: __import__("msgspec").json.decode(text, type=manifest.Manifest)),
}


@pytest.mark.parametrize("bug", BUGS)
def test_the_corpus_finds_a_planted_bug(folder: Path, monkeypatch: pytest.MonkeyPatch, bug: str) -> None:
    where, what, instead = BUGS[bug]
    monkeypatch.setattr(where, what, instead)
    got_through = []
    for number, (name, (make, word)) in enumerate(CORPUS.items()):
        if name in {"gigabytes of zeros", "zeros without end", "a bomb behind a small size"}:
            continue
        try:
            extract.check(hostile.write(folder / f"{number}.tar.gz", make()), events.ignore)
            got_through.append(name)
        except BadArchive as error:
            if word not in error.message:
                got_through.append(name)
        except Exception:  # a bug may well end in another error: it is found
            got_through.append(name)
    assert got_through, f"nothing noticed that {bug}"


def test_the_corpus_finds_a_reader_that_takes_a_second_stream(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gzip
    import io

    class Lenient(gzipped.Gunzip):
        def _decompress(self) -> None:
            content = gzip.GzipFile(fileobj=io.BytesIO(self._file.read())).read()
            self._put(content)

    monkeypatch.setattr(archive, "Gunzip", Lenient)
    extract.check(hostile.write(folder / "h.tar.gz", CORPUS["an empty second stream"][0]()), events.ignore)
