"""Keeping secrets off screens, logs and the journal.

Settings hold no secrets by design: they name files. What still arrives on a command line or in a message is masked here.
"""

from __future__ import annotations

import re

MASK = "********"
_NAMES = r"(?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|credential)s?"
_NAMED = re.compile(rf"(?i)\b([\w.-]*{_NAMES})(\s*[=:]\s*|\s+)(\"[^\"]*\"|'[^']*'|\S+)")
_IN_ADDRESS = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)([^/\s@]+)@")
_KEY = re.compile(rf"(?i){_NAMES}$")


def is_secret(key: str) -> bool:
    """Whether a setting or variable of this name holds a secret."""
    return _KEY.search(key.rsplit(".", 1)[-1]) is not None


def redact(text: str) -> str:
    """``text`` with what looks like a secret masked: ``token=…``, ``--password …``, ``scheme://user:…@host``."""
    masked = _IN_ADDRESS.sub(rf"\1{MASK}@", text)
    return _NAMED.sub(lambda match: f"{match[1]}{match[2]}{MASK}", masked)
