"""Writing at a terminal that stands still, and into a pipe that nobody empties."""

from __future__ import annotations

import contextlib
import os
import pty
import socket
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator

import pytest

from v6cli.console.stall import MISSED, Reader, Unwaited, reopen

from ..conftest import ROOT

pytestmark = pytest.mark.timeout(60)  # what waits for ever, or a second for each line, runs into it

FRAME = b"\r\x1b[2K\x1b[1A\x1b[2K"


class Pipe:
    """A pipe that is read when the test says so."""

    def __init__(self) -> None:
        self.reads, self.writes = os.pipe()
        self.own = os.open(f"/proc/self/fd/{self.writes}", os.O_WRONLY | os.O_NONBLOCK)
        os.set_blocking(self.reads, False)

    def fill(self, leave: int = 0) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.own, b"." * 4096)
        if leave:
            os.read(self.reads, leave)

    def read(self) -> bytes:
        taken = b""
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self.reads, 65536):
                taken += part
        return taken.lstrip(b".")

    def close(self) -> None:
        for descriptor in (self.reads, self.writes, self.own):
            os.close(descriptor)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


def test_a_stall_costs_its_patience_once_and_its_end_is_told_in_one_line(pipe: Pipe) -> None:
    said = Unwaited(pipe.own, Reader(), tells=True)
    said.write(b"before\n")
    assert pipe.read() == b"before\n" and not said.missed
    pipe.fill()
    for number in range(300):
        assert said.write(b"dropped %d\n" % number) == len(b"dropped %d\n" % number)
    assert said.missed and pipe.read() == b"", "it has been waited for, and nothing of it is seen"
    for number in range(3):
        said.write(b"after %d\n" % number)
    assert pipe.read().decode().splitlines() == [MISSED, "after 0", "after 1", "after 2"] and not said.missed


def test_who_reads_slowly_is_waited_for(pipe: Pipe) -> None:
    said = Unwaited(pipe.own, Reader(), tells=True)
    pipe.fill()
    writing = threading.Thread(target=said.write, args=(b"line\n" * 10_000,))
    writing.start()
    taken = b""
    while writing.is_alive():
        taken += pipe.read()
    taken += pipe.read()
    writing.join()
    assert taken == b"line\n" * 10_000 and not said.missed


def test_what_is_cut_off_is_ended_before_the_next(pipe: Pipe) -> None:
    said = Unwaited(pipe.own, Reader(), tells=True)
    pipe.fill(leave=4096)
    said.write(b"x" * 5000 + b"\n")
    said.write(b"dropped\n")
    assert pipe.read() == b"x" * 4096
    said.write(b"next\n")
    assert pipe.read().decode().splitlines() == ["", MISSED, "next"]


def test_the_next_frame_of_a_live_view_does_not_wipe_what_tells(pipe: Pipe) -> None:
    said = Unwaited(pipe.own, Reader(), tells=True)
    pipe.fill()
    said.write(FRAME + b"one\x1b[1mframe")
    pipe.read()
    said.write(FRAME + b"\x1b[1manother\x1b[0m")
    assert pipe.read() == FRAME + MISSED.encode() + b"\n\x1b[1manother\x1b[0m"


def test_a_thread_that_waits_makes_no_other_wait_for_longer(pipe: Pipe) -> None:
    reader = Reader()
    said, beside = Unwaited(pipe.own, reader, tells=True), Unwaited(pipe.own, reader, tells=False)
    pipe.fill()
    with reader.lock:  # as a thread has it that waits
        beside.write(b"dropped\n")
    assert beside.missed and not said.missed
    threads = [threading.Thread(target=said.write, args=(b"frame",)) for _ in range(30)]
    for thread in threads:
        thread.start()
    beside.write(b"dropped, too\n")
    for thread in threads:
        thread.join()
    assert said.missed and pipe.read() == b""


def test_patience_comes_back_slowly(pipe: Pipe) -> None:
    """At a reader that takes a little now and then, not every gap is waited for."""
    said = Unwaited(pipe.own, Reader(), tells=False)
    for _ in range(100):
        pipe.fill()
        said.write(b"dropped\n")
        pipe.read()
        said.write(b"seen\n")
        assert pipe.read() == b"seen\n"


