"""The gateway's beat: orders are worked, faults end, and subscribers hear what has changed, asked or not."""

from __future__ import annotations

import itertools
import logging
import math
from typing import TYPE_CHECKING

from v6cli import clock
from v6cli.simulator import answers

if TYPE_CHECKING:
    from v6cli.simulator.server import Gateway

logger = logging.getLogger(__name__)

_LONGEST = 1.0
_PATIENCE_SECONDS = 30.0


async def keep(gateway: Gateway, quotes_every: float, account_every: float) -> None:
    """Push quotes and account values every so many wall seconds, for as long as the gateway runs.

    However seldom quotes are pushed, what happens to orders is told within a second.
    """
    beats = math.ceil(quotes_every / _LONGEST)
    pause = quotes_every / beats
    since_account = 0.0
    for number in itertools.count(1):
        await clock.pause(pause)
        since_account += pause
        due = since_account >= account_every
        since_account = 0.0 if due else since_account
        for connection in gateway.connections:
            connection.waited(pause, _PATIENCE_SECONDS)
        try:
            gateway.advance()
            gateway.announcer.flush()
            gateway.save()
            if not gateway.uplink.lost:
                answers.push(gateway, quotes=number % beats == 0, account=due)
            gateway.watch()
        except Exception:
            # A subscription that cannot be served must not silence the others for good.
            logger.exception("quotes could not be pushed")
