"""Keeping secrets off screens, logs and the journal.

Settings hold no secrets by design: they name files. What still arrives on a command line or in a message is masked here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MASK = "********"
_NAMES = r"(?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|credential)s?"
_BARE = r"\S+?(?=[\"'}\]),;]{0,8}(?:\s|$))"  # what closes a text or a list behind it stays
_NAMED = re.compile(rf"(?i)({_NAMES})(\\?[\"']?\s*[=:]\s*|\s+)(\"[^\"]*\"|'[^']*'|\\\"[^\"]*?\\\"|(?!\*{{8}}){_BARE})")
_HEADER = re.compile(r"(?i)\b(authorization\s*[=:]\s*[a-z]+\s+|bearer\s+)(?!\*{8})[\w.~+/=-]{8,}")
_QUOTES = ('\\"', '"', "'")
_IN_ADDRESS = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{0,30}://)([^/\s@]+)@")
_KEY = re.compile(rf"(?i){_NAMES}$")


def is_secret(key: str) -> bool:
    """Whether a setting or variable of this name holds a secret."""
    return _KEY.search(key.rsplit(".", 1)[-1]) is not None


def redact(text: str) -> str:
    """``text`` with what looks like a secret masked: ``token=…``, ``"token": "…"``, ``--password …``, ``scheme://user:…@host``."""
    masked = _IN_ADDRESS.sub(rf"\1{MASK}@", text)
    masked = _HEADER.sub(rf"\1{MASK}", masked)
    return _NAMED.sub(lambda match: f"{match[1]}{match[2]}{_masked(match[3])}", masked)


def redact_words(words: Sequence[str]) -> list[str]:
    """The words of a command line with secrets masked, be one a word of its own behind the option or setting that names it."""
    before = ("", *words)
    return [MASK if is_secret(named) and not word.startswith("-") else redact(word) for named, word in zip(before, words, strict=False)]


def _masked(value: str) -> str:
    """The mask in the quotes of the value, so that what was JSON stays it."""
    quote = next((quote for quote in _QUOTES if value.startswith(quote) and value.endswith(quote) and len(value) >= 2 * len(quote)), "")
    return f"{quote}{MASK}{quote}"
