"""Logs as they really are: rotated, torn, mixed, huge, and written while they are read."""

from __future__ import annotations

import gzip
import json
import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v6cli.errors import BadInput
from v6cli.services import backwards, logs
from v6cli.services.logs import Repeated
from v6cli.services.records import Line

NOON = datetime(2024, 11, 25, 17, tzinfo=UTC)
TRACE = 'Traceback (most recent call last):\n  File "x.py", line 1, in <module>\n    1 / 0\n    ~~^~~\nZeroDivisionError: division by zero'


def record(second: float, message: str, level: str = "INFO", **more: str) -> str:
    return (
        json.dumps({"time": (NOON + timedelta(seconds=second)).isoformat(), "level": level, "logger": "v6cli", "message": message, **more})
        + "\n"
    )


def texts(lines: list[Line]) -> list[str]:
    return [line.text for line in lines]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "v6-trading.log"


@given(st.binary(max_size=200).map(lambda content: content.replace(b"\x00", b"\n")), st.integers(1, 7))
@settings(max_examples=300)
def test_lines_backwards_are_the_lines_backwards(tmp_path_factory: pytest.TempPathFactory, content: bytes, block: int) -> None:
    path = tmp_path_factory.getbasetemp() / f"lines-{os.getpid()}"
    path.write_bytes(content)
    lines = content.split(b"\n")
    former, backwards.BLOCK = backwards.BLOCK, block
    try:
        assert list(backwards.lines_backwards(path)) == (lines[:-1] if lines[-1] == b"" else lines)[::-1]
    finally:
        backwards.BLOCK = former


def test_sources_are_merged_by_time(tmp_path: Path) -> None:
    for name, seconds in (("a", (1, 3, 5)), ("b", (2, 3, 6))):
        (tmp_path / f"{name}.log").write_text("".join(record(second, f"{name}{second}") for second in seconds))
    sources = [tmp_path / "a.log", tmp_path / "b.log", tmp_path / "missing.log"]
    found = logs.read(sources)
    assert [line.at for line in found] == sorted(line.at for line in found)
    assert sorted(texts(found)) == ["a1", "a3", "a5", "b2", "b3", "b6"]
    assert {(line.service, line.source) for line in found} == {("a", "a.log"), ("b", "b.log")}
    assert texts(logs.read(sources, limit=2)) == ["a5", "b6"]


def test_since_level_and_grep(log: Path) -> None:
    log.write_text(
        record(1, "old", "ERROR")
        + record(5, "calm")
        + record(6, "Pacing 45/s", "WARNING")
        + record(7, "lost", "ERROR", exception=TRACE)
        + record(8, "end", "CRITICAL")
    )
    assert texts(logs.read([log], since=NOON + timedelta(seconds=5), level="warning")) == ["Pacing 45/s", "lost\n" + TRACE, "end"]
    assert texts(logs.read([log], grep="pacing|ZeroDivision")) == ["Pacing 45/s", "lost\n" + TRACE]
    with pytest.raises(BadInput, match="not a level"):
        logs.read([log], level="loud")
    with pytest.raises(BadInput, match="not a regular expression"):
        logs.read([log], grep="(")


def test_rotated_files_are_read_newest_first_and_only_as_far_as_needed(log: Path) -> None:
    capture = log.with_name("v6-trading.out.log")
    log.write_text(record(9, "now"))
    log.with_name("v6-trading.2024-11-25_16-00-00_000001.log").write_text(record(5, "before"))
    with gzip.open(log.with_name("v6-trading.2024-11-24_16-00-00_000001.log.gz"), "wt") as packed:
        packed.write(record(1, "packed") + record(2, "packed too"))
    capture.write_text("2024-11-25T17:00:08+00:00 printed\n")
    capture.with_name("v6-trading.out.log.1").write_text("2024-11-25T17:00:07+00:00 printed before\n")
    capture.with_name("v6-trading.out.log.10").write_text("2024-11-25T17:00:03+00:00 printed first\n")
    log.with_name("v6-trading.2026.log").write_text(record(4, "somebody's copy"))
    assert texts(logs.read([log])) == ["packed", "packed too", "before", "now"]
    assert [text[26:] for text in texts(logs.read([capture]))] == ["printed first", "printed before", "printed"]
    old = log.with_name("v6-trading.2024-11-24_16-00-00_000001.log.gz")
    old.write_bytes(b"damaged")
    os.utime(old, (0, 0))
    assert texts(logs.read([log], since=NOON)) == ["before", "now"]
    assert texts(logs.read([log], limit=2)) == ["before", "now"]
    assert "cannot be read" in logs.read([log])[0].text, "what cannot be shown is said"


