"""A closing as v6 close carries it out, on a stage, with short waits."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec

from v6cli import events
from v6cli.broker.connection import connect
from v6cli.runbook import close_all
from v6cli.runbook.close_all import CloseAll

HOW: dict[str, Any] = {"cap": None, "market": True, "queue": False, "timeout": None, "limits": ()}


def closing_of(stage: Any, position: str, dwell: float = 0.2) -> CloseAll:
    """``v6 close POSITION --market`` on a stage."""
    own = stage.settings
    quick = msgspec.structs.replace(own.closing, dwell=dwell, steps=1, percent=1.0, lag=1.0)
    stage.settings = msgspec.structs.replace(own, closing=quick, messages=msgspec.structs.replace(own.messages, closing=40))

    @contextlib.asynccontextmanager
    async def gateway(role: str, client_id: int | None = None) -> Any:
        connection = await connect(stage.settings, stage.home, role, events.ignore, client_id=client_id)
        try:
            yield connection
        finally:
            await connection.close()

    wish = close_all.wish(quick, "v6 close", position=position, **HOW)
    return CloseAll(stage.home, stage.settings, stage.state, wish, "run", gateway)
