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
#: What is a secret by its shape alone, whatever stands before it: keys, and tokens of bots (Telegram, Slack, Discord, GitHub).
_SHAPES = re.compile(
    r"AGE-SECRET-KEY-1[0-9A-Z]+|\bAKIA[0-9A-Z]{16}\b|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)"
    r"|(?<!\d)\d{6,12}(?::|%3[Aa])[\w-]{30,}"
    r"|\bxox[a-z]-[\w-]{10,}|\bxapp-[\w-]{10,}|\bgh[opsur]_\w{30,}|\bgithub_pat_\w{30,}"
    r"|(?<![\w-])[\w-]{23,28}\.[\w-]{6,7}\.[\w-]{27,}"
)
#: Addresses that let whoever knows them post: what stands behind the host, or behind the scheme that apprise reads.
_POSTING = re.compile(
    r"(?i)(\bhttps?://(?=[^\s\"']{0,300}(?:webhook|hooks?[./]|hc-ping\.com|logic\.azure\.com))[^\s/\"'\\]+/)[^\s\"'<>\\]+"
    r"|(\b(?:tgram|slack|discord|msteams|workflows|mmosts?|pover|pbul|gotifys?|ntfys?|gchat|rockets?|mailtos?)://)[^\s\"'<>\\]+"
    r"|(/(?:web)?hooks/)[^\s\"'<>\\]{16,}"
    r"|(/services/)T\w{6,}/B\w{6,}/\w{16,}"
    r"|([?&](?:key|sig|auth)=)[^\s\"'<>&\\]{8,}"
)
_BARE_POSTING = re.compile(r"\bT[A-Z0-9]{7,}/B[A-Z0-9]{7,}/\w{16,}|(?<!\d)\d{17,20}/[\w-]{50,}")  # Slack's, Discord's
_KEY = re.compile(rf"(?i){_NAMES}$")


def is_secret(key: str) -> bool:
    """Whether a setting or variable of this name holds a secret."""
    return _KEY.search(key.rsplit(".", 1)[-1]) is not None


def redact(text: str) -> str:
    """``text`` with what looks like a secret masked: ``token=…``, ``"token": "…"``, ``--password …``, ``scheme://user:…@host``, the path
    of a webhook, and what has the shape of a token.
    """
    masked = _POSTING.sub(lambda match: f"{match[match.lastindex or 0]}{MASK}", text)
    masked = _SHAPES.sub(MASK, _BARE_POSTING.sub(MASK, masked))
    masked = _IN_ADDRESS.sub(rf"\1{MASK}@", masked)
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
