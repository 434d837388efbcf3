"""The settings: what they are, where each value came from, and what is allowed.

Later layers win: packaged default, packaged profile, the home's ``config/v6.toml``, ``V6_*`` variables. Profile and
account come from the home's file alone, so that no exported variable can point a command at another account.
"""

from __future__ import annotations

import os
import shlex
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from v6cli import clock, settings_sense
from v6cli.errors import BadConfiguration, CannotWrite, UsageError
from v6cli.files import legible, write_durably
from v6cli.home import MARKER, Home
from v6cli.settings_sense import Layers, Values

if TYPE_CHECKING:
    from logging import Logger

PACKAGED = Path(__file__).parent / "config"
PROFILES = ("demo", "paper", "live")
NOT_SETTINGS = frozenset({"V6_HOME"})

Port = Annotated[int, Meta(ge=1, le=65535)]
LARGEST = 1e12  # a limit or a wait without end is none

Positive = Annotated[float, Meta(gt=0, le=LARGEST)]
NotNegative = Annotated[float, Meta(ge=0, le=LARGEST)]
Fraction = Annotated[float, Meta(gt=0, le=1)]
Count = Annotated[int, Meta(ge=1)]
AccountId = Annotated[str, Meta(pattern=r"^([A-Z]{1,3}[0-9]{4,12})?$")]
RemotePlace = Annotated[str, Meta(pattern=r"^((s3|gs|az)://[^/@?#\s][^@?#\s]*|/.*)?$")]  # neither a password nor a token fits in
AgeRecipient = Annotated[str, Meta(pattern=r"^(age1[02-9ac-hj-np-z]{58})?$")]
AbsolutePath = Annotated[str, Meta(pattern=r"^(/.*)?$")]


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """A section of the file; a key that is not one of its fields is refused."""


class Gateway(Section, frozen=True):
    """Where the IB gateway listens."""

    host: Annotated[str, Meta(min_length=1)]
    port: Port
    timeout: Positive
    simulated: bool
    scenario: str
    time_zone: str
    resets: tuple[str, ...]
    reset_time_zone: str


class Clock(Section, frozen=True):
    """How home time runs; real in every profile but demo."""

    rate: Positive
    origin: str
    since: str


class Messages(Section, frozen=True):
    """Messages a second to the gateway, by role."""

    trading: Count
    sync: Count
    closing: Count
    look: Count
    cancel: Count = 5  # settings that an older v6 kept for an emergency lack it


class Lines(Section, frozen=True):
    """Market-data lines at a time, by role."""

    trading: Count
    sync: Count
    look: Count


class Greeks(Section, frozen=True):
    """When greeks are known."""

    wait: Positive
    budget: Positive
    stale_after: Positive
    missing_from_open: NotNegative


class Sync(Section, frozen=True):
    """The position sync and its lag."""

    interval: Positive
    fresh: NotNegative
    healthy: Positive
    degraded: Positive


class Limits(Section, frozen=True):
    """Portfolio limits of the runbook."""

    delta: Positive
    gamma: Positive
    concentration: Fraction
    concentration_basis: Literal["gross_over_net_liquidation", "gross_over_gross"]
    near: Fraction


class Closing(Section, frozen=True):
    """How positions are closed: how far a price may go from the middle, how fast, and what is believed when."""

    percent: Fraction
    ticks: NotNegative
    amount: NotNegative
    steps: Count
    dwell: Positive
    largest: Count
    lag: Positive
    timeout: Positive


class Health(Section, frozen=True):
    """What health judges."""

    machine: bool
    disk: Fraction
    memory: Fraction
    clock_skew: Positive
    errors_window: Positive


class Services(Section, frozen=True):
    """Who hosts the services."""

    backend: Literal["supervisord"]


class Backups(Section, frozen=True):
    """How long backups are kept, in days; where copies of them go, and the age key they are encrypted to, with the file that opens them."""

    keep: Positive = 30.0
    remote: RemotePlace = ""
    recipient: AgeRecipient = ""
    identity: AbsolutePath = ""


class Support(Section, frozen=True):
    """Whom to call: the developer of this system, and IB's support line."""

    developer: str = ""
    broker: str = ""


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Every setting, validated."""

    profile: Literal["demo", "paper", "live"]
    account: AccountId
    gateway: Gateway
    clock: Clock
    messages: Messages
    lines: Lines
    greeks: Greeks
    sync: Sync
    limits: Limits
    closing: Closing
    health: Health
    services: Services
    # What an older v6 kept as the last settings lacks these.
    support: Support = Support()
    backup: Backups = Backups()


class Loaded(Struct, frozen=True):
    """Settings with, for each dotted key, its value and the layer that set it."""

    settings: Settings
    values: Values
    sources: dict[str, str]


def load(home: Home) -> Settings:
    """The settings of a home. Raises BadConfiguration naming file, key, value and what is allowed."""
    return load_with_sources(home).settings


def load_with_sources(home: Home) -> Loaded:
    """The settings of a home, with where each value came from. Raises BadConfiguration."""
    own = read_file(home.settings_file)
    return _combine(own, str(home.settings_file), _from_environment())


def check_text(text: str, path: Path) -> Loaded:
    """The settings that a home's file of this ``text`` would give, variables left out. Raises BadConfiguration."""
    return _combine(_parse(text, path), str(path), {})


