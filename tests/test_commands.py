"""Every command that shows something, in a running demo: piped, as JSON, and in what it says when things are wrong."""

from __future__ import annotations

import csv
import io
import json
import stat
from pathlib import Path

import pytest

from v6cli import settings
from v6cli.home import Home
from v6cli.install import new_home
from v6cli.main import command_lines
from v6cli.models import Alert, Severity
from v6cli.state import alerts, journal, runs
from v6cli.state.database import open_read_only, open_state

from .conftest import free_port

LOOKS = {
    ("morning-check",): "v6.morning-check/1",
    ("morning-check", "--explain"): "v6.morning-check-steps/1",
    ("health",): "v6.health/1",
    ("status",): "v6.status/1",
    ("account",): "v6.account/1",
    ("account", "--from-gateway"): "v6.account/1",
    ("positions",): "v6.positions/1",
    ("positions", "--symbol", "spy"): "v6.positions/1",
    ("positions", "--symbol", "spy, qqq"): "v6.positions/1",
    ("positions", "--from-gateway"): "v6.positions/1",
    ("greeks",): "v6.greeks/1",
    ("greeks", "--by", "expiry"): "v6.greeks/1",
    ("greeks", "--by", "strategy"): "v6.greeks/1",
    ("risk",): "v6.risk/1",
    ("logs", "-n", "5"): "v6.logs/1",
    ("alerts", "list"): "v6.alerts/1",
    ("alerts", "list", "--all"): "v6.alerts/1",
    ("services", "status"): "v6.services/1",
    ("sync", "--force"): "v6.sync/1",
    ("sync", "--dry-run"): "v6.sync/1",
    ("config", "show"): "v6.config/1",
    ("gateway", "fault", "--list"): "v6.faults/1",
    ("backup", "--dry-run"): "v6.backup-plan/1",
    ("backup", "create"): "v6.backup/1",
    ("backup", "list"): "v6.backup-list/1",
    ("backup", "prune", "--dry-run"): "v6.backup-prune/1",
    ("support-bundle", "--dry-run"): "v6.support-bundle-parts/1",
    ("support-bundle",): "v6.support-bundle/1",
}


@pytest.mark.parametrize("argv", LOOKS, ids=" ".join)
def test_a_pipe_gets_plain_text_and_json_names_its_schema(demo, argv: tuple[str, ...]) -> None:
    plain = demo.v6(*argv, check=0)
    assert "\x1b" not in plain.stdout + plain.stderr
    assert plain.stdout.strip()
    answer = json.loads(demo.v6(*argv, "-o", "json", check=0).stdout)
    assert answer["schema"] == LOOKS[argv]
    rows = list(csv.reader(io.StringIO(demo.v6(*argv, "-o", "csv", check=0).stdout)))
    assert rows and all(len(row) == len(rows[0]) for row in rows)
    assert demo.v6(*argv, "-o", "markdown", check=0).stdout.startswith("### ")
    table = demo.v6(*argv, "-o", "table", check=0).stdout
    assert "\x1b" not in table
    assert max(map(len, table.splitlines())) <= 80


def test_positions_are_those_of_the_gateway(demo) -> None:
    recorded = json.loads(demo.v6("positions", "-o", "json", check=0).stdout)["rows"]
    asked = json.loads(demo.v6("positions", "--from-gateway", "-o", "json", check=0).stdout)["rows"]
    assert len(recorded) == 21
    held = [(row["symbol"], row["expiry"], row["strike"], row["right"], row["quantity"]) for row in recorded]
    assert held == [(row["symbol"], row["expiry"], row["strike"], row["right"], row["quantity"]) for row in asked]
    assert all(row["delta"] is not None for row in recorded)


def test_what_looks_leaves_one_record_of_its_result(demo) -> None:
    demo.v6("morning-check", check=0)
    with open_read_only(demo.home) as state:
        last = runs.last(state, "morning-check")
    assert last is not None and last.exit_code == 0
    assert set(last.evidence) == {"gateway", "services", "positions", "health", "risk", "logs"}


def test_what_changes_is_journaled_with_where_it_worked(demo) -> None:
    done = demo.v6("config", "set", "limits.delta", "180", check=0)
    assert f"home {demo.home}  profile demo  account DU1234567" in done.stderr
    assert "+delta = 180" in done.stdout
    demo.v6("config", "set", "limits.delta", "nonsense", check=78)
    with open_read_only(demo.home) as state:
        failed, succeeded = journal.entries(state, limit=2)
    assert (succeeded.outcome, succeeded.exit_code, succeeded.argv) == ("done", 0, ["config", "set", "limits.delta", "180"])
    assert (failed.outcome, failed.exit_code) == ("failed", 78)
    demo.v6("config", "set", "limits.delta", "200", check=0)


