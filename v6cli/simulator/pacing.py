"""How often a login may ask: messages a second, and questions about history."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from datetime import datetime, timedelta

MESSAGES_PER_SECOND = 50

#: IB's limits for bars of 30 seconds and less; longer ones are only slowed down.
SMALL_BARS = frozenset({"1 sec", "1 secs", "5 secs", "10 secs", "15 secs", "30 secs"})
_IDENTICAL = timedelta(seconds=15)
_SAME_CONTRACT, _SAME_CONTRACT_WITHIN = 6, timedelta(seconds=2)
_ALL, _ALL_WITHIN = 60, timedelta(minutes=10)


class MessagePace:
    """When the login's last messages came, whichever of its clients sent them. Times are the event loop's, in seconds."""

    def __init__(self) -> None:
        self._came: deque[float] = deque()

    def exceeded(self, now: float) -> bool:
        """Count a message; True when it is one too many within a second, and then it does not count."""
        while self._came and now - self._came[0] >= 1.0:
            self._came.popleft()
        if len(self._came) >= MESSAGES_PER_SECOND:
            return True
        self._came.append(now)
        return False


class HistoryPace:
    """The questions about small bars that a login asked lately: at most 60 in ten minutes, six on one contract within two
    seconds, and none twice within fifteen. Times are the home's."""

    def __init__(self) -> None:
        self._asked: deque[tuple[datetime, Hashable, Hashable]] = deque()

    def exceeded(self, question: Hashable, subject: Hashable, now: datetime) -> bool:
        """Count a question on ``subject`` (contract and kind of data); True when it comes too soon, and then it does not count."""
        while self._asked and now - self._asked[0][0] >= _ALL_WITHIN:
            self._asked.popleft()
        identical = any(asked == question and now - at < _IDENTICAL for at, asked, _ in self._asked)
        same = sum(about == subject and now - at < _SAME_CONTRACT_WITHIN for at, _, about in self._asked)
        if identical or same >= _SAME_CONTRACT - 1 or len(self._asked) >= _ALL:
            return True
        self._asked.append((now, question, subject))
        return False
