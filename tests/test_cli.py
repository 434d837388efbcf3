"""The command line itself: registry, help, typos, shared options, exit codes."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from v6cli import errors, latch, main, settings
from v6cli.app import FORMATS, App
from v6cli.console.output import Output
from v6cli.home import Home
from v6cli.main import REGISTRY, SECTIONS, LazyGroup, command_lines, root
from v6cli.state import journal
from v6cli.state.database import open_read_only

ROOT = Path(__file__).parent.parent
COMMANDS = [" ".join(words) for words in command_lines()]


def resolve(words: list[str]) -> click.Command:
    """The command that words name. Raises click's own errors."""
    command: click.Command = root
    context = click.Context(root, info_name="v6", obj=App())
    for word in words:
        assert isinstance(command, click.Group)
        found = command.get_command(context, word)
        assert found is not None, f"no command {word!r} in {' '.join(words)}"
        command = found
    return command


def parse(line: str) -> None:
    """Parse a command line against the registry without running it; asserts that it is one."""
    words = shlex.split(line)
    assert words[0] == "v6"
    words = words[1:]
    command: click.Command = root
    context = click.Context(root, info_name="v6", obj=App())
    while True:
        if isinstance(command, LazyGroup):
            words = command.with_default(words)
        rest = command.make_parser(context).parse_args(list(words))[1] if isinstance(command, click.Group) else []
        if not isinstance(command, click.Group) or not rest:
            break
        found = command.get_command(context, rest[0])
        assert found is not None, f"{line!r}: no command {rest[0]!r}"
        command, words = found, rest[1:]
    if isinstance(command, click.Group):
        return
    context = click.Context(command, info_name=command.name, obj=App(), parent=context)
    command.parse_args(context, list(words))


def test_help_groups_commands_by_section_of_the_runbook(v6) -> None:
    shown = v6("--help", check=0).stdout
    sections = [section for section in SECTIONS if any(entry.section == section for entry in REGISTRY)]
    positions = [shown.index(f"\n{section}:") for section in sections]
    assert positions == sorted(positions)
    for entry in REGISTRY:
        assert re.search(rf"^  {entry.name} +{re.escape(entry.text)}$", shown, re.MULTILINE), entry.name
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_help_imports_no_command() -> None:
    code = "import sys\nfrom v6cli.main import run\nrun(['--help'])\nprint([n for n in sys.modules if n.startswith('v6cli.commands.')], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("typed", [["-o", "json"], ["-o=json"], ["-q"]])
def test_a_short_option_is_found_without_a_search_for_what_it_may_have_meant(typed: list[str]) -> None:
    code = f"import sys\nfrom v6cli.main import run\nassert run(['config', 'path', '--home', '/nowhere', *{typed!r}]) == 78\nassert 'difflib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_explains_itself(line: str) -> None:
    command = resolve(line.split())
    text = command.get_help(click.Context(command, info_name=f"v6 {line}", obj=App()))
    assert re.search(r"when to use:", text, re.IGNORECASE), f"v6 {line} does not say when to use it"
    assert "Exit codes:" in text, f"v6 {line} does not list its exit codes"
    examples = re.findall(r"^ +(v6 .*)$", text.split("Examples:")[1], re.MULTILINE)
    assert len(examples) >= 2, f"v6 {line} has fewer than two examples"
    for example in examples:
        parse(example)


@pytest.mark.parametrize("line", COMMANDS)
def test_help_fits_a_terminal(line: str) -> None:
    command = resolve(line.split())
    text = command.get_help(click.Context(command, info_name=f"v6 {line}", obj=App(), terminal_width=80))
    too_long = [row for row in text.splitlines() if len(row) > 80]
    assert not too_long, too_long


