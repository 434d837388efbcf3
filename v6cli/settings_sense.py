"""What settings must be beyond their types, and how one that cannot be used is said: its file, key and value, and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from v6cli import clock, resets
from v6cli.errors import BadConfiguration

if TYPE_CHECKING:
    from v6cli.settings import Settings

Values = dict[str, Any]

# What msgspec calls them, and what is said to people.
_TYPES = {"float": "a number", "int": "a whole number", "str": "text", "bool": "true or false", "array": "a list", "object": "a section"}
_BOUNDS = {">": "above", ">=": "of at least", "<": "below", "<=": "of at most"}
_PATTERNS = {
    "account": "an id like U1234567, or DU1234567 on paper",
    "backup.remote": "a folder like /mnt/backups, or s3://BUCKET/PLACE (or gs, az) without a password in it",
    "backup.recipient": "a public key of age, which begins with age1",
    "backup.identity": "a path that begins with /",
}


class Layers(Struct, frozen=True):
    """The values of all layers laid over each other, the layer that set each dotted key, and what the home's own layer is called."""

    values: Values
    sources: Mapping[str, str]
    own: str

    def value(self, key: str) -> Any:
        """What is set, None where nothing is."""
        place: Any = self.values
        for part in key.split("."):
            if not isinstance(place, dict) or part not in place:
                return None
            place = place[part]
        return place

    def source(self, key: str) -> str:
        """The layer that set a key, or one below it; the home's own where none did."""
        return self.sources.get(key) or next((source for name, source in self.sources.items() if name.startswith(key + ".")), self.own)


def check(settings: Settings, layers: Layers) -> None:
    """What no single value shows: settings that exclude each other. Raises BadConfiguration naming each with its source."""
    for wrong, keys, why in _senseless(settings):
        if wrong:
            raise _refused(keys, why, layers)


def explained(error: msgspec.ValidationError, layers: Layers, choices: Callable[[str], list[str]]) -> BadConfiguration:
    """What msgspec refused, said of the setting; ``choices`` tells what one of few possible values can be."""
    match = re.match(r"^(?P<what>.*?)(?: - at `\$\.?(?P<path>[^`]*)`)?$", str(error), re.DOTALL)
    assert match  # the pattern matches any text
    path, what = match["path"] or "", match["what"]
    if unknown := re.search(r"Object contains unknown field `(?P<field>[^`]*)`", what):
        key = ".".join(filter(None, (path, unknown["field"])))
        place = layers.value(path) if path else layers.values
        siblings = sorted(set(place) - {unknown["field"]}) if isinstance(place, dict) else []
        return BadConfiguration(
            f"{layers.source(key)}: {key} is no setting; there are: {', '.join(siblings)}", next_step=f"remove or correct {key}"
        )
    source = layers.source(path)
    text = f"{source}: {path} = {layers.value(path)!r} cannot be used: expected {_allowed(path, what, choices)}"
    return BadConfiguration(text, next_step=_mend(path, source))


def moment(text: str) -> datetime | None:
    """The moment that a setting names, None for an empty one. Raises ValueError."""
    if not text:
        return None
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("no offset")
    return found


def flat(values: Values, prefix: str = "") -> Values:
    """The values by their dotted keys."""
    found: Values = {}
    for key, value in values.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


