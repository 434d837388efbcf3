"""What is installed: a wheel in an empty environment outside the repository, and an editable install that is a plain path."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DATA = [
    "v6cli/config/default.toml",
    "v6cli/config/demo.toml",
    "v6cli/config/paper.toml",
    "v6cli/config/live.toml",
    "v6cli/config/scenarios/default.toml",
    "v6cli/config/scenarios/thousand.toml",
    "v6cli/completions/v6.bash",
    "v6cli/completions/v6.zsh",
    "v6cli/completions/v6.fish",
    "v6cli/broker/codes.toml",
    "v6cli/calendar.toml",
    "v6cli/py.typed",
]

pytestmark = pytest.mark.xdist_group("packaging")


def run(*argv: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    unwanted = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in unwanted and not name.startswith("V6_")}
    done = subprocess.run([str(word) for word in argv], cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"{argv}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution, as an index would serve both."""
    out, source = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("source") / "v6"
    unwanted = shutil.ignore_patterns(".git", ".venv*", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis")
    shutil.copytree(ROOT, source, symlinks=True, ignore=unwanted)  # a build writes into its tree
    run(sys.executable, "-m", "build", "--outdir", out, source, cwd=out)
    return next(out.glob("*.whl"))


def test_the_wheel_holds_every_module_and_its_data(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    assert set(DATA) <= inside
    sources = {f"v6cli/{path.relative_to(ROOT / 'v6cli')}" for path in (ROOT / "v6cli").rglob("*.py")}
    sources |= {f"v6cli/commands/{path.relative_to(ROOT / 'commands')}" for path in (ROOT / "commands").rglob("*.py")}
    assert sources <= inside
    tops = {name.split("/")[0] for name in inside}
    assert tops == {"v6cli", next(top for top in tops if top.endswith(".dist-info"))}


@pytest.mark.timeout(300)
def test_the_wheel_runs_in_an_empty_environment(wheel: Path, folder: Path) -> None:
    environment = folder / "venv"
    run(sys.executable, "-m", "venv", environment, cwd=folder)
    # Compiling all of pandas would take longer than the rest.
    run(environment / "bin/pip", "install", "-q", "--no-compile", "-c", ROOT / "constraints.txt", wheel, cwd=folder)
    v6 = environment / "bin/v6"
    assert "Daily:" in run(v6, "--help", cwd=folder).stdout
    place = run(environment / "bin/python", "-P", "-c", "import v6cli; print(v6cli.__file__)", cwd=folder).stdout
    assert place.startswith(str(environment))
    shown = run(v6, "demo", folder / "d", "--check", cwd=folder)
    assert "healthy" in shown.stdout.splitlines()[0]


def test_an_editable_install_is_a_plain_path() -> None:
    """An import hook would double the start-up, and hide new files from type checkers."""
    found = list(Path(sysconfig.get_paths()["purelib"]).glob("__editable__*v6*"))
    for path in found:
        assert path.suffix == ".pth" and Path(path.read_text().strip()).is_dir(), f"{path} is no plain path"
