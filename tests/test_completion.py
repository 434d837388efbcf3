"""Completion, as a shell asks for it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from v6cli.completion import SHELLS
from v6cli.main import completion_script

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("shell", SHELLS)
def test_the_scripts_are_fresh(shell: str) -> None:
    assert (ROOT / "completions" / f"v6.{shell}").read_text() == completion_script(shell), "stale: run `make completions`"


def complete(line: str, cwd: Path | str = "/") -> list[str]:
    """What bash is offered for a line whose last word is being typed."""
    words = line.split(" ")
    environment = os.environ | {
        "_V6_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
        "PYTHONPATH": str(ROOT),
    }
    code = "import sys; sys.argv = ['v6']; from v6cli.main import main; main()"
    done = subprocess.run([sys.executable, "-P", "-c", code], env=environment, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return [row.partition(",")[2] for row in done.stdout.splitlines() if row]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("v6 mor", ["morning-check"]),
        ("v6 services st", ["status", "start", "stop"]),
        ("v6 services start v6-", ["v6-trading", "v6-position-sync"]),
        ("v6 config set limits.c", ["limits.concentration", "limits.concentration_basis"]),
        ("v6 config set gateway.simulated ", ["true", "false"]),
        ("v6 config set gateway.simulated f", ["false"]),
        ("v6 config set limits.concentration_basis ", ["gross_over_gross", "gross_over_net_liquidation"]),
        ("v6 config set profile p", ["paper"]),
        ("v6 config set limits.delta ", []),
        ("v6 config set no.such ", []),
        ("v6 config set limits ", []),
        ("v6 completion z", ["zsh"]),
        ("v6 gateway simulate --scenario th", ["thousand"]),
        ("v6 gateway fault no-ma", ["no-market-data"]),
        ("v6 gateway fault farm-broken c", ["code=2103", "code=2105"]),
        ("v6 gateway fault farm-broken code = 210", ["2103", "2105"]),
        ("v6 gateway fault no-such c", []),
        ("v6 positions --sor", ["--sort"]),
    ],
)
def test_names_and_values_are_offered(line: str, offered: list[str]) -> None:
    assert complete(line) == offered


def test_symbols_are_those_of_the_home(demo) -> None:
    assert complete("v6 positions --symbol ", demo.home.root) == ["IWM", "QQQ", "SPX", "SPY"]
    assert complete("v6 positions --symbol s", demo.home.root) == ["SPX", "SPY"]
    assert complete("v6 positions --symbol iwm,s", demo.home.root) == ["IWM,SPX", "IWM,SPY"]
    assert complete(f"v6 --home {demo.home} positions --symbol q") == ["QQQ"]
    assert complete(f"v6 positions --home {demo.home} --symbol q") == ["QQQ"]
    assert complete("v6 positions --symbol ") == []


WATCHED = """
import atexit, sys
def watch(event, _arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.posix_spawn"):
        print(event, file=sys.stderr)
sys.addaudithook(watch)
atexit.register(lambda: print([name for name in sys.modules if name.startswith("v6cli.commands.")], file=sys.stderr))
sys.argv = ["v6"]
from v6cli.main import main
main()
"""


@pytest.mark.parametrize(
    ("line", "offered", "imported"),
    [
        ("v6 ", "plain,morning-check", []),
        ("v6 services ", "plain,restart", []),
        ("v6 positions --symbol ", "plain,SPY", ["v6cli.commands.positions"]),
        ("v6 services start ", "plain,ib-gateway", ["v6cli.commands.services", "v6cli.commands.services.start"]),
    ],
)
def test_completing_asks_nobody_and_imports_the_command_typed_alone(demo, line: str, offered: str, imported: list[str]) -> None:
    environment = os.environ | {
        "_V6_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(line.count(" ")),
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-P", "-c", WATCHED], env=environment, cwd=demo.home.root, capture_output=True, text=True, check=False
    )
    assert offered in done.stdout.splitlines()
    assert done.stderr.strip() == str(imported)


def test_install_puts_the_script_where_the_shell_looks(v6, folder: Path) -> None:
    for shell, place in (
        ("bash", ".local/share/bash-completion/completions/v6"),
        ("zsh", ".local/share/zsh/site-functions/_v6"),
        ("fish", ".config/fish/completions/v6.fish"),
    ):
        done = v6("completion", shell, "--install", environment={"HOME": str(folder), "XDG_DATA_HOME": "", "XDG_CONFIG_HOME": "x"}, check=0)
        assert done.stdout.strip() == str(folder / place)
        assert (folder / place).read_text() == v6("completion", shell, check=0).stdout
        assert stat.S_IMODE((folder / place).stat().st_mode) == 0o600
    elsewhere = {"XDG_DATA_HOME": str(folder / "data"), "XDG_CONFIG_HOME": str(folder / "config")}
    for shell, named in (("bash", "data/bash-completion/completions/v6"), ("fish", "config/fish/completions/v6.fish")):
        done = v6("completion", shell, "--install", environment={"HOME": str(folder)} | elsewhere, check=0)
        assert done.stdout.strip() == str(folder / named)


def run_in(shell: str, script: str, folder: Path) -> str:
    """Run a script in a shell whose path begins with this v6."""
    wrapper = folder / "v6"
    wrapper.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -P -m v6cli "$@"\n')
    wrapper.chmod(0o755)
    environment = {"PATH": f"{folder}:/usr/local/bin:/usr/bin:/bin", "HOME": str(folder), "TERM": "dumb"}
    done = subprocess.run(
        [shell, *(["-f"] if shell == "zsh" else []), "-c", script], env=environment, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


TYPED = [
    ("v6 mor", "morning-check"),
    ("v6 services start v6-", "v6-trading v6-position-sync"),
    ("v6 config set limits.conc", "limits.concentration limits.concentration_basis"),
    ("v6 positions --symbol I", "IWM"),
    ("v6 -o j", "json"),
]


@pytest.mark.parametrize(("line", "offered"), TYPED)
def test_bash_itself(demo, folder: Path, line: str, offered: str) -> None:
    """As readline does it: bash is asked for what the script registered, with the words it would be given."""
    words = line.split(" ")
    script = f"""
source {ROOT}/completions/v6.bash
registered=$(complete -p v6); function=${{registered#*-F }}
COMP_LINE={line!r} COMP_POINT={len(line)} COMP_WORDS=({line}) COMP_CWORD={len(words) - 1}
cd {demo.home} && ${{function% v6}} v6 {words[-1]} {words[-2]}
echo "${{COMPREPLY[@]}}"
"""
    assert run_in("bash", script, folder).strip() == offered


@pytest.mark.machine
def test_fish_itself(folder: Path) -> None:
    offered = run_in("fish", f"source {ROOT}/completions/v6.fish; complete -C 'v6 mor'", folder)
    assert offered.split("\t")[0].strip() == "morning-check"


@pytest.mark.machine
def test_zsh_itself(folder: Path) -> None:
    """zsh completes only on a terminal: the script is loaded, and answers the words it would be given."""
    script = f"""
autoload -Uz compinit && compinit -u -d {folder}/dump
source {ROOT}/completions/v6.zsh
typeset -f _v6_completion > /dev/null && print -r -- $_comps[v6]
words=(v6 mor) CURRENT=2
env COMP_WORDS="${{words[*]}}" COMP_CWORD=1 _V6_COMPLETE=zsh_complete v6
"""
    offered = run_in("zsh", script, folder).splitlines()
    assert offered[:2] == ["_v6_completion", "plain"]
    assert offered[2] == "morning-check"
