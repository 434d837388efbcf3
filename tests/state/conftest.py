"""Homes in memory, with short paths."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from v6cli.home import Home
from v6cli.state.database import State, open_state


@pytest.fixture
def home() -> Iterator[Home]:
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    root = Path(tempfile.mkdtemp(prefix="v6-", dir=place))
    yield Home(root)
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def state(home: Home) -> Iterator[State]:
    with open_state(home) as opened:
        yield opened
