"""The README as a newcomer reads it: its commands are run as they are written."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from v6cli.home import Home
from v6cli.install import new_home
from v6cli.runbook.demo import NEXT

from .conftest import free_port

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[list[str]]:
    return [block.strip().splitlines() for block in re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)]


def test_two_commands_of_one_line_set_everything_up() -> None:
    demo, tests = blocks("sh")
    assert len(demo) == len(tests) == 1
    assert demo[0].endswith("&& v6 demo") and tests[0].endswith("&& pytest")
    for line in (*demo, *tests):
        assert line.startswith("python3 -m venv .venv && . .venv/bin/activate && pip install -q -c constraints.txt -e ")
        assert "make" not in line


def test_ci_runs_the_test_command_as_it_is_written() -> None:
    script = (ROOT / ".ci/run").read_text()
    assert "## Run the tests" in README and "/^## Run the tests/" in script
    assert blocks("sh")[1][0] not in script, "taken from the README, not copied"


@pytest.mark.xdist_group("stops-gateway")
def test_what_the_demo_says_to_try_next_works_as_printed(v6, folder: Path) -> None:
    home = new_home.make(folder / "d", "demo", port=free_port())
    printed = v6("demo", home.root, check=0).stderr
    assert NEXT.format(place=home.root) in printed
    lines = [re.split(r"  +", line.removeprefix("then:").strip())[0] for line in NEXT.format(place=home.root).strip().splitlines()]
    assert lines[0] == f"next: cd {home.root}"
    codes = {}
    for line in lines[1:]:
        words = shlex.split(line)
        assert words[0] == "v6"
        done = v6(*words[1:], cwd=home.root)
        codes[line] = done.returncode
    assert codes.pop("v6 morning-check") == 2, "after its gateway was stopped"
    assert set(codes.values()) == {0}, codes


def test_a_home_as_the_readme_makes_one(v6, folder: Path) -> None:
    lines = [line.removeprefix("$ ") for block in blocks("console") for line in block if line.startswith("$ v6 init")]
    assert lines
    for line in lines:
        words = shlex.split(line.replace("~", str(folder)))
        v6(*words[1:], check=0)
        made = Home(Path(words[2]))
        shown = json.loads(v6("config", "show", "-o", "json", cwd=made.root, check=0).stdout)
        assert {row["key"]: row["value"] for row in shown["rows"]}["account"] == "DU7654321"


def test_the_checklist_shown_is_the_checklist_there_is(demo) -> None:
    """The steps of the picture in the README, in the words and the order of the command."""
    picture = next(block for block in blocks("console") if block[0] == "$ v6 morning-check")
    steps = [row["step"] for row in json.loads(demo.v6("morning-check", "-o", "json", check=0).stdout)["rows"]]
    shown = [line[:12].strip() for line in picture[3:] if line[:12].strip()]
    assert shown == steps
