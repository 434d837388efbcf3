"""Restarts as supervisord's own log tells them."""

from __future__ import annotations

from pathlib import Path

from v6cli.services.restarts import count_restarts


def lines(*texts: str) -> str:
    return "".join(f"2026-11-24 13:00:00,000 {text}\n" for text in texts)


SPAWNED = "INFO spawned: 'a' with pid 7"
CRASHED = "WARN exited: a (exit status 1; not expected)"


def test_only_what_supervisord_started_again_by_itself_counts(tmp_path: Path) -> None:
    log = tmp_path / "supervisord.log"
    assert count_restarts(log)["a"] == 0
    log.write_text(lines(SPAWNED, CRASHED, SPAWNED, "WARN exited: a (terminated by SIGKILL (core dumped); not expected)", SPAWNED, CRASHED))
    assert count_restarts(log)["a"] == 2
    log.write_text(lines(SPAWNED, CRASHED, SPAWNED, "WARN stopped: a (terminated by SIGTERM)", SPAWNED))
    assert count_restarts(log)["a"] == 0
    log.write_text(lines(SPAWNED, CRASHED, SPAWNED, "INFO exited: a (exit status 0; expected)", SPAWNED))
    assert count_restarts(log)["a"] == 0
    log.write_text(
        lines(SPAWNED, CRASHED, SPAWNED, CRASHED, "INFO gave up: a entered FATAL state, too many start retries too quickly", SPAWNED)
    )
    assert count_restarts(log)["a"] == 0


def test_the_count_goes_on_across_rotation_and_ends_with_the_supervisor(tmp_path: Path) -> None:
    log = tmp_path / "supervisord.log"
    log.with_name("supervisord.log.1").write_text(lines(SPAWNED, CRASHED, SPAWNED, CRASHED))
    log.write_text(lines(SPAWNED))
    assert count_restarts(log)["a"] == 2
    log.write_text(lines(SPAWNED, "INFO supervisord started with pid 9", SPAWNED))
    assert count_restarts(log)["a"] == 0
