"""Faults are set and healed while the gateway runs, at the right gateway only."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from v6cli.errors import BadInput, UsageError
from v6cli.home import Home
from v6cli.install import new_home
from v6cli.simulator.faults import FAULTS, words
from v6cli.state import journal
from v6cli.state.database import open_read_only

ROOT = Path(__file__).parent.parent.parent


def held(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    return {row["fault"]: row["holds"] for row in json.loads(done.stdout)["rows"] if row["holds"]}


def test_a_fault_is_set_seen_and_healed_in_a_demo_and_journaled(demo) -> None:
    assert stat.S_IMODE(demo.home.control_socket("ib-gateway").stat().st_mode) == 0o600
    assert held(demo.v6("gateway", "fault", "-o", "json", check=0)) == {}
    try:
        done = demo.v6("gateway", "fault", "withhold-end", "answer=chains", "count=3", "-o", "json", check=0)
        assert held(done) == {"withhold-end": "answer=chains 3 left"}
        demo.v6("gateway", "fault", "another-session", "of=NONE,NEITHER", "seconds=900", check=0)
        seen = held(demo.v6("gateway", "fault", "--list", "-o", "json", check=0))
        assert seen.keys() == {"withhold-end", "another-session"}
        assert seen["another-session"].startswith("of=NONE,NEITHER until 20")
        assert held(demo.v6("gateway", "fault", "withhold-end", "--clear", "-o", "json", check=0)).keys() == {"another-session"}
        assert "no fault holds" in demo.v6("gateway", "fault", "--clear", check=0).stdout
        assert held(demo.v6("gateway", "fault", "-o", "json", check=0)) == {}
    finally:
        demo.v6("gateway", "fault", "--clear")
    with open_read_only(demo.home) as state:
        assert [entry.argv for entry in journal.entries(state, limit=2)][-1] == ["gateway", "fault", "--clear"]


def test_a_gateway_outside_a_home_has_its_socket_where_it_is_told(v6, folder: Path) -> None:
    socket = folder / "run" / "mine.sock"
    argv = [sys.executable, "-P", "-m", "v6cli", "gateway", "simulate", "--port", "0", "--control", str(socket)]
    process = subprocess.Popen(argv, env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd="/", stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 30
        while not socket.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        done = v6("gateway", "fault", "read-only", "--control", socket, "-o", "json", check=0)
        assert held(done) == {"read-only": "yes"}
        assert held(v6("gateway", "fault", "--control", socket, "-o", "json", check=0)) == {"read-only": "yes"}
        second = v6("gateway", "simulate", "--port", "0", "--control", socket, check=77)
        assert "somebody answers" in second.stderr
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert process.returncode == 0
    assert not socket.exists()
    nobody = v6("gateway", "fault", "read-only", "--control", socket, check=69).stderr
    assert "does not answer" in nobody and f"next: v6 gateway simulate --control {socket}" in nobody
    assert held(v6("gateway", "fault", "--control", socket, "-o", "json", check=0)) == {}


def test_a_file_in_the_place_of_the_socket_stays(v6, folder: Path) -> None:
    (folder / "mine.txt").write_text("precious")
    assert "mine.txt is in the way" in v6("gateway", "simulate", "--port", "0", "--control", folder / "mine.txt", check=77).stderr
    assert (folder / "mine.txt").read_text() == "precious"


def test_only_a_demo_s_simulated_gateway_takes_faults(v6, folder: Path, demo_home: Home) -> None:
    paper = new_home.make(folder / "paper", "paper", account="DU7654321")
    refused = v6("--home", paper, "gateway", "fault", "read-only", check=77)
    assert "profile paper" in refused.stderr
    assert "not known" in v6("--home", paper, "gateway", "fault", check=0).stdout
    assert "v6 services start ib-gateway" in v6("--home", demo_home, "gateway", "fault", "read-only", check=69).stderr
    v6("--home", demo_home, "config", "set", "gateway.simulated", "false", check=0)
    assert "simulated = false" in v6("--home", demo_home, "gateway", "fault", "read-only", check=77).stderr


@pytest.mark.parametrize(
    ("argv", "kind", "said"),
    [
        (("read-onyl",), UsageError, "did you mean read-only?"),
        (("withhold-end", "code=1"), UsageError, "one of answer, count, seconds"),
        (("read-only", "count=1"), UsageError, "one of seconds"),
        (("read-only", "seconds"), UsageError, "KEY=VALUE"),
        (("farm-broken", "code=2103", "code=2105"), UsageError, "commas"),
        (("farm-broken", "code=1"), BadInput, "2103, 2105"),
        (("withhold-end", "count=0"), BadInput, "a whole number above 0"),
        (("read-only", "seconds=soon"), BadInput, "above 0"),
        (("no-bid", "of="), BadInput, "all when left out"),
        (("drop-connections", "client=,"), BadInput, "every connection when left out"),
    ],
)
def test_words_that_mean_nothing_are_named_with_what_does(argv, kind, said) -> None:
    with pytest.raises(kind) as caught:
        words.wish(argv[0], argv[1:], listing=False, clear=False)
    assert said in caught.value.next_step


def test_what_is_done_to_a_home_s_gateway_is_not_done_past_its_journal(v6, demo_home: Home) -> None:
    path = demo_home.control_socket("ib-gateway")
    refused = v6("gateway", "fault", "read-only", "--control", path, check=64)
    assert f"v6 --home {demo_home} gateway fault" in refused.stderr


def test_contradictions_are_usage_errors(v6) -> None:
    for argv in (("--list", "--clear"), ("--list", "read-only"), ("read-only", "seconds=1", "--clear")):
        v6("gateway", "fault", *argv, check=64)


def test_values_are_numbers_lists_and_texts() -> None:
    wish = words.wish("no-market-data", ["of=SPY,QQQ,", "code=10167", "seconds=1.5"], listing=False, clear=False)
    assert wish == words.Wish("no-market-data", {"of": ["SPY", "QQQ"], "code": 10167, "seconds": 1.5}, clear=False)
    assert words.wish(None, [], listing=False, clear=False) is None


def test_the_table_names_every_fault_with_its_parameters() -> None:
    shown = words.table([])
    assert [row[0] for row in shown.rows] == list(FAULTS)
    for row in shown.rows:
        assert all(f"{key}: " in row[3] for key in FAULTS[row[0]].parameters)
