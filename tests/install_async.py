"""Put this project into the environment of the Python that runs this, with ib_async in place of ib_insync.

Both libraries ship a package called eventkit, so they never share an environment.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOR_TESTS = ("pytest", "pytest-cov", "pytest-timeout", "pytest-xdist", "hypothesis", "greenlet")


def requirements() -> list[str]:
    """What the project needs, the other IB library taken for its own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    kept = [one for one in project["dependencies"] if not re.match(r"ib_insync\b", one)]
    assert len(kept) == len(project["dependencies"]) - 1
    return [*kept, "ib_async", *FOR_TESTS]


def pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", *arguments], check=True, cwd=ROOT)


def constraints(folder: Path) -> Path:
    """The project's pins but that of tzdata: ib_async wants an older year of it than v6 has."""
    pins = (ROOT / "constraints.txt").read_text().splitlines(keepends=True)
    path = folder / "constraints.txt"
    path.write_text("".join(line for line in pins if not line.startswith("tzdata==")))
    return path


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        pip("-c", str(constraints(Path(folder))), *requirements())
    pip("--no-deps", "-e", ".")
    code = "import importlib.util as u; assert u.find_spec('ib_async') and not u.find_spec('ib_insync')"
    subprocess.run([sys.executable, "-c", code], check=True)


if __name__ == "__main__":
    main()
