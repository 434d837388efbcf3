from __future__ import annotations

import io
import sys

import pytest

from v6cli.console.output import Output

HOSTILE = "red \x1b[31m, a title \x1b]0;x\x07\nand a line\rof its own"
SHOWN = "red \\x1b[31m, a title \\x1b]0;x\\x07\nand a line\\rof its own"


class Screen(io.StringIO):
    """A stream that a person looks at."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def output() -> Output:
    return Output("plain", color=True, quiet=False, verbose=True)


@pytest.mark.parametrize("say", ["note", "detail", "error"])
def test_no_line_beside_the_data_commands_the_terminal(say: str, output: Output, capsys: pytest.CaptureFixture[str]) -> None:
    getattr(output, say)(HOSTILE)
    assert capsys.readouterr().err.removeprefix("v6: ") == f"{SHOWN}\n"


def test_a_line_of_data_commands_no_terminal_and_reaches_a_pipe_as_it_is(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, expected in ((Screen(), SHOWN), (io.StringIO(), HOSTILE)):
        monkeypatch.setattr(sys, "stdout", stream)
        output.text(HOSTILE)
        assert stream.getvalue() == f"{expected}\n"


def test_a_tab_stays_room_between_words(output: Output, capsys: pytest.CaptureFixture[str]) -> None:
    output.note("a\tb")
    assert capsys.readouterr().err == "a       b\n"


def test_nor_does_a_question_command_the_terminal(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(sys, "stdin", Screen("y\n"))
    assert output.ask is not None and output.ask(f"{HOSTILE}? ") == "y"
    assert screen.getvalue() == f"{SHOWN}? "


@pytest.mark.parametrize(("typed", "line"), [("no\n", "close? "), ("", "close? \n"), ("no", "close? \n")])
def test_what_follows_a_question_begins_a_line_of_its_own(
    typed: str, line: str, output: Output, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The terminal itself shows the line's end that was typed; ^D ends none."""
    answering = Screen(typed)
    monkeypatch.setattr(sys, "stdin", answering)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    ask = output.ask
    assert ask is not None
    assert ask("close? ") == typed.strip()
    assert capsys.readouterr().err == line
