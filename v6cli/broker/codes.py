"""IB's message codes, from the table beside this file: the table is data, extended without code."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from msgspec import Struct


class Meaning(Struct, frozen=True):
    """What a code speaks of (``kind``, see codes.toml) in v6's words, and what the operator may ``do``. An unknown code has kind ``unknown``."""

    code: int
    kind: str
    text: str
    do: str = ""


@cache
def _table() -> dict[int, Meaning]:
    import tomllib

    rows = tomllib.loads(Path(__file__).with_name("codes.toml").read_text("utf-8"))
    return {int(code): Meaning(int(code), row["kind"], row["text"], row.get("do", "")) for code, row in rows.items()}


def classify(code: int, text: str) -> Meaning:
    """The meaning of a message; IB's ``text`` tells a read-only gateway from other validation errors."""
    if code == 321 and "read-only" in text.lower():
        return Meaning(
            code,
            "read-only",
            "the gateway's API is read-only: it refuses every order and cancel",
            "untick Read-Only API in the gateway's settings",
        )
    return _table().get(code) or Meaning(code, "unknown", text, "look at the order in TWS: whether it lives is not known")
