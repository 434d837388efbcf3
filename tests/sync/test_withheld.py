"""Unknown is not zero: an answer that does not end is no answer, whichever it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from v6cli import latch
from v6cli.errors import GatewayUnavailable
from v6cli.events import ignore
from v6cli.health import checks, examine
from v6cli.health.gather import Facts
from v6cli.lake import reader
from v6cli.procedure import Status, exit_code
from v6cli.procedure import run as run_procedure
from v6cli.runbook import checklist, morning_check
from v6cli.state import mirror

ANSWERS = {"positions": "positions", "account": "account values", "executions": "executions", "open-orders": "open orders"}


class NoServices:
    """A home whose services nobody hosts."""

    def status(self, names=()):
        return []

    def log_files(self, name: str) -> list[Path]:
        return []


def facts(stage) -> Facts:
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def look():
        connection = await stage.connect("look")
        try:
            yield connection
        finally:
            await connection.close()

    return Facts(stage.home, stage.settings, NoServices(), look)


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_sync_without_one_end_writes_nothing_and_names_it(stage, answer: str) -> None:
    async def act(stage) -> None:
        first = await stage.sync()
        assert first.positions == 21
        stage.gateway.faults.set("withhold-end", answer=answer)
        with pytest.raises(GatewayUnavailable, match=f"{ANSWERS[answer]}: no complete answer .* unknown"):
            await stage.sync()
        seen = mirror.read(stage.state)
        assert seen is not None and seen.run == first.run and len(seen.positions) == 21
        recorded = reader.last_run(stage.home.lake)
        assert recorded is not None and recorded.run == first.run
        stage.gateway.faults.clear("withhold-end")
        assert (await stage.sync()).positions == 21

    stage(act, timeout=0.5)


@pytest.mark.parametrize("answer", ["positions", "account"])
def test_the_checklist_never_takes_a_missing_answer_for_none_held(stage, answer: str) -> None:
    async def act(stage) -> None:
        await stage.sync()
        stage.gateway.faults.set("withhold-end", answer=answer)
        procedure = morning_check.procedure(facts(stage))
        outcomes = await run_procedure(procedure, ignore)
        assert checklist.code(outcomes) == 2
        by_step = {outcome.step.name: outcome for outcome in outcomes}
        assert by_step["gateway"].status in {Status.UNHEALTHY, Status.UNKNOWN}
        assert by_step["positions"].findings[0].status is Status.UNKNOWN
        everything = [finding.text for outcome in outcomes for finding in outcome.findings]
        assert not any("all 0 positions" in text for text in everything)

    stage(act, timeout=0.5)


def test_whether_orders_may_be_written_is_unknown_without_the_end_of_completed_orders(stage) -> None:
    async def act(stage) -> None:
        stage.gateway.faults.set("withhold-end", answer="completed-orders")
        found = {finding.text: finding for finding in await examine.gateway(facts(stage))}
        unknown = next(finding for text, finding in found.items() if "may write is unknown" in text)
        assert unknown.status is Status.UNKNOWN
        assert exit_code(found.values()) == 2

    stage(act, timeout=0.5)


def test_a_read_only_gateway_is_found_out_at_once(stage) -> None:
    async def act(stage) -> None:
        stage.gateway.faults.set("read-only")
        found = await examine.gateway(facts(stage))
        assert [finding.status for finding in found if "read-only" in finding.text] == [Status.UNHEALTHY]

    stage(act, timeout=5.0)


def test_a_position_missing_in_one_answer_only_is_not_believed(stage, monkeypatch) -> None:
    async def act(stage) -> None:
        from v6cli.sync import fetch

        await stage.sync()
        monkeypatch.setattr(fetch, "SECOND_PROOF_AFTER", 0.05)
        connection = await stage.connect()
        asked = connection.client.positions
        answers = []

        async def shrunken():
            answers.append(await asked())
            return answers[0][1:] if len(answers) == 1 else answers[-1]

        connection.client.positions = shrunken
        with pytest.raises(GatewayUnavailable, match="answers differ"):
            await stage.sync(connection)
        assert len(answers) == 2
        await connection.close()
        seen = mirror.read(stage.state)
        assert seen is not None and len(seen.positions) == 21

    stage(act)


def test_the_mirror_is_what_the_lake_holds_at_its_run(stage) -> None:
    async def act(stage) -> None:
        for _ in range(3):
            await stage.sync()
        seen = mirror.read(stage.state)
        recorded = reader.last_run(stage.home.lake)
        assert seen is not None and recorded is not None and seen.run == recorded.run
        key = lambda one: one.contract.con_id  # noqa: E731
        assert sorted(seen.positions, key=key) == sorted(reader.positions(stage.home.lake), key=key)
        assert seen.greeks == reader.greeks(stage.home.lake)
        assert seen.account == reader.account(stage.home.lake)

    stage(act)


def test_a_dry_run_writes_neither_lake_nor_mirror(stage) -> None:
    async def act(stage) -> None:
        done = await stage.sync(dry_run=True)
        assert done.positions == 21 and not done.written
        assert mirror.read(stage.state) is None
        assert reader.last_run(stage.home.lake) is None

    stage(act)


def test_an_open_latch_is_active_and_a_missing_one_is_not(stage) -> None:
    async def act(stage) -> None:
        assert checks.trading_state(latch.read(stage.home)).status is Status.OK
        stage.home.latch.rmdir()
        found = checks.trading_state(latch.read(stage.home))
        assert found.status is Status.DEGRADED and "HALTED" in found.text

    stage(act)
