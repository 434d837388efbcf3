"""A checklist goes on whatever one of its steps does, and what is not known is never green."""

from __future__ import annotations

import asyncio
import logging

import pytest

from v6cli import events
from v6cli.errors import GatewayUnavailable
from v6cli.procedure import DECISIVE, Finding, Fix, Outcome, Procedure, Status, Step, exit_code, run, verdict


async def good() -> list[Finding]:
    return [Finding("machine", Status.OK, "well")]


async def refuses() -> list[Finding]:
    raise GatewayUnavailable("nobody answers", next_step="v6 services start")


async def hangs() -> list[Finding]:
    await asyncio.Event().wait()
    raise AssertionError


async def buggy() -> list[Finding]:
    return {}["missing"]


async def silent() -> list[Finding]:
    return []


def step(name: str, look, subject: str = "machine", seconds: float = 5.0) -> Step:
    return Step(name, name.title(), "", look, subject, seconds)


def outcomes(*steps: Step, report=events.ignore) -> list[Outcome]:
    return asyncio.run(run(Procedure("check", "Check", steps), report))


@pytest.mark.parametrize(
    ("look", "text", "advice"),
    [
        (refuses, "nobody answers", "v6 services start"),
        (hangs, "no answer within 0.05 s", ""),
        (buggy, "a bug in v6: KeyError: 'missing'", "the traceback is in the log"),
        (silent, "the step found nothing to judge", ""),
    ],
)
def test_a_step_that_does_not_know_is_unknown_and_the_others_go_on(look, text: str, advice: str) -> None:
    seen: list[events.Event] = []
    first, bad, last = outcomes(step("first", good), step("bad", look, "gateway", 0.05), step("last", good), report=seen.append)
    assert first.status is last.status is Status.OK
    assert (bad.status, bad.worst.text, bad.worst.advice, bad.worst.subject) == (Status.UNKNOWN, text, advice, "gateway")
    assert exit_code([*first.findings, *bad.findings]) == 2
    assert [one.step.name for one in (first, bad, last)] == ["first", "bad", "last"]
    assert {type(one) for one in seen} == {events.StepBegan, events.StepEnded} and len(seen) == 6


def test_the_traceback_of_a_bug_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    outcomes(step("bad", buggy))
    (record,) = caplog.records
    assert record.levelno == logging.ERROR and "machine" in record.getMessage()
    assert record.exc_info and record.exc_info[0] is KeyError


def test_an_interrupt_is_no_finding() -> None:
    async def interrupted() -> list[Finding]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outcomes(step("bad", interrupted))


def test_cancelling_ends_every_step() -> None:
    async def main() -> None:
        work = asyncio.ensure_future(run(Procedure("check", "Check", (step("one", hangs), step("two", hangs))), events.ignore))
        await asyncio.sleep(0.01)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work

    asyncio.run(main())


@pytest.mark.parametrize("subject", ["gateway", "account", "positions", "risk", "lake", "greeks", "services"])
@pytest.mark.parametrize(("status", "code"), [(Status.OK, 0), (Status.DEGRADED, 1), (Status.UNHEALTHY, 2), (Status.UNKNOWN, None)])
def test_the_exit_code_of_a_finding(subject: str, status: Status, code: int | None) -> None:
    wanted = code if code is not None else 2 if subject in {"gateway", "account", "positions", "risk"} else 1
    assert Finding(subject, status, "").exit_code == wanted
    assert exit_code([Finding("x", Status.OK, ""), Finding(subject, status, "")]) == wanted
    assert verdict([Finding(subject, status, "")]) == ("healthy", "degraded", "unhealthy")[wanted]


def test_nothing_found_is_nothing_known() -> None:
    assert exit_code([]) == 2 and verdict([]) == "unhealthy"
    assert {"gateway", "account", "positions", "risk"} == DECISIVE


def test_the_finding_that_decides_is_the_worst() -> None:
    findings = tuple(
        Finding(subject, status, text)
        for subject, status, text in (
            ("x", Status.OK, "a"),
            ("x", Status.UNKNOWN, "b"),
            ("x", Status.DEGRADED, "c"),
            ("risk", Status.UNKNOWN, "d"),
        )
    )
    assert Outcome(step("x", good), findings, 0).worst.text == "d"
    assert Outcome(step("x", good), findings[:3], 0).worst.text == "c"


def test_a_fix_is_a_line_to_type() -> None:
    assert str(Fix(("sync", "--force"))) == "v6 sync --force"
