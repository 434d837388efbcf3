"""Every long suite, one after the other, and one table of how they went; exit 1 where one failed or ran nothing. `make soak`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from v6cli.console import tables
from v6cli.results import Column, Table, count

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Suite:
    """A name for the table, and what pytest is told."""

    name: str
    arguments: tuple[str, ...]


SUITES = (
    Suite("world", ("tests/world", "--long")),
    Suite("torture", ("tests/torture", "--long")),
    Suite("hostile", ("tests/simulator/test_hostile_requests.py", "tests/backup/test_hostile.py", "--long")),
    Suite("machine", ("tests", "-m", "machine")),
)


@dataclass(frozen=True)
class Failure:
    """A test that failed: its id, its seed where it has one, and the command that runs it again."""

    test: str
    seed: str | None
    replay: str


@dataclass(frozen=True)
class Outcome:
    """How one suite went. ``problem`` says why it is no success where no test failed: nothing ran, or pytest itself broke."""

    suite: Suite
    tests: int
    failures: list[Failure]
    skipped: int
    seconds: float
    problem: str

    @property
    def passed(self) -> int:
        return self.tests - len(self.failures) - self.skipped

    @property
    def well(self) -> bool:
        return not (self.failures or self.problem)


def main(suites: Sequence[Suite] = SUITES) -> int:
    """Run the suites, draw the table; the exit code."""
    outcomes = [run(suite) for suite in suites]
    width = max(80, int(os.environ.get("COLUMNS", "0")))
    tables.draw(table(outcomes), "table" if sys.stdout.isatty() else "plain", color=sys.stdout.isatty(), width=width)
    for outcome in outcomes:
        if outcome.problem:
            print(f"\n{outcome.suite.name}: {outcome.problem}")
        for failure in outcome.failures:
            print(f"\n{failure.test}" + (f", seed {failure.seed}" if failure.seed else "") + f"\n  {failure.replay}")
    return 0 if outcomes and all(outcome.well for outcome in outcomes) else 1


def run(suite: Suite) -> Outcome:
    """One suite, a line on stderr for each test as it ends."""
    print(f"\n== {suite.name}: pytest {' '.join(suite.arguments)}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="v6-soak-") as folder:
        report = Path(folder) / "report.xml"
        # The older family of reports names the file of each test, from which its id is made.
        told = ("-v", "--no-header", f"--junitxml={report}", "-o", "junit_family=xunit1")
        began = time.monotonic()
        done = subprocess.run([sys.executable, "-m", "pytest", *suite.arguments, *told], cwd=ROOT, stdout=sys.stderr, check=False)
        return judged(suite, report, done.returncode, time.monotonic() - began)


def judged(suite: Suite, report: Path, code: int, seconds: float) -> Outcome:
    """What pytest's report and its exit code say."""
    if not report.exists():
        return Outcome(suite, 0, [], 0, seconds, f"pytest ended with exit code {code} and without a report")
    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = sum(case.find("skipped") is not None for case in cases)
    problem = ""
    if not cases or skipped == len(cases):
        problem = f"nothing ran (pytest ended with exit code {code})"
    elif code and not failed:
        problem = f"pytest ended with exit code {code}"
    return Outcome(suite, len(cases), [_failure(suite, case) for case in failed], skipped, seconds, problem)


def _failure(suite: Suite, case: ElementTree.Element) -> Failure:
    test = _test_id(case)
    seed = next((found.get("value") for found in case.iter("property") if found.get("name") == "seed"), None)
    marks = suite.arguments[suite.arguments.index("-m") :][:2] if "-m" in suite.arguments else ()
    # A seed beyond the first few is no test until it is named.
    alone = ("--seed", seed) if seed else ()
    return Failure(test, seed, " ".join(["python -m pytest -n 0", _quoted(test), *alone, *marks]))


def _test_id(case: ElementTree.Element) -> str:
    """File, class and name; a file that could not be imported has neither class nor test."""
    file, module = case.get("file", ""), case.get("classname", "")
    if not module:
        return file
    inside = module.removeprefix(file.removesuffix(".py").replace("/", ".")).lstrip(".")
    return "::".join(part for part in (file, *inside.split("."), case.get("name")) if part)


def _quoted(test: str) -> str:
    return test if re.fullmatch(r"[\w./:-]+", test) else f"'{test}'"


def table(outcomes: Sequence[Outcome]) -> Table:
    """A row for each suite."""
    columns = (
        Column("suite"),
        Column("tests", kind="integer"),
        Column("passed", kind="integer"),
        Column("failed", kind="integer"),
        Column("skipped", kind="integer"),
        Column("time", kind="seconds"),
        Column("outcome", kind="status"),
    )
    rows = [
        (one.suite.name, one.tests, one.passed, len(one.failures), one.skipped, one.seconds, "ok" if one.well else "failed")
        for one in outcomes
    ]
    return Table("soak/1", f"Soak: {count(len(rows), 'suite')}", columns, rows, empty="no suite")


if __name__ == "__main__":
    sys.exit(main())
