"""The data farms and their state, as clients hear of it."""

from __future__ import annotations

from v6cli.simulator.faults import Faults, Parameter, names

_FARMS = {"usfarm": 2104, "usopt": 2104, "ushmds": 2106, "secdefil": 2158}
_WORDS = {
    2103: "Market data farm connection is broken",
    2104: "Market data farm connection is OK",
    2105: "HMDS data farm connection is broken",
    2106: "HMDS data farm connection is OK",
    2158: "Sec-def data farm connection is OK",
}
_OK_AFTER = {2103: 2104, 2105: 2106}


def messages(faults: Faults) -> list[tuple[int, str]]:
    """The state of the data farms, as told to a client that connects."""
    broken = dict(_broken(faults.each("farm-broken")))
    states = {farm: broken.get(farm, ok) for farm, ok in _FARMS.items()} | broken
    return [(code, f"{_WORDS[code]}:{farm}") for farm, code in states.items()]


def changes(begins: bool, forms: list[dict[str, Parameter]]) -> list[tuple[int, str]]:
    """What every client is told when farms break or are back."""
    told = [(code if begins else _OK_AFTER[code], farm) for farm, code in _broken(forms)]
    return [(code, f"{_WORDS[code]}:{farm}") for code, farm in told]


def _broken(forms: list[dict[str, Parameter]]) -> list[tuple[str, int]]:
    return [(farm, int(str(held["code"]))) for held in forms for farm in names(held["farm"])]