def texts_of(path: Path) -> list[str]:
    """Every text in a module, what an f-string fills in replaced by X."""
    tree = ast.parse(path.read_text())
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    inside |= {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and "`" not in str(node.value.value)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            found.append("".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            found.append(node.value)
    return found


def lines_in(text: str) -> list[str]:
    """The command lines in a text: quoted in backticks, after a prompt, at the start of the text, or after ``next:`` and ``then:``."""
    quoted = re.findall(r"`(v6 [^`\n]+)`", text)
    prompted = re.findall(r"^\$ (v6 .*)$", text, re.MULTILINE)
    suggested = re.findall(r"^(?:next:|then:)? *(v6 [a-z-].*?)(?:  +.*)?$", text, re.MULTILINE) if "\n" in text and "then:" in text else []
    alone = [text] if re.match(r"v6 (?:--|[a-z])", text) and "\n" not in text else []
    return quoted + prompted + suggested + alone


def named_lines() -> list[tuple[str, str]]:
    """Every v6 command line in code, documents and TOML, with where it stands."""
    found: dict[tuple[str, str], None] = {}
    documents = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "CHANGELOG.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "config").rglob("*.toml"),
    ]
    modules = [
        path
        for top in ("v6cli", "commands")
        for path in (ROOT / top).rglob("*.py")
        if not any(parent.is_symlink() for parent in path.parents)
    ]
    for path in documents:
        for line in lines_in(path.read_text()):
            found[str(path.relative_to(ROOT)), line] = None
    for path in modules:
        for text in texts_of(path):
            for line in lines_in(text):
                found[str(path.relative_to(ROOT)), line] = None
    return list(found)


def test_the_search_for_command_lines_finds_them() -> None:
    """A search that finds nothing would let every wrong line pass."""
    lines = {line for _, line in named_lines()}
    assert {"v6 sync --force", "v6 health", "v6 demo --stop", "v6 alerts ack"} <= lines
    assert len(lines) > 40


@pytest.mark.parametrize(("place", "line"), named_lines(), ids=lambda value: value)
def test_every_command_line_named_anywhere_is_one(place: str, line: str) -> None:
    """Documents may name a command without its arguments, and say more behind it."""
    command_line = (
        re.split(r" shows | lists | \(|, | then | with | && ", line)[0]
        .replace("KEY VALUE", "limits.delta 1")
        .replace("account ID", "account DU1234567")
    )
    try:
        parse(command_line)
    except click.MissingParameter:
        assert len(command_line.split()) == 2, f"{place}: {line}"


def test_fixes_and_services_name_command_lines() -> None:
    from v6cli.services.catalogue import SERVICES

    for service in SERVICES:
        parse("v6 " + " ".join(service.argv))
    text = (ROOT / "v6cli/health/checks.py").read_text()
    fixes = re.findall(r"Fix\(\(([^)]*)\)", text)
    assert fixes
    for fix in fixes:
        parse("v6 " + " ".join(re.findall(r'"([^"]+)"', fix)))


def test_one_more_interrupt_while_it_ends_is_no_traceback() -> None:
    interrupted = """
from v6cli import main

def interrupt(*_):
    raise KeyboardInterrupt

main.App.close = interrupt
main.main(["config", "path"])
"""
    done = subprocess.run([sys.executable, "-c", interrupted], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (130, False), done.stderr


def test_a_typo_gets_a_suggestion(v6) -> None:
    done = v6("moring-check", check=64)
    assert "Did you mean morning-check?" in done.stderr
    assert "config show" not in done.stderr
    assert "Did you mean show?" in v6("config", "shwo", check=64).stderr
    helped = v6("help", check=64).stderr
    assert "See: v6 --help" in helped and "halt" not in helped


def test_words_of_an_emergency_find_its_commands(v6) -> None:
    assert "Did you mean halt or emergency shutdown?" in v6("stop", check=64).stderr
    assert "Did you mean close-all?" in v6("flatten", check=64).stderr
    assert "Did you mean shutdown?" in v6("emergency", "stop", check=64).stderr
    for argv in (
        ("halt", "--now"),
        ("emergency", "shutdown", "--force"),
        ("close-all", "SPY"),
        ("halt", "--reason"),
        ("close-all", "--symbol"),
    ):
        assert v6(*argv, check=64).stderr.splitlines()[-1] == "NOTHING WAS HALTED; next: v6 halt"


def test_an_option_without_its_value_is_told_by_its_command(v6) -> None:
    assert "see: v6 close --help" in v6("close", "SPY", "--limit", check=64).stderr
    assert "see: v6 --help" in v6("--home", check=64).stderr


@pytest.mark.parametrize("argv", [("halt", "spreads", "look", "wrong"), ("reduce-only", "-y", "spreads look wrong")], ids=" ".join)
def test_what_is_typed_in_a_hurry_halts_and_is_the_reason(v6, demo_home, argv: tuple[str, ...]) -> None:
    v6("--home", demo_home, *argv, check=0)
    stands = latch.read(demo_home)
    assert stands.reason == "spreads look wrong" and stands.state is not latch.TradingState.ACTIVE


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (("journal", "--command", "caf\udce9"), 0),
        (("orders", "settle", "caf\udce9", "--dead"), 65),
        (("alerts", "ack", "caf\udce9"), 65),
        (("config", "set", "support.developer", "caf\udce9", "--yes"), 64),
        (("halt", "caf\udce9"), 0),
        (("support-bundle", "--to", "{}/caf\udce9"), 1),
        (("journal", "99999999999999999999"), 64),
        (("journal", "-n", "99999999999999999999"), 64),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_bytes_and_numbers_that_nothing_can_keep_are_no_bug(v6, demo_home, argv: tuple[str, ...], code: int) -> None:
    v6("--home", demo_home, "alerts", "ack", "1")  # the state file is there
    done = v6("--home", demo_home, *(word.format(demo_home) for word in argv), check=code)
    assert "a bug in v6" not in done.stderr
    assert argv[0] in {"journal", "halt", "support-bundle"} or "caf\\udce9" in done.stderr


def test_a_negative_number_taken_for_an_option_is_told_how_to_be_a_value(v6, demo_home) -> None:
    done = v6("--home", demo_home, "config", "set", "limits.delta", "-5", check=64)
    assert done.stderr.splitlines()[-1].startswith("next: v6 config set -- KEY VALUE ")
    assert "limits.delta" in v6("--home", demo_home, "config", "set", "--", "limits.delta", "-5", check=78).stderr
    for line in (("config", "set", "limits.delta", "--nonsense"), ("status", "-5")):
        assert v6("--home", demo_home, *line, check=64).stderr.splitlines()[-1].startswith("see: v6 ")


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (("demo", "DIR", "--check", "--stop"), "--stop and --check"),
        (("demo", "--stop", "--scenario", "degraded"), "--stop and --scenario"),
        (("morning-check", "--explain", "--fix"), "--explain and --fix"),
        (("morning-check", "-y", "--explain"), "--explain and --yes"),
        (("positions", "--watch", "--from-gateway"), "--watch and --from-gateway"),
        (("journal", "12", "--failed"), "ID and --failed"),
        (("journal", "12", "-n", "50"), "ID and -n"),
        (("restore", "--rollback", "--only", "executions"), "--rollback and --only"),
        (("restore", "--continue", "--config"), "--continue and --config"),
        (("restore", "--discard", "--no-start"), "--discard and --no-start"),
    ],
)
def test_options_of_which_one_would_be_dropped_are_refused(v6, demo_home: Home, argv: tuple[str, ...], named: str) -> None:
    done = v6(*argv, cwd=demo_home.root, check=64)
    assert done.stderr.splitlines() == [f"v6: {named} exclude each other.", f"see: v6 {argv[0]} --help"] and done.stdout == ""
    assert not (demo_home.root / "DIR").exists() and not demo_home.state.exists(), "nothing was done, nor journaled"


