"""The same conversation with each client library, over TCP with a gateway in another process: ``--client`` is the library's Python."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
#: What a gateway may be served with, the step at which ibapi finds it, and the one at which the other libraries do, if they do.
BUGS = [
    ("sizes_with_a_point", "chains_and_details", None),
    ("executions_without_liquidity", "combo", "combo"),
    ("margins_unset", "what_if", "what_if"),
]


@pytest.fixture
def client(pytestconfig: pytest.Config) -> str:
    return pytestconfig.getoption("client") or sys.executable


@contextlib.contextmanager
def gateway(*bugs: str) -> Iterator[tuple[int, int]]:
    """A gateway's port and process number. It must have nothing to complain of, unless it has bugs."""
    argv = [sys.executable, str(HERE / "gateway.py"), *bugs]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield int(process.stdout.readline()), process.pid
        finally:
            _, complaints = process.communicate()
    assert bugs or (process.returncode, complaints) == (0, "")


def converse(client: str, part: str, served: tuple[int, int]) -> subprocess.CompletedProcess[str]:
    argv = [client, str(HERE / "converse.py"), part, *map(str, served)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.parametrize("part", ["trading", "visits"])
def test_every_step_goes_well(client: str, part: str) -> None:
    with gateway() as served:
        done = converse(client, part, served)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize(("bug", "ibapi_step", "other_step"), BUGS)
def test_a_planted_bug_ends_the_conversation(client: str, bug: str, ibapi_step: str, other_step: str | None) -> None:
    has_ibapi = subprocess.run([client, "-c", "import ibapi"], capture_output=True, check=False).returncode == 0
    step = ibapi_step if has_ibapi else other_step
    with gateway(bug) as served:
        done = converse(client, "trading", served)
    assert done.returncode == (1 if step else 0), done.stdout
    assert step is None or f"{step} went wrong" in done.stdout, done.stdout


def test_a_descriptor_that_is_kept_is_found(client: str) -> None:
    with gateway("descriptors_kept") as served:
        done = converse(client, "visits", served)
    assert "the end of every connection does not come" in done.stdout
