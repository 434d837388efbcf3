"""What must not leave this machine, and what stands in its place: the same account, user or host by the same placeholder throughout."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote

from v6cli import secrets
from v6cli.secrets import MASK

Kind = Literal["ACCOUNT", "USER", "HOST"]

SHORTEST = 4  # characters of a value that is searched for
RULES = (
    "account ids: those this home knows, and whatever looks like one of IB's",
    "what is called secret, and each value known from variables and files",
    "what has the shape of a key, a bot's token or a webhook's address",
    "users and hosts, except names that are words of their own, like root",
    f"not searched for: values shorter than {SHORTEST} characters",
    "kept: symbols, sizes, prices, amounts, orders, paths, addresses and ports",
)
# Names that say nothing about a person or a machine, and that stand in running text for something else.
_WORDS = frozenset(
    {"root", "user", "users", "admin", "operator", "trading", "trader", "v6", "demo", "paper", "live", "ubuntu", "debian", "service"}
    | {"services", "gateway", "sync", "test", "home", "local", "localhost", "account", "host"}
)
_NO_SECRETS = frozenset({"true", "false", "none", "null", "auto", "enabled", "disabled", "default"})
# U1234567, DU1234567 (paper), F (advisor), I, DF, DI; within a longer word in capitals only, which no digest of ours is written in.
_ACCOUNT = re.compile(r"(?i:(?<![a-z0-9])D?[UFI][A-Z]?\d{5,12}(?![a-z0-9]))|D[UFI][A-Z]?\d{6,12}")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_FIELDS: dict[str, Kind] = {"account": "ACCOUNT", "user": "USER", "who": "USER", "by": "USER", "acknowledged_by": "USER", "host": "HOST"}


class Redaction:
    """Takes out what must not leave. All that is to be known must be told before the first text passes.

    ``counts`` says how often each placeholder, and MASK, was put in.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._secrets: dict[str, None] = {}
        self._names: dict[str, Kind] = {}
        self._placeholders: dict[tuple[Kind, str], str] = {}
        self._literal: re.Pattern[str] | None = None
        self._known: re.Pattern[str] | None = None

    def know_secret(self, value: str) -> None:
        """This value is a secret, however it is written down: as it is, within JSON, within an address."""
        for line in value.splitlines():
            if len(bare := line.strip()) >= SHORTEST and bare.lower() not in _NO_SECRETS:
                forms = (bare, json.dumps(bare)[1:-1], json.dumps(bare, ensure_ascii=False)[1:-1], quote(bare, safe=""))
                self._secrets |= dict.fromkeys(forms)
        self._literal = None

    def know(self, kind: Kind, name: str) -> None:
        """This is the name of an account, a user or a host."""
        bare = name.strip()
        needs = "0123456789" if kind == "ACCOUNT" else _LETTERS  # neither a sentence nor an address
        if len(bare) >= SHORTEST - 1 and bare.lower() not in _WORDS and not set(bare).isdisjoint(needs):
            self._names.setdefault(bare, kind)
            self._known = None

    def learn(self, found: Any) -> None:
        """Know the names that stand in fields called after them, anywhere in what was found."""
        if isinstance(found, Mapping):
            for key, value in found.items():
                if isinstance(value, str) and (kind := _FIELDS.get(str(key))):
                    self.know(kind, value)
                else:
                    self.learn(value)
        elif isinstance(found, list | tuple):
            for one in found:
                self.learn(one)

    def text(self, text: str) -> str:
        """``text`` without any of it. A NUL is dropped: it would hide what stands around it."""
        clean = text.replace("\0", "")
        if self._secrets:
            clean = self._secret_literals().sub(self._mask, clean)
        masked = secrets.redact(clean)
        self.counts[MASK] += masked.count(MASK) - clean.count(MASK)
        clean = masked
        clean = _ACCOUNT.sub(lambda match: self._placeholder("ACCOUNT", match[0]), clean)
        return self._name_literals().sub(self._name, clean) if self._names else clean

    def tree(self, found: Any) -> Any:
        """The same for every text within JSON, keys included; what a key calls a secret is masked whole."""
        if isinstance(found, str):
            return self.text(found)
        if isinstance(found, Mapping):
            return {
                self.text(str(key)): MASK if secrets.is_secret(str(key)) and value not in (None, "") else self.tree(value)
                for key, value in found.items()
            }
        return [self.tree(one) for one in found] if isinstance(found, list | tuple) else found

    def placeholders(self) -> dict[str, int]:
        """How often each placeholder was put in."""
        return dict(sorted(self.counts.items()))

    def _mask(self, _match: re.Match[str]) -> str:
        self.counts[MASK] += 1
        return MASK

    def _name(self, match: re.Match[str]) -> str:
        found = match[0]
        kind: Kind = next((kind for name, kind in self._names.items() if found.lower() == name.lower()), "ACCOUNT")
        return self._placeholder(kind, found)

    def _placeholder(self, kind: Kind, name: str) -> str:
        key = (kind, self._whole(name) if kind == "ACCOUNT" else name.lower())
        if key not in self._placeholders:
            number = sum(known == kind for known, _ in self._placeholders) + 1
            self._placeholders[key] = f"{kind}-{number}"
        placeholder = self._placeholders[key]
        self.counts[placeholder] += 1
        return placeholder

    def _whole(self, account: str) -> str:
        """The known account whose digits these are, else the account as written."""
        if account.isdecimal():
            return next(
                (name.upper() for name, kind in self._names.items() if kind == "ACCOUNT" and name.lstrip(_LETTERS) == account), account
            )
        return account.upper()

    def _secret_literals(self) -> re.Pattern[str]:
        if self._literal is None:
            self._literal = re.compile("|".join(map(re.escape, sorted(self._secrets, key=len, reverse=True))))
        return self._literal

    def _name_literals(self) -> re.Pattern[str]:
        if self._known is None:
            longest_first = sorted(self._names.items(), key=lambda item: -len(item[0]))
            alone = r"(?<![A-Za-z0-9]){}(?![A-Za-z0-9])"
            parts = [rf"{re.escape(name)}(?!\d)" if kind == "ACCOUNT" else alone.format(re.escape(name)) for name, kind in longest_first]
            digits = [name.lstrip(_LETTERS) for name, kind in longest_first if kind == "ACCOUNT"]
            parts += [alone.format(number) for number in digits if number.isdecimal() and len(number) >= 6]
            self._known = re.compile("|".join(parts), re.IGNORECASE)
        return self._known
