"""Requests between processes: what was asked, what came back, and what is known where nothing did."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from v6cli import control, events
from v6cli.errors import BadConfiguration, BadInput, OutcomeUnknown, Refused, ServiceUnavailable, UsageError, V6Error


@pytest.fixture
def path() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="v6-", dir="/tmp"))
    yield folder / "run" / "v6-trading.sock"
    shutil.rmtree(folder)


async def echo(**arguments: object) -> object:
    return arguments


async def refuse() -> object:
    raise Refused("a halt stands", next_step="v6 resume --reason TEXT")


async def work(report: events.Report, steps: int) -> object:
    for done in range(steps):
        report(events.Progress("positions", done + 1, steps))
        await asyncio.sleep(0)
    report(events.Note("all seen"))
    return steps


async def fail() -> object:
    return 1 / 0


async def hang() -> object:
    await asyncio.sleep(3600)
    return None


VERBS: dict[str, control.Verb] = {"echo": echo, "refuse": refuse, "work": work, "fail": fail, "hang": hang}


def asked(path: Path, ask: Callable[[], object]) -> object:
    """What ``ask`` returns or raises while a server with VERBS listens."""

    async def scene() -> object:
        async with await control.serve(path, VERBS):
            return await asyncio.to_thread(ask)

    return asyncio.run(scene())


def test_an_answer_comes_back(path: Path) -> None:
    assert asked(path, lambda: control.call(path, "echo", account="DU1", limits=[1, 2.5, None])) == {
        "account": "DU1",
        "limits": [1, 2.5, None],
    }


def test_an_answer_comes_back_within_an_event_loop(path: Path) -> None:
    async def scene() -> object:
        async with await control.serve(path, VERBS):
            return await asyncio.gather(*(control.acall(path, "echo", n=n) for n in range(50)))

    assert asyncio.run(scene()) == [{"n": n} for n in range(50)]


def test_events_arrive_before_the_answer(path: Path) -> None:
    seen: list[events.Event] = []
    assert asked(path, lambda: control.call(path, "work", report=seen.append, steps=2)) == 2
    assert seen == [events.Progress("positions", 1, 2), events.Progress("positions", 2, 2), events.Note("all seen")]
    assert asked(path, lambda: control.call(path, "work", steps=2)) == 2, "a caller that shows nothing is answered too"


def test_an_error_of_a_verb_is_raised_at_the_caller(path: Path) -> None:
    with pytest.raises(Refused) as failure:
        asked(path, lambda: control.call(path, "refuse"))
    assert (failure.value.message, failure.value.next_step, failure.value.exit_code) == ("a halt stands", "v6 resume --reason TEXT", 77)


def test_a_bug_in_a_verb_is_told_and_logged(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(V6Error, match="a bug in v6-trading: ZeroDivisionError") as failure:
        asked(path, lambda: control.call(path, "fail"))
    assert failure.value.exit_code == 70
    assert caplog.records[0].exc_info


@pytest.mark.parametrize(("verb", "arguments"), [("sell_everything", {}), ("work", {}), ("work", {"steps": 1, "colour": "red"})])
def test_a_request_that_cannot_be_meant_is_a_usage_error(path: Path, verb: str, arguments: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        asked(path, lambda: control.call(path, verb, **arguments))


def test_nobody_listens(path: Path) -> None:
    with pytest.raises(ServiceUnavailable, match="v6-trading does not answer"):
        control.call(path, "echo")
    with pytest.raises(ServiceUnavailable):
        asyncio.run(control.acall(path, "echo"))


def test_a_request_without_an_answer_has_an_unknown_outcome(path: Path) -> None:
    with pytest.raises(OutcomeUnknown, match="no answer in time"):
        asked(path, lambda: control.call(path, "hang", timeout=0.2))


def test_a_server_that_closes_leaves_its_callers_with_an_unknown_outcome(path: Path) -> None:
    async def scene() -> None:
        async with await control.serve(path, VERBS):
            waiting = asyncio.create_task(control.acall(path, "hang"))
            await asyncio.sleep(0.1)
        await waiting

    with pytest.raises(OutcomeUnknown, match="ended before it answered"):
        asyncio.run(scene())
    assert not path.exists()


def test_a_server_that_closes_on_a_caller_logs_no_error(path: Path) -> None:
    problems: list[dict[str, object]] = []

    async def act() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: problems.append(context))
        async with await control.serve(path, VERBS):
            asking = asyncio.ensure_future(control.acall(path, "hang", timeout=30))
            await asyncio.sleep(0.1)
        with pytest.raises(OutcomeUnknown):
            await asking

    asyncio.run(act())
    assert not problems


def test_messages_beyond_the_bound_are_refused(path: Path) -> None:
    with pytest.raises(BadInput, match="longer than"):
        asked(path, lambda: control.call(path, "echo", text="x" * control.LONGEST_LINE))
    text = "x" * (control.LONGEST_LINE - 100)
    assert asked(path, lambda: control.call(path, "echo", text=text)) == {"text": text}


@pytest.mark.parametrize("request_line", [b"hello\n", b"[]\n", b'{"verb": 1}\n', b"\xff\n", b"\n"])
def test_what_is_no_request_is_answered_and_the_server_goes_on(path: Path, request_line: bytes) -> None:
    def ask() -> object:
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(str(path))
            raw.sendall(request_line)
            assert b'"BadInput"' in raw.makefile("rb").readline()
        return control.call(path, "echo")

    assert asked(path, ask) == {}


def test_only_the_owner_can_open_the_socket(path: Path) -> None:
    assert asked(path, lambda: (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777)) == (0o600, 0o700)


def test_a_socket_of_a_dead_process_is_replaced(path: Path) -> None:
    path.parent.mkdir()
    subprocess.run([sys.executable, "-c", f"import socket; socket.socket(socket.AF_UNIX).bind({str(path)!r})"], check=True)
    assert path.is_socket()
    assert asked(path, lambda: control.call(path, "echo")) == {}


def test_a_second_server_is_refused_and_takes_nothing_away(path: Path) -> None:
    async def scene() -> object:
        async with await control.serve(path, VERBS):
            with pytest.raises(Refused, match="runs already"):
                await control.serve(path, {})
            return await control.acall(path, "echo", still="here")

    assert asyncio.run(scene()) == {"still": "here"}


def test_a_server_leaves_the_socket_of_its_successor(path: Path) -> None:
    async def scene() -> object:
        first = await control.serve(path, {})
        path.unlink()
        async with await control.serve(path, VERBS):
            await first.close()
            return await control.acall(path, "echo", n=1)

    assert asyncio.run(scene()) == {"n": 1}


def test_of_two_that_find_the_same_stale_socket_one_serves(path: Path) -> None:
    program = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom v6cli import control, errors\n"
        "async def who():\n    return 1\n"
        "async def main():\n"
        "    try:\n        server = await control.serve(Path(sys.argv[1]), {'who': who})\n"
        "    except errors.Refused:\n        print('refused', flush=True)\n        return\n"
        "    print('serves', flush=True)\n    await asyncio.to_thread(sys.stdin.read)\n    await server.close()\n"
        "asyncio.run(main())\n"
    )
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    start = [sys.executable, "-c", program, str(path)]
    both = [subprocess.Popen(start, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        assert sorted(process.stdout.readline().strip() for process in both if process.stdout) == ["refused", "serves"]
        assert control.call(path, "who") == 1
    finally:
        for process in both:
            process.communicate()
    assert not path.exists()


def test_a_server_does_not_touch_the_socket_while_another_one_replaces_it(path: Path) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))

    async def scene() -> None:
        folder = os.open(path.parent, os.O_RDONLY)
        fcntl.flock(folder, fcntl.LOCK_EX)
        starting = asyncio.create_task(control.serve(path, VERBS))
        await asyncio.sleep(0.1)
        assert not starting.done()
        os.close(folder)
        async with await starting:
            assert await control.acall(path, "echo") == {}

    asyncio.run(scene())


def test_a_path_too_long_for_a_socket_is_refused(path: Path) -> None:
    long = path.with_name("x" * (108 - len(str(path.parent)) - 1))
    with pytest.raises(BadConfiguration):
        asyncio.run(control.serve(long, {}))
    fits = path.with_name("x" * (107 - len(str(path.parent)) - 1))
    assert len(os.fsencode(fits)) == 107
    assert asked(fits, lambda: control.call(fits, "echo")) == {}


def test_asking_does_not_import_an_event_loop() -> None:
    program = "import sys, v6cli.control; assert 'asyncio' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