def _senseless(settings: Settings) -> Iterator[tuple[bool, Sequence[str], str]]:
    profile, account, own = settings.profile, settings.account, settings.gateway
    paper = account.startswith("D")
    in_earnest = profile != "demo"
    yield profile == "live" and not account, ("account",), "a live home pins its account id; allowed is an id like U1234567"
    yield (
        profile == "live" and paper,
        ("account",),
        "a live home cannot have a paper account; allowed is an id that does not begin with D",
    )
    yield (
        profile != "live" and bool(account) and not paper,
        ("account",),
        f"a {profile} home needs a paper account; allowed is an id that begins with D",
    )
    healthy, degraded = settings.sync.healthy, settings.sync.degraded
    yield degraded <= healthy, ("sync.healthy", "sync.degraded"), f"degraded must be longer than healthy; allowed is more than {healthy:g}"
    real = "time is real in every profile but demo; allowed is"
    yield in_earnest and settings.clock.rate != 1, ("clock.rate",), f"{real} 1.0"
    own_clock = settings.clock
    yield (
        own_clock.rate != 1 and not (own_clock.origin and own_clock.since),
        ("clock.rate", "clock.origin", "clock.since"),
        "at another rate home time must have begun somewhere; set origin and since first",
    )
    for key, text in (("clock.origin", settings.clock.origin), ("clock.since", settings.clock.since)):
        yield in_earnest and bool(text), (key,), f"{real} an empty text"
        yield not _is_moment(text), (key,), "no moment; allowed is 2026-11-24T09:30:00-05:00, with its offset"
    yield in_earnest and own.simulated, ("gateway.simulated",), "only a demo home runs a simulated gateway; allowed is false"
    for key, name in (("gateway.time_zone", own.time_zone), ("gateway.reset_time_zone", own.reset_time_zone)):
        yield not clock.is_zone(name), (key,), "no time zone; allowed is a name like America/New_York"
    yield from (
        (True, ("gateway.resets",), f"{text!r}: {problem}; allowed is 'Sat 23:00 - Sun 03:00', or '00:15 - 01:45' for every day")
        for text in own.resets
        if (problem := _problem_of_reset(text))
    )
    messages = settings.messages
    total = messages.trading + messages.sync + messages.closing + 2 * messages.look
    keys = [f"messages.{name}" for name in messages.__struct_fields__ if name != "cancel"]
    yield total > 45, keys, f"they add up to {total} a second (two looks counted, cancel apart); allowed is 45"
    yield messages.cancel > 5, ("messages.cancel",), "the gateway takes 50 a second, 45 of which are shared out; allowed is 5"
    lines = settings.lines
    total = lines.trading + lines.sync + 2 * lines.look
    keys = [f"lines.{name}" for name in lines.__struct_fields__]
    yield total > 100, keys, f"they add up to {total} (two looks counted); allowed is 100"


def _refused(keys: Sequence[str], why: str, layers: Layers) -> BadConfiguration:
    """Each setting with who set it, the nearest first: what a variable says is more likely meant to be changed than a default."""
    by_source: dict[str, list[str]] = {}
    for key in keys:
        by_source.setdefault(layers.source(key), []).append(key)
    nearest = sorted(by_source, key=lambda source: (not source.startswith("$"), source != layers.own))
    said = "; ".join(f"{source}: {', '.join(f'{key} = {layers.value(key)!r}' for key in by_source[source])}" for source in nearest)
    return BadConfiguration(f"{said}: {why}", next_step=_mend(by_source[nearest[0]][0], nearest[0]))


def _allowed(path: str, what: str, choices: Callable[[str], list[str]]) -> str:
    """What msgspec expected, in words."""
    if "matching regex" in what:
        return _PATTERNS[path]
    if what.startswith("Invalid enum value"):
        return " or ".join(choices(path))
    named = re.sub(
        r"`(\w+)`",
        lambda match: _TYPES.get(match[1], match[1]),
        what.removeprefix("Expected ").replace("of length >= 1", "that is not empty"),
    )
    return re.sub(r" ([<>]=?) (\S+)", lambda match: f" {_BOUNDS[match[1]]} {float(match[2]):g}", named)


def _mend(key: str, source: str) -> str:
    return f"correct or unset {source[1:]}" if source.startswith("$") else f"v6 config set {key} VALUE, or edit the file"


def _is_moment(text: str) -> bool:
    try:
        moment(text)
    except ValueError:
        return False
    return True


def _problem_of_reset(text: str) -> str:
    try:
        resets.parse(text)
    except ValueError as error:
        return str(error)
    return ""