@pytest.mark.parametrize(("bare", "means"), [("alerts", "list"), ("services", "status"), ("orders", "list"), ("config", "show")])
def test_a_bare_group_that_can_be_looked_at_is_looked_at(bare: str, means: str, v6, demo_home) -> None:
    shown, meant = (v6("--home", demo_home, *words, "-o", "json", "-q") for words in ((bare,), (bare, means)))
    assert shown.returncode == meant.returncode and shown.stderr == meant.stderr
    answers = [json.loads(one.stdout) | {"as_of": None} for one in (shown, meant) if one.stdout]
    assert answers == answers[:1] * len(answers)
    assert f"Without a command: {means}." in v6(bare, "--help", check=0).stdout


def test_settings_are_shown_by_key_and_by_section(v6, demo_home) -> None:
    def keys(*named: str) -> list[str]:
        return [row["key"] for row in json.loads(v6("--home", demo_home, "config", "show", *named, "-o", "json", check=0).stdout)["rows"]]

    assert keys("gateway.port", "account") == ["account", "gateway.port"]
    assert keys("limits") == [key for key in keys() if key.startswith("limits.")] != []
    done = v6("--home", demo_home, "config", "show", "limits.delta", "limts", check=64)
    assert done.stdout == "" and "'limts' is no setting" in done.stderr and "did you mean limits" in done.stderr


@pytest.mark.parametrize("argv", [("-o", "json", "config", "show"), ("config", "-o", "json", "show"), ("config", "show", "-o", "json")])
def test_shared_options_go_anywhere(v6, demo_home, argv: tuple[str, ...]) -> None:
    done = v6("--home", demo_home, *argv, check=0)
    assert json.loads(done.stdout)["schema"] == "v6.config/1"


def test_two_values_of_one_shared_option_are_a_usage_error(v6, demo_home) -> None:
    done = v6("-o", "json", "--home", demo_home, "config", "show", "-o", "csv", check=64)
    assert "json and csv" in done.stderr


