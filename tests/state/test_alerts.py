from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from v6cli import clock
from v6cli.errors import BadInput
from v6cli.models import Alert, Severity
from v6cli.state import alerts
from v6cli.state.database import State

START = datetime(2026, 11, 24, 14, 30, tzinfo=UTC)
LAG = Alert("sync.lag", Severity.WARNING, "the sync is 3 minutes old", "v6 sync --force")


@pytest.fixture(autouse=True)
def moving(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(10_000))
    monkeypatch.setattr(clock, "now", lambda: START + timedelta(seconds=next(ticks)))


def test_the_same_key_counts_up(state: State) -> None:
    first = alerts.raise_alert(state, LAG)
    again = alerts.raise_alert(state, Alert("sync.lag", Severity.WARNING, "the sync is 4 minutes old"))
    assert (first.count, again.count, again.id) == (1, 2, first.id)
    assert (again.first_at, again.last_at) == (START, START + timedelta(seconds=1))
    assert again.text == "the sync is 4 minutes old"
    assert alerts.open_alerts(state) == [again]


def test_a_resolved_alert_begins_anew(state: State) -> None:
    first = alerts.raise_alert(state, LAG)
    resolved = alerts.resolve(state, LAG.key)
    assert resolved is not None
    assert resolved.resolved_at == START + timedelta(seconds=1)
    assert alerts.resolve(state, LAG.key) is None
    assert alerts.open_alerts(state) == []
    anew = alerts.raise_alert(state, LAG)
    assert anew.id != first.id
    assert anew.count == 1
    assert [alert.id for alert in alerts.recent(state, START)] == [anew.id, first.id]
    assert [alert.id for alert in alerts.recent(state, anew.last_at)] == [anew.id]


def test_acknowledged_bare_means_all_and_by_key_or_id_one(state: State) -> None:
    lag = alerts.raise_alert(state, LAG)
    disk = alerts.raise_alert(state, Alert("disk", Severity.CRITICAL, "full"))
    risk = alerts.raise_alert(state, Alert("risk", Severity.INFO, "delta near its limit"))
    assert [alert.id for alert in alerts.acknowledge(state, "disk", "ann")] == [disk.id]
    assert [alert.id for alert in alerts.acknowledge(state, str(lag.id), "ann")] == [lag.id]
    assert [(alert.id, alert.acknowledged_by) for alert in alerts.acknowledge(state, None, "bob")] == [(risk.id, "bob")]
    assert [(alert.key, alert.acknowledged_by) for alert in alerts.open_alerts(state)] == [
        ("disk", "ann"),
        ("sync.lag", "ann"),
        ("risk", "bob"),
    ]
    assert alerts.acknowledge(state, None, "eve") == []
    with pytest.raises(BadInput, match="no open alert gateway"):
        alerts.acknowledge(state, "gateway", "ann")


def test_an_alert_that_got_louder_is_no_longer_acknowledged(state: State) -> None:
    alerts.raise_alert(state, LAG)
    alerts.acknowledge(state, None, "ann")
    assert alerts.raise_alert(state, LAG).acknowledged_by == "ann"
    louder = alerts.raise_alert(state, Alert(LAG.key, Severity.CRITICAL, "the sync is dead"))
    assert louder.acknowledged_by is None
    assert louder.acknowledged_at is None
    assert louder.severity is Severity.CRITICAL