def refusal(home: Home) -> BadConfiguration | None:
    """Why the home's file, variables left out, gives no settings that can be used; None where it does.

    Raises BadConfiguration for a file that no single setting can mend: one that cannot be read, or is not TOML.
    """
    own = read_file(home.settings_file)
    try:
        _combine(own, str(home.settings_file), {})
    except BadConfiguration as error:
        return error
    return None


def builtin(profile: str = "paper", account: str = "") -> Settings:
    """The packaged settings of a profile, for what works without a home, or in an emergency without its file.

    Raises BadConfiguration for an account that is none of the profile's.
    """
    return _combine({"profile": profile} | ({"account": account} if account else {}), "the packaged settings", {}).settings


def all_keys() -> list[str]:
    """Every dotted key there is."""
    return list(settings_sense.flat(read_file(PACKAGED / "default.toml")))


def choices(key: str) -> list[str]:
    """What a setting of few possible values can be, as it is typed; empty for any other, and for a key that is none."""
    import msgspec.inspect

    found: Any = msgspec.inspect.type_info(Settings)
    for name in key.split("."):
        found = next((field.type for field in getattr(found, "fields", ()) if field.encode_name == name), None)
    if isinstance(found, msgspec.inspect.BoolType):
        return ["true", "false"]
    return [str(value) for value in found.values] if isinstance(found, msgspec.inspect.LiteralType) else []


def files(home: Home) -> list[Path]:
    """The files that the settings of a home are read from; later ones win. Raises BadConfiguration."""
    profile = load(home).profile
    return [PACKAGED / "default.toml", PACKAGED / f"{profile}.toml", home.settings_file]


class Edit(Struct, frozen=True):
    """A change of a home's file before it is written: its new text, the settings it gives, and the difference in lines."""

    text: str
    settings: Settings
    difference: list[str]


def edited(home: Home, key: str, value: str) -> Edit:
    """The home's file with one setting changed, comments kept; the file may be one that is refused as it is.

    Raises UsageError, and BadConfiguration where what results is refused, too; writes nothing.
    """
    import difflib

    import tomlkit

    known = settings_sense.flat(read_file(PACKAGED / "default.toml"))
    if key not in known:
        raise no_such_key(key, known)
    if legible(value) != value:
        raise UsageError(f"{key}: {legible(value)} is not in UTF-8", next_step=f"v6 config set {key} VALUE")
    before = home.settings_file.read_text("utf-8")
    _parse(before, home.settings_file)
    document: Any = tomlkit.parse(before)
    place = document
    *sections, name = key.split(".")
    for section in sections:
        if section not in place:
            place[section] = tomlkit.table()
        place = place[section]
        if not isinstance(place, dict):
            raise BadConfiguration(
                f"{home.settings_file}: {section} = {place!r} is in the way: [{section}] is a section", next_step="edit the file"
            )
    place[name] = _typed(value, known[key])
    after = tomlkit.dumps(document)
    try:
        settings = check_text(after, home.settings_file).settings
    except BadConfiguration as error:
        before_it = refusal(home)
        if before_it is None or before_it.message == error.message or key in error.message:
            raise
        step = f"more than one setting is wrong: edit the file, then: v6 --home {shlex.quote(str(home))} config validate"
        raise BadConfiguration(error.message, next_step=step) from error
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), "before", "after", lineterm="", n=1)
    return Edit(after, settings, list(lines))


def no_such_key(key: str, known: Iterable[str]) -> UsageError:
    """``key`` is no setting; what is known and near it may be meant."""
    import difflib

    near = difflib.get_close_matches(key, known, n=3)
    return UsageError(
        f"{key!r} is no setting", next_step=f"did you mean {' or '.join(near)}?" if near else "v6 config show lists every setting"
    )


def pinned(home: Home, key: str) -> str:
    """The ``account`` or ``profile`` of a home, its profile's own where its file names none; the file may be refused. Raises BadConfiguration."""
    own = read_file(home.settings_file)
    profile = own.get("profile")
    packaged = read_file(PACKAGED / f"{profile}.toml") if profile in PROFILES else {}
    return str(own.get(key, packaged.get(key, "")))


