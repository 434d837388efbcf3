"""Homes for schedules: one is made, in memory, and each schedule gets a copy: every Delta commit costs real milliseconds."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from v6cli.home import Home
from v6cli.install import new_home
from v6cli.lake import tables
from v6cli.state.database import open_state

from .play import PORT


@pytest.fixture(scope="session", autouse=True)
def _garbage() -> Iterator[None]:
    """Schedules leave little garbage, and none of it is in what was imported: it is looked for seldom, and not there."""
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, *thresholds[1:])
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


@pytest.fixture(scope="session")
def _template() -> Iterator[Home]:
    """A demo home of the world's gateway, with an empty lake and an empty state."""
    place = Path(tempfile.mkdtemp(prefix="v6-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    home = new_home.make(place / "template", "demo", port=PORT)
    tables.create(home.lake)
    with open_state(home):
        pass
    yield home
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def homes(_template: Home) -> Callable[[], AbstractContextManager[Home]]:
    """Homes in which nothing has happened yet, for one schedule after the other: ``with homes() as home``."""

    @contextmanager
    def made() -> Iterator[Home]:
        place = Path(tempfile.mkdtemp(dir=_template.root.parent))
        try:
            yield Home(Path(shutil.copytree(_template.root, place / "h")))
        finally:
            shutil.rmtree(place, ignore_errors=True)

    return made


@pytest.fixture
def home(homes: Callable[[], AbstractContextManager[Home]]) -> Iterator[Home]:
    """A schedule's own home."""
    with homes() as made:
        yield made
