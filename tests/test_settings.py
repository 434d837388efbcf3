"""Every refusal names the file or variable, the key, the value and what is allowed; and no edit breaks a home."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec.inspect
import pytest

from v6cli import settings, settings_sense
from v6cli.errors import BadConfiguration, UsageError
from v6cli.home import Home
from v6cli.install import new_home
from v6cli.models import Account, Contract, Position
from v6cli.state import mirror
from v6cli.state.database import open_state


def own(home: Home, text: str) -> Home:
    home.settings_file.write_text(text)
    return home


REFUSED = {
    "a value of another kind": ('profile = "demo"\nsync.interval = "soon"', ["sync.interval", "'soon'", "expected a number, got text"]),
    "out of range": ('profile = "demo"\ngateway.port = 70000', ["gateway.port", "70000", "expected a whole number of at most 65535"]),
    "zero where it must be more": ('profile = "demo"\nlimits.delta = 0', ["limits.delta", "0", "expected a number above 0"]),
    "infinite": ('profile = "demo"\nlimits.delta = inf', ["limits.delta", "inf"]),
    "not a number": ('profile = "demo"\nlimits.gamma = nan', ["limits.gamma", "nan"]),
    "a choice there is not": ('profile = "demo"\nlimits.concentration_basis = "net"', ["limits.concentration_basis", "'net'"]),
    "a choice of a section": ('profile = "demo"\nservices.backend = "foo"', ["services.backend", "'foo'", "expected supervisord"]),
    "no such key": ('profile = "demo"\n[sync]\nintervall = 5', ["sync.intervall", "healthy, interval"]),
    "no such section": ('profile = "demo"\n[synch]\ninterval = 5', ["synch", "services, support, sync"]),
    "a value in a section's place": ('profile = "demo"\nsync = 5', ["sync", "5"]),
    "no such profile": ('profile = "real"', ["profile", "'real'", "demo, paper, live"]),
    "live without an account": ('profile = "live"', ["account", "''", "U1234567"]),
    "live with a paper account": ('profile = "live"\naccount = "DU1234567"', ["account", "'DU1234567'", "not begin with D"]),
    "paper with a live account": ('profile = "paper"\naccount = "U1234567"', ["account", "'U1234567'", "begins with D"]),
    "demo with a live account": ('profile = "demo"\naccount = "U1234567"', ["account", "'U1234567'", "begins with D"]),
    "an account that is none": ('profile = "paper"\naccount = "du1234567"', ["account", "'du1234567'", "an id like U1234567"]),
    "degraded before healthy": ('profile = "demo"\nsync.healthy = 900', ["sync.degraded", "900", "more than 900"]),
    "fast time in earnest": ('profile = "paper"\nclock.rate = 60', ["clock.rate", "60", "1.0"]),
    "fast time from nowhere": ('profile = "demo"\nclock.rate = 60', ["clock.rate", "clock.origin", "begun somewhere"]),
    "an origin in earnest": ('profile = "paper"\nclock.origin = "2026-11-24T09:30:00-05:00"', ["clock.origin", "2026-11-24", "empty"]),
    "a simulated gateway in earnest": ('profile = "paper"\ngateway.simulated = true', ["gateway.simulated", "True", "false"]),
    "an origin without an offset": (
        'profile = "demo"\nclock.origin = "2026-11-24T09:30:00"',
        ["clock.origin", "'2026-11-24T09:30:00'", "offset"],
    ),
    "a zone there is not": (
        'profile = "demo"\ngateway.time_zone = "Mars/Phobos"',
        ["gateway.time_zone", "'Mars/Phobos'", "America/New_York"],
    ),
    "a zone of no name": ('profile = "demo"\ngateway.time_zone = ""', ["gateway.time_zone", "''", "America/New_York"]),
    "a zone of resets of no name": (
        'profile = "paper"\ngateway.reset_time_zone = "ET"',
        ["gateway.reset_time_zone", "'ET'", "America/New_York"],
    ),
    "a reset that is no window": (
        'profile = "paper"\ngateway.resets = ["00:15 - 01:45", "at night"]',
        ["gateway.resets", "'at night'", "it has no end", "'Sat 23:00 - Sun 03:00'"],
    ),
    "a reset that never ends": (
        'profile = "paper"\ngateway.resets = ["Sun 00:00 - Sat 23:59"]',
        ["gateway.resets", "lasts 6d 23h", "none is longer than 12h 00m"],
    ),
    "resets that are no list": (
        'profile = "paper"\ngateway.resets = "00:15 - 01:45"',
        ["gateway.resets", "'00:15 - 01:45'", "expected a list, got text"],
    ),
    "nothing where it must be something": ('profile = "demo"\ngateway.host = ""', ["gateway.host", "expected text that is not empty"]),
    "a remote place that is none": ('profile = "demo"\nbackup.remote = "there"', ["backup.remote", "'there'", "expected a folder like /"]),
    "a recipient that is none": ('profile = "demo"\nbackup.recipient = "me"', ["backup.recipient", "'me'", "begins with age1"]),
    "an identity that is no whole path": ('profile = "demo"\nbackup.identity = "key"', ["backup.identity", "'key'", "begins with /"]),
    "a zone that is a folder": ('profile = "demo"\ngateway.time_zone = "America"', ["gateway.time_zone", "'America'", "America/New_York"]),
    "a zone out of its folder": ('profile = "demo"\ngateway.time_zone = "../passwd"', ["gateway.time_zone", "'../passwd'"]),
    "a cancel that takes too much": ('profile = "demo"\nmessages.cancel = 6', ["messages.cancel", "allowed is 5"]),
    "too many messages": ('profile = "demo"\nmessages.look = 6', ["messages", "47", "45"]),
    "too many lines": ('profile = "demo"\nlines.sync = 61', ["lines", "101", "100"]),
    "no TOML": ('profile = "demo"\nsync.interval = = 3', ["TOML", "line 2"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_names_file_key_value_and_what_is_allowed(demo_home: Home, case: str) -> None:
    text, words = REFUSED[case]
    with pytest.raises(BadConfiguration) as refusal:
        settings.load(own(demo_home, text))
    said = refusal.value.message
    assert str(demo_home.settings_file) in said and all(word in said for word in words), said


def test_what_a_text_must_look_like_is_said_in_words_and_no_pattern_is_shown() -> None:
    def patterns(fields: Any, prefix: str = "") -> Iterator[str]:
        for field in fields:
            if isinstance(field.type, msgspec.inspect.StructType):
                yield from patterns(field.type.fields, f"{prefix}{field.encode_name}.")
            elif getattr(field.type, "pattern", None):
                yield prefix + field.encode_name

    kinds: Any = msgspec.inspect.type_info(settings.Settings)
    assert set(patterns(kinds.fields)) == set(settings_sense._PATTERNS)


def test_the_line_that_validates_a_mended_file_can_be_typed(folder: Path) -> None:
    home = own(new_home.make(folder / "my home", "demo", port=4002), "profile = = 1")
    with pytest.raises(BadConfiguration) as refusal:
        settings.load(home)
    line = (refusal.value.next_step or "").partition("then: v6 ")[2]
    assert shlex.split(line) == ["--home", str(home), "config", "validate"]
    assert refusal.value.exit_code == 78


def test_sums_that_just_fit(demo_home: Home) -> None:
    loaded = settings.load(own(demo_home, 'profile = "demo"\nlines.sync = 60\nmessages.look = 5'))
    assert (loaded.lines.sync, loaded.messages.look) == (60, 5)


@pytest.mark.parametrize(("profile", "account"), [("live", "U1234567"), ("paper", "DU1234567"), ("paper", ""), ("demo", "DF1234")])
def test_an_account_that_fits(demo_home: Home, profile: str, account: str) -> None:
    assert settings.load(own(demo_home, f'profile = "{profile}"\naccount = "{account}"')).account == account


def test_variables_win_and_say_so(demo_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V6_SYNC_INTERVAL", "7.5")
    monkeypatch.setenv("V6_GATEWAY_TIME_ZONE", "Europe/Berlin")
    found = settings.load_with_sources(demo_home)
    assert (found.settings.sync.interval, found.settings.gateway.time_zone) == (7.5, "Europe/Berlin")
    assert found.sources["sync.interval"] == "$V6_SYNC_INTERVAL" and found.sources["sync.fresh"] == "profile demo"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("V6_SYNC_INTERVALL", "5", ["$V6_SYNC_INTERVALL", "no setting"]),
        ("V6_SYNC_INTERVAL", "soon", ["$V6_SYNC_INTERVAL", "sync.interval", "'soon'", "a number"]),
        ("V6_PROFILE", "live", ["$V6_PROFILE", "'live'", "'demo'"]),
        ("V6_ACCOUNT", "DU7654321", ["$V6_ACCOUNT", "'DU7654321'", "'DU1234567'"]),
    ],
)
def test_a_variable_that_cannot_be_is_named(
    demo_home: Home, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: list[str]
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadConfiguration) as refusal:
        settings.load(demo_home)
    assert all(word in refusal.value.message for word in words), refusal.value.message
    assert refusal.value.next_step


TOGETHER = {
    "a variable against a default": (
        "",
        {"V6_SYNC_HEALTHY": "900"},
        "$V6_SYNC_HEALTHY: sync.healthy = 900; default: sync.degraded = 900.0: degraded must be longer than healthy; allowed is more than 900",
        "correct or unset V6_SYNC_HEALTHY",
    ),
    "the home's file against a variable": (
        "sync.degraded = 400",
        {"V6_SYNC_HEALTHY": "500"},
        "$V6_SYNC_HEALTHY: sync.healthy = 500; FILE: sync.degraded = 400: degraded must",
        "correct or unset V6_SYNC_HEALTHY",
    ),
    "the home's file against a default": (
        "sync.degraded = 200",
        {},
        "FILE: sync.degraded = 200; default: sync.healthy = 300.0: degraded must",
        "v6 config set sync.degraded VALUE, or edit the file",
    ),
    "two variables": (
        "",
        {"V6_SYNC_HEALTHY": "50", "V6_SYNC_DEGRADED": "40"},
        "$V6_SYNC_HEALTHY: sync.healthy = 50; $V6_SYNC_DEGRADED: sync.degraded = 40: degraded must",
        "correct or unset V6_SYNC_HEALTHY",
    ),
    "a sum of three layers": (
        "messages.sync = 20",
        {"V6_MESSAGES_LOOK": "7"},
        "$V6_MESSAGES_LOOK: messages.look = 7; FILE: messages.sync = 20; default: messages.trading = 15, messages.closing = 5: they add up to 54 a second",
        "correct or unset V6_MESSAGES_LOOK",
    ),
    "lines": ("", {"V6_LINES_SYNC": "90"}, "$V6_LINES_SYNC: lines.sync = 90; default: lines.trading = 30, lines.look = 5: they", "unset"),
    "a zone": ("", {"V6_GATEWAY_TIME_ZONE": "Mars"}, "$V6_GATEWAY_TIME_ZONE: gateway.time_zone = 'Mars': no time zone", "unset"),
    "a reset": ("", {"V6_GATEWAY_RESETS": '["x"]'}, "$V6_GATEWAY_RESETS: gateway.resets = ['x']: 'x': it has no end", "unset"),
    "a simulated gateway": ("", {"V6_GATEWAY_SIMULATED": "true"}, "$V6_GATEWAY_SIMULATED: gateway.simulated = True: only a demo", "unset"),
    "since alone": (
        "",
        {"V6_CLOCK_SINCE": "2026"},
        "$V6_CLOCK_SINCE: clock.since = '2026': time is real",
        "correct or unset V6_CLOCK_SINCE",
    ),
}


@pytest.mark.parametrize("case", TOGETHER)
def test_settings_that_exclude_each_other_are_named_each_with_its_source(
    demo_home: Home, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    text, variables, said, next_step = TOGETHER[case]
    own(demo_home, f'profile = "paper"\n{text}')
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadConfiguration) as refusal:
        settings.load(demo_home)
    assert refusal.value.message.startswith(said.replace("FILE", str(demo_home.settings_file)))
    assert next_step in (refusal.value.next_step or "") and "\n" not in refusal.value.message


def test_the_account_is_mended_in_the_homes_file_whatever_a_variable_repeats(demo_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    own(demo_home, 'profile = "live"\naccount = "DU1234567"')
    monkeypatch.setenv("V6_ACCOUNT", "DU1234567")
    with pytest.raises(BadConfiguration, match="a live home cannot have a paper account") as refusal:
        settings.load(demo_home)
    assert refusal.value.message.startswith(f"{demo_home.settings_file}: account = ")


def test_a_variable_may_repeat_what_is_pinned(demo_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V6_PROFILE", "demo")
    monkeypatch.setenv("V6_ACCOUNT", "DU1234567")
    assert settings.load(demo_home).account == "DU1234567"


def test_an_edit_keeps_every_comment(demo_home: Home) -> None:
    before = demo_home.settings_file.read_text()
    edit = settings.edited(demo_home, "limits.delta", "150")
    assert edit.settings.limits.delta == 150
    assert [line for line in edit.difference if line.startswith("-")] == ["--- before"]
    assert [line for line in edit.text.splitlines() if line.lstrip().startswith("#")] == [
        line for line in before.splitlines() if line.lstrip().startswith("#")
    ]
    assert demo_home.settings_file.read_text() == before, "an edit writes nothing"


@pytest.mark.parametrize("value", ["-1", "soon", "0", "inf", "nan", "[1]", ""])
def test_an_edit_that_would_break_the_file_is_refused(demo_home: Home, v6, value: str) -> None:
    before = demo_home.settings_file.read_bytes()
    with pytest.raises(BadConfiguration, match=r"limits\.delta"):
        settings.edited(demo_home, "limits.delta", value)
    done = v6("--home", demo_home.root, "config", "set", "--", "limits.delta", value)
    assert done.returncode == 78 and "limits.delta" in done.stderr
    assert demo_home.settings_file.read_bytes() == before


def test_an_edit_of_what_does_not_exist_names_what_does(demo_home: Home) -> None:
    with pytest.raises(UsageError, match=r"limits\.detla") as refusal:
        settings.edited(demo_home, "limits.detla", "5")
    assert "limits.delta" in (refusal.value.next_step or "")


def test_an_edit_below_a_value_that_is_no_section_is_refused(demo_home: Home) -> None:
    with pytest.raises(BadConfiguration, match=r"sync = 3 is in the way"):
        settings.edited(own(demo_home, 'profile = "demo"\nsync = 3\n'), "sync.interval", "5")


def test_the_last_settings_survive_a_broken_file(demo_home: Home) -> None:
    good = settings.load(demo_home)
    settings.remember(demo_home, good)
    own(demo_home, "profile =")
    assert settings.last(demo_home) == good
    (demo_home.run / "settings.last.json").write_text("{}")
    assert settings.last(demo_home) is None
    (demo_home.run / "settings.last.json").unlink()
    assert settings.last(demo_home) is None


def test_every_packaged_number_is_finite() -> None:
    for profile in ("demo", "paper"):
        found = settings._combine({"profile": profile}, "test", {}).values
        assert all(math.isfinite(value) for value in found.values() if isinstance(value, float))


def test_a_new_home_is_never_half_made(folder: Path) -> None:
    with pytest.raises(BadConfiguration):
        new_home.make(folder / "h", "live")
    assert not (folder / "h").exists()


def pinned_home(folder: Path) -> Home:
    """A paper home of account DU1111111 whose last sync saw one position of it."""
    home = new_home.make(folder / "home", "paper", account="DU1111111", port=4999)
    seen = datetime(2026, 11, 24, 15, tzinfo=UTC)
    with open_state(home) as state:
        held = Position("DU1111111", Contract(756733, "SPY", "STK"), 100.0, 600.0)
        mirror.write(state, "r1", seen, Account("DU1111111", "USD", seen, 1e5), positions=[held], greeks=[])
    return home


@pytest.mark.parametrize(("key", "value"), [("account", "DU2222222"), ("profile", "demo")])
def test_another_account_or_profile_is_taken_only_once_confirmed(folder: Path, v6: Any, key: str, value: str) -> None:
    home = pinned_home(folder)
    before = home.settings_file.read_text()
    told = v6("config", "set", key, value, cwd=home.root, check=77)
    assert f"the {key} of this home is" in told.stderr and "--yes" in told.stderr and home.settings_file.read_text() == before
    v6("config", "set", key, value, "--dry-run", cwd=home.root, check=0)
    v6("config", "set", key, value, "--yes", cwd=home.root, check=0)
    assert f'{key} = "{value}"' in home.settings_file.read_text()


def test_an_account_that_is_the_profile_s_own_is_replaced_only_once_confirmed(demo_home: Home, v6: Any) -> None:
    told = v6("config", "set", "account", "DU2222222", cwd=demo_home.root, check=77)
    assert "the account of this home is DU1234567" in told.stderr


def test_the_first_account_of_a_home_is_taken_unasked(folder: Path, v6: Any) -> None:
    home = new_home.make(folder / "home", "paper", port=4999)
    v6("config", "set", "account", "DU1111111", cwd=home.root, check=0)


def test_the_book_of_another_account_is_shown_by_nothing(folder: Path, v6: Any) -> None:
    home = pinned_home(folder)
    for command in ("positions", "greeks", "account"):
        v6(command, cwd=home.root, check=0)
    v6("config", "set", "account", "DU2222222", "--yes", cwd=home.root, check=0)
    for command in ("positions", "greeks", "account"):
        told = v6(command, cwd=home.root, check=69)
        assert told.stdout == "" and "is the book of DU1111111, and this home is pinned to DU2222222" in told.stderr


@pytest.mark.parametrize("kept", [True, False])
def test_a_file_that_is_refused_is_mended_by_the_command_that_its_refusal_names(demo_home: Home, v6: Any, kept: bool) -> None:
    if kept:
        settings.remember(demo_home, settings.load(demo_home))
    own(demo_home, 'profile = "demo"\n[limits]\ndelta = -5  # mine\n')
    refused = v6("sync", "--force", cwd=demo_home.root, check=78)
    assert "next: v6 config set limits.delta VALUE" in refused.stderr
    still = v6("config", "set", "limits.delta", "nonsense", cwd=demo_home.root, check=78)
    assert "limits.delta = 'nonsense' cannot be used" in still.stderr and "delta = -5" in demo_home.settings_file.read_text()
    v6("config", "set", "limits.delta", "150", "--dry-run", cwd=demo_home.root, check=0)
    assert "delta = -5" in demo_home.settings_file.read_text()
    v6("config", "set", "limits.delta", "150", cwd=demo_home.root, check=0)
    assert settings.load(demo_home).limits.delta == 150 and "# mine" in demo_home.settings_file.read_text()
    assert "config set" in v6("journal", cwd=demo_home.root, check=0).stdout


def test_a_pin_that_is_refused_is_mended_only_once_confirmed(folder: Path, v6: Any) -> None:
    home = pinned_home(folder)
    home.settings_file.write_text(home.settings_file.read_text().replace("DU1111111", "U1111111"))
    v6("sync", "--force", cwd=home.root, check=78)
    told = v6("config", "set", "account", "DU1111111", cwd=home.root, check=77)
    assert "the account of this home is U1111111: change it to DU1111111?" in told.stderr
    v6("config", "set", "account", "DU1111111", "--yes", cwd=home.root, check=0)
    assert settings.load(home).account == "DU1111111"


def test_a_file_with_two_wrong_settings_is_not_half_mended(demo_home: Home, v6: Any) -> None:
    own(demo_home, 'profile = "demo"\n[limits]\ndelta = -5\ngamma = -6\n')
    told = v6("config", "set", "limits.delta", "5", cwd=demo_home.root, check=78)
    assert "limits.gamma = -6" in told.stderr and "more than one setting is wrong: edit the file" in told.stderr
    assert "delta = -5" in demo_home.settings_file.read_text()


def test_a_variable_that_is_refused_is_not_passed_over(demo_home: Home, v6: Any) -> None:
    told = v6("config", "set", "limits.delta", "5", cwd=demo_home.root, check=78, environment={"V6_LIMITS_GAMMA": "-1"})
    assert "correct or unset V6_LIMITS_GAMMA" in told.stderr


def test_what_is_recorded_is_shown_though_the_settings_are_broken(folder: Path, v6: Any) -> None:
    home = pinned_home(folder)
    home.settings_file.write_text(home.settings_file.read_text() + "\n[limits]\ndelta = -1\n")
    assert "SPY" in v6("positions", cwd=home.root, check=0).stdout


def test_an_old_book_is_shown_as_old_and_what_mends_it_is_named(folder: Path, v6: Any) -> None:
    home = pinned_home(folder)
    for command in ("positions", "greeks", "account"):
        assert "old: no sync has ended since; next: v6 sync --force" in v6(command, cwd=home.root, check=0).stderr
    assert "next: v6 sync --force" in v6("risk", cwd=home.root, check=2).stderr


def test_a_book_that_cannot_be_read_is_not_one_that_was_never_recorded(folder: Path, v6: Any) -> None:
    home = pinned_home(folder)
    home.state.write_bytes(b"x" * 8192)
    told = v6("status", cwd=home.root, check=2)
    assert "unknown: the state file" in told.stdout and "is damaged" in told.stdout and "next: v6 health" in told.stderr
    assert "nothing recorded yet" in v6("status", cwd=new_home.make(folder / "new", "paper", port=4999).root, check=2).stdout