def remember(home: Home, settings: Settings) -> None:
    """Keep the settings that validated, for the day the file is broken. Raises CannotWrite."""
    write_durably(home.run / "settings.last.json", msgspec.json.encode(settings))


def last(home: Home) -> Settings | None:
    """The settings that validated last in this home, or None."""
    try:
        return msgspec.json.decode((home.run / "settings.last.json").read_bytes(), type=Settings)
    except (OSError, msgspec.DecodeError):
        return None


def fresh(home: Home, in_force: Settings, log: Logger) -> Settings:
    """What a service goes on with: the settings as they are now, in force and remembered, or ``in_force`` where they are the same.

    Ones that cannot be used leave those in force.
    """
    try:
        found = load(home)
    except BadConfiguration as error:
        log.warning("keeping the last settings: %s", error.message)
        return in_force
    if found == in_force:
        return in_force
    start_clock(found)
    log.info("settings changed")
    try:
        remember(home, found)
    except CannotWrite as error:
        log.error("the settings could not be remembered: %s", error.message)  # noqa: TRY400  its traceback says no more
    return found


def start_clock(settings: Settings) -> None:
    """Let home time run as the settings say."""
    own = settings.clock
    clock.start(own.rate, settings_sense.moment(own.origin), settings_sense.moment(own.since))


def read_file(path: Path) -> Values:
    """The values of one TOML file. Raises BadConfiguration naming file and line."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        step = "v6 config path shows which files are read"
        if isinstance(error, PermissionError):
            step = f"ls -ld {shlex.quote(str(path.parent))} {shlex.quote(str(path))}"
        elif isinstance(error, FileNotFoundError) and path.parts[-2:] == MARKER.parts:
            step = f"take backup/{MARKER} out of a backup, or v6 init {shlex.quote(str(path.parent.parent))}"
        raise BadConfiguration(f"cannot read {path}: {reason}", next_step=step) from error
    return _parse(text, path)


def _parse(text: str, path: Path) -> Values:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadConfiguration(
            f"{path} is not valid TOML: {error}",
            next_step=f"mend that line, then: v6 --home {shlex.quote(str(path.parent.parent))} config validate",
        ) from error


def _combine(own: Values, own_name: str, variables: Mapping[str, str]) -> Loaded:
    profile = own.get("profile", "")
    if profile not in PROFILES:
        raise BadConfiguration(
            f"{own_name}: profile = {profile!r} is not one of {', '.join(PROFILES)}", next_step=f'set profile = "paper" in {own_name}'
        )
    default_file, profile_file = PACKAGED / "default.toml", PACKAGED / f"{profile}.toml"
    values: Values = {}
    sources: dict[str, str] = {}
    for layer, name in ((read_file(default_file), "default"), (read_file(profile_file), f"profile {profile}"), (own, own_name)):
        _lay_over(values, sources, layer, name)
    pinned = {"profile": values["profile"], "account": values["account"]}
    for name, text in variables.items():
        key = _key_of_variable(name, values)
        _refuse_other_pin(key, text, pinned, f"${name}", own_name)
        _put(values, key, _typed(text, settings_sense.flat(values)[key]))
        sources[key] = f"${name}"
    try:
        settings = msgspec.convert(values, Settings)
    except msgspec.ValidationError as error:
        raise settings_sense.explained(error, Layers(values, sources, own_name), choices) from None
    # Where the account is to be put is the home's file, whatever a variable repeats.
    settings_sense.check(settings, Layers(values, sources | {"account": own_name}, own_name))
    return Loaded(settings, settings_sense.flat(values), sources)


def _lay_over(values: Values, sources: dict[str, str], layer: Values, name: str, prefix: str = "") -> None:
    for key, value in layer.items():
        if isinstance(value, dict):
            below = values.setdefault(key, {})
            if isinstance(below, dict):
                _lay_over(below, sources, value, name, f"{prefix}{key}.")
                continue
        values[key] = value
        sources[prefix + key] = name


def _from_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("V6_") and name not in NOT_SETTINGS}


def _key_of_variable(name: str, values: Values) -> str:
    wanted = name.removeprefix("V6_").lower()
    for key in settings_sense.flat(values):
        if key.replace(".", "_") == wanted:
            return key
    raise BadConfiguration(f"${name} is no setting of v6", next_step="unset it; v6 config show lists every setting")


def _refuse_other_pin(key: str, text: str, pinned: Mapping[str, str], source: str, own_name: str) -> None:
    if key in pinned and text != pinned[key]:
        raise BadConfiguration(
            f"{source} says {key} {text!r}, this home is pinned to {pinned[key]!r} by {own_name}",
            next_step=f"unset {source.lstrip('$')}, or work in another home with --home DIR",
        )


def _typed(text: str, like: object) -> object:
    if isinstance(like, str):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _put(values: Values, key: str, value: object) -> None:
    *sections, name = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
    values[name] = value
