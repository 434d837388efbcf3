"""What can go wrong, and what it means to the shell.

::

    V6Error                    70
    ├── UsageError             64  the command line contradicts itself
    ├── BadInput               65  data given to a command cannot be used
    ├── Unavailable            69  something v6 depends on does not answer
    │   ├── GatewayUnavailable
    │   └── ServiceUnavailable
    ├── CannotWrite            74  journal, state or disk refuses
    ├── OutcomeUnknown         75  sent, but not confirmed
    ├── Refused                77  wrong account, halted, not confirmed
    └── BadConfiguration       78  no home, or settings that cannot be used

Every error says in one line what is wrong, and may name the next step.
"""

from __future__ import annotations


class V6Error(Exception):
    """An expected failure.

    ``message`` names the culprit; ``next_step`` is what the operator does next (a command line or a short sentence).
    """

    exit_code = 70

    def __init__(self, message: str, *, next_step: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step


class UsageError(V6Error):
    """The command line asks for two things that exclude each other."""

    exit_code = 64


class BadInput(V6Error):
    """A file or value given to a command cannot be used."""

    exit_code = 65


class Unavailable(V6Error):
    """Something v6 depends on does not answer."""

    exit_code = 69


class GatewayUnavailable(Unavailable):
    """The IB gateway does not answer, or not in time."""

    def __init__(self, message: str, *, next_step: str | None = "v6 health") -> None:
        super().__init__(message, next_step=next_step)


class ServiceUnavailable(Unavailable):
    """A service, or the supervisor that hosts it, does not answer."""


class CannotWrite(V6Error):
    """Journal, state or disk refuses a write."""

    exit_code = 74


class OutcomeUnknown(V6Error):
    """Something was sent and nothing confirmed it."""

    exit_code = 75


class Refused(V6Error):
    """v6 will not do this: wrong account, halted, or not confirmed."""

    exit_code = 77


class BadConfiguration(V6Error):
    """No home, or settings that cannot be used."""

    exit_code = 78


class EndAsked(KeyboardInterrupt):
    """Somebody asked this process to end, and waits until it has: what is not done by now is left undone."""
