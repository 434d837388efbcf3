"""Real processes: found by what they are, proven gone, and never mistaken for another one with the same pid."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import msgspec
import pytest

from v6cli.services import processes

SLEEPS = "import sys, time; print(flush=True); time.sleep(600)"


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-c", SLEEPS, "v6-test-sleeper"], stdout=subprocess.PIPE, env={**os.environ, "V6TEST": "sleeper"}
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_who_holds_a_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        holder = processes.holder_of(port)
        assert holder is not None
        assert holder.pid == os.getpid()
        assert holder.name
    assert processes.holder_of(port) is None


def test_a_process_is_found_by_its_command_line_and_by_its_environment(sleeper: subprocess.Popen[bytes]) -> None:
    assert [found.pid for found in processes.find(r"v6-test-sleeper$") if found.pid == sleeper.pid] == [sleeper.pid]
    assert [found.pid for found in processes.carrying({"V6TEST": "sleeper"})] == [sleeper.pid]
    assert processes.carrying({"V6TEST": "sleeper", "V6OTHER": "x"}) == []


def test_whoever_searches_does_not_find_himself() -> None:
    found = subprocess.run(
        [sys.executable, "-c", "from v6cli.services import processes; print(processes.find('v6-needle'))", "v6-needle"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == "[]\n"


def test_a_living_process_is_no_proof_and_a_zombie_is(sleeper: subprocess.Popen[bytes]) -> None:
    assert processes.verify_gone([sleeper.pid]) == processes.Proof(gone=False, survivors=(sleeper.pid,))
    os.kill(sleeper.pid, signal.SIGKILL)
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert processes.verify_gone([sleeper.pid], within=1).gone


def test_another_process_with_the_same_pid_is_spared(sleeper: subprocess.Popen[bytes]) -> None:
    (found,) = processes.carrying({"V6TEST": "sleeper"})
    former = msgspec.structs.replace(found, started=found.started - 100)
    assert processes.end([former], grace=0.1).gone, "the one that was meant is gone"
    assert sleeper.poll() is None
    assert processes.end([found], grace=5).gone


def test_no_gateway_runs_because_somebody_mentions_one(sleeper: subprocess.Popen[bytes]) -> None:
    with subprocess.Popen([sys.executable, "-c", SLEEPS, "/opt/ibgateway/10.30"], stdout=subprocess.PIPE) as mention:
        assert mention.stdout is not None
        mention.stdout.readline()
        assert mention.pid in {found.pid for found in processes.find(processes.GATEWAY)}
        assert mention.pid not in {found.pid for found in processes.gateway_processes()}
        mention.kill()