def test_a_clock_that_was_set_back_hides_nothing(log: Path) -> None:
    log.write_text(record(0, "old") + record(400, "before") + record(300, "set back") + record(500, "after"))
    assert texts(logs.read([log], since=NOON + timedelta(seconds=350))) == ["before", "after"]


PRINTED = f"""starting
2024-11-25 17:00:01,500+00:00 WARNING pacing
2024-11-25 17:00:02,500+00:00 ERROR in cycle
{TRACE}

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "y.py", line 2, in f
    g()
pkg.errors.Lost: gone
ready
{TRACE}
ERROR: giving up
a table:
    SPY   1
    QQQ   2
next: row
"""


def test_stack_traces_stay_with_their_line(log: Path) -> None:
    log.write_text(PRINTED)
    found = logs.read([log])
    assert [(line.text.splitlines()[0][-12:], len(line.text.splitlines()), line.level) for line in found] == [
        ("starting", 1, "INFO"),
        ("RNING pacing", 1, "WARNING"),
        ("ROR in cycle", 13, "ERROR"),
        ("ready", 1, "INFO"),
        ("t call last)"[1:] + ":", 5, "ERROR"),
        ("R: giving up", 1, "ERROR"),
        ("a table:", 4, "INFO"),
    ]
    assert found[2].at == NOON + timedelta(seconds=2.5)


def test_a_printed_line_is_no_later_than_the_next_known_time(log: Path) -> None:
    log.write_text("first\n2024-11-25T17:00:02Z second\nthird\n")
    os.utime(log, (NOON.timestamp() + 60,) * 2)
    assert [line.at - NOON for line in logs.read([log])] == [timedelta(seconds=2), timedelta(seconds=2), timedelta(seconds=60)]


def test_torn_and_foreign_lines_are_shown_as_they_are(log: Path) -> None:
    log.write_bytes(
        record(1, "whole").encode()
        + b'{"time": "2024-11-25T17:00:0\n'
        + b"\xff\xfe binary\n\n"
        + b'{"a": 1}\n'
        + record(2, "unfinished").encode()[:-1]
    )
    assert texts(logs.read([log])) == ["whole", '{"time": "2024-11-25T17:00:0', "\ufffd\ufffd binary", '{"a": 1}', "unfinished"]


def test_the_last_line_says_what_happened(log: Path) -> None:
    assert logs.last_line([log]) == ""
    log.write_text(record(1, "fine"))
    assert logs.last_line([log]) == "fine"
    capture = log.with_name("v6-trading.out.log")
    capture.write_text("starting\n" + TRACE + "\n")
    assert logs.last_line([log, capture]) == "ZeroDivisionError: division by zero"


def test_repeated_messages_are_counted_by_what_they_say() -> None:
    def line(second: int, level: str, text: str) -> Line:
        return Line(NOON + timedelta(seconds=second), "s", level, text, "s.log")

    found = logs.summarise(
        [
            line(1, "ERROR", "order 17 of 2024-11-25T09:30:05.1 rejected: 201"),
            line(4, "ERROR", "order 18 of 2024-11-25T09:31:05.1 rejected: 201"),
            line(2, "WARNING", "stale"),
            line(3, "WARNING", "stale"),
            line(6, "WARNING", "id 3f2b8c1d-0000-4000-8000-00000000000a at 0x7f00"),
            line(5, "ERROR", "in cycle\n" + TRACE),
            line(7, "CRITICAL", TRACE),
        ]
    )
    assert found == [
        Repeated(1, "CRITICAL", NOON + timedelta(seconds=7), "ZeroDivisionError: division by zero"),
        Repeated(2, "ERROR", NOON + timedelta(seconds=4), "order # of # rejected: #"),
        Repeated(1, "ERROR", NOON + timedelta(seconds=5), "in cycle"),
        Repeated(2, "WARNING", NOON + timedelta(seconds=3), "stale"),
        Repeated(1, "WARNING", NOON + timedelta(seconds=6), "id 3f2b8c1d-0000-4000-8000-00000000000a at 0x7f00"),
    ]