def test_a_pipe_whose_reader_is_gone_is_an_error_as_ever(pipe: Pipe) -> None:
    said = Unwaited(pipe.own, Reader(), tells=True)
    os.close(pipe.reads)
    pipe.reads = os.dup(pipe.writes)
    with pytest.raises(BrokenPipeError):
        said.write(b"line\n")


def test_what_the_shell_has_open_goes_on_blocking(pipe: Pipe) -> None:
    shells = os.dup(pipe.writes)
    with open(pipe.writes, "w", encoding="ascii", errors="backslashreplace", closefd=False) as stream:
        stream.write("held ")
        opened = reopen(stream, pipe.writes, {}, tells=True)
        assert opened is not None
        text, raw = opened
        print("said – here", file=text)
        assert pipe.read() == b"held said \\u2013 here\n", "what was held comes first, in the encoding there was"
        assert os.get_blocking(shells) and not os.get_blocking(raw.fileno())
        assert (text.fileno(), text.isatty()) == (pipe.writes, False)
    os.close(shells)


def test_a_socket_that_nobody_reads_is_not_waited_for_and_goes_on_blocking_for_others() -> None:
    """Such as the one by which systemd takes what a unit says."""
    ours, theirs = socket.socketpair()
    others = socket.socket(fileno=os.dup(ours.fileno()))
    with ours, theirs, others, open(ours.fileno(), "w", encoding="utf-8", closefd=False) as stream:
        opened = reopen(stream, ours.fileno(), {}, tells=True)
        assert opened is not None
        text, raw = opened
        for number in range(20_000):
            print(f"line {number}", "." * 100, file=text)
        assert raw.missed, "the test must fill what the kernel holds"
        assert os.get_blocking(others.fileno())
        theirs.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while theirs.recv(65536):
                pass
        print("the next", file=text)
        assert theirs.recv(65536).decode().splitlines()[-2:] == [MISSED, "the next"]


def test_a_socket_whose_reader_is_gone_is_an_error_as_ever() -> None:
    ours, theirs = socket.socketpair()
    with ours, open(ours.fileno(), "w", encoding="utf-8", closefd=False) as stream:
        opened = reopen(stream, ours.fileno(), {}, tells=True)
        theirs.close()
        assert opened is not None
        with pytest.raises(BrokenPipeError):
            print("line", file=opened[0])


def test_a_file_and_a_stream_of_no_descriptor_stay_as_they_are(tmp_path, pipe: Pipe) -> None:
    with (tmp_path / "said").open("w") as stream:
        assert reopen(stream, stream.fileno(), {}, tells=True) is None
        assert reopen(stream, pipe.writes, {}, tells=True) is None


ASK = """
import os, sys
from v6cli.console.output import Output
output = Output(None, color=False, quiet=False, verbose=False)
output.hurry()
for number in range(20):
    output.note(f"note {number}")
os.write(int(sys.argv[1]), b"!")
print(f"<{output.ask('close everything? ')}>")
"""


def test_a_question_is_asked_once_it_can_be_seen(pipe: Pipe) -> None:
    master, slave = pty.openpty()
    termios.tcflow(slave, termios.TCOOFF)  # as ^S does
    os.set_blocking(pipe.reads, True)
    streams = {"stdin": slave, "stdout": slave, "stderr": slave}
    command = [sys.executable, "-c", ASK, str(pipe.writes)]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, pass_fds=[pipe.writes], **streams) as asking:
        try:
            assert os.read(pipe.reads, 1) == b"!"
            termios.tcflow(slave, termios.TCOON)
            seen = b""
            while b"close everything? " not in seen:
                seen += os.read(master, 4096)
            os.write(master, b"no\n")
            while b"<no>" not in seen:
                seen += os.read(master, 4096)
        finally:
            asking.kill()
    os.close(slave)
    os.close(master)
    assert b"note" not in seen and seen.decode().splitlines()[0] == MISSED