def test_the_demo_runs_twice_and_its_files_are_private(demo) -> None:
    done = demo.v6("demo", demo.home.root, check=0)
    assert f"next: cd {demo.home}" in done.stderr
    for path in [demo.home.root, *demo.home.root.rglob("*")]:
        if path.is_symlink() or not path.exists():
            continue
        mode = stat.S_IMODE(path.lstat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), f"{path} has mode {mode:o}"


@pytest.mark.xdist_group("stops-gateway")
def test_a_dead_gateway_is_named_in_time_and_mended_by_the_command_it_names(v6, folder: Path) -> None:
    home = new_home.make(folder / "d", "demo", port=free_port())
    v6("demo", home.root, check=0)
    try:
        v6("--home", home, "services", "stop", "ib-gateway", check=0)
        done = v6("--home", home, "morning-check", "-o", "json", check=2, timeout=10)
        rows = json.loads(done.stdout)["rows"]
        gateway = rows[0]
        assert gateway["step"] == "IB gateway" and gateway["status"] == "unhealthy"
        assert gateway["next"] == "v6 services start ib-gateway"
        assert not any("0 positions" in row["finding"] for row in rows)
        assert "unknown" in {row["status"] for row in rows if "positions" in row["finding"]}
        for argv in (("positions", "--from-gateway"), ("account", "--from-gateway"), ("sync", "--force")):
            refused = v6("--home", home, *argv, check=69, timeout=15)
            assert refused.stdout == ""
            assert "v6 health" in refused.stderr
        assert len(json.loads(v6("--home", home, "positions", "-o", "json", check=0).stdout)["rows"]) == 21
        v6("--home", home, "morning-check", "--fix", check=77)
        mended = v6("--home", home, "morning-check", "--fix", "--yes")
        assert json.loads(v6("--home", home, "services", "status", "-o", "json").stdout)["rows"][0]["state"] == "running", mended.stderr
        v6("--home", home, "sync", "--force", check=0)
        with open_state(home) as state:
            alerts.raise_alert(state, Alert("planted", Severity.CRITICAL, "an order of somebody else works", "v6 orders list"))
        seen = v6("--home", home, "morning-check", "--fix", "--yes", check=2)
        assert "v6 alerts list, then v6 alerts ack" in seen.stdout and "acknowledged" not in seen.stderr
        with open_read_only(home) as state:
            (planted,) = [one for one in alerts.open_alerts(state) if one.key == "planted"]
        assert planted.acknowledged_at is None, "nobody has read it"
        v6("--home", home, "alerts", "ack", check=0)
        v6("--home", home, "morning-check", check=0)
    finally:
        v6("demo", "--stop", home.root, check=0)


def test_a_port_in_use_moves_the_demo_to_a_free_one(v6, folder: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        home = new_home.make(folder / "d", "demo", port=port)
        try:
            done = v6("demo", home.root, check=0)
            assert f"port {port} is in use" in done.stderr
            assert settings.load(home).gateway.port != port
        finally:
            v6("demo", "--stop", home.root, check=0)


def test_demo_check_stops_everything(v6, folder: Path) -> None:
    import psutil

    home = new_home.make(folder / "d", "demo", port=free_port())
    done = v6("demo", home.root, "--check")
    mine = [one.pid for one in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(one.info["cmdline"] or [])]
    assert mine == []
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("scenario", "code"), [("degraded", 2), ("awkward", 2)])
def test_other_scenarios_show_other_colours(v6, folder: Path, scenario: str, code: int) -> None:
    home = new_home.make(folder / "d", "demo", port=free_port())
    done = v6("demo", home.root, "--check", "--scenario", scenario, "-o", "json", check=code)
    statuses = {row["status"] for row in json.loads(done.stdout)["rows"]}
    assert statuses & {"degraded", "unhealthy", "unknown"}


def test_the_demo_touches_no_home_of_another_kind(v6, folder: Path) -> None:
    home = new_home.make(folder / "paper", "paper", account="DU7654321")
    before = home.settings_file.read_text()
    for argv in (("demo", home.root), ("demo", "--stop", home.root), ("demo", "--check", home.root)):
        assert "not a demo" in v6(*argv, check=77).stderr
    assert home.settings_file.read_text() == before


