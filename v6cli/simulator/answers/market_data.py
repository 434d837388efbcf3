"""Market data."""
from __future__ import annotations
from typing import Any
HANDLERS: dict[int, Any] = {}
def push(gateway: Any) -> None: ...
