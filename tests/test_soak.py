"""The table of the long suites, and the seeds that replay what they find."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from . import soak
from .soak import Suite

GOOD = """
import pytest

def test_well():
    pass

@pytest.mark.skip
def test_elsewhere():
    pass
"""

BAD = """
import pytest

@pytest.mark.seeds(1, 4)
def test_seeded(seed):
    assert seed != 2

class TestInside:
    @pytest.mark.parametrize("text", ["a b", "c"])
    def test_text(self, text):
        assert text == "c"

@pytest.fixture
def broken():
    raise OSError("no disk")

def test_whose_fixture_breaks(broken):
    pass
"""


@pytest.fixture
def suite(tmp_path: Path, root: Path):
    """A suite of one file of tests, run with this project's own seeds and settings."""

    place = tmp_path / "tests"
    place.mkdir()
    for name in ("conftest.py", "said.py"):
        shutil.copy(root / "tests" / name, place)

    def make(name: str, text: str, *arguments: str) -> Suite:
        file = place / name / "test_it.py"
        file.parent.mkdir()
        file.write_text(text)
        where = ("-c", f"{root}/pyproject.toml", f"--rootdir={tmp_path}", "-p", "no:cacheprovider", "-n", "0")
        return Suite(name, (str(file), *where, *arguments))

    return make


def test_a_suite_that_fails_is_counted_and_can_be_replayed(suite, capfd, root: Path, tmp_path: Path) -> None:
    assert soak.main([suite("good", GOOD), suite("bad", BAD, "--long")]) == 1
    said = capfd.readouterr()
    assert [line.split()[:5] + line.split()[6:] for line in said.out.splitlines()[2:4]] == [
        ["good", "2", "1", "0", "1", "ok"],
        ["bad", "7", "4", "3", "0", "failed"],
    ]
    assert "PASSED" in said.err and "test_seeded[3]" in said.err, "each test says that it ended, while the rest runs"
    failures = said.out.split("\n\n")[1:]
    assert (
        failures[0]
        == "tests/bad/test_it.py::test_seeded[2], seed 2\n  python -m pytest -n 0 'tests/bad/test_it.py::test_seeded[2]' --seed 2"
    )
    assert failures[1].splitlines()[0] == "tests/bad/test_it.py::TestInside::test_text[a b]"
    assert failures[2].splitlines()[0] == "tests/bad/test_it.py::test_whose_fixture_breaks"
    assert len(failures) == 3
    for failure in failures:
        _, *argv = shlex.split(failure.splitlines()[1])
        argv += ["-c", f"{root}/pyproject.toml", f"--rootdir={tmp_path}"]
        environment = {"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"}
        again = subprocess.run([sys.executable, *argv], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert again.returncode == 1, again.stdout + again.stderr


def test_all_well_is_exit_0(suite, capfd) -> None:
    assert soak.main([suite("good", GOOD)]) == 0
    assert len(capfd.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        ("", (), "nothing ran (pytest ended with exit code 5)"),
        (GOOD, ("-k", "elsewhere"), "nothing ran (pytest ended with exit code 0)"),
        (GOOD, ("--no-such-option",), "pytest ended with exit code 4 and without a report"),
        ("import os\ndef test_first(): pass\ndef test_ends(): os._exit(7)\n", (), "pytest ended with exit code 7 and without a report"),
    ],
    ids=["empty", "all skipped", "usage", "dies"],
)
def test_a_suite_that_runs_nothing_is_no_success(suite, capfd, text: str, arguments: tuple[str, ...], said: str) -> None:
    assert soak.main([suite("good", GOOD), suite("odd", text, *arguments)]) == 1
    assert f"\nodd: {said}\n" in capfd.readouterr().out


def test_no_suites_are_no_success(capfd) -> None:
    assert soak.main([]) == 1


def test_a_file_that_cannot_be_imported_has_failed(suite, capfd) -> None:
    assert soak.main([suite("bad", "import nothing_of_this_name\n")]) == 1
    assert capfd.readouterr().out.split("\n\n")[1] == "tests/bad/test_it.py\n  python -m pytest -n 0 tests/bad/test_it.py\n"


@pytest.mark.parametrize(
    ("options", "seeds"), [((), "0"), (("--long",), "0 1 2 3"), (("--seed", "91"), "91"), (("--long", "--seed", "3"), "3")]
)
def test_the_seeds_of_a_test(suite, root: Path, options: tuple[str, ...], seeds: str) -> None:
    made = suite("seeded", BAD, *options, "-k", "seeded", "--co", "-q")
    listed = subprocess.run([sys.executable, "-m", "pytest", *made.arguments], cwd=root, capture_output=True, text=True, check=False).stdout
    found = [line.split("[")[1].rstrip("]") for line in listed.splitlines() if "test_seeded[" in line]
    assert found == seeds.split()


MEETS = """
import pytest

@pytest.mark.seeds(2, 3)
def test_meets(seed, record_property):
    record_property("to meet", ["halt", "crash", "restart"])
    record_property("met", ["halt"] if seed else ["crash"])
    record_property("figure", f"seed {seed} took long")
"""


@pytest.mark.parametrize("processes", ["0", "2"])
def test_a_run_that_never_met_what_it_must_has_failed(suite, capfd, processes: str) -> None:
    assert soak.main([suite("meets", MEETS, "-n", processes)]) == 1
    said = capfd.readouterr()
    assert "test_meets: never met restart\n" in said.err and "seed 1 took long" in said.err
    assert soak.main([suite("meets all", MEETS.replace(', "restart"', ""), "-n", processes)]) == 0