def test_version(v6) -> None:
    assert v6("--version", check=0).stdout == "v6 0.1.0\n"


def test_a_bug_leaves_a_traceback_in_the_log_and_one_line_on_the_screen(demo_home, monkeypatch, capsys) -> None:
    def broken(*_arguments: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(settings, "load_with_sources", broken)
    assert main.run(["--home", str(demo_home.root), "config", "show"]) == 70
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    assert str(demo_home.log) in shown
    assert "ZeroDivisionError" in demo_home.log.read_text()


def test_interrupted_is_130(demo_home, monkeypatch, capsys) -> None:
    def interrupted(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(settings, "load_with_sources", interrupted)
    assert main.run(["--home", str(demo_home.root), "config", "show"]) == 130
    assert capsys.readouterr().err.strip() == "v6: interrupted"


def test_an_interrupt_at_the_question_of_an_emergency_is_a_no(monkeypatch) -> None:
    def interrupted(_question: str) -> str:
        raise KeyboardInterrupt

    output = Output(None, color=False, quiet=False, verbose=False)
    monkeypatch.setattr(Output, "ask", property(lambda _self: interrupted))
    assert output.ask_or_no is not None and output.ask_or_no("close everything?") == ""
    monkeypatch.setattr(Output, "ask", None)
    assert output.ask_or_no is None


def test_a_closed_pipe_is_no_failure(demo_home) -> None:
    line = f"{shlex.join([sys.executable, '-P', '-m', 'v6cli', '--home', str(demo_home.root), 'config', 'show'])} | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full", "2>&1 | true"])
def test_a_halt_needs_nobody_to_read_what_it_says(demo_home, closed: str) -> None:
    command = f"set -o pipefail; {shlex.join([sys.executable, '-P', '-m', 'v6cli', '--home', str(demo_home.root), 'halt'])} {closed}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    acts = latch.read(demo_home), [entry.outcome for entry in journal_of(demo_home)]
    assert (acts[0].state, acts[1]) == (latch.TradingState.HALTED, ["done"])


def journal_of(home) -> list[journal.Entry]:
    with open_read_only(home) as state:
        return journal.entries(state)


@pytest.mark.parametrize("form", ["plain", "json"])
def test_a_locale_without_our_letters_is_no_bug(v6, demo_home, form: str) -> None:
    latch.tighten(demo_home, latch.TradingState.HALTED, "delta ±200", "ann")
    bare = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
    done = v6("trading-state", "-o", form, cwd=demo_home.root, environment=bare, check=0, encoding="utf-8")
    assert "delta ±200" in done.stdout


def test_output_that_does_not_fit_is_74_and_no_bug(demo_home) -> None:
    command = shlex.join([sys.executable, "-P", "-m", "v6cli", "--home", str(demo_home.root), "trading-state"])
    done = subprocess.run(["bash", "-c", f"{command} >/dev/full"], capture_output=True, text=True, check=False)
    assert done.returncode == 74 and done.stderr.splitlines()[0] == "v6: cannot write: No space left on device"


def test_exit_codes_are_the_documented_ones() -> None:
    codes = {
        error.__name__: error.exit_code for error in vars(errors).values() if isinstance(error, type) and issubclass(error, errors.V6Error)
    }
    assert codes == {
        "V6Error": 70,
        "UsageError": 64,
        "BadInput": 65,
        "Unavailable": 69,
        "GatewayUnavailable": 69,
        "ServiceUnavailable": 69,
        "CannotWrite": 74,
        "OutcomeUnknown": 75,
        "Refused": 77,
        "BadConfiguration": 78,
    }


def test_the_command_takes_no_code_of_the_working_folder(v6, folder: Path, demo_home) -> None:
    (folder / "click.py").write_text("raise SystemExit('code of the working folder ran')")
    v6("--home", demo_home, "config", "path", cwd=folder, check=0)


def test_formats_and_dependencies_agree_with_the_documents() -> None:
    assert f"-o {'|'.join(FORMATS)}" in (ROOT / "README.md").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    wanted = [*project["dependencies"], *(name for extra in project["optional-dependencies"].values() for name in extra)]
    for requirement in wanted:
        if requirement.startswith("v6["):
            continue  # an extra of this project's own, whose packages are looked at beside it
        name = re.split(r"[<>=\[;! ]", requirement)[0].lower().replace("_", "-")
        assert name in pinned, f"{name} is not pinned in constraints.txt"


def test_constraints_name_versions_and_nothing_else() -> None:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.+!-]+", line), line
