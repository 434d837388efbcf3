"""The floors: a room imports only from lower ones, each library has one room, and one module reads the clock."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

GROUND = [
    {"errors", "models", "threads"},
    {"clock"},
    {"home", "files", "secrets", "results", "pricing", "events", "resets"},
    {"settings_sense"},
    {"settings", "locks", "control", "procedure", "logs", "sessions", "owner"},
    {"latch"},
    {"permits"},
    {"barrier"},
]
FLOORS = [
    {"broker", "lake", "state", "services", "simulator"},
    {"portfolio", "market", "sync", "alerts", "backup"},
    {"trading", "scheduler", "health", "install"},
    {"runbook", "dashboard", "drills"},
    {"console"},
    {"act", "emergencies", "halts", "restores"},
    {"app"},
    {"options", "completion"},
    {"main"},
    {"commands"},
]
LEVEL = {name: level for level, names in enumerate([*GROUND, *FLOORS]) for name in names}
APART = FLOORS[0] | {"console"}  # rooms that never import each other
MUTUAL = {"broker"}

OWNERS = {
    "ib_insync": {"broker/ib.py"},
    "ib_async": {"broker/ib.py"},
    "deltalake": {"lake"},
    "arro3": {"lake"},
    "isal": {"backup"},
    "duckdb": {"lake"},
    "sqlite3": {"state", "simulator/world/files.py"},  # the world closes what a process that died had open
    "apscheduler": {"scheduler"},
    "nicegui": {"dashboard"},
    "rich": {"console"},
    "tabulate": {"console"},
    "loguru": {"logs.py"},
    "supervisor": {"services"},
}
CLOCK = "clock.py"
FORBIDDEN_CALLS = {
    "time.time",
    "time.sleep",
    "time.monotonic",
    "datetime.now",
    "datetime.utcnow",
    "date.today",
    "uuid.uuid4",
    "uuid4",
    "asyncio.sleep",
    "asyncio.timeout",
    "asyncio.wait_for",
}


def modules() -> list[Path]:
    return [
        path
        for top in ("v6cli", "commands")
        for path in sorted((ROOT / top).rglob("*.py"))
        if not any(parent.is_symlink() for parent in path.parents)
    ]


def imports(path: Path) -> list[str]:
    """Every module of v6cli that a file imports, anywhere in it, type-checking imports left out."""
    found: list[str] = []
    tree = ast.parse(path.read_text())
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module if node.module != "v6cli" else f"v6cli.{alias.name}" for alias in node.names]
    return found


def room(path: Path) -> str:
    relative = path.relative_to(ROOT / "v6cli")
    return relative.parts[0].removesuffix(".py")


@pytest.mark.parametrize(
    "path", [path for path in modules() if path.is_relative_to(ROOT / "v6cli")], ids=lambda path: str(path.relative_to(ROOT))
)
def test_a_room_imports_only_from_lower_floors(path: Path) -> None:
    own = room(path)
    if own in {"__init__", "__main__"}:
        return
    for name in imports(path):
        if not name.startswith("v6cli."):
            continue
        other = name.split(".")[1]
        if other in {own, "__version__"}:
            continue
        assert other in LEVEL, f"{path}: {name} belongs to no floor"
        assert LEVEL[other] < LEVEL[own], f"{path.relative_to(ROOT)} imports {name}, which is not below it"
        if own == "console":
            assert any(other in step for step in GROUND), f"console imports the ground only, not {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_each_library_has_one_room(path: Path) -> None:
    for name in imports(path):
        library = name.split(".")[0]
        owners = OWNERS.get(library)
        place = str(path.relative_to(ROOT / "v6cli")) if path.is_relative_to(ROOT / "v6cli") else "commands"
        if owners is not None:
            assert any(place == owner or place.startswith(owner + "/") for owner in owners), (
                f"{place} imports {library}, which belongs to {owners}"
            )


@pytest.mark.parametrize("path", [path for path in modules() if path.name != CLOCK], ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_clock_reads_time(path: Path) -> None:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in FORBIDDEN_CALLS, (
                f"{path.relative_to(ROOT)}:{node.lineno} calls {called}: time is read through v6cli/clock.py"
            )
            if called.startswith("random.") and called != "random.Random":
                raise AssertionError(f"{path.relative_to(ROOT)}:{node.lineno} calls {called}: randomness is seeded")
            if called == "random.Random":
                assert node.args, f"{path.relative_to(ROOT)}:{node.lineno}: random.Random() without a seed"


def test_no_command_imports_another() -> None:
    for path in (ROOT / "commands").rglob("*.py"):
        for name in imports(path):
            assert not name.startswith("v6cli.commands"), f"{path.relative_to(ROOT)} imports {name}"


def test_commands_neither_catch_nor_format() -> None:
    """A command is its steps in order: errors go to the boundary, tables to the rooms."""
    for path in (ROOT / "commands").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            assert not isinstance(node, ast.Try) or not node.handlers, f"{path.relative_to(ROOT)}:{node.lineno} catches an exception"


def test_the_links_lead_to_the_folders_beside_them() -> None:
    for name in ("commands", "config", "schedules", "completions"):
        link = ROOT / "v6cli" / name
        assert link.is_symlink(), f"v6cli/{name} is no link"
        assert link.resolve() == ROOT / name


def test_the_checks_find_what_they_look_for(tmp_path: Path) -> None:
    """The tests above are worth something only if they see the fault."""
    planted = tmp_path / "planted.py"
    planted.write_text("def f():\n    from v6cli.app import App\n    import ib_insync\n    from v6cli import broker\n")
    assert imports(planted) == ["v6cli.app", "ib_insync", "v6cli.broker"]