def test_nothing_recorded_yet_is_said_and_not_shown_as_nothing_held(v6, folder: Path) -> None:
    home = new_home.make(folder / "d", "demo", port=free_port())
    for argv in (("positions",), ("account",), ("greeks",), ("alerts", "list")):
        done = v6("--home", home, *argv, check=69)
        assert done.stdout == ""
        assert "recorded" in done.stderr or "nothing" in done.stderr
    assert v6("--home", home, "risk", check=2).stdout
    assert v6("--home", home, "health", check=2).stdout
    assert v6("--home", home, "morning-check", check=2).stdout


NEED_NO_HOME = {("demo",), ("init",), ("completion",), ("gateway", "simulate"), ("orders", "reentry")}
ARGUMENTS = {
    ("config", "set"): ("limits.delta", "1"),
    ("gateway", "fault"): ("read-only",),
    ("resume",): ("--reason", "fine"),
    ("scheduler", "run"): ("trading",),
    ("orders", "settle"): ("v6-x.1", "--dead"),
    ("orders", "cancel"): ("1",),
    ("close",): ("SPY",),
    ("backup", "diff"): ("backup_20261124_163000",),
}


@pytest.mark.parametrize("words", [words for words in command_lines() if words not in NEED_NO_HOME], ids=" ".join)
def test_no_place_is_taken_for_a_home(v6, folder: Path, words: tuple[str, ...], root: Path) -> None:
    argv = (*words, *ARGUMENTS.get(words, ()))
    (folder / "config").mkdir()
    (folder / "config" / "settings.toml").write_text("profile = 'mine'\n")
    for place in (root, Path("/tmp"), folder):
        done = v6(*argv, cwd=place, check=78)
        assert "no home" in done.stderr
        assert "v6 init" in done.stderr
    assert sorted(path.name for path in folder.rglob("*")) == ["config", "settings.toml"]


def test_init_makes_a_home_and_never_overwrites_one(v6, folder: Path) -> None:
    done = v6("init", folder / "p", "--account", "DU7654321", "--port", "4003", check=0)
    assert done.stdout == f"{folder / 'p'}\n"
    home = Home(folder / "p")
    loaded = settings.load(home)
    assert (loaded.profile, loaded.account, loaded.gateway.port) == ("paper", "DU7654321", 4003)
    assert home.latch.is_dir() and not list(home.latch.iterdir())
    before = home.settings_file.read_bytes()
    assert "already" in v6("init", folder / "p", "--profile", "demo", check=77).stderr
    assert home.settings_file.read_bytes() == before
    assert "sends nothing" in v6("init", folder / "q", check=0).stderr
    for bad in (("--profile", "live"), ("--account", "U1234567"), ("--account", "nonsense"), ("--port", "0")):
        v6("init", folder / "r", *bad, check=78)
        assert not (folder / "r").exists()


def test_a_path_too_long_for_sockets_is_refused(v6, folder: Path) -> None:
    assert "too long" in v6("init", folder / ("x" * 80), check=78).stderr


def test_a_bug_in_one_look_is_in_the_log_and_not_on_the_screen(demo_home, monkeypatch, capsys) -> None:
    from v6cli import main
    from v6cli.health import gather

    def broken(_home: Home, _account: str) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(gather, "_look_at_state", broken)
    assert main.run(["--home", str(demo_home.root), "morning-check"]) == 2
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err + shown.out
    assert "a bug in v6: ZeroDivisionError" in shown.out
    assert "Traceback" in demo_home.log.read_text()


def test_what_is_said_in_lines_is_json_too(v6, folder: Path) -> None:
    """Alone it is the answer, beside a table it goes to stderr; a failure leaves nothing on stdout."""
    for argv in (("init", "h", "--account", "DU1234567"), ("--home", "h", "config", "path"), ("--home", "h", "config", "validate")):
        answer = json.loads(v6(*argv, "-o", "json", cwd=folder, check=0).stdout)
        assert answer["schema"] == "v6.lines/1" and answer["rows"] and all(row["line"] for row in answer["rows"])
    changed = json.loads(v6("--home", "h", "config", "set", "limits.delta", "150", "-o", "json", cwd=folder, check=0).stdout)
    assert "+delta = 150" in [row["line"] for row in changed["rows"]]
    assert v6("--home", "h", "config", "set", "account", "DU7654321", "-o", "json", cwd=folder, check=77).stdout == ""