def followed(stream: Iterator[Line], count: int) -> list[str]:
    return [next(stream).text for _ in range(count)]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "POLL", 0.01)


def test_following_goes_on_across_rotation_removal_and_truncation(log: Path, quick: None) -> None:
    log.write_text(record(0, "old"))
    ended = threading.Event()
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.extend(line.text for line in logs.follow([log], ended=ended.is_set)))
    reader.start()
    time.sleep(0.1)
    with log.open("a") as writing:
        writing.write(record(1, "one"))
        writing.flush()
        log.rename(log.with_name("v6-trading.log.1"))
        writing.write(record(2, "two"))
    log.write_text(record(3, "three"))
    time.sleep(0.1)
    log.unlink()
    time.sleep(0.1)
    log.write_text(record(4, "four"))
    time.sleep(0.1)
    os.truncate(log, 0)
    time.sleep(0.1)
    with log.open("a") as writing:
        writing.write(record(5, "five"))
    time.sleep(0.1)
    ended.set()
    reader.join(5)
    assert found == ["one", "two", "three", "four", "five"]


def test_following_misses_nothing_of_a_busy_log_that_is_rotated(log: Path, quick: None) -> None:
    def write() -> None:
        for n in range(1000):
            with log.open("a") as writing:
                writing.write(record(n, str(n)))
            if n % 100 == 99:
                log.rename(log.with_name("v6-trading.log.1"))
            if n % 100 == 50:
                time.sleep(0.1)
        ended.set()

    log.write_text("")
    ended = threading.Event()
    writer = threading.Thread(target=write)
    stream = logs.follow([log], ended=ended.is_set)
    threading.Timer(0.05, writer.start).start()
    assert texts(list(stream)) == [str(n) for n in range(1000)]
    writer.join()


def test_following_waits_for_a_file_and_for_the_end_of_a_line(log: Path, quick: None) -> None:
    def write() -> None:
        time.sleep(0.05)
        with log.open("w") as writing:
            for piece in ("early\nhal", "f a line\nlate\n", TRACE[:40], TRACE[40:] + "\n"):
                writing.write(piece)
                writing.flush()
                time.sleep(0.03)
        ended.set()

    ended = threading.Event()
    writer = threading.Thread(target=write)
    writer.start()
    found = texts(list(logs.follow([log], ended=ended.is_set)))
    writer.join()
    assert found[:3] == ["early", "half a line", "late"]
    assert "\n".join(found[3:]) == TRACE


def test_following_filters(log: Path, quick: None) -> None:
    log.write_text("")
    stream = logs.follow([log], level="error", grep="order")
    threading.Timer(
        0.05, lambda: log.write_text(record(1, "order", "INFO") + record(2, "order 1", "ERROR") + record(3, "x", "ERROR"))
    ).start()
    assert followed(stream, 1) == ["order 1"]


@pytest.fixture(scope="module")
def huge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 MB, a record every 0.2 s: about 33 hours."""
    path = tmp_path_factory.mktemp("huge") / "v6-trading.log"
    with path.open("w") as writing:
        for start in range(0, 600_000, 1000):
            writing.write(
                "".join(
                    record(n / 5, f"cycle {n} took 12 ms, 14 positions, nothing to do", "ERROR" if n % 1000 == 0 else "INFO")
                    for n in range(start, start + 1000)
                )
            )
    return path


def test_a_recent_part_of_a_huge_log_is_read_without_the_rest(huge: Path) -> None:
    end = NOON + timedelta(seconds=599_999 / 5)
    began = time.process_time()
    assert len(logs.read([huge], limit=100)) == 100
    assert len(logs.read([huge], since=end - timedelta(minutes=10))) == 3001
    assert time.process_time() - began < 0.3
