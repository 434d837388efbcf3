"""A closing as v6 close carries it out, on a stage, with short waits."""

from __future__ import annotations

from typing import Any

import msgspec

from v6cli.runbook import close_wish
from v6cli.runbook.close_all import CloseAll

HOW: dict[str, Any] = {"cap": None, "market": True, "queue": False, "timeout": None, "limits": ()}


def closing_of(stage: Any, position: str = "", dwell: float = 0.2) -> CloseAll:
    """``v6 close POSITION --market`` on a stage; without a position, ``v6 close-all --market``."""
    own = stage.settings
    quick = msgspec.structs.replace(own.closing, dwell=dwell, steps=1, percent=1.0, lag=1.0)
    stage.settings = msgspec.structs.replace(own, closing=quick, messages=msgspec.structs.replace(own.messages, closing=40))
    wish = close_wish.wish_for_position(quick, position, **HOW) if position else close_wish.wish_for_all(quick, **HOW)
    return CloseAll(stage.home, stage.settings, stage.state, wish, "run", stage.as_client)
