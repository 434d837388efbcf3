"""How often a service was started again after it had ended by itself. Supervisord keeps no such count; its log tells it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

_EVENT = re.compile(
    rb" (?:INFO|WARN|CRIT) (?:(spawned): '([^']+)'|(exited): (\S+) \(.*; (not expected|expected)\)|(stopped|gave up): (\S+) |(supervisord started) )"
)


def count_restarts(log: Path) -> Counter[str]:
    """Restarts by service since it was last started on purpose.

    A start directly behind an exit that was not expected is supervisord's own; behind anything else it is somebody's, and the
    count begins anew. Of the log, the current file and the one before it are read (a few thousand restarts): beyond that the
    count is a lower bound. One that is stopped in the pause between two attempts leaves no line: its next start counts as one.
    """
    counts: Counter[str] = Counter()
    crashed: set[str] = set()
    for file in (log.with_name(f"{log.name}.1"), log):
        try:
            content = file.read_bytes()
        except OSError:
            continue
        for spawned, begun, exited, ended, how, _, stopped, anew in _EVENT.findall(content):
            if spawned:
                name = begun.decode()
                counts[name] = counts[name] + 1 if name in crashed else 0
                crashed.discard(name)
            elif exited and how == b"not expected":
                crashed.add(ended.decode())
            elif exited or stopped:
                crashed.discard((ended or stopped).decode())
            elif anew:
                counts.clear()
                crashed.clear()
    return counts
